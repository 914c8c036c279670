"""How long a bar of ABC text is so far, exactly, in whole notes.

A note's length is `unit` (L:) times what its digits say, times its tuplet's ratio, times what `>` or `<` beside it
make of it. A chord lasts as long as its first note, times the length behind its bracket. Graces take no time.

Source: ABC standard 2.1, sections 4.3 (lengths), 4.4 (broken rhythm), 4.13 (tuplets); ratios as music21 has them.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

__all__ = ["TUPLETS", "BarClock", "length_of"]

TUPLETS = {"2": Fraction(3, 2), "3": Fraction(2, 3), "4": Fraction(3, 4), "6": Fraction(1, 3)}
HALF = Fraction(1, 2)


def length_of(text: str) -> Fraction:
    """The factor that a length's digits say.

    >>> length_of(""), length_of("3/2"), length_of("//")
    (Fraction(1, 1), Fraction(3, 2), Fraction(1, 4))
    """
    above, slashes, below = text.partition("/")
    number = int(above or 1)
    if not slashes:
        return Fraction(number)
    return Fraction(number, 1 << 1 + below.count("/") if below.startswith("/") else int(below or 2))


@dataclass
class BarClock:
    """Where in its bar a tune stands. `unit` and `bar` are the L: and M: in force."""

    unit: Fraction = Fraction(1, 8)
    bar: Fraction = Fraction(1)
    before: Fraction = Fraction(0)  # what ended before the last note
    factor: Fraction = Fraction(1)  # of the last note, by tuplet and broken rhythm
    chord: Fraction = Fraction(1)  # the last note's length within its brackets
    text: str = ""  # the last note's length
    last: Fraction = Fraction(0)  # the last note's time
    ahead: Fraction = Fraction(1)  # of the next note, by the broken rhythm before it

    def copy(self) -> Self:
        return copy.copy(self)

    @property
    def time(self) -> Fraction:
        return self.before + self.last

    def new_bar(self) -> None:
        self.before, self.last, self.text = Fraction(0), Fraction(0), ""
        self.factor = self.chord = self.ahead = Fraction(1)

    def note(self, *, ratio: Fraction) -> None:
        """A note begins, in a tuplet of `ratio`."""
        self.before, self.text, self.chord = self.time, "", Fraction(1)
        self.factor, self.ahead = ratio * self.ahead, Fraction(1)
        self._measure()

    def lengthen(self, char: str) -> None:
        """A digit or slash of the last note's length."""
        self.text += char
        self._measure()

    def close_chord(self, inner: str) -> None:
        """The chord's bracket ends; `inner` is its first note's length."""
        self.chord, self.text = length_of(inner), ""
        self._measure()

    def broken(self, sign: str) -> None:
        """`>` makes the last note longer by half and the next one shorter; `<` the other way round."""
        mine, other = (Fraction(3, 2), HALF) if sign == ">" else (HALF, Fraction(3, 2))
        self.factor, self.ahead = self.factor * mine, other
        self._measure()

    def _measure(self) -> None:
        self.last = self.unit * self.factor * self.chord * length_of(self.text)

    # ---- what fits -------------------------------------------------------------------------------

    def over(self, owed: Fraction = Fraction(0)) -> bool:
        """Whether the bar is too full with the last note and `owed` (of the units of L:) behind it."""
        return self.time + owed * self.unit > self.bar

    def fits(self, units: Fraction) -> bool:
        """Whether `units` more of L: fit behind the last note."""
        return self.time + units * self.unit * self.ahead <= self.bar

    def could_be(self, text: str, owed: Fraction) -> bool:
        """Whether the last note fits with the length `text`, or with that halved where it can be."""
        shortest = length_of(text) / (1 if "/" in text else 2)
        time = self.before + self.unit * self.factor * self.chord * shortest
        return time + owed * self.unit <= self.bar

    def could_break(self, sign: str) -> bool:
        """Whether `>` or `<` fits here, with a note of the unit's half behind it."""
        mine, other = (Fraction(3, 2), HALF) if sign == ">" else (HALF, Fraction(3, 2))
        return self.before + self.last * mine + self.unit * other * HALF <= self.bar
