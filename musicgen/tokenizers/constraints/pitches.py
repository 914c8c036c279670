"""Constraints on pitches: the range and key of melodic parts, and the pitches or drums of each part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import Place

__all__ = ["PitchLimits", "Pitches"]

ALL = np.ones(128, bool)
ALL.setflags(write=False)


@dataclass(frozen=True)
class PitchLimits:
    """The pitches `low`..`high` and pitch `classes` (0..11; None: all) that melodic parts may play.

    `by_part`, for a tokenizer that numbers parts: (part number, boolean mask (128,) of its pitches or drums).
    """

    low: int = 0
    high: int = 127
    classes: frozenset[int] | None = None
    by_part: tuple[tuple[int, np.ndarray], ...] = ()


class Pitches(Mask):
    """Masks of allowed pitches. Range and key apply to melodic parts only, as the pitches of drums are instruments."""

    def __init__(self, limits: PitchLimits, *, by_part: bool = False) -> None:
        """`by_part`: players are part numbers, so that `limits.by_part` applies."""
        self.melodic = np.zeros(128, bool)  # allowed by range and key
        self.melodic[limits.low : limits.high + 1] = True
        if limits.classes is not None:
            self.melodic &= np.isin(np.arange(128) % 12, list(limits.classes))
        self.any = bool(self.melodic.any())
        self._own = dict(limits.by_part) if by_part else {}

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray:
        """As of any mask. If range and key exclude all of a part's own pitches, its own pitches are allowed."""
        own = None if player is None else self._own.get(player)
        if own is None:
            return ALL if kit else self.melodic
        both: np.ndarray = own if kit else own & self.melodic
        return both if both.any() else own
