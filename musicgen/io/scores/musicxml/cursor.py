"""The current position in a part of a MusicXML score: a cursor that notes, backups and forwards move.

Positions are exact: integers in a unit that divides the quarter finely enough for every `<divisions>` and duration of
the measure. Onsets and ends are rounded to FINE ticks one by one when they are stored.

Source: MusicXML 4.0 (W3C), `<divisions>`, `<backup>`.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from math import lcm

from musicgen.errors import UnreadableError
from musicgen.io.scores.layout import FINE
from musicgen.io.scores.musicxml.marks import number_of

__all__ = ["HINT", "LONGEST_QUARTERS", "Cursor"]

LONGEST_QUARTERS = 200_000  # of a measure: three hours at 1,000 quarters a minute
FINEST = 10**15  # units a quarter
HINT = "export it again from a notation program"


class Cursor:
    """A position in a measure, and the lengths of the measures so far."""

    def __init__(self, where: object, counts: Counter[str]) -> None:
        self.where, self.counts = where, counts
        self.lengths: list[int] = []  # of each measure, by its contents
        self.rests: list[int] = []  # of each measure: the length of its whole-measure rests
        self.implicit: list[bool] = []
        self.numbers: list[int | None] = []
        self.divisions = Fraction(0)
        self.unit = FINE  # units of the cursor a quarter
        self.known: dict[str, int] = {}  # text of a duration -> units
        self.bar, self.cursor, self.last, self.filled, self.resting = -1, 0, 0, 0, 0
        self.number, self.is_implicit = "", False

    # ---- measures --------------------------------------------------------------------------------------

    def begin(self, bar: int, attributes: dict[str, str]) -> None:
        """Begin measure `bar`; measures that the part skipped become empty ones."""
        while len(self.lengths) < bar:
            self._close("", False)
        self.bar, self.cursor, self.last, self.filled, self.resting = bar, 0, 0, 0, 0
        self.number = attributes.get("number", "")
        self.is_implicit = attributes.get("implicit") == "yes"
        if self.unit != FINE:
            self._rescale(FINE)

    def end(self) -> None:
        """End the measure."""
        self._close(self.number, self.is_implicit)

    def _close(self, number: str, is_implicit: bool) -> None:
        self.lengths.append(self.fine(self.filled))
        self.rests.append(self.fine(self.resting))
        self.implicit.append(is_implicit)
        self.numbers.append(int(number) if number.isascii() and number.isdecimal() and len(number) < 7 else None)
        self.filled = self.resting = 0

    def fine(self, units: int) -> int:
        """Units of the cursor in FINE ticks, rounded."""
        return units if self.unit == FINE else (2 * units * FINE + self.unit) // (2 * self.unit)

    def refuse(self, what: str) -> UnreadableError:
        """An UnreadableError that names the measure."""
        return UnreadableError(f"measure {self.number or self.bar + 1}: {what}", where=self.where, hint=HINT)

    # ---- time ------------------------------------------------------------------------------------------

    def length(self, text: str | None) -> int:
        """The text of a `<duration>` in units. Raises UnreadableError for other text."""
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
        """Apply `<divisions>`: the number of duration units a quarter from here on."""
        value = number_of(text)
        if value is None or value <= 0:
            raise self.refuse(f"{text.strip()[:20]!r} divisions can't make a quarter")
        self.divisions = value
        self.known.clear()

    def move(self, duration: str | None, direction: int) -> None:
        """Apply `<forward>` or `<backup>` (direction 1 or -1); a forward fills the measure like a rest."""
        known = self.known.get(duration or "")
        self.advance(direction * (self.length(duration) if known is None else known))

    def advance(self, units: int) -> None:
        """Move the cursor by `units`, but not before the begin of the measure."""
        self.cursor += units
        if self.cursor < 0:
            self.counts["backups"] += 1
            self.cursor = 0
        else:
            self.fill(self.cursor)

    def fill(self, units: int) -> None:
        """Make the measure last at least `units`."""
        if units > self.filled:
            self.filled = units
            if units > LONGEST_QUARTERS * self.unit:
                raise self.refuse(f"it lasts more than {LONGEST_QUARTERS:,} quarters")
