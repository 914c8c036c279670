"""Batches: what counts in them, and that moving them changes nothing else."""

from __future__ import annotations

import numpy as np
import torch
from memory_models import build, music
from part_pieces import PARTS

from musicgen.scoring import Scoring
from musicgen.tokenizers import Frames
from musicgen.training.batch import Batch

PLAIN = Scoring(pad=0)


def test_a_target_is_the_step_after_its_input_and_padding_is_not_counted():
    batch = Batch.of(np.array([[5, 6, 7, 8], [9, 4, 0, 0]]), PLAIN)
    assert batch.inputs.tolist() == [[5, 6, 7], [9, 4, 0]]
    assert batch.targets.tolist() == [[6, 7, 8], [4, 0, 0]]
    assert (batch.n_values, batch.n_steps) == (4, 4)


def test_of_a_step_with_fields_those_count_that_are_not_empty():
    batch = Batch.of(np.array([[[5, 6], [7, 0], [0, 8], [0, 0]]]), PLAIN)
    assert (batch.n_values, batch.n_steps) == (2, 2)


def test_what_follows_nothing_is_padding_among_the_targets_alone():
    frames = Frames()
    v = frames.vocabulary
    row = [v.id("bos"), v.id("pitch", 60), v.id("end"), v.id("eos"), v.id("pad")]
    batch = Batch.of(np.array([row, row]), Scoring.of(frames))
    pad = v.id("pad")
    assert batch.inputs.tolist() == [row[:-1]] * 2
    assert batch.targets.tolist() == [[row[1], row[2], pad, pad]] * 2
    assert (batch.n_values, batch.n_steps) == (4, 4)


def test_pasts_of_any_type_become_ids_and_rows_may_have_none():
    batch = Batch.of(np.array([[1, 2], [3, 4]]), PLAIN, pasts=(np.array([7, 8], np.uint16), np.zeros(0, np.uint16)))
    first, second = batch.past_ids()
    assert first.dtype == torch.int64
    assert (first.tolist(), second.tolist()) == ([7, 8], [])


def test_a_batch_moves_with_all_that_it_holds():
    """Of devices that every machine has, `meta` is another one."""
    model, ids = build("transformer"), music(0, 1, steps=30).numpy()
    told = model.precomputing()(torch.from_numpy(ids[:, :-1]), torch.from_numpy(ids[:, 1:]), [ids[0, :0]] * len(ids))
    batch = Batch.of(ids, Scoring.of(PARTS), begins_B=torch.ones(len(ids), dtype=torch.bool))
    batch = Batch(**{**vars(batch), "state": told})
    moved = batch.to(torch.device("meta"))
    for name in ("inputs", "targets", "begins_B"):
        assert getattr(moved, name).device.type == "meta"
        assert getattr(moved, name).shape == getattr(batch, name).shape
    assert moved.state.numbers_BTM.device.type == "meta"
    assert (moved.n_values, moved.n_steps) == (batch.n_values, batch.n_steps)
    same = batch.to(torch.device("cpu"))
    assert torch.equal(same.inputs, batch.inputs)
