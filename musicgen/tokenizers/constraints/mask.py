"""The interface of a constraint: what it forbids at a place."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np

from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["AllOf", "Mask"]


class Mask:
    """One thing that a request forbids. Subclasses override what they have a say in; this class forbids nothing.

    Grammars ask at every step, so a mask is a function of its arguments alone and never changes: the walkers of all
    candidates share it. To forbid onsets at some times, override `is_full` and, for tokenizers with bars, `onsets`.
    """

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        """Boolean (128,): the pitches, or drums of a `kit`, that a player may begin here; None: any.

        `player` is a part number for a tokenizer that numbers parts, else a program; None where notes have neither.
        """
        return None

    def is_full(self, place: Place) -> bool:
        """Whether no further note may begin here, whoever plays it."""
        return False

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        """Boolean (bar_steps,): the positions of the current bar at which a further note may begin; None: all."""
        return None


class AllOf(Mask):
    """Several masks as one: what none of them forbids."""

    def __init__(self, masks: Iterable[Mask]) -> None:
        self._masks = tuple(masks)

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray:
        """As of a single mask. An earlier mask goes before a later one that would leave nothing of what it allows."""
        found: np.ndarray | None = None
        for mask in self._masks:
            mine = mask.pitches(place, player, kit=kit)
            if mine is None:
                continue
            both = mine if found is None else found & mine
            if found is None or both.any():
                found = both
        return np.ones(128, bool) if found is None else found

    def is_full(self, place: Place) -> bool:
        return any(mask.is_full(place) for mask in self._masks)

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        found = [mine for mask in self._masks if (mine := mask.onsets(place)) is not None]
        return reduce(np.logical_and, found) if found else None
