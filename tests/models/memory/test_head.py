"""What a field's chances are made of: parts that play, loudness that is heard once, what the piece alone knows."""

from __future__ import annotations

import pytest
import torch
from memory_models import TWO, build, music, score
from part_pieces import PARTS, tune_rows

from musicgen.models.layouts import DURATION, FIELDS, ONSET, PART, PITCH, VELOCITY
from musicgen.models.memory.model import MemoryModel


@pytest.fixture(params=TWO)
def model(request) -> MemoryModel:
    return build(request.param)


@torch.inference_mode()
def test_loudness_changes_velocities_alone(model):
    ids = music(5)
    louder = ids.clone()
    louder[..., VELOCITY] += (ids[..., VELOCITY] != 0) * torch.randint(1, 6, ids.shape[:2])
    assert torch.equal(model.read(louder)[0], model.read(ids)[0])
    nats, changed = (model.nats(rows[:, :-1], rows[:, 1:], pad=0)[0] for rows in (ids, louder))
    others = [field for field in range(FIELDS) if field != VELOCITY]
    assert torch.equal(changed[..., others], nats[..., others])
    assert not torch.equal(changed[..., VELOCITY], nats[..., VELOCITY])
    *_, state = model.read(louder)
    hidden_BTC, _ = model.read(ids)
    loud, soft = (score(model, hidden_BTC[:, -1], s, ids[:, 30]) for s in (state, model.read(ids)[1]))
    for field in others:
        assert torch.equal(loud[field], soft[field])


@torch.inference_mode()
def test_parts_that_have_not_entered_have_no_chance(model):
    ids = music(6)
    hidden_BTC, state = model.read(ids[:, :40])
    scores = model.scores(hidden_BTC[:, -1], state)
    for field, token in enumerate((PARTS.vocabulary.id("pitch", 60), 257, 329, PARTS.vocabulary.id("position", 7))):
        scores.take(field, torch.tensor([token]))
    chances_K = scores.logits_BK(PART).exp()[0]
    parts_P = chances_K[-64:]
    assert (parts_P[:4] > 1e-6).all()
    assert parts_P[4:].max() < 1e-20


@torch.inference_mode()
def test_what_the_piece_alone_knows_is_foretold():
    """A gate that trusts the memory gives a repeat nearly all of the chance, in a model that has learned nothing."""
    model = build("gru")
    ids = torch.from_numpy(tune_rows(7)[:40])
    bars = PARTS.bar_positions(ids.numpy())
    bar = ids[bars[1] : bars[2]]
    twice = torch.cat([ids[: bars[1]], bar, bar, bar, bar])[None]
    for name in ("gates", "trust", "weight"):
        for table in getattr(model.pointer_head, name).values():
            for parameter in table.parameters():
                parameter.zero_()
    for gate in model.pointer_head.gates.values():
        gate.bias[1] = 30  # of the longest match
    nats, _ = model.nats(twice[:, :-1], twice[:, 1:], pad=0)
    repeated = nats[0, -len(bar) + 1 :]
    assert repeated[..., [PITCH, DURATION, VELOCITY, ONSET, PART]].max() < 1e-6
    assert nats[0, :10, ONSET].mean() > 1
