"""Events at uneven times as values on an even grid.

Shapes: N events, T cells.

A cell holds the events from its own time on to that of the next cell. What a cell is given is known when it ends, but
for the line of `linear` in an empty cell, which leads to an event to come.
"""

from __future__ import annotations

import numpy as np

__all__ = ["METHODS", "filled_forward", "resampled"]

METHODS = ("previous", "linear", "mean")


def resampled(
    times_N: np.ndarray, values_N: np.ndarray, *, grid_T: np.ndarray, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """(values_T, observed_T): what each cell is given, and whether an event lies in it.

    Times ascend, in the unit of the grid. An empty cell takes the value before it, or for `linear` the value of the
    line between its neighbours; before the first event all are given that event's value.

    >>> times, values, grid = np.array([0.0, 0.5, 3.0]), np.array([10.0, 20.0, 40.0]), np.arange(4.0)
    >>> [resampled(times, values, grid_T=grid, method=m)[0].tolist() for m in ("previous", "linear", "mean")]
    [[20.0, 20.0, 20.0, 40.0], [10.0, 24.0, 32.0, 40.0], [15.0, 15.0, 15.0, 40.0]]
    >>> resampled(times, values, grid_T=grid, method="mean")[1].tolist()
    [True, False, False, True]
    """
    edges = np.append(grid_T, np.inf)
    first, behind = np.searchsorted(times_N, edges[:-1]), np.searchsorted(times_N, edges[1:])
    observed_T = behind > first
    if method == "linear":
        return np.interp(grid_T, times_N, values_N), observed_T
    if method == "previous":
        return values_N[np.maximum(behind - 1, 0)].astype(np.float64), observed_T
    sums = np.concatenate([[0.0], np.cumsum(values_N, dtype=np.float64)])
    means_T = np.where(observed_T, (sums[behind] - sums[first]) / np.maximum(behind - first, 1), np.nan)
    return filled_forward(means_T), observed_T


def filled_forward(values_T: np.ndarray) -> np.ndarray:
    """The values with each NaN replaced by the last number before it, or at the beginning by the first one behind it.

    >>> filled_forward(np.array([np.nan, 2.0, np.nan, 3.0])).tolist()
    [2.0, 2.0, 2.0, 3.0]
    """
    known = np.flatnonzero(~np.isnan(values_T))
    if not len(known):
        return values_T
    last = np.maximum(np.searchsorted(known, np.arange(len(values_T)), side="right") - 1, 0)
    filled: np.ndarray = values_T[known[last]]
    return filled
