"""Chords that are heard where nobody wrote them: in the parts that sound beside a melody.

Each half bar is scored by how much of what sounds, by time, belongs to a chord and how much doesn't, with a bonus for a
root in the bass. Of all sequences of chords the one with the best sum is taken, where a change costs something
(Viterbi), so that passing notes change nothing.

Shapes: N notes, U half bars, K chords.

Source: Pardo and Birmingham 2002, "Algorithms for chordal analysis" (templates, segments); Viterbi 1967.
"""

from __future__ import annotations

import numpy as np

from musicgen.models.tasks.translate_layout import N_CHORDS
from musicgen.tasks.translate.harmony import KINDS, pitch_classes

__all__ = ["heard_chords"]

CHANGE = 0.25  # what a change of chord costs: as much as an eighth of what sounds
ROOT_IN_BASS = 0.25
MISSING = 0.12  # for each tone of a chord that doesn't sound
PER_KIND = dict(zip(KINDS, (0.0, 0.0, -0.1, -0.15, -0.15), strict=True))  # triads, unless more is there
NEVER = -9.0
HALF = 24  # grid steps; shorter bars have one chord


def heard_chords(notes_N3: np.ndarray, edges_B1: np.ndarray) -> np.ndarray:
    """(n, 3): begin, end and chord of what is heard in notes (onset, end, pitch) between bar lines, in grid steps."""
    cuts = _half_bars(edges_B1)
    tones_K12 = np.array([[p in pitch_classes(chord) for p in range(12)] for chord in range(N_CHORDS)], float)
    prior_K = np.repeat([NEVER, *PER_KIND.values()], [1] + [12] * len(PER_KIND))
    scores_UK = np.zeros((len(cuts) - 1, N_CHORDS))
    for n, (low, high) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
        sounds = notes_N3[(notes_N3[:, 0] < high) & (notes_N3[:, 1] > low)]
        if not len(sounds):
            continue
        length = np.minimum(sounds[:, 1], high) - np.maximum(sounds[:, 0], low)
        weight_12 = np.bincount(sounds[:, 2] % 12, weights=length, minlength=12) / length.sum()
        inside_K = tones_K12 @ weight_12
        missing_K = tones_K12 @ (weight_12 == 0)
        scores_UK[n] = 3 * inside_K - 1 + prior_K - MISSING * missing_K
        scores_UK[n, 1 + (sounds[:, 2].min() % 12) :: 12] += ROOT_IN_BASS
    chords_U = _best(scores_UK)
    changes = np.flatnonzero(np.append(True, chords_U[1:] != chords_U[:-1]))
    stops = np.append(changes[1:], len(chords_U))
    return np.stack([cuts[changes], cuts[stops], chords_U[changes]], axis=1)


def _half_bars(edges_B1: np.ndarray) -> np.ndarray:
    """The bar lines, and the middles of bars of whole quarters that come in twos."""
    low, high = edges_B1[:-1], edges_B1[1:]
    middles = (low + high) // 2
    return np.unique(np.concatenate([edges_B1, middles[(high - low) % HALF == 0]]))


def _best(scores_UK: np.ndarray) -> np.ndarray:
    """(U,): the chords with the highest sum of scores, less CHANGE for each change."""
    best_K, ways = scores_UK[0], []
    for scores_K in scores_UK[1:]:
        other = int(best_K.argmax())
        stays_K = best_K >= best_K[other] - CHANGE
        ways.append(np.where(stays_K, np.arange(N_CHORDS), other))
        best_K = np.where(stays_K, best_K, best_K[other] - CHANGE) + scores_K
    found = [int(best_K.argmax())]
    for way_K in reversed(ways):
        found.append(int(way_K[found[-1]]))
    return np.array(found[::-1], np.int64)
