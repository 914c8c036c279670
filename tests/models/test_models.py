"""The promises every family makes: steps equal whole passes, no look ahead, rows that don't touch each other."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, SequenceModel, build_model, select_state
from musicgen.models.hardware import lacks_bfloat16
from musicgen.sampling.eager import prepared

CONTEXT = 16
V = 40


def settings(family: str, embedding: str = "learned", **changes) -> ModelSettings:
    given = {"width": 32, "layers": 2, "heads": 2, "context": CONTEXT, "embedding": embedding, **changes}
    return ModelSettings(family, V, **given)


def some_ids(rows: int, steps: int, *, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (rows, steps), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=list(itertools.product(sorted(FAMILIES), ["learned", "one-hot"])), ids="-".join)
def model(request) -> SequenceModel:
    # Weights ten times their first size: predictions that differ clearly from id to id.
    model = build_model(settings(*request.param), seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(10 if request.param[0] == "transformer" else 2)
    return model


def read(model: SequenceModel, ids_BT: torch.Tensor, pieces: list[int]) -> torch.Tensor:
    """The logits of reading the ids in pieces of these lengths."""
    state, parts, start = None, [], 0
    with torch.inference_mode():
        for length in pieces:
            logits, state = model(ids_BT[:, start : start + length], state)
            parts.append(logits)
            start += length
            assert state.position == start
            assert state.rows == len(ids_BT)
    return torch.cat(parts, dim=1)


@pytest.mark.parametrize("faster", [False, True], ids=["plain", "faster"])
@pytest.mark.parametrize(
    "pieces",
    [
        [1] * 14,  # within the context
        [1] * 60,  # far past it
        [5, 1, 1, 7],  # in pieces
        [10, 1, 12, 40, 1, 1, 3],  # pieces that cross the context, one longer than it
        [1] * 300 + [9],  # past the room a cache has
    ],
    ids=["steps", "sliding", "pieces", "sliding-pieces", "long"],
)
def test_reading_in_pieces_equals_the_whole_pass(model, pieces, faster):
    ids = some_ids(2, sum(pieces))
    whole = read(model, ids, [ids.shape[1]])
    model = prepared(model) if faster else model
    logits = read(model, ids, pieces)
    torch.testing.assert_close(logits, whole, atol=1e-5, rtol=1e-5)
    assert torch.equal(logits.argmax(-1), whole.argmax(-1))


def test_the_greedy_continuation_is_the_same_stepped_and_recomputed(model):
    ids = some_ids(1, 5)
    with torch.inference_mode():
        whole = ids
        for _ in range(25):
            logits, _ = model(whole)
            whole = torch.cat([whole, logits[:, -1:].argmax(-1)], dim=1)
        model = prepared(model)
        logits, state = model(ids)
        stepped = [ids]
        for _ in range(25):
            stepped.append(logits[:, -1:].argmax(-1))
            logits, state = model(stepped[-1], state)
    assert torch.equal(torch.cat(stepped, dim=1), whole)


@pytest.mark.parametrize("steps", [12, 3 * CONTEXT])
def test_no_logit_depends_on_a_later_id(model, steps):
    ids = some_ids(2, steps)
    logits = read(model, ids, [steps])
    for changed in (1, steps // 2, steps - 1):
        other = ids.clone()
        other[:, changed] = (other[:, changed] + 1) % V
        logits_other = read(model, other, [steps])
        assert torch.equal(logits_other[:, :changed], logits[:, :changed])
        assert not torch.equal(logits_other[:, changed:], logits[:, changed:])


def test_attention_forgets_what_lies_past_its_context():
    """One layer sees exactly the last `context` ids, in whole passes and steps alike."""
    model = build_model(settings("transformer", layers=1)).eval()
    ids = some_ids(1, 2 * CONTEXT)
    other = ids.clone()
    other[:, 3] = (other[:, 3] + 1) % V
    for pieces in ([2 * CONTEXT], [1] * (2 * CONTEXT)):
        differs = (read(model, ids, pieces) != read(model, other, pieces)).any(-1)[0]
        assert differs.nonzero().flatten().tolist() == list(range(3, 3 + CONTEXT))


def test_rows_of_a_batch_do_not_touch(model):
    ids = some_ids(4, 20)
    logits = read(model, ids, [10] + [1] * 10)
    other = ids.clone()
    other[[0, 1, 3]] = some_ids(3, 20, seed=5)
    assert torch.equal(read(model, other, [10] + [1] * 10)[2], logits[2])
    torch.testing.assert_close(read(model, ids[2:3], [20])[0], logits[2], atol=1e-5, rtol=1e-5)


def test_a_state_gives_up_rows_and_repeats_them(model):
    ids, more = some_ids(3, 9), some_ids(4, 12, seed=2)
    with torch.inference_mode():
        _, state = model(ids)
        chosen = select_state(state, [2, 0, 0, 1])
        assert (chosen.rows, chosen.position) == (4, 9)
        expected = read(model, torch.cat([ids[[2, 0, 0, 1]], more], dim=1), [21])[:, 9:]
        parts = []
        for t in range(12):
            logits, chosen = model(more[:, t : t + 1], chosen)
            parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_two_futures_of_one_state_do_not_touch(model):
    """A state is a value: going on from it twice gives what going on from two copies would."""
    ids, left, right = some_ids(1, 6), some_ids(1, 4, seed=2), some_ids(1, 4, seed=3)
    with torch.inference_mode():
        _, state = model(ids)
        _, state = model(some_ids(1, 1), state)  # now the cache has room, which the two could fight over
        states, logits = [state, state], [[], []]
        for t in range(4):
            for side, future in enumerate((left, right)):
                step, states[side] = model(future[:, t : t + 1], states[side])
                logits[side].append(step)
    for side, future in enumerate((left, right)):
        whole = read(model, torch.cat([ids, some_ids(1, 1), future], dim=1), [11])[:, 7:]
        torch.testing.assert_close(torch.cat(logits[side], dim=1), whole, atol=1e-5, rtol=1e-5)


def test_a_state_made_in_inference_mode_can_be_used_outside(model):
    ids = some_ids(1, 8)
    with torch.inference_mode():
        _, state = model(ids[:, :4])
        _, state = model(ids[:, 4:5], state)
    with torch.no_grad():
        logits, _ = model(ids[:, 5:], state)
    torch.testing.assert_close(logits, read(model, ids, [8])[:, 5:], atol=1e-5, rtol=1e-5)


def test_a_long_piece_takes_no_more_memory():
    model = build_model(settings("transformer")).eval()
    state, ids = None, some_ids(1, 1)
    with torch.inference_mode():
        for _ in range(800):
            _, state = model(ids, state)
    assert state.position == 800
    assert state.caches[0].keys.shape[2] <= CONTEXT + 256


def test_steps_move_by_the_distance_alone():
    """Rotary positions are relative: with one id repeated, every step past the first has the same logits."""
    model = build_model(settings("transformer")).eval()
    logits = read(model, torch.full((1, 900), 7), [1] * 900)
    torch.testing.assert_close(logits, logits[:, :1].expand_as(logits), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_the_first_loss_is_that_of_guessing(family, embedding):
    model = build_model(ModelSettings(family, 1200, width=128, layers=4, context=256, embedding=embedding)).eval()
    ids = torch.randint(1200, (4, 129), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        loss = F.cross_entropy(model(ids[:, :-1])[0].flatten(0, 1), ids[:, 1:].flatten())
    assert abs(loss.item() - math.log(1200)) < 0.1


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_one_batch_is_learned_by_heart(family, embedding):
    model = build_model(settings(family, embedding, width=64))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    ids = some_ids(4, CONTEXT + 1)
    ids[:, 0] = torch.arange(4)  # the rows tell themselves apart from the first id on
    for _ in range(300):
        logits, _ = model(ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        if loss.item() < 0.01:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


def test_every_weight_has_a_gradient(model):
    ids = some_ids(2, 10)
    logits, _ = model.train()(ids[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_model_is_trained_on_after_a_decoder_was_made_of_it(model):
    ids = some_ids(2, 10)
    before = read(prepared(model), ids, [10])
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    F.cross_entropy(model(ids[:, :-1])[0].flatten(0, 1), ids[:, 1:].flatten()).backward()
    optimizer.step()
    model.eval()
    stepped, whole = read(model, ids, [1] * 10), read(model, ids, [10])
    assert not torch.allclose(whole, before)
    torch.testing.assert_close(stepped, whole, atol=1e-5, rtol=1e-5)


def test_low_precision_training_stays_near(model):
    if kind := lacks_bfloat16(model, torch.device("cpu")):
        pytest.skip(f"this processor computes no {kind} in bfloat16")
    ids = some_ids(2, 12)
    with torch.no_grad():
        exact, _ = model(ids)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough, state = model(ids[:, :-1])
            last, _ = model(ids[:, -1:], state)
    rough = torch.cat([rough, last], dim=1).float()
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()


def test_the_one_hot_input_is_a_product_with_a_one_hot_vector():
    ids = some_ids(2, 5)
    for family in sorted(FAMILIES):
        model = build_model(settings(family, "one-hot"))
        shapes = {tuple(parameter.shape) for parameter in model.parameters() if parameter.ndim == 2}
        assert any(shape[1] == V for shape in shapes), "some layer reads vectors as wide as the vocabulary"
    embedding = build_model(settings("transformer", "one-hot")).embedding
    torch.testing.assert_close(embedding(ids), F.one_hot(ids, V).float() @ embedding.weight.t())


def test_learned_embedding_and_head_share_one_weight():
    for family in sorted(FAMILIES):
        learned, one_hot = build_model(settings(family)), build_model(settings(family, "one-hot"))
        assert sum(tensor.shape == (V, 32) for tensor in learned.state_dict().values()) == 1
        assert sum(tensor.shape == (V, 32) for tensor in one_hot.state_dict().values()) == 1  # the head's alone
        assert learned.n_parameters == sum(tensor.numel() for tensor in learned.state_dict().values())


def test_first_weights_follow_the_seed_and_leave_the_global_state_alone():
    for family in sorted(FAMILIES):
        before = torch.get_rng_state()
        first, again, other = (build_model(settings(family), seed=seed).state_dict() for seed in (4, 4, 5))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)


def test_context():
    assert build_model(settings("transformer")).context == CONTEXT
    assert build_model(settings("lstm")).context is None


def test_an_lstm_trains_across_excerpts():
    model = build_model(settings("lstm"))
    _, state = model(some_ids(2, 5))
    logits, state = model(some_ids(2, 5), state.detach())
    logits.sum().backward()
    assert state.position == 10


def test_settings_survive_a_dict():
    chosen = settings("lstm", "one-hot", dropout=0.25)
    assert ModelSettings.from_dict(chosen.to_dict()) == chosen


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"famly": "lstm"}, "model: there is no setting 'famly'; did you mean 'family'?"),
        ({"width": 0}, "model: width is 0; give a whole number of at least 1"),
        ({"layers": 2.0}, "model: layers is 2.0; give a whole number of at least 1"),
        ({"heads": True}, "model: heads is True; give a whole number of at least 1"),
        ({"dropout": 1.0}, "model: dropout is 1.0; give a number from 0 to below 1"),
        ({"embedding": "onehot"}, "model: there is no embedding 'onehot'; did you mean 'one-hot'?"),
    ],
)
def test_settings_out_of_range(change, text):
    with pytest.raises(UsageError) as caught:
        ModelSettings.from_dict({"family": "lstm", "vocabulary_size": V, **change})
    assert str(caught.value) == text


def test_a_missing_setting():
    with pytest.raises(UsageError, match="model: the setting 'vocabulary_size' is missing"):
        ModelSettings.from_dict({"family": "lstm"})


def test_an_unknown_family():
    with pytest.raises(UsageError) as caught:
        build_model(settings("transfomer"))
    assert str(caught.value) == "model: there is no model family 'transfomer'; did you mean 'transformer'?"


def test_a_width_that_heads_cannot_share():
    with pytest.raises(UsageError, match=r"width 30 doesn't divide into 4 heads .* multiple of 8"):
        build_model(settings("transformer", width=30, heads=4))


def test_no_ids(model):
    with pytest.raises(UsageError, match=r"ids of shape \(1, 0\); give \(batch, time\) with at least one step"):
        model(torch.zeros(1, 0, dtype=torch.int64))
