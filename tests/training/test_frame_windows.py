"""Where a frame is a row of voices, every window begins with the first voice: nothing in the ids would say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from musicgen.recipe import AugmentSettings
from musicgen.tokenizers import Frames, FramesSettings
from musicgen.training.batches import Batches, validation_windows

FOUR = Frames(FramesSettings(voices=4))
V = FOUR.vocabulary
STILL = AugmentSettings(transpose_low=0, transpose_high=0)


class Chorales:
    """Pieces of four voices that hold one pitch each."""

    def __init__(self) -> None:
        ids = [
            np.array([V.id("bos"), *[V.id("pitch", p) for p in (72, 64, 60, 48)] * n, V.id("eos")]) for n in (60, 71)
        ]
        self.tokens = np.concatenate(ids).astype(np.uint16)
        self.rows = np.array([(0, len(ids[0])), (len(ids[0]), len(ids[1]))])

    def spans(self, split: str) -> np.ndarray:
        return self.rows


FIRST = {V.id("bos"), V.id("pitch", 72)}


@pytest.mark.parametrize("length", [31, 32, 33, 34])
def test_every_window_begins_with_a_frame(length):
    batches = Batches(Chorales(), FOUR, length=length, batch=16, seed=0, augment=STILL)
    heads = {int(token) for step in range(10) for token in batches(step).inputs[:, 0]}
    assert heads == FIRST
    options = {"split": "valid", "length": length, "batch": 4, "max_tokens": 10**6}
    windows = validation_windows(Chorales(), FOUR, **options)
    assert {int(token) for window in windows for token in window.inputs[:, 0]} == FIRST


def test_windows_bring_what_lies_before_them_in_the_same_key():
    rng = np.random.default_rng(0)
    source = Chorales()
    inside = V.is_kind(source.tokens, "pitch")
    source.tokens[inside] = V.base["pitch"] + rng.integers(50, 80, inside.sum())
    augment = AugmentSettings(transpose_low=-5, transpose_high=6)
    alone, batches = (
        Batches(source, FOUR, length=40, batch=8, seed=0, augment=augment, pasts=pasts) for pasts in (False, True)
    )
    pieces = [source.tokens[offset : offset + size] for offset, size in source.rows]
    wanted = [FOUR.transposed(piece, by).tolist() for piece in pieces for by in range(-5, 7)]
    lengths = set()
    for step in range(5):
        batch = batches(step)
        assert torch.equal(alone(step).inputs, batch.inputs)
        assert torch.equal(alone(step).targets, batch.targets)
        assert alone(step).pasts == ()
        for past, window in zip(batch.pasts, batch.inputs.tolist(), strict=True):
            ids = [*past.tolist(), *window]
            assert any(piece[: len(ids)] == ids for piece in wanted)
            lengths.add(len(past))
    assert 0 in lengths
    assert max(lengths) > 100
    options = {"split": "valid", "length": 40, "batch": 4, "max_tokens": 10**6}
    for batch in validation_windows(source, FOUR, **options):
        for past, window in zip(batch.pasts, batch.inputs.tolist(), strict=True):
            ids = [*past.tolist(), *(token for token in window if token)]
            assert any(piece[: len(ids)].tolist() == ids for piece in pieces)
