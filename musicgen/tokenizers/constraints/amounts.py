"""Masks of how many notes and how loud: the fewest notes of a bar, each player's polyphony, velocities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["AtLeast", "OwnPolyphony", "Velocities"]


class AtLeast(Mask):
    """The fewest notes of every whole new bar, whoever plays them."""

    def __init__(self, notes: int) -> None:
        self._notes = notes

    def least(self, place: Place) -> int:
        return self._notes if place.new_bar >= 0 else 0

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        """Notes end early enough for those that this bar needs, and the next, however few may sound at once."""
        if place.new_bar < 0:
            return None
        room = place.bar_steps - place.position - max(0, self._notes - place.notes_in_bar)
        return lengths <= max(room, int(lengths.min()))


class OwnPolyphony(Mask):
    """The most notes of each player that sound at once."""

    strict = True

    def __init__(self, most: Mapping[int, int]) -> None:
        self._most = dict(most)

    def begins(self, place: BarPlace, player: int) -> np.ndarray | None:
        most = self._most.get(player)
        return None if most is None else place.counts(player) < most


class Velocities(Mask):
    """The velocity values of the vocabulary that notes may have."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def velocities(self, place: Place) -> np.ndarray | None:
        return self._values
