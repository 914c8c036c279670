"""What a sequence model learns from, as tables: sliding windows of lags and targets, and one-hot rows.

Training makes neither: it reads whole stretches of ids, in which every step is a target (`training/batches.py`), and an
embedding looks up the column that a one-hot row would pick. These are the same data as one sees them on paper.

Shapes: T steps, N windows, L lags, H horizon, V vocabulary, F fields of a step.
"""

from __future__ import annotations

import numpy as np

from musicgen.errors import UsageError
from musicgen.words import counted

__all__ = ["one_hot", "windows"]


def windows(ids: np.ndarray, *, lags: int = 4, horizon: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Every window of `lags` steps as X, (N, L), and the `horizon` steps that follow it as y, (N, H).

    Window n begins at step n, so N = T - L - H + 1. `ids` are (T,), tokens or any other series; of steps with fields,
    (T, F), X is (N, L, F) and y (N, H, F). Both are read-only views of `ids`. Raises UsageError for `lags` or `horizon`
    below 1, and for fewer steps than both together.

    >>> X_NL, y_NH = windows(np.array([60, 62, 64, 65, 67]), lags=3, horizon=1)
    >>> X_NL.tolist(), y_NH.tolist()
    ([[60, 62, 64], [62, 64, 65]], [[65], [67]])

    Source: windows of lags as the inputs of a network are Bengio et al. 2003, "A neural probabilistic language model".
    """
    ids = np.asarray(ids)
    if lags < 1 or horizon < 1:
        raise UsageError(f"{counted(lags, 'lag')} and a horizon of {horizon}", hint="both are 1 or more")
    if len(ids) < lags + horizon:
        what = (
            f"{counted(lags, 'lag')} and a horizon of {horizon} take {lags + horizon} tokens, and here are {len(ids)}"
        )
        raise UsageError(what, hint="give fewer `lags` or a smaller `horizon`, or more music")
    rows = np.moveaxis(np.lib.stride_tricks.sliding_window_view(ids, lags + horizon, axis=0), -1, 1)
    return rows[:, :lags], rows[:, lags:]


def one_hot(ids: np.ndarray, size: int) -> np.ndarray:
    """The one-hot rows of `ids`, (T,), in a vocabulary of `size` ids: (T, V) uint8, a single 1 in each row, at its id.

    Raises UsageError for an id outside the vocabulary.

    >>> one_hot(np.array([2, 0]), 4).tolist()
    [[0, 0, 1, 0], [1, 0, 0, 0]]
    """
    ids = np.asarray(ids).astype(np.int64)
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise UsageError(f"ids {ids.min()} to {ids.max()} don't fit a vocabulary of {size}")
    rows: np.ndarray = (ids[:, None] == np.arange(size)).astype(np.uint8)
    return rows
