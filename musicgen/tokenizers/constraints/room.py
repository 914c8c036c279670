"""Limits on the number of notes: in a bar, sounding at once, and on one onset of a player."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.constraints.players import PlayerLimits
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Density", "Line", "Polyphony", "RoomLimits"]


@dataclass(frozen=True)
class RoomLimits:
    """How many notes there may be; 0 means no limit.

    `max_polyphony`: most notes sounding at once, those included that began before the new music and sound on.
    `max_notes_a_bar` bounds the work. `chord_sizes`: (program, or part number for a tokenizer that numbers parts; most
    notes on one onset), which keeps melody instruments monophonic.
    """

    max_polyphony: int = 0
    max_notes_a_bar: int = 0
    chord_sizes: tuple[tuple[int, int], ...] = ()


class Density(Mask):
    """The limit on notes in a bar, which bounds the work."""

    def __init__(self, limits: RoomLimits) -> None:
        self.most = limits.max_notes_a_bar or None

    def is_full(self, place: Place) -> bool:
        """Whether the current bar is at the limit."""
        return self.holds(place.notes_in_bar)

    def leaves(self, place: Place) -> float:
        """How many further notes this bar may have."""
        return math.inf if self.most is None else self.most - place.notes_in_bar

    def holds(self, notes: int) -> bool:
        """Whether so many notes in a bar are all that there may be."""
        return self.most is not None and notes >= self.most


class Polyphony(Mask):
    """The limit on notes sounding at once."""

    def __init__(self, limits: RoomLimits, *, sole: PlayerLimits | None = None) -> None:
        """`sole`: all notes are one part of these players, so a single melodic program's chord size limits them."""
        self.most = limits.max_polyphony or None
        if sole is not None and sole.melodic is not None and len(sole.melodic) == 1:
            own = dict(limits.chord_sizes).get(next(iter(sole.melodic)), 128)
            self.most = min(self.most or 128, own)

    def is_full(self, place: Place) -> bool:
        return self.most is not None and place.sounding() >= self.most

    def onsets(self, place: BarPlace) -> np.ndarray | None:
        return None if self.most is None else place.counts() < self.most

    def longest(self, place: BarPlace) -> int | None:
        """The most steps that a note may last that begins here, before others that begin later are too many with it;
        None: no limit."""
        return None if self.most is None else place.until_full(self.most)


class Line(Mask):
    """The limit on a player's notes on one onset, which keeps melody instruments monophonic."""

    def __init__(self, limits: RoomLimits) -> None:
        self._most = dict(limits.chord_sizes)

    def most(self, player: int | None) -> int | None:
        """The most notes of a player on one onset; None: no limit."""
        return None if player is None else self._most.get(player)

    def is_full(self, place: Place) -> bool:
        """Whether the current player may not begin another note on this onset; True without a player."""
        return place.player is None or place.chord >= self._most.get(place.player, 128)
