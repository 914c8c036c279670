"""The current streak of correct guesses of each pointer at the end of a sequence, from its `recall`."""

from __future__ import annotations

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.sources import Recalled
from musicgen.models.memory.trust import LONGEST_STREAK

__all__ = ["last_streaks"]


def last_streaks(rows: np.ndarray, recalled: Recalled, layout: MemoryLayout) -> dict[tuple[int, int], tuple[int, ...]]:
    """The streak of each pointer after the last of `rows` (N, 6), by (field, part); part is -1 for onset and part."""
    walk, inside = recalled.walk, rows - np.array(layout.first)
    groups = [(field, -1, np.arange(len(rows))) for field in (ONSET, PART)]
    for part in np.unique(walk.note_part).tolist():
        of_part = walk.note[walk.note_part == part]
        groups += [(field, part, of_part) for field in (PITCH, DURATION, VELOCITY)]
    return {
        (field, part): tuple(_streak(value, inside[at, field]) for value in recalled.value[field][at].T)
        for field, part, at in groups
    }


def _streak(value: np.ndarray, own: np.ndarray) -> int:
    """The number of consecutive correct guesses up to the last one; values of -1 are no guesses."""
    right = (value == own)[value >= 0][-LONGEST_STREAK:]
    wrong = np.flatnonzero(~right)
    return len(right) - 1 - int(wrong[-1]) if len(wrong) else len(right)
