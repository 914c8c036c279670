"""How far a guess may be trusted, as a bucket: a small integer with its own learned weight in the model."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

__all__ = [
    "COUNT_BUCKETS",
    "LONGEST_STREAK",
    "TRUST",
    "TRUST_BUCKETS",
    "count_bucket",
    "trust_bucket",
    "trust_of",
    "weight_of",
]

LEVELS, STREAKS = 5, 7
TRUST_BUCKETS = 1 + LEVELS * STREAKS * 2
COUNT_BUCKETS = 1 + 8 * 4
_STREAK_EDGES = (1, 2, 3, 5, 9, 17)
LONGEST_STREAK = _STREAK_EDGES[-1]  # longer streaks share a bucket
_VARIOUS = (0.1, 0.3, 0.6)  # edges of distinct values per occurrence of a context


def trust_bucket(level: np.ndarray, streak: np.ndarray, agrees: np.ndarray | int = 0) -> np.ndarray:
    """A number below TRUST_BUCKETS: 0 for no guess (level 0), else by level, streak, and `agrees`: for durations,
    whether the row pointed to has the pitch that was chosen."""
    s = np.searchsorted(np.array(_STREAK_EDGES), streak, side="right")
    return np.where(level > 0, 1 + ((level - 1) * STREAKS + s) * 2 + agrees, 0)


def count_bucket(total: np.ndarray, distinct: np.ndarray) -> np.ndarray:
    """A number below COUNT_BUCKETS: 0 for an unseen context, else by its occurrences and distinct values."""
    size = np.minimum(7, np.log2(np.maximum(total, 1)).astype(np.int64))
    various = np.searchsorted(np.array(_VARIOUS), distinct / np.maximum(total, 1), side="right")
    return np.where(total > 0, 1 + size * 4 + various, 0)


def trust_of(level: int, streak: int, agrees: int) -> int:
    """`trust_bucket` for single integers."""
    return 1 + ((level - 1) * STREAKS + bisect_right(_STREAK_EDGES, streak)) * 2 + agrees if level > 0 else 0


# The same as a table for step-by-step use: TRUST[level][streak] + agrees.
TRUST = [[trust_of(level, streak, 0) for streak in range(LONGEST_STREAK + 1)] for level in range(LEVELS + 1)]


def weight_of(total: int, distinct: int) -> int:
    """`count_bucket` for single integers."""
    if not total:
        return 0
    return 1 + min(7, total.bit_length() - 1) * 4 + bisect_right(_VARIOUS, distinct / total)
