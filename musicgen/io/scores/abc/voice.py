"""The state of an ABC voice while it is read: its settings, its rows so far, its bars and overlays.

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
    """The settings of a voice by fields and directives; a new voice starts with those of the header."""

    key: Key = field(default_factory=Key)
    meter: tuple[int, int] = (0, 0)
    unit: Fraction = Fraction(1, 8)
    octave: int = 0
    clef_octave: int = 0
    transpose: int = 0  # of `transpose=` and the like in K: and V:, beside `%%MIDI transpose`
    midi_transpose: int = 0
    percussion: bool = False
    channel: int = 0
    program: int | None = None
    name: str = ""
    carry: str = "pitch"  # `%%propagate-accidentals`: not, octave, pitch


@dataclass
class Shared:
    """Counters, limits and definitions shared by all voices of a tune."""

    where: object
    limits: Limits
    counts: Counter[str] = field(default_factory=Counter)
    symbols: dict[str, str] = field(default_factory=lambda: dict(SHORTHAND))
    drums: dict[int, int] = field(default_factory=dict)  # written pitch -> General MIDI drum key
    signs: int = 0  # tokens of music so far, each note of a chord counted
    fields: int = 0

    def check(self, notes: int = 0) -> None:
        """Raise UnreadableError past the limits, or for too many faults to be ABC; a voice has `notes` notes so far."""
        if notes > self.limits.notes:
            raise self.refuse(f"has more than {self.limits.notes:,} notes", "raise the limit with `Limits.notes`")
        if self.signs > 2 * self.limits.notes:
            raise self.refuse("has too much music to be one tune", "split the file, or raise `Limits.notes`")
        if self.fields > MAX_FIELDS:
            raise self.refuse(f"has more than {MAX_FIELDS:,} fields in a tune", "split the file")
        if sum(self.counts[name] for name in FAULTS) > MAX_FAULTS:
            what = f"has more than {MAX_FAULTS:,} characters that mean nothing in ABC music"
            raise self.refuse(what, "check that it is a tune in ABC notation")

    def refuse(self, what: str, hint: str) -> UnreadableError:
        return UnreadableError(what, where=self.where, hint=hint)


class VoiceState:
    """A voice while it is read. Rows start with (bar, onset in GRID ticks)."""

    def __init__(self, shared: Shared, setup: Setup) -> None:
        self.shared, self.setup = shared, setup
        self.signs = Signs()
        self.lengths: list[int] = []  # of the bars, by their contents
        self.notes: list[list[int]] = []  # bar, onset, duration, pitch, tie (bits: 1 to the next note, 2 from the last)
        self.levels: list[tuple[int, int, int]] = []
        self.meters: dict[int, tuple[int, int]] = {}
        self.keys: list[tuple[int, int, Key, int]] = []
        self.tempos: list[tuple[int, int, float]] = []
        self.chords: list[tuple[int, int, str]] = []
        self.program = setup.program
        self.unit = self.bar = self.time = 0
        self.accidentals: dict[int | str, int] = {}
        self.tied: dict[int, int] = {}  # open ties: pitch without accidentals -> row of the note
        self.before_endings: dict[int, int] = {}
        self.labels_parts = False
        self.layer = 0
        self.layers: dict[int, dict[int, int]] = {}  # overlay -> its open ties at the end of the last bar
        self.next_layers: dict[int, dict[int, int]] = {}
        self.extended: tuple[int, int] | None = None
        self.furthest = (0, 0)
        self.last: tuple[int, int, int, int, int] | None = None  # first row, end row, bar, onset, length
        self.places: dict[int, int] = {}  # of the last note or chord: pitch without accidentals -> row
        self.ahead: tuple[int, int] | None = None  # factor of a broken rhythm for the next note
        self.tuplets: list[list[int]] = []  # open tuplets: notes left, q, p
        self.waiting: list[str] = []  # segnos, codas and jumps read since the last note, not yet placed
        self.behind: list[str] = []  # fines and jumps at the last note: they follow it
        self._lengths: dict[str, int] = {}
        self.set_up()

    # ---- fields ------------------------------------------------------------------------------------------

    def set_up(self) -> None:
        """Apply `setup` from here on."""
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
        """Put the key signature at the current place."""
        self.accidentals.clear()
        if self.setup.key.fifths is not None:
            self.keys.append((self.bar, self.time, self.setup.key, 0 if self.drum else self.shift))

    def add_meter(self) -> None:
        """Put the meter at the current bar, or at the next one if this one has begun."""
        if self.setup.meter[0]:
            self.meters[self.bar + (self.time > 0)] = self.setup.meter

    # ---- bars --------------------------------------------------------------------------------------------

    def close_bar(self) -> None:
        """End the current bar; does nothing if nothing stands in it."""
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
        """End a bar with the bar line `sign`."""
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
        # A tie into the first ending leads into every other ending, too.
        if 1 in passes:
            self.before_endings = dict(self.tied)
        else:
            self.tied = dict(self.before_endings)
        self.signs.passes.append((self.bar, self.time, passes))

    def _overlay(self, found: re.Match[str]) -> None:
        """Voice overlays: `&` goes back to the begin of the bar, `&&` one more; `(& .. & .. &)` repeats any stretch."""
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
        """Extend the length of the current bar to the current time."""
        if self.bar < len(self.lengths):
            self.lengths[self.bar] = max(self.lengths[self.bar], self.time)
        elif self.time:
            self.lengths.append(self.time)

    # ---- parts and the end -------------------------------------------------------------------------------

    def label(self, label: str) -> None:
        """Begin a section of the tune (P:)."""
        if self.time:
            self.bar_sign("|")
        self.signs.labels.append((self.bar, label))

    def finish(self) -> None:
        """End the last bar and place the remaining signs."""
        self.bar_sign("|")
        self.signs.settle(len(self.lengths))
