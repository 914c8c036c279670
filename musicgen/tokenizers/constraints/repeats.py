"""Masks that make literal repeats less likely: of what a player did, not of single tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Figure", "Repeats", "Variations", "figures"]

ALIKE = 3  # notes at the same places of a bar, the last one included, that make a repeat
VARIED = math.log(1000)  # so many times less likely is a pitch that would repeat a bar where it is to be varied
# A player, the (bars back, position, pitch) of the notes before one, and the position of that
Figure = tuple[int, tuple[tuple[int, int, int], ...], int]
FARTHEST = 1  # bars back that notes of a figure lie at most


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


class Variations(Mask):
    """In some places of new bars a player doesn't go on as it did earlier after the same notes: what returns, returns
    varied there. Its rhythm and all else is free to return.

    `places` are the steps of a bar, by player and number of the new bar; `earlier` are the pitches with which figures
    went on in the music before (`figures`).
    """

    needs_history = True

    def __init__(
        self, places: Mapping[tuple[int, int], frozenset[int]], earlier: Mapping[Figure, frozenset[int]]
    ) -> None:
        self.places, self._earlier = dict(places), dict(earlier)

    def bias(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        assert isinstance(place, BarPlace)
        if player is None or place.position not in self.places.get((player, place.bar_number), ()):
            return None
        now: list[tuple[int, int, int]] = []
        for who, bar, position, pitch in reversed(place.history):
            back = place.bar_number - bar
            if back > FARTHEST or len(now) == ALIKE - 1:
                break
            if who == player:
                now.insert(0, (back, position, pitch))
        pitches = self._earlier.get((player, tuple(now), place.position))
        if len(now) < ALIKE - 1 or not pitches:
            return None
        found = np.zeros(128)
        found[list(pitches)] = -VARIED
        return found


def figures(notes: Mapping[int, np.ndarray]) -> dict[Figure, frozenset[int]]:
    """The pitches with which each figure of ALIKE - 1 notes went on; `notes` are the (bar, position, pitch)
    of each player, (N, 3), in this order."""
    found: dict[Figure, set[int]] = {}
    for player, rows in notes.items():
        played = rows.tolist()
        for k in range(ALIKE - 1, len(played)):
            bar, position, pitch = played[k]
            before = played[k - ALIKE + 1 : k]
            if bar - before[0][0] <= FARTHEST:
                figure = player, tuple((bar - b, at, p) for b, at, p in before), position
                found.setdefault(figure, set()).add(pitch)
    return {figure: frozenset(pitches) for figure, pitches in found.items()}
