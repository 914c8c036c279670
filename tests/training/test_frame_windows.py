"""Where a frame is a row of voices, every window begins with the first voice: nothing in the ids would say so."""

from __future__ import annotations

import numpy as np
import pytest

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
    heads = {int(token) for step in range(10) for token in batches(step)[0][:, 0]}
    assert heads == FIRST
    options = {"split": "valid", "length": length, "batch": 4, "max_tokens": 10**6, "pad": 0}
    windows = validation_windows(Chorales(), **options, period=FOUR.period)
    assert {int(token) for inputs, _, _ in windows for token in inputs[:, 0]} == FIRST
