"""Lines of a piece, and the steps from onset to onset by which they are compared.

A piece is compared by its lines: the top notes of each part, those of all parts together, and the sets of pitch classes
that begin together in all parts. Drums have none. A step from one onset to the next is told in one number: its interval
modulo an octave (of sets: both in any one key, hashed), and the ratio of the inter-onset interval after it to its own,
in classes of a factor of two. So a line has the same steps in another key, octave, tempo or at other note values, and a
line of sets also where chords are re-spaced or other instruments play them.

Source: intervals and ratios as in Pardo, Birmingham 2002, "Encoding timing information for musical query matching".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.piece import Piece

__all__ = ["LONGEST_REST", "SETS", "STEP_BITS", "TOP", "Line", "lines_of"]

TOP, SETS = -1, -2  # `Line.part` of the two kinds of line that all parts make together
STEP_BITS = 6  # a step is below 63, for 63 is what stands between two lines
LONGEST_REST = 3  # bars from an onset to the next; after a longer one another line begins
FEWEST_ONSETS = 8  # in a line
TOGETHER = 16  # onsets up to 1/16 of a quarter apart count as one
_RATIOS = 5  # classes: a quarter or less, a half, the same, twice, four times or more


@dataclass(frozen=True, eq=False)
class Line:
    """N onsets of a part (its index), or of all parts together (TOP, SETS): their `ticks` and bars, counted from 0.

    `steps` are N - 2 numbers from 0 to 62, each of an onset, the next one and the time of the one after that.
    """

    part: int
    ticks: np.ndarray
    bars: np.ndarray
    steps: np.ndarray


def lines_of(piece: Piece, *, begin: int = 0, end: int | None = None) -> list[Line]:
    """The lines of the notes that begin in [begin, end) ticks; shorter ones than FEWEST_ONSETS are left out."""
    end = piece.end + 1 if end is None else end
    parts = []
    for number, track in enumerate(piece.tracks):
        inside = (track.notes["start"] >= begin) & (track.notes["start"] < end)
        if not track.is_drum and inside.any():
            parts.append((number, track.notes[inside]))
    if not parts:
        return []
    slack = piece.ticks_per_quarter // TOGETHER
    starts, _ = piece.bar_starts(max(int(notes["start"][-1]) for _, notes in parts))
    found = []
    for number, notes in parts:
        found += _lines(number, _top(notes, slack), starts, slack)
    every = np.concatenate([notes for _, notes in parts])
    every = every[np.argsort(every["start"], kind="stable")]
    if len(parts) > 1:
        found += _lines(TOP, _top(every, slack), starts, slack)
    return found + _lines(SETS, _sets(every, slack), starts, slack)


def _top(notes: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, highest pitches) of the onsets of notes that are sorted by start."""
    first = _groups(notes["start"], slack)
    return notes["start"][first], np.maximum.reduceat(notes["pitch"], first).astype(np.int64)


def _sets(notes: np.ndarray, slack: int) -> tuple[np.ndarray, np.ndarray]:
    """(ticks, pitch classes as a mask of 12 bits) of the onsets of notes that are sorted by start."""
    first = _groups(notes["start"], slack)
    return notes["start"][first], np.bitwise_or.reduceat(1 << (notes["pitch"].astype(np.int64) % 12), first)


def _groups(start: np.ndarray, slack: int) -> np.ndarray:
    """The index of the first note of each group of notes that begin together."""
    return np.flatnonzero(np.concatenate([[True], np.diff(start) > slack]))


def _lines(part: int, onsets: tuple[np.ndarray, np.ndarray], starts: np.ndarray, slack: int) -> list[Line]:
    """The line of a part, cut at long rests. `starts` are the ticks at which bars begin."""
    ticks, values = onsets
    bars = np.searchsorted(starts, ticks + slack, side="right") - 1
    cuts = np.flatnonzero(np.diff(bars) > LONGEST_REST) + 1
    found = []
    for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(ticks)], strict=True):
        if end - begin >= FEWEST_ONSETS:
            here = slice(begin, end)
            found.append(Line(part, ticks[here], bars[here], _steps(part, ticks[here], values[here])))
    return found


def _steps(part: int, ticks: np.ndarray, values: np.ndarray) -> np.ndarray:
    gaps = np.diff(ticks).astype(np.float64)
    ratio = np.clip(np.rint(np.log2(gaps[1:] / gaps[:-1])), -2, 2).astype(np.int64) + 2
    if part != SETS:
        steps: np.ndarray = np.diff(values)[:-1] % 12 * _RATIOS + ratio
        return steps.astype(np.uint8)
    # Both sets of a step in the key in which they are the least number, so that the key doesn't matter.
    pairs = values[:-2] << 12 | values[1:-1]
    least = pairs
    for _ in range(11):
        pairs = (pairs << 1 & 0xFFEFFE) | (pairs >> 11 & 0x001001)
        least = np.minimum(least, pairs)
    mixed = (least * _RATIOS + ratio).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    steps = (mixed >> np.uint64(32)) % np.uint64(63)
    return steps.astype(np.uint8)
