"""How well probabilities of classes fit the classes of pieces. Pure functions of arrays.

Conventions: P pieces, K classes; chances_PK are probabilities whose rows sum to 1, truth_P numbers of classes.

Sources: Brodersen et al. 2010, "The balanced accuracy and its posterior distribution"; Van Rijsbergen 1979,
"Information retrieval" (F1); macro: the unweighted mean over the classes that occur.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["ClassFigures", "accuracy", "balanced_accuracy", "confusion", "macro_f1", "measured", "nats"]

LEAST_CHANCE = 1e-9  # a probability of 0 would cost infinitely many nats


@dataclass(frozen=True)
class ClassFigures:
    """Figures of a classifier on the pieces of a split; `nats_per_piece` is None for rules without probabilities."""

    pieces: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    nats_per_piece: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def confusion(guess_P: np.ndarray, truth_P: np.ndarray, *, classes: int) -> np.ndarray:
    """counts_KK: how many pieces of the row's class were taken for the column's.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth_P, guess_P), 1)
    return counts


def accuracy(counts_KK: np.ndarray) -> float:
    """The share of pieces that were classified rightly."""
    return float(np.trace(counts_KK) / max(1, counts_KK.sum()))


def balanced_accuracy(counts_KK: np.ndarray) -> float:
    """The mean over classes of the share that was classified rightly (recall); classes without pieces don't count.

    >>> balanced_accuracy(np.array([[9, 1], [1, 0]]))
    0.45
    """
    there = counts_KK.sum(axis=1) > 0
    return float((np.diag(counts_KK)[there] / counts_KK.sum(axis=1)[there]).mean()) if there.any() else 0.0


def macro_f1(counts_KK: np.ndarray) -> float:
    """The mean over classes of the harmonic mean of precision and recall; classes that neither occur nor are guessed
    don't count.

    >>> macro_f1(np.array([[1, 1], [0, 1]])) == (2 / 3 + 2 / 3) / 2
    True
    """
    both = counts_KK.sum(axis=0) + counts_KK.sum(axis=1)
    there = both > 0
    return float((2 * np.diag(counts_KK)[there] / both[there]).mean()) if there.any() else 0.0


def nats(chances_PK: np.ndarray, truth_P: np.ndarray) -> np.ndarray:
    """nats_P: the negative log-probability of each piece's class."""
    found: np.ndarray = -np.log(np.maximum(chances_PK[np.arange(len(truth_P)), truth_P], LEAST_CHANCE))
    return found


def measured(chances_PK: np.ndarray, truth_P: np.ndarray) -> ClassFigures:
    """All figures of probabilities; the guess is the most probable class."""
    counts = confusion(chances_PK.argmax(axis=1), truth_P, classes=chances_PK.shape[1])
    mean = float(nats(chances_PK, truth_P).mean()) if len(truth_P) else None
    return ClassFigures(len(truth_P), accuracy(counts), balanced_accuracy(counts), macro_f1(counts), mean)
