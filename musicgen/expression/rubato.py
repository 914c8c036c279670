"""Rubato: how pianists stretch the beats of a piece, as a tempo curve that its notes foretell.

Long notes are where phrases breathe, and the last bars slow down (the phrase arch and the final ritard of Friberg,
Bresin and Sundberg 2006). What follows is a linear rule of three values a beat. Its weights are
fitted to the 22 pianists of Vienna 4x22 by `pipelines/benchmarks/rubato.py`, which measures it, too.

Shapes: B beats, N onsets, F values a beat.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import TEMPO, Piece

__all__ = ["WEIGHTS", "beat_values", "beats_of", "rubato_tempos", "stretches"]

# Of: how much longer than around it the notes of this beat are, of the one before, and how near the end is.
WEIGHTS = np.array([0.26, 0.07, 0.42])
LONGEST, SHORTEST = 4.0, 0.05  # beats
AROUND_BARS = 4  # to either side, to which lengths are compared
RITARD_BARS = 2.0
MOST = 0.7  # log of how much a beat may be stretched
SLOWEST_US, FASTEST_US = 15_000_000, 60_000  # 4 and 1000 quarters a minute


def beats_of(piece: Piece) -> tuple[np.ndarray, int]:
    """(ticks of the beats from the bar of the first note to the last onset, int64; beats a bar, the median).

    Beats are dotted in 6/8, 9/8, 12/8 and the like.
    """
    onsets = np.concatenate([track.notes["start"] for track in piece.tracks])
    bar, meter = piece.bar_starts(until=int(onsets.max()))
    _, numerators, denominators = piece.meter_segments()
    is_compound = (numerators % 3 == 0) & (numerators > 3) & (denominators >= 8)
    beat = 4 * piece.ticks_per_quarter / denominators * np.where(is_compound, 3, 1)
    length = np.append(np.diff(bar), 4 * piece.ticks_per_quarter * numerators[meter[-1]] / denominators[meter[-1]])
    count = np.maximum(1, np.rint(length / beat[meter])).astype(np.int64)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    ticks = np.rint(np.repeat(bar, count) + within * np.repeat(beat[meter], count)).astype(np.int64)
    first = max(0, int(np.searchsorted(bar, onsets.min(), side="right")) - 1)
    ticks = np.unique(ticks[(ticks >= np.rint(bar[first])) & (ticks <= onsets.max())])
    return ticks, int(np.median(count))


def beat_values(beat: np.ndarray, onset: np.ndarray, *, per_bar: int) -> np.ndarray:
    """(B, F): what the rule is told of each beat. `beat` (B) and `onset` (N) are ascending, in one unit of time."""
    count = len(beat)
    place = np.unique(np.interp(onset, beat, np.arange(count)).round(3))
    gap = np.clip(np.append(np.diff(place), LONGEST), SHORTEST, LONGEST)
    first = np.maximum(np.searchsorted(place, np.arange(count), side="right") - 1, 0)
    behind = np.maximum(np.searchsorted(place, np.arange(count) + 0.999), first + 1)
    longest = np.maximum.reduceat(np.append(gap, 0.0), np.stack([first, behind], axis=1).ravel())[::2]
    length = np.log2(longest)
    near = AROUND_BARS * per_bar
    total = np.append(0.0, np.cumsum(length))
    low, high = np.maximum(np.arange(count) - near, 0), np.minimum(np.arange(count) + near + 1, count)
    length = np.clip(length - (total[high] - total[low]) / (high - low), 0, 3)  # runs of short notes do not hurry
    left = np.maximum(count - 2 - np.arange(count), 0) / per_bar  # the last beat has no end that could be measured
    end = np.clip(1 - left / RITARD_BARS, 0, 1) ** 2
    return np.stack([length, np.append(0.0, length[:-1]), end], axis=1)


def stretches(beat: np.ndarray, onset: np.ndarray, *, per_bar: int) -> np.ndarray:
    """(B,): the log of how much longer than usual each beat is played; the median is 0."""
    found = beat_values(beat, onset, per_bar=per_bar) @ WEIGHTS
    stretched: np.ndarray = np.clip(found - np.median(found), -MOST, MOST)
    return stretched


def rubato_tempos(piece: Piece, *, depth: float) -> np.ndarray:
    """The piece's tempo map as TEMPO rows with each beat stretched: by nothing at `depth` 0, as far as pianists at 1.

    There is a row where the tempo changes. What is behind the last beat keeps its tempo. Drums alone have no rubato:
    their own map comes back.
    """
    pitched = [track.notes["start"] for track in piece.tracks if not track.is_drum and len(track.notes)]
    if not pitched:
        return piece.tempos
    beat, per_bar = beats_of(piece)
    stretch = depth * stretches(beat, np.unique(np.concatenate(pitched)), per_bar=per_bar)
    own = piece.tempos["tick"].astype(np.int64)
    ticks = np.unique(np.concatenate([beat, own]))
    rows = np.zeros(len(ticks), TEMPO)
    rows["tick"] = ticks
    at = np.searchsorted(beat, rows["tick"], side="right") - 1
    usual = np.array([piece.tempo_at(int(tick)) for tick in rows["tick"]])
    factor = np.where(at >= 0, np.exp(stretch[np.maximum(at, 0)]), 1.0)
    rows["microseconds"] = np.clip(np.rint(usual * factor), FASTEST_US, SLOWEST_US)
    changed: np.ndarray = rows[np.diff(rows["microseconds"], prepend=0) != 0]
    return changed
