"""The floors of a classifier: the majority of the training pieces, and the nearest neighbours by histograms of notes.

A piece is four histograms, each a distribution: pitch classes, melodic intervals within a part (-12 to 12 semitones),
durations and inter-onset times (by powers of the square root of two), and onsets in the bar. Pieces are compared by the
sum of the four total-variation distances; k nearest training pieces vote. k is chosen on the training pieces, each
classified by the others.

Shapes: P pieces to classify, N training pieces, H bins of all histograms, K classes.

Source: Cover and Hart 1967, "Nearest neighbor pattern classification".
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from musicgen.piece import Piece
from musicgen.tasks.classify.figures import balanced_accuracy, confusion

__all__ = ["BINS", "Neighbours", "histograms", "majority"]

PITCH_CLASSES, INTERVALS, LENGTHS, PLACES = 12, 25, 17, 48
BINS = PITCH_CLASSES + INTERVALS + 2 * LENGTHS + PLACES
SHORTEST = -4.0  # log2 of quarters: a 64th note
CHOICES = (1, 3, 5, 9, 15)  # of k


def histograms(piece: Piece) -> np.ndarray:
    """values_H of one piece: the histograms one after the other, each summing to 1 where there is something to count.

    Drums count for their onsets alone.
    """
    quarter = piece.ticks_per_quarter
    pitched = [track.notes for track in piece.tracks if len(track.notes) and not track.is_drum]
    every = [track.notes for track in piece.tracks if len(track.notes)]
    pitch = _joined([notes["pitch"].astype(np.int64) for notes in pitched])
    intervals = _joined([np.diff(notes["pitch"].astype(np.int64)) for notes in pitched])
    lengths = _joined([notes["duration"] for notes in pitched]) / quarter
    starts = _joined([notes["start"] for notes in every])
    gaps = np.diff(np.unique(starts)) / quarter
    bars, _ = piece.bar_starts()
    bar = np.clip(np.searchsorted(bars, starts + 0.5, side="right") - 1, 0, None)
    places = np.clip(np.rint((starts - bars[bar]) / quarter * 12), 0, PLACES - 1).astype(np.int64)  # twelfths
    return np.concatenate(
        [
            _shares(pitch % 12, PITCH_CLASSES),
            _shares(np.clip(intervals, -12, 12) + 12, INTERVALS),
            _shares(_by_octaves(lengths), LENGTHS),
            _shares(_by_octaves(gaps), LENGTHS),
            _shares(places, PLACES),
        ]
    )


def majority(train_N: np.ndarray, *, pieces: int, classes: int) -> np.ndarray:
    """chances_PK: each class's share of the training pieces, for whatever piece."""
    counts = np.bincount(train_N, minlength=classes).astype(float)
    return np.tile(counts / max(1.0, counts.sum()), (pieces, 1))


class Neighbours:
    """Classifies pieces by the training pieces whose histograms are nearest."""

    def __init__(self, pieces: Iterable[Piece], classes_N: np.ndarray, *, classes: int) -> None:
        self.values_NH = np.stack([histograms(piece) for piece in pieces])
        self.classes_N, self.classes = classes_N, classes
        distance_NN = _distances(self.values_NH, self.values_NH)
        np.fill_diagonal(distance_NN, np.inf)
        self.k = max((k for k in CHOICES if k < max(2, len(classes_N))), key=lambda k: self._right(distance_NN, k))

    def chances(self, pieces: Iterable[Piece]) -> np.ndarray:
        """chances_PK: the shares of the k nearest, each class with one vote among all beforehand (Laplace's rule,
        divided by K)."""
        return self._votes(_distances(np.stack([histograms(piece) for piece in pieces]), self.values_NH), self.k)

    def _votes(self, distance_PN: np.ndarray, k: int) -> np.ndarray:
        nearest_Pk = np.argsort(distance_PN, axis=1, kind="stable")[:, :k]
        votes_PK = np.full((len(distance_PN), self.classes), 1 / self.classes)
        for column in self.classes_N[nearest_Pk].T:
            votes_PK[np.arange(len(votes_PK)), column] += 1
        # Of equally many votes the nearest piece's class is taken.
        votes_PK[np.arange(len(votes_PK)), self.classes_N[nearest_Pk[:, 0]]] += 1e-6
        shares: np.ndarray = votes_PK / votes_PK.sum(axis=1, keepdims=True)
        return shares

    def _right(self, distance_NN: np.ndarray, k: int) -> float:
        guess_N = self._votes(distance_NN, k).argmax(axis=1)
        return balanced_accuracy(confusion(guess_N, self.classes_N, classes=self.classes))


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _by_octaves(quarters: np.ndarray) -> np.ndarray:
    """The bin of each length: half octaves from a 64th note on."""
    logs = np.log2(np.maximum(quarters, 2.0**SHORTEST))
    bins: np.ndarray = np.clip(np.rint((logs - SHORTEST) * 2), 0, LENGTHS - 1).astype(np.int64)
    return bins


def _shares(values: np.ndarray, bins: int) -> np.ndarray:
    counts = np.bincount(values, minlength=bins).astype(float)
    shares: np.ndarray = counts / max(1.0, counts.sum())
    return shares


def _distances(values_PH: np.ndarray, values_NH: np.ndarray) -> np.ndarray:
    """distance_PN: half the sum of absolute differences over all bins."""
    return np.stack([np.abs(values_NH - value_H).sum(axis=1) / 2 for value_H in values_PH])
