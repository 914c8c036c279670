"""Which pitches may be played: a range, a key, and what each part's kit and reach hold it to."""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import Constraints

__all__ = ["Pitches"]

ALL = np.ones(128, bool)
ALL.setflags(write=False)


class Pitches:
    """Range and key hold melodic parts; drums, whose pitches are instruments, are free but for a part's own kit."""

    def __init__(self, constraints: Constraints, *, by_part: bool = False) -> None:
        """`by_part`: players are parts, so that what the request says of parts holds."""
        c = constraints
        self.melodic = np.zeros(128, bool)  # by range and key
        self.melodic[c.pitch_low : c.pitch_high + 1] = True
        if c.pitch_classes is not None:
            self.melodic &= np.isin(np.arange(128) % 12, list(c.pitch_classes))
        self.any = bool(self.melodic.any())
        self._own = dict(c.part_pitches) if by_part else {}
        self._highest: dict[tuple[int, bool], int] = {}  # as far as it was asked for

    def of(self, player: int, *, kit: bool) -> np.ndarray:
        """(128,) the pitches, or drums of a `kit`, that a player may play; where range and key leave a part none of
        what it has played, what it has played holds."""
        own = self._own.get(player)
        if own is None:
            return ALL if kit else self.melodic
        both: np.ndarray = own if kit else own & self.melodic
        return both if both.any() else own

    def highest(self, player: int, *, kit: bool) -> int:
        """The highest of those; -1 where there are none."""
        key = (player, kit)
        if key not in self._highest:
            self._highest[key] = int(np.flatnonzero(self.of(player, kit=kit)).max(initial=-1))
        return self._highest[key]
