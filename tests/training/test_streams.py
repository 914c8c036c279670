"""Rows that read on: every piece once an epoch, whole, in order, and never two in one window."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from training_tunes import AUGMENT, REMI, Tunes, log, on_steps, recipe, weights

from musicgen.errors import UsageError
from musicgen.recipe import AugmentSettings
from musicgen.tokenizers import Frames
from musicgen.training.loop import train
from musicgen.training.streams import Streams

PLAIN = AugmentSettings(0, 0, 0, 0.0)


def streams(*, batch: int = 2, length: int = 48, augment: AugmentSettings = PLAIN) -> Streams:
    return Streams(Tunes(), REMI, length=length, batch=batch, seed=3, augment=augment)


def read_pieces(stream: Streams, steps: int) -> list[list[int]]:
    """What the rows read, cut where they say that a piece begins; padding dropped."""
    pieces: list[list[int]] = []
    rows: list[list[int]] = [[] for _ in range(stream.batch)]
    for step in range(steps):
        batch = stream(step)
        inputs, targets, begins = batch.inputs, batch.targets, batch.begins_B
        for row in range(stream.batch):
            if begins[row] and rows[row]:
                pieces.append(rows[row])
                rows[row] = []
            scored = int((targets[row] != 0).sum())
            if scored:
                start = [int(inputs[row, 0])] if not rows[row] else []
                assert not rows[row] or int(inputs[row, 0]) == rows[row][-1]
                rows[row] += start + targets[row, :scored].tolist()
                assert (targets[row, scored:] == 0).all()
    return pieces + [row for row in rows if row]


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_an_epoch_reads_every_piece_once(batch):
    stream, tunes = streams(batch=batch), Tunes()
    stream(0)
    expected = sorted(tunes.tokens[o : o + n].tolist() for o, n in tunes.spans("train").tolist())
    assert sorted(read_pieces(stream, stream._ends[0])) == expected
    assert sorted(read_pieces(streams(batch=batch), stream._ends[0])) == expected


def test_a_batch_is_a_function_of_seed_and_step():
    forwards, ahead = streams(augment=AUGMENT), streams(augment=AUGMENT)
    last = ahead(40)
    for step in range(40):
        forwards(step)
    for name in ("inputs", "targets", "begins_B"):
        assert torch.equal(getattr(forwards(40), name), getattr(last, name)), name


def test_a_piece_stays_in_one_key_through_an_epoch():
    stream, tunes = streams(augment=AugmentSettings(-5, 6, 0, 0.0)), Tunes()
    stream(0)
    low = REMI.vocabulary.base["pitch"]

    def intervals(ids: list[int]) -> list[int]:
        pitches = [i for i in ids if low <= i < low + 128]
        return np.diff(pitches).tolist()

    expected = sorted(intervals(tunes.tokens[o : o + n].tolist()) for o, n in tunes.spans("train").tolist())
    assert sorted(intervals(ids) for ids in read_pieces(stream, stream._ends[0])) == expected


@pytest.mark.parametrize("family", ["lstm", "gru"])
def test_a_resumed_run_that_carries_equals_an_uninterrupted_one(family, tmp_path):
    tunes = Tunes()
    settings = recipe("lstm", carry=True, length=16, steps=12)
    settings.model.update(family=family)
    train(tunes, REMI, recipe=settings, folder=tmp_path / "whole", device="cpu")

    def interrupt(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tunes, REMI, recipe=settings, folder=tmp_path / "parts", device="cpu", listener=on_steps(interrupt))
    train(tunes, REMI, recipe=settings, folder=tmp_path / "parts", device="cpu", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert [row["step"] for row in log(tmp_path / "parts")] == ["4", "8", "12"]


def test_a_carried_state_changes_what_is_learned(tmp_path):
    tunes = Tunes()
    for name, changes in (("carried", {"carry": True}), ("windows", {})):
        train(tunes, REMI, recipe=recipe("lstm", length=16, **changes), folder=tmp_path / name, device="cpu")
    carried, windows = weights(tmp_path / "carried"), weights(tmp_path / "windows")
    assert any(not torch.equal(carried[name], windows[name]) for name in carried)


def test_a_model_that_reads_by_frame_cannot_carry(tmp_path):
    tokenizer = Frames()
    changed = recipe("lstm", carry=True)
    changed = dataclasses.replace(changed, model={**changed.model, "by_frame": True})
    with pytest.raises(UsageError, match="a model that reads by frame in training has not"):
        train(Tunes(), tokenizer, recipe=changed, folder=tmp_path / "run", device="cpu")


def test_a_transformer_cannot_carry(tmp_path):
    with pytest.raises(UsageError, match="carry is for models with a state"):
        train(Tunes(), REMI, recipe=recipe("transformer", carry=True), folder=tmp_path / "run", device="cpu")
