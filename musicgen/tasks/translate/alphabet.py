"""Pairs as ids that a model reads and predicts, and ids as the steps of a target.

A source step is a note, a target step a chord or the three voices, and how long that stands. Both stand at a place: the
bar's number within the excerpt, the position in the bar, and the meter. The place of a target step isn't predicted, as
it follows from the lengths before it; it is read with the step before, so that the model knows for when it chooses.

Shapes: S source steps, the first of which begins the excerpt; M target steps; F fields of a target step, the last of
which is its length; P fields of a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from musicgen.models.tasks.translate_layout import (
    BEGIN,
    CHORDS,
    FIRST_LENGTH,
    FIRST_PITCH,
    LONGEST_BAR,
    LONGEST_NOTE,
    N_VOICE,
    SOURCE,
    Layout,
)
from musicgen.tasks.translate.pairs import REST, Pair

__all__ = ["HIGHEST", "HOLD", "LOWEST", "SILENT", "Alphabet", "places"]

HOLD, SILENT, SOUNDING = 0, 1, 2  # values of a voice: the note goes on; a rest; the first of its pitches
LOWEST = 24  # the first pitch that a voice of a target can have
HIGHEST = LOWEST + N_VOICE - SOUNDING - 1


class Alphabet(Layout):
    """Writes pairs as ids, and ids as pairs."""

    # ---- pairs -> ids ------------------------------------------------------------------------------

    def source(self, pair: Pair, *, first_bar: int = 0) -> np.ndarray:
        """(S, SOURCE + PLACE): the beginning, then the notes. `first_bar` is the number of the pair's first bar."""
        onset, end, pitch = pair.notes_N3.T
        rows = np.zeros((1 + len(onset), SOURCE), np.int64)
        rows[0, 0] = BEGIN
        rows[1:, 0] = FIRST_PITCH + np.clip(pitch, 0, 127)
        rows[1:, 1] = FIRST_LENGTH + np.clip(end - onset, 1, LONGEST_NOTE) - 1
        begin = np.concatenate([pair.edges_B1[:1], onset])
        return np.concatenate([rows, self.place(pair, begin, first_bar=first_bar)], axis=1)

    def target(self, pair: Pair) -> np.ndarray:
        """(M, F): the ids of the target's steps."""
        length = np.diff(pair.steps_M2, axis=1) - 1
        if self.pair == CHORDS:
            values = pair.values_MK
        else:
            sounding = np.clip(pair.values_MK, LOWEST, HIGHEST) - LOWEST + SOUNDING
            values = np.where(pair.values_MK == REST, SILENT, np.where(pair.struck_MK, sounding, HOLD))[:, ::-1]
        firsts = np.array([first for first, _ in self.fields])
        ids: np.ndarray = np.concatenate([values, length], axis=1) + firsts
        return ids

    def inputs(self, pair: Pair, *, first_bar: int = 0) -> np.ndarray:
        """(M, F + PLACE): what is read before each target step: the step before it, and where it stands itself."""
        before = self.begin[None]
        if len(pair.steps_M2):
            before = np.concatenate([before, self.target(pair)[:-1]])
        begin = pair.steps_M2[:, 0] if len(pair.steps_M2) else pair.edges_B1[:1]
        return np.concatenate([before, self.place(pair, begin, first_bar=first_bar)], axis=1)

    @property
    def begin(self) -> np.ndarray:
        """(F,): what stands for the step before the first."""
        return np.full(len(self.sizes), BEGIN, np.int64)

    def place(self, pair: Pair, times: np.ndarray, *, first_bar: int = 0) -> np.ndarray:
        """(N, PLACE): the ids of bar, position and meter at grid steps within the pair's bars."""
        bar, position, length = places(pair, times)
        meter = length + (LONGEST_BAR + 1) * pair.compound_B[bar]
        number = np.clip(first_bar + bar, 0, self.bars - 1)
        ids = np.stack([1 + number, 1 + self.bars + position, 1 + self.bars + LONGEST_BAR + meter], axis=1)
        return ids.astype(np.int64)

    # ---- ids -> pairs ------------------------------------------------------------------------------

    def decoded(self, source: Pair, ids_MF: Sequence[Sequence[int]] | np.ndarray) -> Pair:
        """The source's pair with the target that these steps say, from the beginning of its bars."""
        rows = np.asarray(ids_MF, np.int64).reshape(-1, len(self.sizes)) - np.array([first for first, _ in self.fields])
        stop = int(source.edges_B1[0]) + np.cumsum(rows[:, -1] + 1)
        steps = np.stack([stop - rows[:, -1] - 1, stop], axis=1)
        values, struck = rows[:, :-1], np.ones_like(rows[:, :-1], bool)
        if self.pair == CHORDS:
            struck[1:] = values[1:] != values[:-1]
        else:
            values, struck = values[:, ::-1].copy(), values[:, ::-1] != HOLD
            sounding = np.full(values.shape[1], REST)
            for row in values:
                sounding = np.where(row == HOLD, sounding, np.where(row == SILENT, REST, row - SOUNDING + LOWEST))
                row[:] = sounding
        return replace(source, steps_M2=steps, values_MK=values, struck_MK=struck)


def places(pair: Pair, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bar, position in it, length of the bar) at grid steps within the pair's bars."""
    bar = np.clip(np.searchsorted(pair.edges_B1, times, side="right") - 1, 0, pair.bars - 1)
    position = np.clip(np.asarray(times) - pair.edges_B1[bar], 0, LONGEST_BAR - 1)
    return bar, position, np.diff(pair.edges_B1)[bar]
