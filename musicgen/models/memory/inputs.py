"""The inputs of a memory model at each step, as integer columns, each with its own embedding table.

Velocity is not among them: which notes come next must not depend on how loud a piece was recorded.
"""

from __future__ import annotations

import numpy as np

from musicgen.models.layouts import DURATION, FIELDS, ONSET, PART, PITCH, PROGRAM, MemoryLayout
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.sources import POINTERS, Recalled
from musicgen.models.memory.trust import TRUST_BUCKETS

__all__ = ["column_sizes", "columns", "last_columns"]

BARS, CHORD = 16, 8  # bars count modulo BARS; chord notes from the CHORD-th on share an index
# (field, index among its pointers) of guesses that can be made before any field of the next step is known.
_GUESSED = tuple(
    (field, number)
    for field, left_out in ((PITCH, ()), (DURATION, ("last", "bar 4", "bar 8")), (ONSET, ("whole",)))
    for number, name in enumerate(POINTERS[field])
    if name not in left_out
)
_TRUSTED = tuple(pair for pair in _GUESSED if pair[0] != DURATION)  # trust in a duration depends on the pitch chosen


def column_sizes(layout: MemoryLayout) -> tuple[int, ...]:
    """The number of values of each column."""
    sizes = layout.sizes
    own = [sizes[field] + 1 for field in (PITCH, DURATION, ONSET, PART, PROGRAM)]
    place = [layout.style - layout.program + 1, 257, 257, 2, layout.part - layout.tempo + 1]
    place += [layout.tempo - layout.meter + 1, BARS + 1, CHORD]
    return (*own, *place, *(sizes[field] + 1 for field, _ in _GUESSED), *(TRUST_BUCKETS for _ in _TRUSTED))


def columns(rows: np.ndarray, recalled: Recalled, layout: MemoryLayout, begin: int) -> np.ndarray:
    """(N - 1 - begin, columns): the input columns of each row from `begin` to the last but one.

    The guesses of row r are part of the inputs of row r - 1.
    """
    w = recalled.walk
    now = slice(begin, len(rows) - 1)
    later = slice(begin + 1, len(rows))
    first = np.array(layout.first)
    own = np.maximum(rows[now] - first + 1, 0)  # 0: empty
    part = w.part[now]
    program = np.zeros(len(part), np.int64)
    if len(w.programs):
        known = (part >= 0) & (part < len(w.programs))
        program = np.where(known, w.programs[np.clip(part, 0, len(w.programs) - 1)] + 1, 0)
    fixed = np.ones(len(part), np.int64)
    out = [own[:, field] for field in range(FIELDS) if field != 2]
    out += [program, *(recalled.pitches[later].T + 1), fixed * w.style, fixed * (w.tempo + 1)]
    out += [w.meter[now], np.where(w.bar[now] >= 0, w.bar[now] % BARS + 1, 0), np.minimum(w.chord[now], CHORD - 1)]
    out += [recalled.value[field][later, number] + 1 for field, number in _GUESSED]
    out += [recalled.trust[field][later, number] for field, number in _TRUSTED]
    return np.stack(out, 1)


def last_columns(memory: Memory) -> list[int]:
    """The input columns of the last row of a memory: the same as the last row of `columns`."""
    layout, row = memory.layout, memory.rows[-1]
    bar, _, _, part, _, chord = memory.place[-1]
    out = [max(token - first + 1, 0) for n, (token, first) in enumerate(zip(row, layout.first, strict=True)) if n != 2]
    program = memory.programs[part] + 1 if 0 <= part < len(memory.programs) else 0
    out += [program, *(pitch + 1 for pitch in memory.pitches()), memory.style, memory.tempo + 1]
    out += [memory.meter + 1, bar % BARS + 1 if bar >= 0 else 0, min(chord, CHORD - 1)]
    pointed = {field: memory.pointed(field) for field in (PITCH, DURATION, ONSET)}
    out += [pointed[field][0][number] + 1 for field, number in _GUESSED]
    out += [pointed[field][1][number] for field, number in _TRUSTED]
    return out
