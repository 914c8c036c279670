"""What a part is like, as numbers: how often it plays, its chords, lengths, register, intervals, and how it repeats.

Ticks are a piece's own; places in a bar are compared in twelfths of a quarter.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np

__all__ = ["FORESEEN", "TRAITS", "WINDOW", "traits", "windows"]

# `onsets` and `chord`: binary logarithms of the onsets a bar in which it plays, and of the notes an onset. `polyphony`:
# that of the notes sounding at once. `duration`, `spread`: mean and deviation of binary logarithms of lengths in
# quarters. `groove`: Dice likeness of the sixteenths struck in adjacent bars. `exact`, `rhythmic`: share of the bars of
# three notes or more that an earlier bar equals, in all or in its onsets. `rests`: share of bars without an onset.
# `pitch`, `range`: semitones. `steps`, `leaps`, `repeats`: shares of the intervals from top note to top note of one or
# two semitones, of more than a fifth, of none. `offbeat`: share of onsets beside quarters. `together`: share of onsets
# that given parts have, too. `velocity`, `touch`: mean and deviation of velocities.
FORESEEN = (
    "onsets", "chord", "polyphony", "duration", "spread", "groove", "exact", "rhythmic", "rests", "pitch", "range",
    "steps", "leaps", "repeats", "offbeat", "together",
)  # fmt: skip
TRAITS = (*FORESEEN, "velocity", "touch")
WINDOW = 16  # bars that are looked at together
FEWEST_NOTES = 4  # fewer tell nothing
FEWEST_BARS = 12  # fewer don't tell how often bars return
FEWEST_ALIKE = 3  # notes of a bar that can be said to return
GRID = 12  # places a quarter


def windows(lines: np.ndarray) -> list[np.ndarray]:
    """The bar lines (ticks) of stretches of about WINDOW bars each; the last line of one is the first of the next."""
    bars = len(lines) - 1
    edges = np.rint(np.linspace(0, bars, max(1, round(bars / WINDOW)) + 1)).astype(np.int64)
    return [lines[a : b + 1] for a, b in pairwise(edges.tolist())]


def traits(
    notes: np.ndarray, lines: np.ndarray, *, quarter: int, given: np.ndarray | None = None, drum: bool = False
) -> np.ndarray:
    """The TRAITS of the notes (NOTE) of one part that begin between the bar `lines` (ticks), (T,).

    NaN for what doesn't apply: all of it for fewer than FEWEST_NOTES notes, pitches and lengths of drums. `quarter` is
    in ticks, `given` are the notes of other parts.
    """
    notes = notes[(notes["start"] >= lines[0]) & (notes["start"] < lines[-1])]
    found = dict.fromkeys(TRAITS, np.nan)
    if len(notes) >= FEWEST_NOTES:
        notes = notes[np.lexsort((notes["pitch"], notes["start"]))]
        found |= _rhythm(notes, lines, quarter, given)
        if not drum:
            found |= _pitches(notes, quarter, int(lines[-1]))
    return np.array([found[name] for name in TRAITS])


def _rhythm(notes: np.ndarray, lines: np.ndarray, quarter: int, given: np.ndarray | None) -> dict[str, float]:
    bars = len(lines) - 1
    bar, slot = _places(notes["start"], lines, quarter)
    onsets, playing = np.unique(bar * 4096 + slot), np.unique(bar)
    struck = [frozenset((slot[bar == n] * 4 // GRID).tolist()) for n in range(bars)]
    held = [
        frozenset(zip(slot[bar == n].tolist(), notes["pitch"][bar == n].tolist(), strict=True)) for n in range(bars)
    ]
    begun = [tuple(sorted(slot[bar == n].tolist())) for n in range(bars)]
    alike = [2 * len(a & b) / (len(a) + len(b)) for a, b in pairwise(struck) if a or b]
    found = {
        "onsets": np.log2(len(onsets) / len(playing)),
        "chord": np.log2(len(notes) / len(onsets)),
        "groove": float(np.mean(alike)) if alike else np.nan,
        "exact": _returns(held) if bars >= FEWEST_BARS else np.nan,
        "rhythmic": _returns(begun) if bars >= FEWEST_BARS else np.nan,
        "rests": 1 - len(playing) / bars,
        "offbeat": float((slot % GRID != 0).mean()),
        "velocity": float(notes["velocity"].mean()),
        "touch": float(notes["velocity"].std()),
    }
    given = None if given is None else given[(given["start"] >= lines[0]) & (given["start"] < lines[-1])]
    if given is not None and len(given):
        theirs, at = _places(given["start"], lines, quarter)
        found["together"] = float(np.isin(onsets, theirs * 4096 + at).mean())
    return found


def _pitches(notes: np.ndarray, quarter: int, end: int) -> dict[str, float]:
    pitch, begin = notes["pitch"].astype(np.float64), notes["start"]
    until = np.minimum(begin + notes["duration"], end)
    edges = np.unique(np.concatenate([begin, until]))
    sounding = np.searchsorted(begin, edges[:-1], "right") - np.searchsorted(np.sort(until), edges[:-1], "right")
    spans = np.diff(edges) * (sounding > 0)
    length = np.log2(np.maximum((until - begin) / quarter, 1 / 24))
    top = pitch[np.append(np.diff(begin) > 0, True)]  # sorted by pitch: the last note of each onset
    size = np.abs(np.diff(top))
    return {
        "polyphony": float(np.log2((sounding * spans).sum() / max(1, spans.sum()))),
        "duration": float(length.mean()),
        "spread": float(length.std()),
        "pitch": float(pitch.mean()),
        "range": float(np.ptp(pitch)),
        "steps": float(((size == 1) | (size == 2)).mean()) if len(size) else np.nan,
        "leaps": float((size > 7).mean()) if len(size) else np.nan,
        "repeats": float((size == 0).mean()) if len(size) else np.nan,
    }


def _places(start: np.ndarray, lines: np.ndarray, quarter: int) -> tuple[np.ndarray, np.ndarray]:
    """(bar, place in it) of onsets; one a little before a bar line belongs to the bar that it means."""
    bar = np.clip(np.searchsorted(lines, start + quarter / (2 * GRID), side="right") - 1, 0, len(lines) - 2)
    return bar, np.maximum(0, np.rint((start - lines[bar]) * GRID / quarter)).astype(np.int64)


def _returns(bars: Sequence[Hashable]) -> float:
    """The share of bars of FEWEST_ALIKE notes or more that equal an earlier one."""
    seen: set[Hashable] = set()
    found = []
    for bar in bars:
        if len(bar) >= FEWEST_ALIKE:  # type: ignore[arg-type]
            found.append(bar in seen)
            seen.add(bar)
    return float(np.mean(found)) if found else np.nan
