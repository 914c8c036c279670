"""What a network is told of each stroke on a drum kit, and what drummers did with it.

Strokes are arrays sorted by (place, pitch). Where a stroke stands is known: bars, beats and a grid of sixteenths or
triplets, chosen beat by beat. Times are in seconds.

Shapes: N strokes, F features, O outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.expression.bins import Bins

__all__ = [
    "FEATURES",
    "GRID",
    "INSTRUMENTS",
    "KINDS",
    "OUTPUTS",
    "Strokes",
    "drum_features",
    "drum_targets",
    "instrument_of",
    "on_grid",
]

# How loud, and how late after the place on the grid, in standard deviations of the performance from its mean.
OUTPUTS = {"velocity": Bins(-3.6, 0.2, 36), "timing": Bins(-3.6, 0.24, 30)}
# General MIDI keys, and 22, 26 and 58 of Roland's kits.
INSTRUMENTS: dict[str, tuple[int, ...]] = {
    "kick": (35, 36),
    "snare": (38, 40),
    "rim": (37, 39),
    "closed hi-hat": (42, 22),
    "pedal hi-hat": (44,),
    "open hi-hat": (46, 26),
    "ride": (51, 53, 59),
    "crash": (49, 52, 55, 57),
    "low tom": (41, 43, 45, 58),
    "high tom": (47, 48, 50),
}
OTHER = len(INSTRUMENTS)
KINDS = OTHER + 1
GRID = 12  # places a beat: those of sixteenths and of triplets
STRAIGHT, TRIPLET = np.array([0, 3, 6, 9, 12]), np.array([0, 2, 4, 6, 8, 10, 12])
TRIPLET_COST = 1.6  # its six places explain more by chance than four do
LOOK = 24
LEAST_VELOCITY, LEAST_S = 2.0, 0.002  # spreads below which nobody plays
MOST_S = 0.045
FEATURES = 2 * KINDS + 33


def instrument_of(pitch: np.ndarray) -> np.ndarray:
    """The index of each key's instrument; OTHER for keys of none."""
    table = np.full(128, OTHER)
    for number, keys in enumerate(INSTRUMENTS.values()):
        table[list(keys)] = number
    found: np.ndarray = table[pitch]
    return found


def on_grid(beats: np.ndarray) -> np.ndarray:
    """The place of each onset in GRID-ths of a beat, int64, given in beats from a bar line at 0.

    Each beat is taken for four sixteenths or for triplets, whichever its own onsets and those around it are nearer to.
    """
    if not len(beats):
        return np.zeros(0, np.int64)
    beat = np.floor(beats + 0.5 / GRID).astype(np.int64)
    inside = (beats - beat) * GRID
    places, costs = [], []
    for grid in (STRAIGHT, TRIPLET):
        nearest = grid[np.abs(inside[:, None] - grid).argmin(axis=1)]
        places.append(nearest)
        costs.append((inside - nearest) ** 2)
    count = int(beat.max()) - int(beat.min()) + 1
    number = beat - int(beat.min())
    sums = [np.bincount(number, cost, count) for cost in costs]
    # Neighbouring beats count for a half, the whole piece for a little.
    straight, triplet = (2 * np.convolve(each, [0.25, 0.5, 0.25], "same") + 0.1 * each.mean() + 0.02 for each in sums)
    chosen = (TRIPLET_COST * triplet < straight)[number]
    found: np.ndarray = GRID * beat + np.where(chosen, places[1], places[0])
    return found


@dataclass(frozen=True)
class Strokes:
    """`pitch`, `place` (GRID-ths of a beat from the piece's beginning), `in_bar` (beats after the bar line), `bar`
    (number of the bar), `bar_beats` (length of the bar in beats) and `beat_s` (seconds a beat) of each stroke."""

    pitch: np.ndarray
    place: np.ndarray
    in_bar: np.ndarray
    bar: np.ndarray
    bar_beats: np.ndarray
    beat_s: np.ndarray


def drum_features(strokes: Strokes) -> np.ndarray:
    """(N, FEATURES) float32: the instrument, what is struck with it, the place in the bar, distances to the strokes
    around it, tempo and density."""
    kind = instrument_of(strokes.pitch)
    own = np.eye(KINDS)[kind]
    places, number = np.unique(strokes.place, return_inverse=True)
    together = np.zeros((len(places), KINDS))
    np.maximum.at(together, number, own)
    gaps = np.diff(places)
    far = 4.0 * GRID
    before, after = np.append(far, gaps)[number], np.append(gaps, far)[number]
    beat_s = strokes.beat_s
    turns = [strokes.in_bar / strokes.bar_beats, strokes.in_bar / 2, strokes.in_bar, 2 * strokes.in_bar]
    waves = [wave(2 * np.pi * turn) for turn in turns for wave in (np.sin, np.cos)]
    within = np.mod(strokes.place, GRID)
    beat = np.floor(strokes.in_bar + 0.01).astype(np.int64)
    per_bar = np.bincount(strokes.bar)[strokes.bar]
    share = np.bincount(kind, minlength=KINDS)[kind] / len(kind)
    swung = np.isin(within, (2, 4, 8, 10)).mean()
    columns = [
        *waves,
        *(within == place for place in (0, 3, 6, 9)),
        np.isin(within, (4, 8)),
        *(beat == one for one in range(4)),
        _log(before / GRID * beat_s),
        _log(after / GRID * beat_s),
        *(_log(_same(strokes.place, kind, direction, far) / GRID * beat_s) for direction in (-1, 1)),
        *_beside(strokes.place, kind),
        np.log2(beat_s / 0.5),
        np.log2(1 + per_bar) / 4,
        share,
        np.full(len(kind), swung),
        strokes.bar == 0,
        np.mod(strokes.bar, 4) / 4,
    ]
    table = np.concatenate([own, together[number], np.stack(columns, axis=1)], axis=1)
    features: np.ndarray = np.clip(table, -4, 4).astype(np.float32)
    return features


def _log(seconds: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.log2(np.clip(seconds, 0.03, 4.0) / 0.25) / 2
    return found


def _same(place: np.ndarray, kind: np.ndarray, direction: int, far: float) -> np.ndarray:
    """Grid places to the nearest stroke of the same instrument after (1) or before (-1) each."""
    found = np.full(len(place), far)
    for shift in range(LOOK, 0, -1):
        here = np.arange(max(0, -direction * shift), len(place) - max(0, direction * shift))
        there = here + direction * shift
        same = (kind[here] == kind[there]) & (place[here] != place[there])
        found[here[same]] = np.abs(place[there] - place[here])[same]
    nearest: np.ndarray = np.minimum(found, far)
    return nearest


def _beside(place: np.ndarray, kind: np.ndarray) -> list[np.ndarray]:
    """Whether a snare or a kick is struck one or two sixteenths before or after each stroke."""
    keys = np.unique(place * KINDS + kind)
    return [np.isin((place + shift) * KINDS + instrument, keys) for instrument in (0, 1) for shift in (-6, -3, 3)]


def drum_targets(*, offset_s: np.ndarray, velocity: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """(what a drummer did, (N, O) in the order of OUTPUTS; its spreads: velocity, seconds of timing).

    What he is late by all the time is taken out. Strokes farther from the grid than MOST_S are grace notes and rolls,
    which the grid can't place: NaN.
    """
    velocity = velocity - velocity.mean()
    late = offset_s - np.median(offset_s)
    late = np.where(np.abs(late) > MOST_S, np.nan, late)
    spreads = {
        "velocity": max(float(velocity.std()), LEAST_VELOCITY),
        "timing": max(float(np.nanstd(late)), LEAST_S),
    }
    return np.stack([velocity / spreads["velocity"], late / spreads["timing"]], axis=1), spreads
