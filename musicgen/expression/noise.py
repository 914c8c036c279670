"""Noise as performers have it: what they do besides what the notes explain is alike from note to note.

A note's noise is a sum of independent parts: one that wanders slowly in time, one that all notes of a chord share, one
that strokes of the same instrument on the same place of a bar share, and the note's own. The shares of the variance are
measured from performances. Values have a mean of 0 and a variance of 1.

With the distribution that a network gives for a note, a value of this noise says which quantile of it is taken (a
Gaussian copula: Nelsen 2006, chapter 2), so each note keeps its distribution whatever the noise is like.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

__all__ = ["Noise", "Residuals", "fitted", "normal_scores", "shares"]

_TIMES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # that the slow part may take
_EDGES_S = np.array([0.05, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0])
LOOK = 64
MOST = 0.95  # of the variance that notes may share


@dataclass(frozen=True)
class Noise:
    """The shares of the variance: `slow`, which falls to 1/e over `slow_s` seconds, `chord` and `place`; the rest
    is the note's own."""

    slow: float = 0.0
    slow_s: float = 1.0
    chord: float = 0.0
    place: float = 0.0

    def draw(
        self, chord: np.ndarray, chord_s: np.ndarray, *, place: np.ndarray | None, generator: np.random.Generator
    ) -> np.ndarray:
        """A value (N,) for each note: `chord` numbers the chords, at `chord_s`; notes of one `place` share a part."""
        count = len(chord_s)
        slow = _wandering(chord_s, self.slow_s, generator.standard_normal(count))
        found = math.sqrt(self.slow) * slow[chord]
        found += math.sqrt(self.chord) * generator.standard_normal(count)[chord]
        own = 1 - self.slow - self.chord
        if place is not None:
            _, number = np.unique(place, return_inverse=True)
            found += math.sqrt(self.place) * generator.standard_normal(int(number.max(initial=-1)) + 1)[number]
            own -= self.place
        total: np.ndarray = found + math.sqrt(max(own, 0.0)) * generator.standard_normal(len(chord))
        return total


def _wandering(time_s: np.ndarray, falls_s: float, steps: np.ndarray) -> np.ndarray:
    """A stationary Ornstein-Uhlenbeck process at ascending times, from standard normal `steps`."""
    keeps = np.exp(-np.diff(time_s, prepend=time_s[:1]) / falls_s)
    adds = np.sqrt(np.maximum(1 - keeps**2, 0.0)) * steps
    value = float(steps[0]) if len(steps) else 0.0
    found = []
    for keep, add in zip(keeps.tolist(), adds.tolist(), strict=True):
        value = keep * value + add
        found.append(value)
    return np.array(found)


def shares(noise: np.ndarray) -> np.ndarray:
    """The share of a standard normal distribution below each value.

    >>> shares(np.array([0.0])).tolist()
    [0.5]
    """
    return np.array([0.5 * (1 + math.erf(value / math.sqrt(2))) for value in noise.tolist()])


def normal_scores(share: np.ndarray) -> np.ndarray:
    """The inverse of `shares`."""
    inverse = NormalDist().inv_cdf
    return np.array([inverse(value) for value in share.tolist()])


# ---- measuring -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Residuals:
    """Of one performance: the normal score of each value under the network's distribution, and where the notes are."""

    score: np.ndarray
    chord: np.ndarray
    time_s: np.ndarray
    place: np.ndarray | None = None


def fitted(performances: Sequence[Residuals]) -> Noise:
    """The noise whose covariances are nearest to those of the residuals, by least squares; scores are standardised
    within each performance first."""
    sums, counts, ages = (np.zeros(len(_EDGES_S) - 1) for _ in range(3))
    same, alike = np.zeros(3), np.zeros(3)  # product, pairs, seconds apart
    for each in performances:
        score = (each.score - each.score.mean()) / max(float(each.score.std()), 1e-6)
        for shift in range(1, min(LOOK, len(score) - 1) + 1):
            product, apart_s = score[:-shift] * score[shift:], each.time_s[shift:] - each.time_s[:-shift]
            together = each.chord[:-shift] == each.chord[shift:]
            same += (product[together].sum(), together.sum(), 0)
            number = np.searchsorted(_EDGES_S, apart_s) - 1
            good = ~together & (number >= 0) & (number < len(sums))
            if each.place is not None:
                repeats = ~together & (each.place[:-shift] == each.place[shift:])
                alike += (product[repeats].sum(), repeats.sum(), apart_s[repeats].sum())
                good &= ~repeats
            sums += np.bincount(number[good], product[good], len(sums))
            counts += np.bincount(number[good], minlength=len(sums))
            ages += np.bincount(number[good], apart_s[good], len(sums))
    mean, age = sums / np.maximum(counts, 1), ages / np.maximum(counts, 1)
    best = min((_slow(mean, age, counts, falls_s) for falls_s in _TIMES_S), key=lambda one: one[0])
    _, slow, slow_s = best
    chord = max(0.0, float(same[0] / max(same[1], 1)) - slow)
    place = 0.0
    if alike[1]:
        place = max(0.0, float(alike[0] / alike[1]) - slow * math.exp(-float(alike[2] / alike[1]) / slow_s))
    total = slow + chord + place
    scale = min(1.0, MOST / total) if total else 1.0
    return Noise(*(round(value, 4) for value in (slow * scale, slow_s, chord * scale, place * scale)))


def _slow(mean: np.ndarray, age: np.ndarray, counts: np.ndarray, falls_s: float) -> tuple[float, float, float]:
    """(squared error, share, seconds) of the best slow part that falls to 1/e over `falls_s` seconds."""
    shape = np.exp(-age / falls_s)
    share = max(0.0, float((counts * shape * mean).sum() / max(float((counts * shape**2).sum()), 1e-9)))
    return float((counts * (mean - share * shape) ** 2).sum()), share, falls_s
