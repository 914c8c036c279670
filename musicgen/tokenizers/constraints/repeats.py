"""A mask that makes literal repeats less likely: of what a player did, not of single tokens."""

from __future__ import annotations

import math

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Repeats"]

ALIKE = 3  # notes at the same places of a bar, the last one included, that make a repeat


class Repeats(Mask):
    """The pitch that would make a player's last ALIKE notes of a bar equal, in pitch and place, to some of an earlier
    new bar is `penalty` times less likely.

    A penalty on tokens, as of language models, falls on every scale and drum; music repeats pitches all the time, and
    only figures tell a loop from a theme.
    """

    needs_history = True

    def __init__(self, penalty: float) -> None:
        self._bias = -math.log(penalty)

    def bias(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        assert isinstance(place, BarPlace)
        mine = [(bar, position, pitch) for who, bar, position, pitch in place.history if who == player]
        now = [(position, pitch) for bar, position, pitch in mine if bar == place.bar_number][1 - ALIKE :]
        if len(now) < ALIKE - 1:
            return None
        found = np.zeros(128)
        for last in range(ALIKE - 1, len(mine)):
            bar, position, pitch = mine[last]
            figure = mine[last - ALIKE + 1 : last]
            if position != place.position or bar == place.bar_number or figure[0][0] != bar:
                continue
            if [each[1:] for each in figure] == now:
                found[pitch] = self._bias
        return found if found.any() else None
