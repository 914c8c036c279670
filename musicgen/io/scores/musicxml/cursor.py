"""Where a part of a MusicXML score is: a cursor that notes, backups and forwards move, measure by measure.

Positions are exact: integers in a unit of a quarter that every `<divisions>` and duration of the measure divides. What
is kept is rounded to FINE ticks, each onset and end by itself. Source: MusicXML 4.0 (W3C), `<divisions>`, `<backup>`.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import lcm

from musicgen.errors import UnreadableError
from musicgen.io.scores.layout import FINE
from musicgen.io.scores.musicxml.marks import number_of

__all__ = ["HINT", "LONGEST_QUARTERS", "Cursor"]

LONGEST_QUARTERS = 200_000  # of a measure: what three hours hold at a thousand quarters a minute
FINEST = 10**15  # units a quarter
HINT = "export it again from a notation program"


class Cursor:
    """A place in a measure, and what is known of the measures before."""

    def __init__(self, where: object, counts: Counter[str]) -> None:
        self.where, self.counts = where, counts
        self.lengths: list[int] = []  # of each measure, as it is filled
        self.rests: list[int] = []  # of each measure: the length of its rests that fill whatever it lasts
        self.implicit: list[bool] = []
        self.numbers: list[int | None] = []
        self.divisions = Fraction(0)
        self.unit = FINE  # of the cursor: so many are a quarter
        self.known: dict[str, int] = {}  # durations as written -> units
        self.bar, self.cursor, self.last, self.filled, self.resting = -1, 0, 0, 0, 0
        self.number, self.is_implicit = "", False

    # ---- measures --------------------------------------------------------------------------------------

    def begin(self, bar: int, attributes: dict[str, str]) -> None:
        """Measure `bar` begins; measures that the part left out are empty."""
        while len(self.lengths) < bar:
            self._close("", False)
        self.bar, self.cursor, self.last, self.filled, self.resting = bar, 0, 0, 0, 0
        self.number = attributes.get("number", "")
        self.is_implicit = attributes.get("implicit") == "yes"
        if self.unit != FINE:
            self._rescale(FINE)

    def end(self) -> None:
        """The measure is over."""
        self._close(self.number, self.is_implicit)

    def _close(self, number: str, is_implicit: bool) -> None:
        self.lengths.append(self.fine(self.filled))
        self.rests.append(self.fine(self.resting))
        self.implicit.append(is_implicit)
        self.numbers.append(int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else None)
        self.filled = self.resting = 0

    def fine(self, units: int) -> int:
        """Units of the cursor in FINE ticks."""
        return units if self.unit == FINE else (2 * units * FINE + self.unit) // (2 * self.unit)

    def refuse(self, what: str) -> UnreadableError:
        """An error that names the measure."""
        return UnreadableError(f"measure {self.number or self.bar + 1}: {what}", where=self.where, hint=HINT)

    # ---- time ------------------------------------------------------------------------------------------

    def length(self, text: str | None) -> int:
        """A `<duration>` in units. Raises UnreadableError for what is none."""
        value = number_of(text)
        if value is None or value < 0:
            raise self.refuse(f"{(text or '').strip()[:20]!r} is no duration")
        if not self.divisions:
            self.divisions = Fraction(1)
            self.counts["divisions"] += 1
        quarters = value / self.divisions
        if quarters > LONGEST_QUARTERS:
            raise self.refuse(f"something lasts more than {LONGEST_QUARTERS:,} quarters")
        if self.unit % quarters.denominator:
            self._rescale(lcm(self.unit, quarters.denominator))
        units = round(quarters * self.unit)
        if len(self.known) < 1000:
            self.known[text or ""] = units
        return units

    def _rescale(self, unit: int) -> None:
        if unit > FINEST:
            raise self.refuse("its divisions and durations have no common measure")
        for name in ("cursor", "last", "filled", "resting"):
            setattr(self, name, getattr(self, name) * unit // self.unit)
        self.unit = unit
        self.known.clear()

    def divide(self, text: str) -> None:
        """`<divisions>`: so many are a quarter from here on."""
        value = number_of(text)
        if value is None or value <= 0:
            raise self.refuse(f"{text.strip()[:20]!r} divisions can't make a quarter")
        self.divisions = value
        self.known.clear()

    def move(self, duration: str | None, direction: int) -> None:
        """`<forward>` and `<backup>`; a forward fills its bar as a rest does."""
        known = self.known.get(duration or "")
        self.advance(direction * (self.length(duration) if known is None else known))

    def advance(self, units: int) -> None:
        """Move the cursor; not to before the bar."""
        self.cursor += units
        if self.cursor < 0:
            self.counts["backups"] += 1
            self.cursor = 0
        else:
            self.fill(self.cursor)

    def fill(self, units: int) -> None:
        """The measure lasts so long at least."""
        if units > self.filled:
            self.filled = units
            if units > LONGEST_QUARTERS * self.unit:
                raise self.refuse(f"it lasts more than {LONGEST_QUARTERS:,} quarters")
