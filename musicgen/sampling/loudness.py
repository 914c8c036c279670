"""Adapts new velocities to those a part has played: their mean, their standard deviation and the values in use."""

from __future__ import annotations

import numpy as np

__all__ = ["like_before"]

LEVEL = 5.0  # velocity: largest allowed change of a part's mean
NARROWEST, WIDEST = 0.5, 2.0  # allowed standard deviation, relative to the old one
ENOUGH = 8  # notes needed for a mean and standard deviation
FEW_VALUES = 8  # a part with at most so many distinct velocities may be held to exactly these


def like_before(new: np.ndarray, old: np.ndarray, *, step: int) -> np.ndarray:
    """The new velocities (0..127) of a part, int64, adapted to the `old` ones of its last bars.

    A mean that differs by more than LEVEL is moved to differ by LEVEL; a standard deviation below half or above twice
    the old one is scaled to that limit, and the values are clipped to LEVEL beyond the old range. Then each velocity is
    replaced by the most common old value in the same quantisation bin of `step` velocities, so that a part with one
    velocity keeps it. Returns the new velocities unchanged if there are no old ones.
    """
    drawn = np.asarray(new).astype(np.int64)
    old = np.asarray(old).astype(np.int64)
    if not len(old) or not len(drawn):
        return drawn
    if len(drawn) >= ENOUGH and len(old) >= ENOUGH:
        drawn = _levelled(drawn.astype(np.float64), old)
    return _as_used(np.clip(drawn, 1, 127), old, step)


def _levelled(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    mean, spread = float(new.mean()), float(new.std())
    wanted = float(old.mean()) + np.clip(mean - old.mean(), -LEVEL, LEVEL)
    scale = np.clip(spread, NARROWEST * old.std(), WIDEST * old.std()) / spread if spread else 1.0
    levelled = np.rint(wanted + scale * (new - mean))
    within: np.ndarray = np.clip(levelled, old.min() - LEVEL, old.max() + LEVEL).astype(np.int64)
    return within


def _as_used(new: np.ndarray, old: np.ndarray, step: int) -> np.ndarray:
    """Replace each velocity by the most common old one in its bin of `step` velocities.

    In a bin without old velocities, by the nearest old one if the part uses few distinct values; else it is kept.
    """
    counts = np.bincount(old, minlength=128)
    used = np.flatnonzero(counts)
    few = len(used) == 1 or (len(used) <= FEW_VALUES and len(old) >= 4 * len(used))
    table = np.arange(128)
    for first in range(0, 128, step):
        values = np.arange(first, min(first + step, 128))
        if counts[values].any():
            table[values] = values[np.argmax(counts[values])]
        elif few:
            table[values] = used[np.argmin(np.abs(used - (first + step // 2)))]
    found: np.ndarray = table[new]
    return found
