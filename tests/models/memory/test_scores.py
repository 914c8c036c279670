"""A step at a time: scores that are the likelihood, the same alone and among others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from memory_models import FIRST, TWO, build, music, score
from part_pieces import tune

from musicgen.models import select_state
from musicgen.models.layouts import ONSET, PART
from musicgen.models.memory.model import MemoryModel
from musicgen.sampling.eager import prepared
from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars.music import BarSettings


@pytest.fixture(params=TWO)
def model(request) -> MemoryModel:
    return build(request.param)


@torch.inference_mode()
@pytest.mark.parametrize("faster", [False, True], ids=["plain", "faster"])
def test_stepping_equals_the_whole_pass_and_its_chances_are_the_likelihood(model, faster):
    ids = music(0, 1)
    ids, targets = ids[:, :-1], ids[:, 1:]
    whole_BTC, _ = model.read(ids)
    nats_BTF, after = model.nats(ids, targets, pad=0)
    assert (nats_BTF[targets == 0] == 0).all()
    model = prepared(model) if faster else model
    state, begin = None, 0
    for length in (1, 1, 20, 1, 1, 7, *[1] * 38):
        hidden_BTC, state = model.read(ids[:, begin : begin + length], state)
        torch.testing.assert_close(hidden_BTC, whole_BTC[:, begin : begin + length], atol=1e-5, rtol=1e-5)
        begin += length
        assert (state.position, state.rows) == (begin, 2)
        next_BF = targets[:, begin - 1]
        for field, logits_BK in enumerate(score(model, hidden_BTC[:, -1], state, next_BF)):
            torch.testing.assert_close(logits_BK.double().exp().sum(-1), torch.ones(2).double(), atol=1e-5, rtol=0)
            for row in (next_BF[:, field] != 0).nonzero().flatten().tolist():
                own = -logits_BK[row, next_BF[row, field] - FIRST[field]]
                torch.testing.assert_close(own, nats_BTF[row, begin - 1, field], atol=1e-4, rtol=1e-4)
    assert begin == ids.shape[1]
    for past, row in zip(after.pasts, ids.numpy(), strict=True):
        assert np.array_equal(past, row)


@torch.inference_mode()
def test_a_row_is_the_same_alone_and_among_others(model):
    model = prepared(model)
    ids = music(0, 1, 2)
    together, state = model.read(ids[:, :30])
    alone = [model.read(ids[row : row + 1, :30]) for row in range(3)]
    for t in range(30, 45):
        step_B1F = ids[:, t : t + 1]
        told = score(model, together[:, -1], state, step_B1F[:, 0])
        for row, (hidden, own) in enumerate(alone):
            for logits, among in zip(score(model, hidden[:, -1], own, step_B1F[row : row + 1, 0]), told, strict=True):
                # Prompts are read whole, and rounded so; steps are the same bit for bit once both stem from one prompt.
                torch.testing.assert_close(logits[0], among[row], atol=1e-5, rtol=1e-5)
        together, state = model.read(step_B1F, state)
        alone = [model.read(step_B1F[row : row + 1], own) for row, (_, own) in enumerate(alone)]
    hidden, prompt = model.read(ids[:1, :30])
    three, one = select_state(prompt, [0, 0, 0]), prompt
    for t in range(30, 45):
        hidden_three, three = model.read(ids[:, t : t + 1], three)
        hidden, one = model.read(ids[:1, t : t + 1], one)
        assert torch.equal(hidden_three[0], hidden[0])
        for among, logits in zip(
            score(model, hidden_three[:, -1], three, ids[:, t + 1]),
            score(model, hidden[:, -1], one, ids[:1, t + 1]),
            strict=True,
        ):
            assert torch.equal(among[0], logits[0])


@torch.inference_mode()
@pytest.mark.parametrize("steps", [24, 48])
def test_a_field_that_was_left_empty_has_a_chance_of_nothing(steps):
    """Rows are asked together, also those whose part is empty: behind a span, which the piece had before."""
    tokenizer = Parts(BarSettings(steps))
    rows = torch.from_numpy(tokenizer.encode(tune(0, long_bars=True)).astype(np.int64))[None]
    spans = (rows[0, :, ONSET] == tokenizer.vocabulary.id("span")).nonzero().flatten().tolist()
    assert len(spans) > 1
    fields = tuple((field.first, field.size) for field in tokenizer.fields)
    net = build("gru", vocabulary_size=len(tokenizer.vocabulary), fields=fields, steps=tokenizer.memory)
    net.pointer_head.gates[str(PART)].bias[-2:] = 10  # of the counts
    hidden_BTC, state = net.read(rows[:, : spans[-1]])
    chances_K = score(net, hidden_BTC[:, -1], state, rows[:, spans[-1]])[PART][0].exp()
    assert chances_K[0] < 1e-3, "nothing is not the field's first value"
    assert chances_K.sum() < 1e-3
