"""Whether one more note has room: in its bar, beside what sounds, and in the hands of who plays it."""

from __future__ import annotations

from musicgen.tokenizers.constraints import Constraints
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Density", "Line", "Polyphony"]


class Density:
    """A bar holds so many notes at most, which bounds the work."""

    def __init__(self, constraints: Constraints) -> None:
        self.most = constraints.max_notes_a_bar or None

    def is_full(self, notes: int) -> bool:
        """Whether a bar with so many notes may have no more."""
        return self.most is not None and notes >= self.most


class Polyphony:
    """So many notes sound at once at most."""

    def __init__(self, constraints: Constraints, *, one_part: bool = False) -> None:
        """`one_part`: whatever sounds is one part, and what holds the only melodic program holds all of it."""
        c = constraints
        self.most = c.max_polyphony or None
        if one_part and c.melodic is not None and len(c.melodic) == 1:
            own = dict(c.chord_sizes).get(next(iter(c.melodic)), 128)
            self.most = min(self.most or 128, own)

    def is_full(self, place: Place) -> bool:
        return self.most is not None and place.sounding() >= self.most

    def earliest(self, place: BarPlace) -> int:
        """The first position of this bar at which one more note may begin."""
        return 0 if self.most is None else place.free_from(self.most)


class Line:
    """A player begins so many notes at once at most, so that a melody instrument stays one."""

    def __init__(self, constraints: Constraints) -> None:
        self._most = dict(constraints.chord_sizes)

    def is_full(self, place: Place) -> bool:
        """Whether who plays, if anybody does, may not begin another note at this moment."""
        return place.player is None or place.chord >= self._most.get(place.player, 128)
