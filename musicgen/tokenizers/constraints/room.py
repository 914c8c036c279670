"""Limits on the number of notes: in a bar, sounding at once, and on one onset of a player."""

from __future__ import annotations

from musicgen.tokenizers.constraints import Constraints
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Density", "Line", "Polyphony"]


class Density:
    """The limit on notes in a bar, which bounds the work."""

    def __init__(self, constraints: Constraints) -> None:
        self.most = constraints.max_notes_a_bar or None

    def is_full(self, notes: int) -> bool:
        """Whether a bar with this many notes is at the limit."""
        return self.most is not None and notes >= self.most


class Polyphony:
    """The limit on notes sounding at once."""

    def __init__(self, constraints: Constraints, *, one_part: bool = False) -> None:
        """`one_part`: all notes are one part, so if a single melodic program is allowed its chord size limits them."""
        c = constraints
        self.most = c.max_polyphony or None
        if one_part and c.melodic is not None and len(c.melodic) == 1:
            own = dict(c.chord_sizes).get(next(iter(c.melodic)), 128)
            self.most = min(self.most or 128, own)

    def is_full(self, place: Place) -> bool:
        return self.most is not None and place.sounding() >= self.most

    def earliest(self, place: BarPlace) -> int:
        """The first position in this bar at which one more note may begin."""
        return 0 if self.most is None else place.free_from(self.most)


class Line:
    """The limit on a player's notes on one onset, which keeps melody instruments monophonic."""

    def __init__(self, constraints: Constraints) -> None:
        self._most = dict(constraints.chord_sizes)

    def is_full(self, place: Place) -> bool:
        """Whether the current player may not begin another note on this onset; True without a player."""
        return place.player is None or place.chord >= self._most.get(place.player, 128)
