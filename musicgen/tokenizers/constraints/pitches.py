"""Constraints on pitches: the range and key of melodic parts, and the pitches or drums of each part."""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import Constraints

__all__ = ["Pitches"]

ALL = np.ones(128, bool)
ALL.setflags(write=False)


class Pitches:
    """Masks of allowed pitches. Range and key apply to melodic parts only, as the pitches of drums are instruments."""

    def __init__(self, constraints: Constraints, *, by_part: bool = False) -> None:
        """`by_part`: players are part numbers, so that `part_pitches` applies."""
        c = constraints
        self.melodic = np.zeros(128, bool)  # allowed by range and key
        self.melodic[c.pitch_low : c.pitch_high + 1] = True
        if c.pitch_classes is not None:
            self.melodic &= np.isin(np.arange(128) % 12, list(c.pitch_classes))
        self.any = bool(self.melodic.any())
        self._own = dict(c.part_pitches) if by_part else {}
        self._highest: dict[tuple[int, bool], int] = {}  # cache of `highest`

    def of(self, player: int, *, kit: bool) -> np.ndarray:
        """Boolean (128,): the pitches, or drums of a `kit`, that a player may play.

        If range and key exclude all of a part's own pitches, its own pitches are allowed.
        """
        own = self._own.get(player)
        if own is None:
            return ALL if kit else self.melodic
        both: np.ndarray = own if kit else own & self.melodic
        return both if both.any() else own

    def highest(self, player: int, *, kit: bool) -> int:
        """The highest pitch that a player may play; -1 if there is none."""
        key = (player, kit)
        if key not in self._highest:
            self._highest[key] = int(np.flatnonzero(self.of(player, kit=kit)).max(initial=-1))
        return self._highest[key]
