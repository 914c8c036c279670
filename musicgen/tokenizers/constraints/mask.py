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
    candidates share it. `player` is a part number for a tokenizer that numbers parts, else a program; None where notes
    have neither. To forbid onsets at some times, override `is_full` and, for tokenizers with bars, `onsets`, or
    `begins` for one player alone. Where nothing is left of what a strict mask allows, the player doesn't play; a mask
    that isn't strict gives way there.
    """

    strict = False
    needs_history = False  # whether it asks which notes there are so far (`BarPlace.history`)

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        """Boolean (128,): the pitches, or drums of a `kit`, that a player may begin here; None: any."""
        return None

    def bias(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        """Float (128,): the logarithm of how many times as likely each pitch is to be as without it; None: 0."""
        return None

    def is_full(self, place: Place) -> bool:
        """Whether no further note may begin here, whoever plays it."""
        return False

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        """Boolean (bar_steps,): the positions of the current bar at which a further note may begin; None: all."""
        return None

    def begins(self, place: BarPlace, player: int) -> np.ndarray | None:
        """Boolean (bar_steps,): the positions of this bar at which this player may begin a further note; None: all."""
        return None

    def must(self, place: BarPlace, player: int) -> np.ndarray | None:
        """Boolean (bar_steps,): the positions of this bar at which this player has to begin a note; None: nowhere."""
        return None

    def least(self, place: Place) -> int:
        """How many notes this bar needs at least."""
        return 0

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        """Boolean: which of these lengths (ascending, in grid steps) the note whose pitch was given last may have."""
        return None

    def velocities(self, place: Place) -> np.ndarray | None:
        """Boolean: which velocity values of the vocabulary a note may have; None: any."""
        return None


class AllOf(Mask):
    """Several masks as one: what none of them forbids. Strict ones come first.

    `per_player`: whether grammars must ask who may begin a note before they go on to an onset; `is_biased`: whether
    some pitches are made less likely.
    """

    def __init__(self, masks: Iterable[Mask]) -> None:
        self._masks = tuple(sorted(masks, key=lambda mask: not mask.strict))
        # Most masks have a say in one thing, and grammars ask at every step.
        self._biases = self._with("bias")
        self._begins, self._musts, self._leasts = self._with("begins"), self._with("must"), self._with("least")
        self._lengths, self._velocities = self._with("lengths"), self._with("velocities")
        self.is_biased = bool(self._biases)
        self.per_player = bool(self._begins or self._musts or self._leasts or any(mask.strict for mask in self._masks))

    def _with(self, question: str) -> tuple[Mask, ...]:
        return tuple(mask for mask in self._masks if getattr(type(mask), question) is not getattr(Mask, question))

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray:
        """As of a single mask. An earlier mask goes before a later one that would leave nothing of what it allows,
        unless that one is strict."""
        found: np.ndarray | None = None
        for mask in self._masks:
            mine = mask.pitches(place, player, kit=kit)
            if mine is None:
                continue
            both = mine if found is None else found & mine
            if found is None or mask.strict or both.any():
                found = both
        return np.ones(128, bool) if found is None else found

    def bias(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        found = [mine for mask in self._biases if (mine := mask.bias(place, player, kit=kit)) is not None]
        return reduce(np.add, found) if found else None

    def is_full(self, place: Place) -> bool:
        return any(mask.is_full(place) for mask in self._masks)

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        found = [mine for mask in self._masks if (mine := mask.onsets(place)) is not None]
        return reduce(np.logical_and, found) if found else None

    def begins(self, place: BarPlace, player: int) -> np.ndarray | None:
        found = [mine for mask in self._begins if (mine := mask.begins(place, player)) is not None]
        return reduce(np.logical_and, found) if found else None

    def must(self, place: BarPlace, player: int) -> np.ndarray | None:
        found = [mine for mask in self._musts if (mine := mask.must(place, player)) is not None]
        return reduce(np.logical_or, found) if found else None

    def least(self, place: Place) -> int:
        return max((mask.least(place) for mask in self._leasts), default=0)

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        """As of a single mask; an earlier one goes before a later one that would leave nothing."""
        found: np.ndarray | None = None
        for mask in self._lengths:
            mine = mask.lengths(place, lengths, kit=kit)
            if mine is not None:
                both = mine if found is None else found & mine
                found = both if both.any() else found
        return found

    def velocities(self, place: Place) -> np.ndarray | None:
        found = [mine for mask in self._velocities if (mine := mask.velocities(place)) is not None]
        return reduce(np.logical_and, found) if found else None
