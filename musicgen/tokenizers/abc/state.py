"""The state of reading an ABC tune, character by character: open brackets, pending notes, the time in the bar.

Any text can be read, also text that the grammar doesn't allow, such as a user's tune; unknown characters are skipped.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Self

from musicgen.tokenizers.abc.clock import TUPLETS, BarClock
from musicgen.tokenizers.abc.fields import FREE_FIELDS
from musicgen.tokenizers.place import Place

__all__ = ["ACCIDENTALS", "DECORATIONS", "HIDING", "LETTERS", "LOWER", "MORE_SIGN", "UPPER", "AbcState"]

HIDING = 20  # characters within which two exclamation marks make the text between them a decoration
UPPER, LOWER, ACCIDENTALS = "ABCDEFG", "abcdefg", "^=_"
LETTERS = UPPER + LOWER
DECORATIONS = "~.uvT"
MORE_SIGN = {"|": "|]:12", ":|": "|]12", ":": "|:", ":||": ":"}  # {bar sign so far: characters that may extend it}


class AbcState(Place):
    """A position in a tune: in the header, or `inside` the body. Time is counted in bars with notes."""

    def __init__(self, *, inside: bool = False) -> None:
        self.section = "body" if inside else "start"  # start, header, body, over
        self.line = ""  # the characters since the last line break
        self.seen = ""  # header fields so far
        self.lines = 0  # of the header
        self.text = ""
        # Of the body:
        self.now = "line"  # the kind of element that the last characters belong to
        self.piece = ""  # the current element so far: bar line, length, chord symbol
        self.inner = ""  # '[' in a chord, '{' in grace notes
        self.size = 0  # notes in that bracket
        self.owes = False  # whether a note must follow
        self.slur = False
        self.tuplet = 0  # notes of the tuplet still to come
        self.bound = False  # whether the last note is in a tuplet
        self.notes_in_bar = 0  # in this bar
        self.rests = False  # whether this bar has a rest
        self.empty = False  # whether the bar before had no notes
        self.bars = 0  # completed bars with notes
        self.after_bar = True  # whether no note or rest has come since the last bar line
        self.marked = -HIDING  # position of the last exclamation mark
        self.count = 0  # characters of the body
        self.hidden = 0  # value of `bars` at the last exclamation mark
        self.clock = BarClock()
        self.ratio = Fraction(1)  # of the tuplet
        self.first_length = ""  # of a chord's first note
        self.begin(fills=False)

    def begin(self, *, fills: bool) -> None:
        """Begin new music; with `fills`, the rest of the bar isn't counted as a bar."""
        self.fills, self.begun_bars, self.begun_count = fills, self.bars, self.count

    @property
    def new_bar(self) -> int:
        return self.bars - self.begun_bars - self.fills

    def sounding(self) -> int:
        return self.size if self.inner == "[" else 0

    def length(self, bars: int) -> int:
        return self.begun_bars + bars + self.fills

    def progress(self) -> int:
        return self.bars

    def longest_silence(self, bars: int) -> int:
        return bars

    def silence(self) -> int:
        return -1 if self.notes_in_bar else int(self.empty)

    def copy(self) -> Self:
        other = super().copy()
        other.clock = self.clock.copy()
        return other

    def take(self, char: str) -> None:
        """Read one character, whether or not the grammar allows it."""
        if self.section == "header":
            self._take_in_header(char)
            return
        self.count += 1
        if char == "\n" and self.now == "field":
            self._measure(self.line[:1], self.line[2:].strip())
        self._take_in_body(char)
        self.line = "" if char == "\n" else self.line + char

    def _take_in_header(self, char: str) -> None:
        if char != "\n":
            self.line += char
            return
        field, self.text = self.line[:1], self.line[2:].strip()
        self.seen += field
        self.lines += field in FREE_FIELDS
        self.line = ""
        self._measure(field, self.text)
        if field == "K":
            self.section = "body"
            if "L" not in self.seen and "M" in self.seen and self.clock.bar < Fraction(3, 4):
                self.clock.unit = Fraction(1, 16)  # by the meter (3.1.7)

    def _measure(self, field: str, value: str) -> None:
        """Take the unit length or bar length from an L: or M: field; ignore other fields."""
        value = {"C": "4/4", "C|": "2/2"}.get(value, value)
        above, _, below = value.partition("/")
        if field in ("M", "L") and above.isdigit() and below.isdigit() and int(below):
            if field == "M":
                self.clock.bar = Fraction(int(above), int(below))
            else:
                self.clock.unit = Fraction(int(above), int(below))

    def _take_in_body(self, char: str) -> None:
        now = self.now
        if char == "\n":
            self.now, self.piece = "line", ""
            # Open brackets and pending notes are dropped at the end of a line.
            self.inner, self.owes = "", False
        elif now == "field":
            return
        elif now == "line" and char in "KM" and not self.line:
            self.now = "field"
        elif now == "comment" or (now != "symbol" and char == "%"):
            self.now = "comment"
        elif now == "letter" and char == ":" and len(self.line) == 1 and self.line.isalpha():
            self.now = "comment"  # a field that the grammar doesn't know
        elif now == "symbol":
            self.piece += char
            if char == '"':
                self.now, self.piece, self.owes = "space", '"', True
        elif now in ("bar", "bracket") and self._goes_on_with_sign(char):
            self.piece += char
            self.now, self.inner = "bar", ""
        elif char in "|:" and not self.inner:
            self._take_bar_sign(char)
        elif char == "[":
            self.now, self.piece, self.inner, self.size = "bracket", "[", "[", 0
        elif char == "{":
            self.now, self.piece, self.inner, self.size = "space", "", "{", 0
        elif char == "]" and self.inner == "[":
            self.inner = ""
            self.now, self.piece = "closed", ""
            self._note_is_whole()
            self.clock.close_chord(self.first_length)
        elif char == "}":
            self.inner, self.now, self.piece, self.owes = "", "space", "", True
        else:
            self._take_in_music(char)

    def _take_in_music(self, char: str) -> None:
        now = self.now
        self.slur = self.slur or (now == "paren" and not char.isdigit())
        if char in LETTERS or char == "z":
            if self.inner:
                self.size += 1
                self.piece, self.now = char, "letter"
                if self.inner == "[" and self.size == 1:
                    self.clock.note(ratio=self.ratio if self.tuplet else Fraction(1))
                    self.first_length = ""
                return
            self.clock.note(ratio=self.ratio if self.tuplet else Fraction(1))
            self.now, self.piece = "letter", char
            self.notes_in_bar += char != "z"
            self.rests = self.rests or char == "z"
            self._note_is_whole()
        elif char in ACCIDENTALS:
            self.piece = self.piece + char if now == "accidental" else char
            self.now = "accidental"
        elif char in ",'":
            self.piece += char
        elif char.isdigit() or char == "/":
            if now == "paren":
                self.tuplet, self.now, self.piece = int(char), "space", ""
                self.ratio = TUPLETS.get(char, Fraction(3 if char == "8" else 2, max(2, int(char))))
            else:
                self.piece += char
                self.now = "length"
                if self.inner == "[" and self.size == 1:
                    self.first_length += char
                if not self.inner or self.size == 1:
                    self.clock.lengthen(char)
        elif char == "(":
            self.now, self.piece = "paren", ""
        elif char == ")":
            self.slur, self.now, self.piece = False, "space", ""
        elif char in "<>":
            self.now, self.piece, self.owes = "broken", char, True
            self.clock.broken(char)
        elif char == '"':
            self.now, self.piece = "symbol", ""
        elif char == "!":
            self._take_mark()
        elif char in DECORATIONS:
            self.now, self.piece, self.owes = "space", "", True
        else:  # a space, a tie, and what the grammar doesn't know
            self.now, self.piece = "space", ""

    def _note_is_whole(self) -> None:
        """Update the state after a note, rest or chord outside of brackets, for which a prefix may have waited."""
        self.owes = False
        self.after_bar = False
        if self.now == "closed":
            self.notes_in_bar += 1
        self.bound = self.tuplet > 0
        self.tuplet = max(0, self.tuplet - 1)

    def _goes_on_with_sign(self, char: str) -> bool:
        if self.now == "bracket":
            return char in "12|" and not self.size
        return char in MORE_SIGN.get(self.piece, "")

    def _take_bar_sign(self, char: str) -> None:
        self.bars += self.notes_in_bar > 0
        if not self.after_bar:
            self.empty = not self.notes_in_bar
        self.notes_in_bar, self.rests, self.after_bar = 0, False, True
        self.clock.new_bar()
        self.owes, self.slur, self.tuplet = False, False, 0
        self.now, self.piece = "bar", char

    def _take_mark(self) -> None:
        """Take an exclamation mark: an old-style line break, or with an earlier one close by the end of a decoration.

        Bars between two such marks aren't counted.
        """
        if self.count - self.marked < HIDING:
            self.bars = min(self.bars, self.hidden)
            self.marked = -HIDING
        else:
            self.marked, self.hidden = self.count, self.bars
        self.now, self.piece = "mark", ""
