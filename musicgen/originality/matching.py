"""The stretches of a line that stand in an index, too.

All places of the index are compared with all stretches of SEED steps of the line: a table of pairs of steps leaves a
few places, and those are looked up. Stretches that are in all music (a scale, a repeated note, a broken chord) are no
hits, but may go on from one. Hits that go on are one run; two with up to BRIDGED steps between them, as one note that
differs makes, are one match.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.originality.index import STEP, Index
from musicgen.originality.lines import STEP_BITS, Line

__all__ = ["FEWEST_TURNS", "SEED", "Match", "matches"]

SEED = 6  # steps in a row that are equal: seven notes, and the time of the eighth
MOST_RUNS = 200  # that are looked at, the longest; hundreds of short ones are in much music
BRIDGED = 3  # one other note is in two steps, and its time in three
TURN = 4  # steps; how many different ones a match has says how much of it there is to be known again by
FEWEST_TURNS = 5  # a scale, a trill or a broken chord has fewer, and is in all music


@dataclass(frozen=True)
class Match:
    """A stretch of a line, its onsets `first` to `last`, that an index has from its step `place` on.

    `turns` counts its different groups of TURN steps.
    """

    first: int
    last: int
    place: int
    turns: int

    @property
    def notes(self) -> int:
        """The number of onsets."""
        return self.last - self.first + 1


def matches(index: Index, line: Line) -> list[Match]:
    """All matches of a line with an index, those with more `turns` first, then by length and place."""
    steps = line.steps.astype(np.int64)
    telling = _telling(steps)
    if not len(telling):
        return []
    begin, region = index.region(line)
    asked = _grams(steps, telling)
    places = _candidates(region, steps, telling)
    found = _grams(region, places)
    order = np.argsort(asked, kind="stable")
    low = np.searchsorted(asked[order], found, side="left")
    count = np.searchsorted(asked[order], found, side="right") - low
    there = np.repeat(places, count)
    nth = np.arange(len(there)) - np.repeat(np.cumsum(count) - count, count)
    here = telling[order[np.repeat(low, count) + nth]]
    return _joined(steps, region, here=here, there=there, begin=begin)


def _telling(steps: np.ndarray) -> np.ndarray:
    """The positions of the stretches of SEED steps that are no repetition, scale or pattern of up to four notes."""
    if len(steps) < SEED:
        return np.empty(0, np.int64)
    windows = np.lib.stride_tricks.sliding_window_view(steps, SEED)
    different = 1 + (np.diff(np.sort(windows, axis=1), axis=1) != 0).sum(axis=1)
    plain = different < 3
    for period in range(2, 5):
        plain |= (windows[:, period:] == windows[:, :-period]).all(axis=1)
    return np.flatnonzero(~plain)


def _grams(steps: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The stretches of SEED steps as one number each."""
    total = np.zeros(len(places), np.int64)
    for j in range(SEED):
        total = total << STEP_BITS | (steps[places + j] & STEP)
    return total


def _candidates(region: np.ndarray, steps: np.ndarray, telling: np.ndarray) -> np.ndarray:
    """The places of a region whose pairs of steps all occur at the like places of telling stretches."""
    pairs = steps[:-1] | steps[1:] << 8
    places = np.empty(0, np.int64)
    for j in range(0, SEED, 2):
        known = np.zeros(1 << 16, bool)
        known[pairs[telling + j]] = True
        known = known[_WITHOUT_BARS]
        if j:
            places = places[known[region[places + j].astype(np.int64) | region[places + j + 1].astype(np.int64) << 8]]
            continue
        hits = np.zeros(len(region), bool)
        for odd in (0, 1):
            length = max(0, len(region) - odd) // 2
            hits[odd : odd + 2 * length : 2] = known[np.frombuffer(region[odd : odd + 2 * length], "<u2")]
        places = np.flatnonzero(hits[: max(0, len(region) - SEED + 1)])
    return places


# The upper bits of a byte tell of bars: a table of pairs of bytes ignores them.
_WITHOUT_BARS = np.arange(1 << 16) & (int(STEP) | int(STEP) << 8)


def _joined(steps: np.ndarray, region: np.ndarray, *, here: np.ndarray, there: np.ndarray, begin: int) -> list[Match]:
    """The matches of hits: equal stretches of SEED steps from `here` in the line and `there` in the region on."""
    if not len(here):
        return []
    offset = there - here
    order = np.lexsort((here, offset))
    here, offset = here[order], offset[order]
    new = np.concatenate([[True], (np.diff(offset) != 0) | (np.diff(here) > SEED + BRIDGED)])
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(here)) - 1
    size = here[last] - here[first]
    longest = np.sort(np.argsort(-size, kind="stable")[:MOST_RUNS])
    found: list[Match] = []
    reached = (0, -1)  # offset and end of the match before, which may have grown over the next run
    for run in longest.tolist():
        shift = int(offset[first[run]])
        if reached[0] == shift and here[last[run]] + SEED <= reached[1]:
            continue
        one, until = _grown(steps, region, (int(here[first[run]]), int(here[last[run]]) + SEED), shift)
        reached = shift, until
        turns = len(np.unique(np.lib.stride_tricks.sliding_window_view(steps[one:until], TURN), axis=0))
        if turns >= FEWEST_TURNS:
            found.append(Match(one, until, begin + one + shift, turns))
    return sorted(found, key=lambda match: (-match.turns, -match.notes, match.place))


def _grown(steps: np.ndarray, region: np.ndarray, run: tuple[int, int], shift: int) -> tuple[int, int]:
    """A run with the equal steps before and behind it, which may be too plain for a hit."""
    one, until = run
    while one > 0 and one + shift > 0 and steps[one - 1] == region[one - 1 + shift] & STEP:
        one -= 1
    while until < len(steps) and until + shift < len(region) and steps[until] == region[until + shift] & STEP:
        until += 1
    return one, until
