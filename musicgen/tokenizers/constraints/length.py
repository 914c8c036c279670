"""When music may end, when it has to, when it must sound, and how long its bars are."""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import Constraints
from musicgen.tokenizers.place import Place

__all__ = ["Length", "Presence", "allowed_meters"]


class Length:
    """Music ends after so many bars, and before that only where it may (`may_end`)."""

    def __init__(self, constraints: Constraints, place: Place) -> None:
        """`place`: where new music begins."""
        self._length = None if constraints.bars is None else place.length(constraints.bars)
        self.may_end = constraints.may_end

    def is_full(self, place: Place, *, ahead: int = 0) -> bool:
        """Whether all bars asked for are done at this moment, or will be `ahead` units of time after it."""
        return self._length is not None and place.progress() + ahead >= self._length


class Presence:
    """Only so many bars in a row may be empty."""

    def __init__(self, constraints: Constraints, place: Place, *, possible: bool = True) -> None:
        """`place`: where new music begins; `possible`: there are pitches that may sound."""
        most = constraints.max_empty_bars if possible else None
        self._longest = None if most is None else place.longest_silence(most)

    def is_due(self, place: Place) -> bool:
        """Whether a note has to begin now."""
        return self._longest is not None and place.silence() >= self._longest

    def left(self, place: Place) -> int | None:
        """How much more silence may be; None where any may, or it has been too long already."""
        left = 0 if self._longest is None else self._longest - place.silence()
        return left if left > 0 else None


def allowed_meters(constraints: Constraints, size: int) -> np.ndarray:
    """(size,) the values of meters, (numerator - 1) * 7 + log2(denominator), that new bars may have."""
    mask = np.ones(size, bool)
    if constraints.meter is not None:
        numerator, denominator = constraints.meter
        mask[:] = False
        mask[(numerator - 1) * 7 + denominator.bit_length() - 1] = True
    return mask
