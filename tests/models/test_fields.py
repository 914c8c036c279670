"""Steps with fields: the chain rule is exact, sampling's shortcuts change nothing, the body treats rows as steps."""

from __future__ import annotations

import itertools

import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model, select_state
from musicgen.models.hardware import has_int8
from musicgen.sampling.eager import prepared

FIELDS = ((1, 4), (5, 3), (8, 2))  # ids 1..9, and 0 for an empty field
SIZE = 10


def settings(family: str, **changes) -> ModelSettings:
    values = {"width": 32, "layers": 2, "heads": 4, "context": 16, "vocabulary_size": SIZE, "fields": FIELDS}
    return ModelSettings(family, **(values | changes))


@pytest.fixture(params=list(itertools.product(sorted(FAMILIES), ["learned", "one-hot"])), ids=lambda p: "-".join(p))
def model(request):
    family, embedding = request.param
    return build_model(settings(family, embedding=embedding), seed=1).eval()


def steps(rows: int, length: int, *, seed: int = 0) -> torch.Tensor:
    """Random steps, ids_BTF; some fields empty."""
    generator = torch.Generator().manual_seed(seed)
    columns = [first + torch.randint(size, (rows, length), generator=generator) for first, size in FIELDS]
    ids = torch.stack(columns, dim=-1)
    ids[:, ::3, 2] = 0
    return ids


@torch.inference_mode()
def test_probabilities_of_all_steps_sum_to_one(model):
    past = steps(1, 5)
    every = torch.tensor(list(itertools.product(*(range(first, first + size) for first, size in FIELDS))))
    total = 0.0
    for step in every:
        targets = torch.cat([past[:, 1:], step[None, None]], dim=1)
        nats_BTF, _ = model.nats(past, targets, pad=0)
        total += (-nats_BTF[0, -1].double().sum()).exp().item()
    assert total == pytest.approx(1.0, abs=1e-5)


@torch.inference_mode()
def test_scores_are_those_of_the_likelihood(model):
    """Field after field, as evaluation reads and as sampling steps: what sampling sees is what evaluation scores."""
    ids = steps(4, 7)
    targets = torch.cat([ids[:, 1:], steps(4, 1, seed=5)], dim=1)
    nats_BTF, _ = model.nats(ids, targets, pad=0)
    for ready in (model, prepared(model)):
        hidden_BTC, _ = ready.read(ids)
        scores = ready.scores(hidden_BTC[:, -1])
        for field, (first, _size) in enumerate(FIELDS):
            chosen_B = targets[:, -1, field]
            scored = chosen_B > 0
            logits = scores.logits_BK(field).log_softmax(-1)
            nats_B = -logits.gather(1, (chosen_B - first).clamp(min=0)[:, None])[:, 0]
            assert torch.allclose(nats_B[scored], nats_BTF[scored, -1, field], atol=1e-5)
            scores.take(field, chosen_B)


@torch.inference_mode()
def test_stepping_equals_the_whole_pass(model):
    ids = steps(3, 24)  # past the context of 16
    whole_BTC, _ = model.read(ids)
    for ready in (model, prepared(model)):
        state, parts = None, []
        for t in range(24):
            hidden_BTC, state = ready.read(ids[:, t : t + 1], state)
            parts.append(hidden_BTC)
        assert torch.allclose(torch.cat(parts, dim=1), whole_BTC, atol=1e-5)


@torch.inference_mode()
def test_a_row_alone_is_the_same_bit_for_bit(model):
    """As sampling steps, a row's numbers don't depend on its neighbours."""
    model = prepared(model)
    ids = steps(6, 10)
    prefix_BTC, prefix = model.read(ids[:1, :4])

    def run(rows):
        state, hidden_BC = select_state(prefix, [0] * len(rows)), prefix_BTC[:, -1].expand(len(rows), -1)
        told = []
        for t in range(4, 10):
            scores = model.scores(hidden_BC)
            for field in range(len(FIELDS)):
                told.append(scores.logits_BK(field))
                scores.take(field, ids[rows, t, field])
            hidden_BTC, state = model.read(ids[rows, t : t + 1], state)
            hidden_BC = hidden_BTC[:, -1]
        return torch.cat(told, dim=1)

    together = run([0, 1, 2, 3, 4, 5])
    for row in range(6):
        assert torch.equal(run([row])[0], together[row])
    assert torch.equal(run([4, 2]), together[[4, 2]])


def test_weights_of_8_bits_are_nearly_the_same():
    model = build_model(settings("transformer", width=64), seed=1).eval()
    ids = steps(2, 12)
    with torch.inference_mode():
        exact_BTC, _ = model.read(ids)
        drawing = prepared(model, int8=True)
        state, parts = None, []
        for t in range(12):
            hidden_BTC, state = drawing.read(ids[:, t : t + 1], state)
            parts.append(hidden_BTC)
        rounded_BTC = torch.cat(parts, dim=1)
        assert torch.allclose(rounded_BTC, exact_BTC, atol=0.1)
        assert torch.allclose(rounded_BTC, exact_BTC, atol=1e-5) is not has_int8()
        alone_BTC = drawing.read(ids[1:, :1])[0]
        assert torch.equal(alone_BTC, rounded_BTC[1:, :1]), "a row doesn't depend on its neighbours here either"
        again_BTC = model.read(ids[:, :1])[0]
        assert torch.allclose(again_BTC, exact_BTC[:, :1], atol=1e-5), "the model itself keeps its weights"


def test_padding_counts_nothing_and_later_steps_change_nothing(model):
    ids, targets = steps(2, 8), steps(2, 8, seed=3)
    nats_BTF, _ = model.nats(ids, targets, pad=0)
    assert (nats_BTF[targets == 0] == 0).all()
    assert (nats_BTF[targets != 0] > 0).all()
    changed = ids.clone()
    changed[:, 5:] = steps(2, 3, seed=9)
    assert torch.allclose(model.nats(changed, targets, pad=0)[0][:, :5], nats_BTF[:, :5], atol=1e-6)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_it_learns_what_follows_what(family):
    """The second field repeats the first one, the first goes round: a model that hears its fields knows both."""
    torch.manual_seed(0)
    model = build_model(settings(family), seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2)
    for step in range(70):
        first = (torch.randint(3, (16, 1), generator=torch.Generator().manual_seed(step)) + torch.arange(9)) % 3
        ids = torch.stack([1 + first, 5 + first, 8 + first % 2], dim=-1)
        nats, _ = model.nats(ids[:, :-1], ids[:, 1:], pad=0)
        optimizer.zero_grad()
        nats.mean().backward()
        optimizer.step()
    assert nats[:, 1:].sum(-1).mean().item() < 0.1


def test_a_wrong_shape_says_so(model):
    with pytest.raises(UsageError, match=r"ids of shape \(1, 5\); give \(batch, time, 3\) with at least one step"):
        model.read(steps(1, 5)[:, :, 0])
    with pytest.raises(TypeError, match="has fields"):
        model(steps(1, 5))
