"""Gaps of a piece: bars in which a part rests while others play, after it has played before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.piece import Piece

__all__ = ["Gap", "gaps"]

FEWEST_BARS = 2  # a shorter rest is a breath
FEWEST_PLAYED = 2  # bars that a part must have played before


@dataclass(frozen=True)
class Gap:
    """Bars `begin` .. `end` - 1, counted from 0, in which the part with index `part` rests."""

    part: int
    begin: int
    end: int

    @property
    def bars(self) -> int:
        return self.end - self.begin


def gaps(piece: Piece, *, fewest: int = FEWEST_BARS) -> list[Gap]:
    """The gaps of at least `fewest` bars, the longest first.

    A bar counts as played if a note of the part sounds in it for more than a sixteenth. The others must play throughout
    a gap: it begins and ends with bars in which at least one of them plays.
    """
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    edges = np.append(starts, max(float(piece.end), float(starts[-1]) + 1))
    playing = np.array([_played(track.notes, edges, piece.ticks_per_quarter / 4) for track in piece.tracks], bool)
    found = []
    for part in range(len(piece.tracks)):
        others = np.delete(playing, part, axis=0).any(axis=0)
        rests = ~playing[part] & others
        before = np.concatenate([[0], np.cumsum(playing[part])])
        step = np.diff(np.concatenate([[0], rests.astype(np.int8), [0]]))
        for begin, end in zip(np.flatnonzero(step == 1).tolist(), np.flatnonzero(step == -1).tolist(), strict=True):
            if end - begin >= fewest and before[begin] >= FEWEST_PLAYED:
                found.append(Gap(part, begin, end))
    return sorted(found, key=lambda gap: (-gap.bars, gap.begin, gap.part))


def _played(notes: np.ndarray, edges: np.ndarray, least: float) -> np.ndarray:
    """Boolean (bars,): in which bars notes sound for more than `least` ticks, or begin."""
    bars = len(edges) - 1
    found = np.zeros(bars, bool)
    if not len(notes):
        return found
    end = notes["start"] + notes["duration"]
    first = np.clip(np.searchsorted(edges, notes["start"] + 0.5, side="right") - 1, 0, bars - 1)
    last = np.clip(
        np.searchsorted(edges, end - np.minimum(least, notes["duration"] - 1), side="left") - 1, first, bars - 1
    )
    step = np.zeros(bars + 1, np.int64)
    np.add.at(step, first, 1)
    np.add.at(step, last + 1, -1)
    found = np.cumsum(step)[:-1] > 0
    return found
