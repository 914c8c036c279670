"""The grammar of the `abc` tokenizer, character by character: every sampled tune can be read and has enough bars.

A tune is a header (X: first, then T: and free text, M: and L: once each, K: last) and a body of notes, rests, chords,
tuplets, slurs, grace notes, broken rhythms, chord symbols, bar lines, endings, and lines of K: or M: between bars.
Brackets are closed before the bar ends, no bar is longer than its meter, no two consecutive bars are empty, and the
tune ends after a bar line at the end of a line.

The rules are those of the ABC standard 2.1 where music21 (10.5, `abcFormat`) follows it, else music21's own: it takes
an upper-case letter before a colon as a field, and the text between two exclamation marks within twenty characters as a
decoration, so exclamation marks at line ends are kept at that distance.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np

from musicgen.errors import UsageError
from musicgen.tokenizers.abc.clock import TUPLETS
from musicgen.tokenizers.abc.fields import FREE_FIELDS, MOST_LINES, TEXT_LENGTH, follow, meter_value
from musicgen.tokenizers.abc.state import ACCIDENTALS, DECORATIONS, HIDING, LETTERS, LOWER, MORE_SIGN, UPPER, AbcState
from musicgen.tokenizers.constraints import Anchor, Constraints, Mask, RoomLimits
from musicgen.tokenizers.constraints.length import Length
from musicgen.tokenizers.constraints.mask import AllOf
from musicgen.tokenizers.constraints.room import Density, Line, Polyphony
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["ALPHABET", "LEAST_BARS", "LONGEST", "AbcGrammar"]

ALPHABET = "\n" + "".join(chr(code) for code in range(32, 127))
LEAST_BARS = 8
LONGEST = 2000  # characters of a body after which the tune is brought to an end
MOST_NOTES = 64  # in a bar
CHORD = 8  # most notes of a chord without a limit
TEXT = "".join(c for c in ALPHABET[1:] if c not in "%\\")
# Of chord symbols: G, Gm, G7, Gm7, Gdim, with # or b.
ROOT, QUALITY = "ABCDEFG", {"": "m7d", "m": "7", "7": "", "m7": "", "d": "i", "di": "m", "dim": ""}


@cache
def _mask(chars: str, vocabulary_size: int, *, first: int, eos: int, ends: bool) -> np.ndarray:
    mask = np.zeros(vocabulary_size, bool)
    mask[[first + ALPHABET.index(c) for c in chars]] = True
    mask[eos] = ends
    mask.setflags(write=False)
    return mask


class AbcGrammar(AbcState, Grammar):
    """Grammar state for one tune, from BOS to EOS."""

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints | None = None, *, inside: bool = False) -> None:
        self.v = vocabulary
        self.first, self.bos, self.eos = vocabulary.base["char"], vocabulary.id("bos"), vocabulary.id("eos")
        super().__init__(inside=inside)
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Apply `constraints` from here on. With an anchor the music joins a piece: no repeats, no new meter.

        Bars are counted as written. Raises UsageError for a pitch range or a key, which this grammar can't enforce.
        """
        pitches, room, length = constraints.pitches, constraints.room, constraints.length
        if (pitches.low, pitches.high, pitches.classes) != (0, 127, None):
            raise UsageError(
                "a model of ABC text can't be held to a key or a range of pitches",
                hint="leave `key` and `pitch_range` out, or take a model of notes",
            )
        if any(type(mask).pitches is not Mask.pitches for mask in constraints.further):
            raise UsageError("a model of ABC text can't be held to pitches", hint="take a model of notes")
        fills = anchor is not None and anchor.fills
        self.begin(fills=fills)
        self.player = room.chord_sizes[0][0] if room.chord_sizes else None
        most = [most for most in (Polyphony(room).most, Line(room).most(self.player)) if most is not None]
        self.most_together = min(most, default=CHORD)
        self.masks = AllOf((Density(RoomLimits(max_notes_a_bar=MOST_NOTES)), Density(room), *constraints.further))
        # Without a number of bars, music that begins in mid-bar may end with that bar.
        self.limit = Length(replace(length, bars=length.bars or 0) if fills else length, self)
        self.least = LEAST_BARS + fills if length.bars is None else self.length(length.bars)
        self.longest = LONGEST if length.bars is None else max(LONGEST, 100 * length.bars)
        self.plain = anchor is not None
        self.meter = meter_value(*length.meter) if length.meter and self.section == "start" else None

    @property
    def bars_done(self) -> int:
        return self.bars - self.begun_bars

    def ends(self, token: int) -> bool:
        """Whether `token` is EOS."""
        return token == self.eos

    def advance(self, token: int) -> None:
        if token == self.bos:
            self.section = "header"
        elif token == self.eos:
            self.section = "over"
        elif token >= self.first:
            self.take(ALPHABET[token - self.first])

    # ---- allowed characters ----------------------------------------------------------------------

    def allowed(self) -> np.ndarray:
        chars, ends = self.choices()
        if self.section == "start":
            mask = np.zeros(len(self.v), bool)
            mask[self.bos] = True
            return mask
        return _mask(chars, len(self.v), first=self.first, eos=self.eos, ends=ends)

    def choices(self) -> tuple[str, bool]:
        """The characters that may come next, and whether the tune may end here."""
        if self.section in ("start", "over"):
            return "", True
        if self.section == "header":
            return self._in_header(), False
        chars = "".join(dict.fromkeys(self._in_body()))
        whole = self.bars >= self.least
        ends = whole and self.now == "line" and self.after_bar
        if self.limit.is_full(self) or self.count - self.begun_count >= self.longest:
            return self._towards_the_end(chars, whole=whole, ends=ends)
        return chars, ends

    def _in_header(self) -> str:
        if len(self.line) >= 2:
            field, value = self.line[0], self.line[2:]
            if field == "M" and self.meter is not None and value.strip() != self.meter:
                return self.meter[len(value)] if self.meter.startswith(value) else "\n"
            if field in "XMLQK":
                return follow(field, value) or "\n"
            if not value.strip():
                return TEXT[1:] if value else TEXT.replace("|", "")  # `C:|` is a note and a bar line
            return "\n" if len(value) >= TEXT_LENGTH else TEXT + ("" if value.endswith(" ") else "\n")
        if self.line:
            return ":"
        if not self.seen:
            return "X"
        if "T" not in self.seen:
            return "T"
        once = "".join(field for field in "MLQ" if field not in self.seen)
        last = "K" if "M" in self.seen and "L" in self.seen else ""
        return once + last + (FREE_FIELDS if self.lines < MOST_LINES else "")

    def _in_body(self) -> str:
        now = self.now
        if now == "field":
            return follow(self.line[0], self.line[2:]) or "\n" if len(self.line) > 1 else ":"
        if now in ("mark", "comment"):
            return "\n"
        if now == "symbol":
            return self._in_symbol()
        if now == "paren":
            slur = not (self.slur or self.tuplet)
            tuplets = "".join(n for n, ratio in TUPLETS.items() if self.clock.fits(int(n) * ratio))
            return tuplets + (ACCIDENTALS + LETTERS if slur else "") or "3"
        if now == "bracket":
            ending = "12" if self.after_bar and self.piece == "[" and not self._must_play() else ""
            chord = ACCIDENTALS + LETTERS if self._room_for_notes() else ""
            return (ending if not self.plain else "") + chord or LETTERS
        if now == "bar":
            return self._after_bar_sign()
        if now == "accidental":
            again = self.piece[-1] if len(self.piece) == 1 and self.piece != "=" else ""
            return again + LETTERS
        if now == "letter":
            return self._octaves() + self._lengths() + self._between()
        if now in ("length", "closed"):
            return self._lengths() + self._between()
        if now == "broken":
            return self._notes_and_rests()
        return self._between()  # line, space

    def _between(self) -> str:
        """What may follow a complete element."""
        if self.inner == "[":
            if self.tuplet and self.size == 1 and self.clock.over(self._owed()):
                return ""  # no length may follow this bracket: the first note's length must be continued
            return "]" + (ACCIDENTALS + LETTERS if self.size < self.most_together else "")
        if self.inner == "{":
            return "}" + (ACCIDENTALS + LETTERS if self.size < 4 else "") if self.size else LETTERS
        if self.owes:
            return self._music().replace('"', "") if self.piece == '"' else self._notes_and_rests()
        after_note = self.now in ("letter", "length", "closed")
        if after_note and self.clock.over(self._owed()):
            return ""  # the length must be continued
        chars = self._music() if self._room_for_notes() or self.tuplet else ""
        if after_note:
            chars += "-" if self.piece[:1] != "z" else ""
            if not (self.bound or self.tuplet) and self._room_for_notes():
                chars += "".join(sign for sign in "<>" if self.clock.could_break(sign))
        chars += ")" if self.slur else ""
        if self.now not in ("space", "line"):
            chars += " "
        if self.tuplet or self.slur:
            return chars
        chars += self._bar_signs()
        if self.now not in ("space", "line"):
            chars += "\n" + ("!" if self.count - self.marked >= HIDING else "")
        if self.now == "line" and self.after_bar and not self.notes_in_bar and not self.plain:
            chars += "KM"
        return chars

    def _music(self) -> str:
        """The characters with which a note or a group of notes may begin."""
        groups = "" if self.tuplet or self.slur else "("
        bracket = "[" if self.most_together > 1 else ""
        graces = "" if self.tuplet else "{"  # music21 would count them as notes of the tuplet
        return self._notes_and_rests() + groups + bracket + graces + '"'

    def _notes_and_rests(self) -> str:
        rest = "" if self.empty and not self.notes_in_bar else "z"
        return ACCIDENTALS + LETTERS + ("" if self.inner else rest + DECORATIONS)

    def _bar_signs(self) -> str:
        if self.notes_in_bar or (self.rests and not self.empty):
            # An upper-case letter before a colon would begin a field.
            return "|" if self.plain else "|:"
        if self.after_bar and self.now == "line" and not self.plain:
            return "|["
        return ""

    def _after_bar_sign(self) -> str:
        if self.piece == ":":
            return "|" if self.line[-2:-1] in tuple(UPPER) else "|:"
        more = "|]" if self.plain and self.piece == "|" else MORE_SIGN.get(self.piece, "")
        return more + " " + "\n" * self._breaks() + "!" * self._marks() + self._music()

    def _breaks(self) -> bool:
        return self.piece not in ("|1", "|2", ":|1", ":|2", "[1", "[2", "|:", ":||:", "::")

    def _marks(self) -> bool:
        return self._breaks() and self.count - self.marked >= HIDING

    def _in_symbol(self) -> str:
        text = self.piece
        if not text:
            return ROOT
        quality = text[1:].lstrip("#b")
        whole = "" if quality in ("d", "di") else '"'
        return ("#b" if len(text) == 1 else "") + QUALITY[quality] + whole

    def _octaves(self) -> str:
        last = self.piece[-1]
        if last in UPPER or last in LOWER:
            return "," if last in UPPER else "'"
        return last if self.piece[-2:-1] in tuple(LETTERS) else ""

    def _lengths(self) -> str:
        """The characters that may continue a length, so that the note fits into the bar."""
        if self.inner == "{" or (self.inner == "[" and self.size > 1):
            return ""
        owed = self._owed()
        final = "/1" if self.bound or self.tuplet else ""  # in tuplets 2 and 4 can't be followed by a slash
        return "".join(
            c
            for c in self._all_lengths()
            if self.clock.could_be(self.clock.text + c + (final if c in "24" and not self.clock.text else ""), owed)
        )

    def _owed(self) -> Fraction:
        """The length of the tuplet's remaining notes, in units of L:."""
        return (self.tuplet - (self.inner == "[")) * self.ratio if self.tuplet else Fraction(0)

    def _all_lengths(self) -> str:
        """The characters that may continue a length: a numerator of 1 to 16, a slash, a denominator of 2, 4 or 8."""
        text = self.clock.text
        if self.bound or (self.inner and self.tuplet):
            return self._tuplet_lengths(text)
        if not text:
            return "123456789/"
        if text == "1":
            return "0123456/"
        if text == "/":
            return "/248"
        if text.isdigit():
            return "/"
        return "248" if text.endswith("/") and "//" not in text else ""

    def _tuplet_lengths(self, text: str) -> str:
        """The characters that may continue a length in a tuplet: music21 accepts only single note values there."""
        if not text:
            return "" if self.now == "closed" else "234/"
        return {"2": "", "3": "/", "4": "", "/": "/24", "3/": "24"}.get(text, "")

    def _must_play(self) -> bool:
        return self.owes or bool(self.tuplet) or self.slur

    def _room_for_notes(self) -> bool:
        if self.owes or self.tuplet:
            return True
        return not self.masks.is_full(self) and self.clock.fits(Fraction(1, 2))

    def _towards_the_end(self, chars: str, *, whole: bool, ends: bool) -> tuple[str, bool]:
        """(characters, whether EOS is allowed) on the shortest way to a complete tune."""
        if ends:
            return "", True
        if self.now == "field" or self.now == "mark":
            return chars, False
        if whole and self.now == "bar" and "\n" in chars:
            return "".join(c for c in chars if c in "\n|]"), False
        wanted = ["]", "}", ")"] + ['"'] * (self.now == "symbol")
        if whole and self.after_bar:
            wanted = ["\n", *wanted]
        if self.notes_in_bar or self.now == "bar":
            closing = "|" if self.now != "bar" or self.piece == ":" else ""
            wanted += [closing] if closing else []
        for char in wanted:
            if char in chars:
                return char, False
        notes = "".join(c for c in chars if c in LETTERS)
        digits = "".join(c for c in chars if c in "12")
        if whole and self.after_bar and " " in chars and not notes:
            return " ", False
        return notes or digits or chars, False
