"""Constraints on the length of new music, its longest silence, and the meters of its bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.place import Place

__all__ = ["Length", "LengthLimits", "Presence", "allowed_meters"]


@dataclass(frozen=True)
class LengthLimits:
    """How long new music is, and its bars; None means no limit.

    `bars`: end at the bar line after this many new bars. `may_end`: whether it may end before. `max_empty_bars`: most
    consecutive bars without an onset. `meter`: (numerator, denominator) of every new bar. `tempo_changes`: whether the
    tempo may change.
    """

    bars: int | None = None
    may_end: bool = True
    max_empty_bars: int | None = None
    meter: tuple[int, int] | None = None
    tempo_changes: bool = True


class Length:
    """The requested number of bars, and whether music may end before that (`may_end`)."""

    def __init__(self, limits: LengthLimits, place: Place) -> None:
        """`place`: the position at which new music begins."""
        self._length = None if limits.bars is None else place.length(limits.bars)
        self.may_end = limits.may_end

    def is_full(self, place: Place, *, ahead: int = 0) -> bool:
        """Whether all requested bars are complete at this position, or `ahead` time units later."""
        return self._length is not None and place.progress() + ahead >= self._length


class Presence:
    """The limit on consecutive empty bars."""

    def __init__(self, limits: LengthLimits, place: Place, *, possible: bool = True) -> None:
        """`place`: the position at which new music begins; `possible`: whether any pitch is allowed at all."""
        most = limits.max_empty_bars if possible else None
        self._longest = None if most is None else place.longest_silence(most)

    def is_due(self, place: Place) -> bool:
        """Whether a note must begin now."""
        return self._longest is not None and place.silence() >= self._longest

    def left(self, place: Place) -> int | None:
        """How much longer the silence may last; None without a limit, or if it is reached already."""
        left = 0 if self._longest is None else self._longest - place.silence()
        return left if left > 0 else None


def allowed_meters(limits: LengthLimits, size: int) -> np.ndarray:
    """Boolean mask (size,) over meter values, (numerator - 1) * 7 + log2(denominator), that new bars may have."""
    mask = np.ones(size, bool)
    if limits.meter is not None:
        numerator, denominator = limits.meter
        mask[:] = False
        mask[(numerator - 1) * 7 + denominator.bit_length() - 1] = True
    return mask
