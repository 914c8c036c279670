"""Where a voice of an ABC tune stands while it is read: what holds for it, its rows so far, its bars and overlays.

Time is GRID ticks, 2^9*3^2*5*7*11*13 a quarter: exact for 512ths and for tuplets of up to sixteen notes.

Source: ABC standard 2.1, sections 4.8 to 4.10 (bar lines, endings) and 7 (voices, overlays).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.abc.bars import GRID, Signs
from musicgen.io.scores.abc.fields import NATURAL, Key
from musicgen.io.scores.abc.tokens import SHORTHAND, bar_line, passes_of

__all__ = ["Setup", "Shared", "VoiceState"]

MAX_BARS = 20_000
MAX_FIELDS = 50_000
MAX_FAULTS = 20_000
FAULTS = ("characters", "tuplets", "broken", "lengths", "decorations")
PLACES = {name: 60 + 12 * name.islower() + NATURAL[name.lower()] for name in "CDEFGABcdefgab"}


@dataclass
class Setup:
    """What fields say of a voice; each new one begins with what the header says."""

    key: Key = field(default_factory=Key)
    meter: tuple[int, int] = (0, 0)
    unit: Fraction = Fraction(1, 8)
    octave: int = 0
    clef_octave: int = 0
    transpose: int = 0  # by the voice's own fields
    midi_transpose: int = 0
    percussion: bool = False
    channel: int = 0
    program: int | None = None
    name: str = ""
    carry: str = "pitch"  # how far an accidental holds: not, octave, pitch


@dataclass
class Shared:
    """What all voices of a tune have in common."""

    where: object
    limits: Limits
    counts: Counter[str] = field(default_factory=Counter)
    symbols: dict[str, str] = field(default_factory=lambda: dict(SHORTHAND))
    drums: dict[int, int] = field(default_factory=dict)  # pitch as written -> drum
    signs: int = 0  # of music so far, notes in chords one by one
    fields: int = 0

    def check(self, notes: int = 0) -> None:
        """Refuse what has too much music, or is none; a voice has `notes` so far. Raises UnreadableError."""
        if notes > self.limits.notes:
            raise self.refuse(f"has more than {self.limits.notes:,} notes", "raise the limit with --max-notes")
        if self.signs > 2 * self.limits.notes:
            raise self.refuse("has too much music to be one tune", "split the file, or raise --max-notes")
        if self.fields > MAX_FIELDS:
            raise self.refuse(f"has more than {MAX_FIELDS:,} fields in a tune", "split the file")
        if sum(self.counts[name] for name in FAULTS) > MAX_FAULTS:
            what = f"has more than {MAX_FAULTS:,} characters that mean nothing in ABC music"
            raise self.refuse(what, "check that it is a tune in ABC notation")

    def refuse(self, what: str, hint: str) -> UnreadableError:
        return UnreadableError(what, where=self.where, hint=hint)


class VoiceState:
    """A voice while it is read. Rows are lists that start with (bar, onset)."""

    def __init__(self, shared: Shared, setup: Setup) -> None:
        self.shared, self.setup = shared, setup
        self.signs = Signs()
        self.lengths: list[int] = []  # of the bars, as far as they are filled
        self.notes: list[list[int]] = []  # bar, onset, duration, pitch, tie: 1 goes on, 2 comes from before
        self.levels: list[tuple[int, int, int]] = []
        self.meters: dict[int, tuple[int, int]] = {}
        self.keys: list[tuple[int, int, Key, int]] = []
        self.tempos: list[tuple[int, int, float]] = []
        self.chords: list[tuple[int, int, str]] = []
        self.program = setup.program
        self.unit = self.bar = self.time = 0
        self.accidentals: dict[int | str, int] = {}
        self.tied: dict[int, int] = {}  # place on the staff -> row of the note that goes on
        self.before_endings: dict[int, int] = {}
        self.labels_parts = False
        self.layer = 0
        self.layers: dict[int, dict[int, int]] = {}  # ties of the overlays of the last bar
        self.next_layers: dict[int, dict[int, int]] = {}
        self.extended: tuple[int, int] | None = None
        self.furthest = (0, 0)
        self.last: tuple[int, int, int, int, int] | None = None  # first row, behind the last, bar, onset, length
        self.places: dict[int, int] = {}  # of the last notes: place -> row
        self.ahead: tuple[int, int] | None = None  # what a broken rhythm makes of the next note
        self.tuplets: list[list[int]] = []  # notes to come, q, p
        self.waiting: list[str] = []  # marks before a note or bar line
        self.behind: list[str] = []  # marks of the last note
        self._lengths: dict[str, int] = {}
        self.set_up()

    # ---- fields ------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Take up what `setup` says, from here on."""
        s = self.setup
        unit = int(s.unit * 4 * GRID)
        if unit != self.unit:
            self.unit = unit
            self._lengths.clear()
        self.drum = s.percussion or s.channel == 10
        self.shift = 0 if self.drum else 12 * (s.octave or s.clef_octave) + s.transpose + s.midi_transpose
        self.pitches = {name: place + s.key.alters.get(name.lower(), 0) for name, place in PLACES.items()}
        if self.program is None:
            self.program = s.program
        elif s.program is not None and s.program != self.program:
            if not self.notes:
                self.program = s.program
            else:
                self.shared.counts["programs"] += 1

    def add_key(self) -> None:
        """A key signature stands here."""
        self.accidentals.clear()
        if self.setup.key.fifths is not None:
            self.keys.append((self.bar, self.time, self.setup.key, 0 if self.drum else self.shift))

    def add_meter(self) -> None:
        """A meter begins with this bar, or with the next one where this one has begun."""
        if self.setup.meter[0]:
            self.meters[self.bar + (self.time > 0)] = self.setup.meter

    # ---- bars --------------------------------------------------------------------------------------------

    def close_bar(self) -> None:
        """A bar ends here, where it has begun."""
        begun = self.bar < len(self.lengths)
        if not self.time and not begun:
            return
        if begun:
            self.lengths[self.bar] = max(self.lengths[self.bar], self.time)
        else:
            self.lengths.append(self.time)
        self.bar += 1
        self.time = 0
        self.accidentals.clear()
        if self.layer or self.layers:
            self.next_layers[self.layer] = self.tied
            self.layers, self.next_layers, self.layer = self.next_layers, {}, 0
            self.tied = self.layers.pop(0, {})
        if self.bar > MAX_BARS:
            raise self.shared.refuse(f"has more than {MAX_BARS:,} bars", "split the tune")

    def _bar(self, found: re.Match[str]) -> None:
        text = found[0].strip(" \t`")
        numbers = found[(found.lastindex or 0) + 1]
        sign = text[: len(text) - len(text.lstrip(".:|[]"))]
        self.bar_sign(sign[:-1] if numbers and sign.endswith("[") else sign)
        if numbers:
            self._open_ending(numbers)

    def bar_sign(self, sign: str) -> None:
        """A bar line; "||" at the end of a tune or part."""
        before, after, ends = bar_line(sign)
        self.accidentals.clear()
        self.close_bar()
        marks = [*self.behind, *self.waiting]
        if marks:
            self.behind, self.waiting = [], []
            for mark in marks:
                if mark in ("Segno", "Coda"):
                    self.signs.begins.append((self.bar, 0, mark))
                else:
                    self.signs.finishes.append((self.bar - 1, mark))
        if ends:
            self.signs.end(self.bar, before, after)

    def _ending(self, found: re.Match[str]) -> None:
        self._open_ending(found[(found.lastindex or 0) + 1])

    def _open_ending(self, numbers: str) -> None:
        passes = passes_of(numbers)
        if not passes:
            self.shared.counts["endings"] += 1
            return
        # A tie into the first ending leads into each of them.
        if 1 in passes:
            self.before_endings = dict(self.tied)
        else:
            self.tied = dict(self.before_endings)
        self.signs.passes.append((self.bar, self.time, passes))

    def _overlay(self, found: re.Match[str]) -> None:
        """`&`: back to the begin of the bar, `&&` one bar more; `(& .. & .. &)` over whatever stands between."""
        text = found[0].strip(" \t`")
        if text == "(&":
            self.extended, self.furthest = (self.bar, self.time), (self.bar, self.time)
            return
        self._touch()
        self.next_layers[self.layer], self.tied = self.tied, {}
        self.accidentals.clear()
        self.last, self.places, self.ahead = None, {}, None
        if self.extended is not None:
            self.furthest = max(self.furthest, (self.bar, self.time))
            self.bar, self.time = self.furthest if text == "&)" else self.extended
            self.layer = 0 if text == "&)" else self.layer + 1
            if text == "&)":
                self.extended = None
                self.tied = self.next_layers.pop(0, {})
        else:
            self.layer += 1
            self.tied = self.layers.get(self.layer, {})
            self.bar, self.time = max(0, self.bar - (len(text) - 1)), 0

    def _touch(self) -> None:
        """Keep how far this bar is filled."""
        if self.bar < len(self.lengths):
            self.lengths[self.bar] = max(self.lengths[self.bar], self.time)
        elif self.time:
            self.lengths.append(self.time)

    # ---- parts and the end -------------------------------------------------------------------------------

    def label(self, label: str) -> None:
        """A part of the tune begins here."""
        if self.time:
            self.bar_sign("|")
        self.signs.labels.append((self.bar, label))

    def finish(self) -> None:
        """The tune ends."""
        self.bar_sign("|")
        self.signs.settle(len(self.lengths))
