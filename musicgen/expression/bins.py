"""Classes of a continuous value, so that a network can predict its whole distribution.

Conventions: N notes, K classes. A value below the lowest class counts as its lowest, one above the highest as its
highest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Bins"]

EDGE = 1e-6


@dataclass(frozen=True)
class Bins:
    """`count` classes of width `step`, the first from `low` on."""

    low: float
    step: float
    count: int

    def classes(self, values: np.ndarray) -> np.ndarray:
        """The class of each value, int64.

        >>> Bins(-1.0, 0.5, 4).classes(np.array([-7.0, -0.9, 0.0, 0.6, 9.0])).tolist()
        [0, 0, 2, 3, 3]
        """
        found: np.ndarray = np.clip(np.floor((values - self.low) / self.step), 0, self.count - 1).astype(np.int64)
        return found

    def mean(self, chances_NK: np.ndarray) -> np.ndarray:
        """The expected value of each note under its distribution."""
        middles = self.low + self.step * (np.arange(self.count) + 0.5)
        found: np.ndarray = chances_NK @ middles
        return found

    def quantile(self, chances_NK: np.ndarray, share_N: np.ndarray) -> np.ndarray:
        """The value below which `share_N` (0..1) of each note's distribution lies; within a class it is even.

        >>> Bins(0.0, 1.0, 2).quantile(np.array([[0.5, 0.5]]), np.array([0.75])).tolist()
        [1.5]
        """
        share_N = np.clip(share_N, EDGE, 1 - EDGE)
        total_NK = np.cumsum(chances_NK, axis=1)
        total_NK /= total_NK[:, -1:]
        at = (total_NK < share_N[:, None]).sum(axis=1)
        row = np.arange(len(at))
        below = np.where(at > 0, total_NK[row, at - 1], 0.0)
        inside = (share_N - below) / np.maximum(total_NK[row, at] - below, EDGE)
        found: np.ndarray = self.low + self.step * (at + np.clip(inside, 0, 1))
        return found

    def share(self, chances_NK: np.ndarray, values_N: np.ndarray) -> np.ndarray:
        """The share of each note's distribution below its value, the inverse of `quantile`."""
        at = self.classes(values_N)
        row = np.arange(len(at))
        total_NK = np.cumsum(chances_NK, axis=1)
        inside = np.clip((values_N - self.low) / self.step - at, 0, 1)
        found: np.ndarray = total_NK[row, at] - (1 - inside) * chances_NK[row, at]
        within: np.ndarray = np.clip(found, EDGE, 1 - EDGE)
        return within
