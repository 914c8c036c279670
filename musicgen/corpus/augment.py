"""Random transpositions of training windows, drawn for each batch; never used for validation or test.

Source: Huang et al. 2018, "Music Transformer", section 4.2 (a range around the original key).
"""

from __future__ import annotations

import numpy as np

from musicgen.errors import UsageError

__all__ = ["draw_transposition", "draw_transpositions"]


def draw_transposition(rng: np.random.Generator, *, low: int = -5, high: int = 6) -> int:
    """A shift in semitones, uniform over low..high inclusive; the default reaches each of the 12 keys once.

    >>> draw_transposition(np.random.default_rng(0), low=2, high=2)
    2
    """
    return int(draw_transpositions(rng, 1, low=low, high=high)[0])


def draw_transpositions(rng: np.random.Generator, count: int, *, low: int = -5, high: int = 6) -> np.ndarray:
    """`count` shifts in semitones, int64; as `draw_transposition`. Raises UsageError for an empty range."""
    if low > high:
        raise UsageError(f"the lowest transposition ({low}) is above the highest ({high})")
    return rng.integers(low, high + 1, size=count)
