"""New velocities that stay with what a part has played: its level, its spread, and the very values it uses."""

from __future__ import annotations

import numpy as np

__all__ = ["like_before"]

LEVEL = 5.0  # velocity: as far as a part's mean may be from what it was
NARROWEST, WIDEST = 0.5, 2.0  # times the spread that was
ENOUGH = 8  # new notes whose mean and spread say something
FEW_VALUES = 8  # at most, of a part that keeps to certain velocities


def like_before(new: np.ndarray, old: np.ndarray, *, step: int) -> np.ndarray:
    """The new velocities (0..127) of a part, int64, held to the `old` ones of its last bars.

    A mean that is off by more than LEVEL is moved to within it; a standard deviation outside half and twice the old
    one is scaled to that, and none goes further than LEVEL past what was played. Then each takes, within its step of
    `step` velocities, the value that the part uses most; so one velocity stays one. As drawn where nothing is old.
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
    """Each velocity as the part uses it: the commonest of its step, or the nearest of a few."""
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
