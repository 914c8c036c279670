"""Batches that other processes make: the same batches, and no process is left behind."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
from memory_models import build, music
from training_tunes import AUGMENT, REMI, Tunes, recipe, weights

from musicgen.models.memory.window import precompute
from musicgen.tokenizers import Remi
from musicgen.training.batches import Batches
from musicgen.training.feed import Feed, workers_for
from musicgen.training.loop import train

needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this platform can't fork"
)


def numbered(step: int) -> torch.Tensor:
    return torch.full((2, 3), step)


@needs_fork
def test_batches_come_in_order_from_any_step_and_the_processes_end():
    feed = Feed(numbered, workers=2, pin=False)
    before = len(multiprocessing.active_children())
    assert [int(feed(step)[0, 0]) for step in (0, 1, 2, 7, 8, 3)] == [0, 1, 2, 7, 8, 3]
    assert len(multiprocessing.active_children()) == before + 2
    feed.close()
    assert len(multiprocessing.active_children()) == before


@needs_fork
def test_what_fails_in_another_process_is_told_in_this_one():
    def broken(step: int) -> torch.Tensor:
        raise ArithmeticError(f"no batch {step}")

    feed = Feed(broken, workers=1, pin=False)
    with pytest.raises(ArithmeticError, match="no batch 4"):
        feed(4)
    feed.close()


@needs_fork
def test_a_run_is_the_same_whoever_makes_its_batches(tmp_path):
    for name, workers in (("alone", 0), ("helped", 2)):
        train(Tunes(), Remi(), recipe=recipe("lstm"), folder=tmp_path / name, device="cpu", workers=workers)
    alone, helped = weights(tmp_path / "alone"), weights(tmp_path / "helped")
    assert all(torch.equal(alone[name], helped[name]) for name in alone)
    assert not multiprocessing.active_children()


@needs_fork
def test_batches_come_whole_with_the_pasts_of_their_rows():
    data = Batches(Tunes(), REMI, length=48, batch=4, seed=0, augment=AUGMENT, pasts=True)
    feed = Feed(data, workers=1, pin=False)
    for step in range(3):
        sent, own = feed(step), data(step)
        assert torch.equal(sent.inputs, own.inputs)
        assert torch.equal(sent.targets, own.targets)
        assert (sent.n_values, sent.n_steps) == (own.n_values, own.n_steps)
        assert all(torch.equal(a, b) for a, b in zip(sent.past_ids(), own.past_ids(), strict=True))
        assert max(map(len, own.pasts)) > 0
    feed.close()


def test_a_cpu_is_left_alone_unless_asked():
    assert workers_for(torch.device("cpu")) == workers_for(torch.device("mps")) == 0
    if "fork" in multiprocessing.get_all_start_methods():
        assert workers_for(torch.device("cpu"), 3) == 3
        assert workers_for(torch.device("cuda")) >= 0


@pytest.mark.parametrize("training", [False, True])
def test_windows_told_ahead_are_scored_as_those_told_by_the_model(training):
    model = build("transformer").train(training)
    ids = music(3, 4)
    pasts = [ids[0, :20], ids[1, :7]]
    windows = torch.stack([ids[0, 20:50], ids[1, 7:37]])
    inputs, targets = windows[:, :-1], windows[:, 1:]
    told = precompute(model.layout, inputs, targets, [past.numpy().astype(np.uint16) for past in pasts])
    assert told.rows == 2
    ahead, after = model.nats(inputs, targets, told.to(torch.device("cpu")), pad=0)
    expected, _ = model.nats(inputs, targets, model.recalling(pasts), pad=0)
    assert after is None
    assert torch.equal(ahead, expected)
    one, _ = model.nats(inputs[1:], targets[1:], told.select(torch.tensor([1])), pad=0)
    torch.testing.assert_close(one, expected[1:], atol=1e-5, rtol=1e-5)
