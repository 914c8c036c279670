"""The time elapsed in a bar of ABC text, as an exact fraction of a whole note.

A note's length is `unit` (L:) times the factor in its digits, its tuplet's ratio, and the factor of a `>` or `<` beside
it. A chord lasts as long as its first note, times the length after its bracket. Grace notes take no time.

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
    """The factor written as a note length in ABC.

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
    """The time elapsed in the current bar. `unit` and `bar` are the current L: and M: in whole notes."""

    unit: Fraction = Fraction(1, 8)
    bar: Fraction = Fraction(1)
    before: Fraction = Fraction(0)  # time in the bar before the last note
    factor: Fraction = Fraction(1)  # of the last note's length, by tuplet and broken rhythm
    chord: Fraction = Fraction(1)  # length factor written inside the last chord's brackets
    text: str = ""  # the last note's length as written so far
    last: Fraction = Fraction(0)  # the last note's length in whole notes
    ahead: Fraction = Fraction(1)  # factor of the next note's length, by a broken rhythm before it

    def copy(self) -> Self:
        return copy.copy(self)

    @property
    def time(self) -> Fraction:
        return self.before + self.last

    def new_bar(self) -> None:
        self.before, self.last, self.text = Fraction(0), Fraction(0), ""
        self.factor = self.chord = self.ahead = Fraction(1)

    def note(self, *, ratio: Fraction) -> None:
        """Begin a note, in a tuplet of `ratio`."""
        self.before, self.text, self.chord = self.time, "", Fraction(1)
        self.factor, self.ahead = ratio * self.ahead, Fraction(1)
        self._measure()

    def lengthen(self, char: str) -> None:
        """Add a digit or slash to the last note's length."""
        self.text += char
        self._measure()

    def close_chord(self, inner: str) -> None:
        """Close a chord's bracket; `inner` is the length written at its first note."""
        self.chord, self.text = length_of(inner), ""
        self._measure()

    def broken(self, sign: str) -> None:
        """Apply `>`, which lengthens the last note by half and halves the next, or `<`, the other way round."""
        mine, other = (Fraction(3, 2), HALF) if sign == ">" else (HALF, Fraction(3, 2))
        self.factor, self.ahead = self.factor * mine, other
        self._measure()

    def _measure(self) -> None:
        self.last = self.unit * self.factor * self.chord * length_of(self.text)

    # ---- room in the bar -------------------------------------------------------------------------

    def over(self, owed: Fraction = Fraction(0)) -> bool:
        """Whether the last note and `owed` more units of L: after it exceed the bar."""
        return self.time + owed * self.unit > self.bar

    def fits(self, units: Fraction) -> bool:
        """Whether `units` more units of L: fit after the last note."""
        return self.time + units * self.unit * self.ahead <= self.bar

    def could_be(self, text: str, owed: Fraction) -> bool:
        """Whether the last note fits into the bar with the length `text`, or with half of it if a slash may follow."""
        shortest = length_of(text) / (1 if "/" in text else 2)
        time = self.before + self.unit * self.factor * self.chord * shortest
        return time + owed * self.unit <= self.bar

    def could_break(self, sign: str) -> bool:
        """Whether `>` or `<` fits here, followed by a note of half a unit."""
        mine, other = (Fraction(3, 2), HALF) if sign == ">" else (HALF, Fraction(3, 2))
        return self.before + self.last * mine + self.unit * other * HALF <= self.bar
