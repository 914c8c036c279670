"""The model of performances: each value sees the past, its note's key and the values before it, and nothing else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import ModelSettings
from musicgen.models.heads.densities import HEADS
from musicgen.models.registry import FAMILIES
from musicgen.models.tasks.performer import VALUES, Performer
from musicgen.models.tasks.registry import blank_task_model, build_task_model
from musicgen.tokenizers import load_tokenizer

EXACT = load_tokenizer({"name": "exact"})
PAD = EXACT.vocabulary.id("pad")


def ids(notes: int, *, rows: int = 1, seed: int = 0) -> torch.Tensor:
    """Windows (rows, notes + 1, 4) that begin with BOS: chords and runs at random."""
    rng, v = np.random.default_rng(seed), EXACT.vocabulary
    found = np.zeros((rows, notes + 1, 4), np.int64)
    found[:, 0, 0] = v.id("bos")
    shape = (rows, notes)
    found[:, 1:, 0] = v.base["pitch"] + rng.integers(30, 90, shape)
    found[:, 1:, 1] = v.base["ioi"] + rng.integers(0, 2, shape) * rng.integers(0, 400, shape)
    found[:, 1:, 2] = v.base["velocity"] + rng.integers(1, 128, shape)
    found[:, 1:, 3] = v.base["length"] + rng.integers(1, 3000, shape)
    return torch.from_numpy(found)


def model_of(family: str, head: str, **changes: object) -> Performer:
    settings = ModelSettings(
        family, len(EXACT.vocabulary), width=16, layers=2, heads=2, context=64,
        fields=tuple((field.first, field.size) for field in EXACT.fields),
    )  # fmt: skip
    model = build_task_model(
        settings, {"name": "perform", "head": head, "components": 3, "bins": 20, **changes}, seed=1
    )
    assert isinstance(model, Performer)
    return model


@pytest.fixture(params=list(itertools.product(FAMILIES, HEADS)), ids="-".join)
def model(request):
    return model_of(*request.param).eval()


def nats(model: Performer, window: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.nats(window[:, :-1], window[:, 1:], pad=PAD)[0]


def test_a_note_at_a_time_is_as_the_whole(model):
    window = ids(20, rows=2)
    whole, state, steps = nats(model, window), None, []
    with torch.no_grad():
        for n in range(20):
            found, state = model.nats(window[:, n : n + 1], window[:, n + 1 : n + 2], state, pad=PAD)
            steps.append(found)
    assert torch.allclose(whole, torch.cat(steps, dim=1), atol=2e-4)
    assert whole.isfinite().all()
    assert (whole[..., 0] == 0).all()  # keys are given
    assert (whole[..., 1:] > 0).all()


def test_values_see_the_key_and_the_values_before_them_and_no_later_note(model):
    window = ids(12)
    before = nats(model, window)
    for field in range(4):
        other = window.clone()
        other[0, 7, field] += 2
        changed = (nats(model, other) != before)[0]
        assert not changed[:6].any()
        assert not changed[6, :field].any()
        assert changed[6, field + 1 :].all()


def test_padding_counts_nothing(model):
    window = ids(8)
    longer = torch.cat([window, torch.full((1, 5, 4), PAD)], dim=1)
    found = nats(model, longer)
    assert (found[:, 8:] == 0).all()
    assert torch.allclose(found[:, :8], nats(model, window), atol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_the_trunk_is_the_same_under_both_heads(head):
    model = model_of("gru", head)
    trunk = {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}
    other = model_of("gru", HEADS[0])
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in trunk.items())
    assert len(model.head.outputs) == len(VALUES)


@pytest.mark.parametrize("head", HEADS)
def test_a_few_steps_learn_what_repeats(head):
    """Two chords in turns, with rests between: the times fall in a few nats, and no number is lost on the way."""
    v, model = EXACT.vocabulary, model_of("gru", head, components=4, bins=64)
    window = ids(40)
    window[0, 1:, 0] = v.base["pitch"] + torch.tensor([48, 60] * 20)
    window[0, 1:, 1] = v.base["ioi"] + torch.tensor([500, 0] * 20)
    window[0, 1:, 2] = v.base["velocity"] + torch.tensor([50, 80] * 20)
    window[0, 1:, 3] = v.base["length"] + torch.tensor([450, 460] * 20)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    before = nats(model.eval(), window)
    for _ in range(60):
        loss = model.train().nats(window[:, :-1], window[:, 1:], pad=PAD)[0].sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(part.grad is None or part.grad.isfinite().all() for part in model.parameters())
        optimizer.step()
    after = nats(model.eval(), window)
    assert (after[0, 4:, 1:].mean(0) < before[0, 4:, 1:].mean(0) - 1).all()


def test_other_tokens_and_unknown_heads_are_refused_in_a_line():
    plain = ModelSettings("gru", 100, width=16, layers=1)
    with pytest.raises(UsageError, match="exact times and velocities, which these tokens don't have"):
        blank_task_model(plain, {"name": "perform"})
    with pytest.raises(UsageError) as raised:
        blank_task_model(plain, {"name": "perform", "head": "mixtur"})
    assert str(raised.value) == "recipe: [task] head is 'mixtur'; did you mean 'mixture'?"
    with pytest.raises(UsageError, match="components is 0"):
        blank_task_model(plain, {"name": "perform", "components": 0})
