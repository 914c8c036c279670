"""Models with a memory: a step at a time is the whole pass, chances are chances, states are values, loudness is unheard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from memory_models import FIRST, SHAPE, TWO, build, music, score
from part_pieces import PARTS

from musicgen.checkpoint import load_run, save_run
from musicgen.errors import UsageError
from musicgen.models import FAMILIES, select_state
from musicgen.models.layouts import DURATION, FIELDS, ONSET, PART, PITCH, VELOCITY
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.model import MemoryModel, MemoryState
from musicgen.recipe import Recipe
from musicgen.sampling.eager import prepared


@pytest.fixture(params=TWO)
def model(request) -> MemoryModel:
    return build(request.param)


@torch.inference_mode()
def test_windows_know_what_lies_before_them(model):
    """The memory reaches to the piece's beginning, though the trunk begins with the window."""
    ids = music(2, 3, steps=90)
    past, window, targets = ids[:, :40], ids[:, 40:-1], ids[:, 41:]
    told, _ = model.nats(window, targets, model.recalling(list(past)), pad=0)
    alone, _ = model.nats(window, targets, pad=0)
    assert not torch.allclose(told, alone)
    other = past.clone()
    other[0, 20:30] = past[0, 10:20]
    changed, _ = model.nats(window, targets, model.recalling(list(other)), pad=0)
    assert not torch.allclose(changed[0], told[0])
    assert torch.equal(changed[1], told[1])
    lengths = model.recalling([past[0], past[1, :13]])
    assert (lengths.rows, lengths.position) == (2, 0)
    model.read(window, lengths)


@torch.inference_mode()
def test_no_nats_depend_on_what_comes_later(model):
    ids = music(4)
    nats, _ = model.nats(ids[:, :-1], ids[:, 1:], pad=0)
    at = int((ids[0, 30:, DURATION] != 0).nonzero()[0]) + 30  # a row with a note
    for field in (PITCH, DURATION, VELOCITY, ONSET, PART):
        other = ids.clone()
        other[0, at, field] += 1
        changed, _ = model.nats(other[:, :-1], other[:, 1:], pad=0)
        assert torch.equal(changed[0, : at - 1], nats[0, : at - 1])
        assert torch.equal(changed[0, at - 1, :field], nats[0, at - 1, :field])
        assert not torch.equal(changed[0, at - 1 :], nats[0, at - 1 :])
    for length in (2, 3, 5, 9, 30):
        part, _ = model.nats(ids[:, : length - 1], ids[:, 1:length], pad=0)
        torch.testing.assert_close(part, nats[:, : length - 1], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_a_state_is_a_value(model):
    """Two futures of one state, in turns, and the state itself once more, give what fresh states would."""
    ids, left, right = music(3)[:, :40], music(4)[:, 40:50], music(5)[:, 40:50]

    def fresh(*rows: torch.Tensor) -> list[torch.Tensor]:
        hidden_BTC, state = model.read(torch.cat([ids, *rows], dim=1))
        return score(model, hidden_BTC[:, -1], state, left[:, 0])

    _, prompt = model.read(ids[:, :-2])
    _, stepped = model.read(ids[:, -2:-1], prompt)
    _, stepped = model.read(ids[:, -1:], stepped)
    for begin in (model.read(ids)[1], stepped, select_state(stepped, [0])):
        states, hidden = [begin, begin, select_state(begin, [0])], [None] * 3
        for t in range(6):
            for side, rows in enumerate((left, right, right)):
                hidden[side], states[side] = model.read(rows[:, t : t + 1], states[side])
                score(model, hidden[side][:, -1], states[side], left[:, 0])
        for side, rows in enumerate((left, right, right)):
            found = score(model, hidden[side][:, -1], states[side], left[:, 0])
            for logits, wanted in zip(found, fresh(rows[:, :6]), strict=True):
                torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)
        assert [np.asarray(past).tolist() for past in begin.pasts] == ids.tolist(), "whoever went on from it"
        hidden_BTC, again = model.read(right[:, :1], begin)  # long after others have gone on from it
        for logits, wanted in zip(score(model, hidden_BTC[:, -1], again, left[:, 0]), fresh(right[:, :1]), strict=True):
            torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_likelihoods_go_on_from_a_state_that_was_stepped_to(model):
    ids = music(0, 1)
    wanted, _ = model.nats(ids[:, :-1], ids[:, 1:], pad=0)
    _, state = model.read(ids[:, :39])
    _, state = model.read(ids[:, 39:40], state)
    found, after = model.nats(ids[:, 40:-1], ids[:, 41:], state, pad=0)
    torch.testing.assert_close(found, wanted[:, 40:], atol=1e-4, rtol=1e-4)
    assert [np.asarray(past).tolist() for past in after.pasts] == ids[:, :-1].tolist()


@torch.inference_mode()
def test_all_takes_of_a_prompt_remember_it_once(model, monkeypatch):
    ids, remembered = music(0), []
    remember = Memory._remember
    monkeypatch.setattr(Memory, "_remember", lambda self, row: (remembered.append(row), remember(self, row)))
    hidden_BTC, prompt = model.read(ids[:, :40])
    for _ in range(2):
        state, step = select_state(prompt, [0, 0, 0]), ids[[0, 0, 0], 40:41]
        score(model, hidden_BTC[[0, 0, 0], -1], state, step[:, 0])
        model.read(step, state)
    assert len(remembered) == 40 + 2 * 3


@torch.inference_mode()
def test_rows_are_given_up_and_repeated(model):
    ids = music(0, 1, 2)
    _, state = model.read(ids[:, :20])
    _, state = model.read(ids[:, 20:21], state)
    chosen = [2, 0, 0]
    hidden_BTC, picked = model.read(ids[[0, 1, 2], 21:22], select_state(state, chosen))
    wanted_BTC, _ = model.read(torch.cat([ids[chosen, :21], ids[[0, 1, 2], 21:22]], dim=1))
    torch.testing.assert_close(hidden_BTC[:, -1], wanted_BTC[:, -1], atol=1e-5, rtol=1e-5)
    hidden_BTC, picked = model.read(ids[[1], 22:23], select_state(picked, [1]))
    wanted_BTC, _ = model.read(torch.cat([ids[[0], :21], ids[[1], 21:23]], dim=1))
    torch.testing.assert_close(hidden_BTC[:, -1], wanted_BTC[:, -1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_learns_a_little_tune(family):
    model = build(family, train=True, width=32)
    assert isinstance(model, MemoryModel)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    ids, losses = music(0, 1, steps=50), []
    for _ in range(12 if family in TWO else 2):
        nats_BTF, _ = model.nats(ids[:, :-1], ids[:, 1:], pad=0)
        losses.append(nats_BTF.sum() / (ids[:, 1:] != 0).sum())
        optimizer.zero_grad()
        losses[-1].backward()
        if len(losses) == 1:  # tables of what doesn't occur have none
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, name
            for layer in (model.input_table, model.pointer_head.intervals, model.pointer_head.gates["0"]):
                assert layer.weight.grad.abs().sum() > 0
        optimizer.step()
    assert losses[-1] < losses[0] * (0.5 if family in TWO else 1)


@pytest.mark.parametrize("family", TWO)
def test_without_a_memory_rows_are_read_as_those_of_other_tokenizers(family):
    model = build(family, train=True, with_memory=False)
    assert not isinstance(model, MemoryModel)
    assert not model.recalls
    ids = music(0, 1)
    nats_BTF, _ = model.nats(ids[:, :-1], ids[:, 1:], pad=0)
    nats_BTF.sum().backward()
    model = prepared(model)
    with torch.inference_mode():
        hidden_BTC, state = model.read(ids)
        assert model.scores(hidden_BTC[:, -1], state).logits_BK(PITCH).shape == (2, 256)


@torch.inference_mode()
def test_several_sharpnesses_from_one_pass(model):
    ids = music(0, 1)
    ids, targets = ids[:, :-1], ids[:, 1:]
    values = [(0.5,) * FIELDS, (1.0,) * FIELDS, (1.5, 1, 1, 1, 1, 1)]
    together = model.nats_at(ids, targets, pad=0, inverse_temperature=values)
    assert model.inverse_temperature == (1.0,) * FIELDS
    for inverse_temperature, nats in zip(values, together, strict=True):
        model.set_inverse_temperature(inverse_temperature)
        torch.testing.assert_close(nats, model.nats(ids, targets, pad=0)[0])
    assert not torch.allclose(together[0], together[1])
    assert torch.equal(together[2][..., 1:], together[1][..., 1:])
    hidden_BTC, state = model.read(ids[:, :30])
    own = -score(model, hidden_BTC[:, -1], state, targets[:, 29])[ONSET]
    nats = model.nats(ids, targets, pad=0)[0][:, 29, ONSET]
    torch.testing.assert_close(own.gather(1, targets[:, 29:30, ONSET] - FIRST[ONSET])[:, 0], nats, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("memory", [True, False])
def test_a_run_is_saved_and_loaded(tmp_path, memory):
    net = build("gru", with_memory=memory)
    net.set_inverse_temperature([0.9] * FIELDS)
    recipe = Recipe({"family": "gru", **SHAPE, "with_memory": memory})
    save_run(tmp_path / "run", model=net, tokenizer=PARTS, recipe=recipe, card={})
    run = load_run(tmp_path / "run")
    assert isinstance(run.model, MemoryModel) == memory
    assert run.tokenizer.spec == PARTS.spec
    ids = music(0, 1)
    with torch.inference_mode():
        saved, loaded = (each.nats(ids[:, :-1], ids[:, 1:], pad=0)[0] for each in (net, run.model))
    assert torch.equal(saved, loaded)


def test_what_a_memory_can_not_do_is_said():
    model = build("gru")
    ids = music(0)
    with pytest.raises(UsageError, match="a model with a memory neither teaches nor is taught; leave `teachers` out"):
        model.choices(ids[:, :3], ids[:, 1:4])
    with pytest.raises(TypeError, match="needs the state"):
        model.scores(torch.zeros(1, 16))
    _, other = build("gru", with_memory=False).read(ids)
    with pytest.raises(TypeError, match="can't go on from"):
        model.read(ids, other)
    assert isinstance(model.recalling([ids[0]]), MemoryState)
