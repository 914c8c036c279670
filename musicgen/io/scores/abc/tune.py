"""Read an ABC tune as the parts of a score, in one pass over the text.

The reader follows the standard, and abc2midi where the standard is silent. A field, character or decoration that can't
be read is left out, with a warning that names it. Fields in the body apply to the current voice, those before the first
voice to all voices. Clefs with +8 or -8 sound an octave higher or lower (4.6); other clefs and `middle=` change no
pitch.

Source: ABC standard 2.1; abc2midi's guide for `%%MIDI` and for tempo words.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.abc.fields import Props, key_of, meter_of, parts_of, properties, tempo_of, unit_of
from musicgen.io.scores.abc.music import Voice
from musicgen.io.scores.abc.parts import parts_of_voices
from musicgen.io.scores.abc.text import Line, Macros, lines_of
from musicgen.io.scores.abc.tokens import INLINE, TOKEN
from musicgen.io.scores.abc.voice import PLACES, Setup, Shared
from musicgen.io.scores.layout import PartRows, Score
from musicgen.words import agreed

__all__ = ["score_of"]

WARNINGS = {
    "header": "{} [line|lines] between the header's fields [is no field and was|are no fields and were] passed over",
    "graces": "{} [grace note was|grace notes were] left out",
    "microtones": "{} [microtone was|microtones were] moved to the nearest semitone",
    "characters": "{} [character that means|characters that mean] nothing in ABC music [was|were] passed over",
    "decorations": "{} [decoration that isn't|decorations that aren't] known [was|were] passed over",
    "ties": "{} [tie leads|ties lead] to no note of [its|their] pitch",
    "lengths": "{} [length that can't be read counts|lengths that can't be read count] as one unit",
    "broken": "{} [sign of broken rhythm stands|signs of broken rhythm stand] where there is no note before [it|them]",
    "tuplets": "{} [tuplet|tuplets] that can't be read [was|were] passed over",
    "endings": "{} [number of an ending|numbers of endings] that can't be read [was|were] passed over",
    "quotes": "{} quoted [text is|texts are] not closed",
    "jumps": "{} [text|texts] such as 'D.C. al Fine' [is|are] not followed; ABC's own sign is !D.C.alfine!",
    "texts": "{} quoted [text is no chord symbol|texts are no chord symbols]",
    "programs": "{} [change|changes] of instrument within a part [was|were] left out",
    "symbol_lines": "{} [line|lines] of symbols under the music (s:) [was|were] left out",
    "macros": "{} [macro that transposes was|macros that transpose were] left out",
    "includes": "{} other [file that the tune includes was|files that the tune includes were] not opened",
    "accompaniment": "{} drum [pattern or drone was|patterns and drones were] left out",
}
MAX_LINES = 200_000
MOST_COMPLAINTS = 8  # warnings about single fields


def score_of(text: str, where: str | Path, limits: Limits) -> Score:
    """The parts of one tune, one for each voice. Raises UnreadableError, which names the file `where`.

    Warnings are "name: 3 .. were left out". The limits on a tune are `limits.notes` written notes, twice as many music
    tokens, 200,000 lines, 50,000 fields, 20,000 bars and `limits.tracks` voices.
    """
    tune = _Tune(where, limits, has_key=re.search(r"^[ \t]*K[ \t]*:", text, re.MULTILINE) is not None)
    if text.count("\n") > MAX_LINES:
        what = f"has more than {MAX_LINES:,} lines in a tune"
        raise UnreadableError(what, where=where, hint="split the file")
    for line in lines_of(text):
        tune.take(line)
    return tune.score()


class _Tune:
    """The state of a tune while it is read."""

    def __init__(self, where: str | Path, limits: Limits, *, has_key: bool) -> None:
        self.shared = Shared(where, limits)
        self.setup = Setup()
        self.in_body, self.has_key, self.has_unit = False, has_key, False
        self.header_tempo = ""
        self.order: list[str] | None = None
        self.sections: list[str] = []
        self.announced: dict[str, tuple[Props, list[str]]] = {}  # voices declared in the header: properties, directives
        self.announcing: str | None = None
        self.voices: dict[str, Voice] = {}
        self.current: Voice | None = None
        self.label: str | None = None
        self.programs: dict[int, int] = {}  # MIDI channel -> program
        self.macros = Macros()
        self.warnings: list[str] = []

    def complain(self, line: Line) -> None:
        """Add a warning that a field is left out."""
        if len(self.warnings) < MOST_COMPLAINTS:
            field = f"{line.kind}:{line.text[:40]}"
            self.warnings.append(f"fields: {field!r} can't be read as it stands and was left out")

    # ---- lines -------------------------------------------------------------------------------------------

    def take(self, line: Line) -> None:
        if line.kind:
            self.shared.fields += 1
            self.shared.check()
        if line.kind == "%":
            self.directive(line.text)
        elif line.kind:
            self.field(line)
        elif self.in_body:
            self.music(line.text)
        elif not self.has_key:
            self.warnings.append("key: the tune has no K: field; C major is taken")
            self.begin_body()
            self.music(line.text)
        else:
            self.shared.counts["header"] += 1

    def music(self, text: str) -> None:
        self.shared.check()
        text = self.macros.expand(text)
        at = 0
        if "[" in text:
            for found in INLINE.finditer(text):
                if found[1] is None:
                    continue
                self.play(text[at : found.start()])
                self.shared.fields += 1
                self.shared.check()
                self.field(Line(found[1], found[2].strip()), inline=True)
                at = found.end()
        self.play(text[at:])

    def play(self, text: str) -> None:
        text = text.strip(" \t`\\")
        if not text:
            return
        voice = self.current or self.voice(next(iter(self.announced), "1"))
        if self.label is not None:
            self.begin_part(voice, self.label)
            self.label = None
        if not voice.labels_parts:
            for label in self.sections[len(voice.signs.labels) :]:
                voice.label(label)
        voice.music(text)

    def begin_body(self) -> None:
        self.in_body = True
        if not self.has_unit:
            numerator, denominator = self.setup.meter
            short = numerator and Fraction(numerator, denominator) < Fraction(3, 4)
            self.setup.unit = Fraction(1, 16 if short else 8)

    # ---- voices and parts --------------------------------------------------------------------------------

    def voice(self, name: str) -> Voice:
        """Make the voice of this name the current one, and create it if it is new."""
        if name not in self.voices:
            if len(self.voices) >= self.shared.limits.tracks:
                limit = self.shared.limits.tracks
                raise self.shared.refuse(f"has more than {limit} voices", "raise the limit with `Limits.tracks`")
            setup = replace(self.setup)
            setup.program = self.programs.get(setup.channel or len(self.voices) + 1, setup.program)
            props, directives = self.announced.get(name, (Props(), []))
            self.voices[name] = self.current = Voice(self.shared, setup)
            _apply(props, setup)
            for text in directives:
                self.directive(text)
            self.current.set_up()
            self.current.program = setup.program
            if setup.key.fifths is not None:
                self.current.add_key()
            self.current.add_meter()
            if self.header_tempo:
                self.tempo(Line("Q", self.header_tempo))
                self.header_tempo = ""
        self.current = self.voices[name]
        return self.current

    def begin_part(self, voice: Voice, label: str) -> None:
        begun = len(voice.signs.labels)
        voice.labels_parts = True
        if self.sections[begun : begun + 1] != [label]:
            self.sections = [*self.sections[:begun], label]
        voice.label(label)

    # ---- fields ------------------------------------------------------------------------------------------

    def field(self, line: Line, *, inline: bool = False) -> None:
        """Apply a field: in the header, on a line of its own, or within a line of music."""
        kind, text = line.kind, line.text
        if kind == "K":
            self.key(line)
            if not (self.in_body or inline):
                self.begin_body()
        elif kind == "M":
            self.meter(line)
        elif kind == "L":
            unit = unit_of(text)
            if unit is None:
                self.complain(line)
                return
            self.has_unit = True
            self.change(unit=unit)
        elif kind == "Q":
            if self.current is None:
                self.header_tempo = text
            else:
                self.tempo(line)
        elif kind == "V":
            self.voice_field(line)
        elif kind == "P":
            self.part(line)
        elif kind == "I":
            self.directive(text)
        elif kind == "U":
            found = re.match(r"([H-Wh-w~.])[ \t]*=[ \t]*(?:([!+])([^!+]*)\2|(\"[^\"]*\")|(\S*))", text)
            if found is None:
                self.complain(line)
            else:
                self.shared.symbols[found[1]] = found[3] or found[4] or found[5] or "nil"
        elif kind == "m":
            if not self.macros.add(text):
                self.complain(line)
        elif kind == "s":
            self.shared.counts["symbol_lines"] += 1

    def change(self, **values: object) -> None:
        """Change the setup of the current voice, or, before the first voice, that of all voices to come."""
        setup = self.setup if self.current is None else self.current.setup
        for name, value in values.items():
            setattr(setup, name, value)
        if self.current is not None:
            self.current.set_up()

    def key(self, line: Line) -> None:
        try:
            key, rest = key_of(line.text)
        except ValueError:
            self.complain(line)
            return
        props = properties(rest)
        if key is None and not (rest and props != Props()):
            self.complain(line)
            return
        setup = self.setup if self.current is None else self.current.setup
        _apply(props, setup)
        if key is not None:
            setup.key = key
        if self.current is not None:
            self.current.set_up()
            if key is not None:
                self.current.add_key()

    def meter(self, line: Line) -> None:
        meter = meter_of(line.text)
        if meter is None:
            self.complain(line)
            begin = re.match(r"C\|?(?=[ \t])|[(\d+)]+[ \t]*/[ \t]*\d+(?=[ \t])", line.text)
            meter = meter_of(begin[0]) if begin is not None else None
        if meter is None:
            return
        self.change(meter=meter)
        if self.current is not None:
            self.current.add_meter()

    def tempo(self, line: Line) -> None:
        voice = self.current
        assert voice is not None
        try:
            bpm = tempo_of(line.text, voice.setup.unit)
        except ValueError:
            self.complain(line)
            return
        if bpm is not None and bpm <= 0:
            self.complain(line)
        elif bpm is not None:
            voice.tempos.append((voice.bar, voice.time, bpm))

    def voice_field(self, line: Line) -> None:
        name, _, rest = line.text.partition(" ")
        if not name:
            self.complain(line)
            return
        props = properties(rest)
        if not self.in_body:
            before, directives = self.announced.get(name, (Props(), []))
            given = {k: v for k, v in vars(props).items() if v is not None}
            self.announced[name] = (replace(before, **given), directives)
            self.announcing = name
            return
        voice = self.voice(name)
        if props != Props():
            _apply(props, voice.setup)
            voice.set_up()

    def part(self, line: Line) -> None:
        if not self.in_body:
            self.order = parts_of(line.text)
            if self.order is None:
                self.complain(line)
        elif self.order is not None and line.text:
            if self.current is None:
                self.label = line.text[0]
            else:
                self.begin_part(self.current, line.text[0])

    # ---- directives --------------------------------------------------------------------------------------

    def directive(self, text: str) -> None:
        """Apply a directive (`%%..` or `I:..`) that changes the sound; others are ignored."""
        name, *words = text.replace("=", " ", 1).split()[:8] or [""]
        name = name.lower()
        if not self.in_body and self.announcing is not None and name == "midi":
            self.announced[self.announcing][1].append(text)
        elif name == "midi" and words:
            self.midi(words[0].lower(), words[1:])
        elif name == "propagate-accidentals" and words and words[0] in ("not", "octave", "pitch"):
            self.change(carry=words[0])
        elif name == "percmap" and len(words) > 1:
            self.drum(words[0], words[1])
        elif name == "octave" and words and re.fullmatch(r"[+-]?\d", words[0]):
            self.change(octave=int(words[0]))
        elif name == "abc-include":
            self.shared.counts["includes"] += 1

    def midi(self, name: str, words: list[str]) -> None:
        numbers = [int(w) for w in words if re.fullmatch(r"[+-]?\d{1,3}", w)]
        if name == "program" and numbers and 0 <= numbers[-1] <= 127:
            if len(numbers) == 1 or self.current is not None:
                self.change(program=numbers[-1])
            else:
                self.programs[numbers[0]] = numbers[1]
        elif name == "channel" and numbers:
            self.change(channel=numbers[0])
        elif name in ("transpose", "rtranspose") and numbers and abs(numbers[0]) <= 60:
            setup = self.setup if self.current is None else self.current.setup
            self.change(midi_transpose=numbers[0] + (setup.midi_transpose if name == "rtranspose" else 0))
        elif name == "drummap" and len(words) > 1:
            self.drum(words[0], words[1])
        elif name in ("nobarlines", "barlines"):
            self.change(carry="not" if name == "nobarlines" else "pitch")
        elif name in ("drumon", "droneon"):
            self.shared.counts["accompaniment"] += 1

    def drum(self, note: str, number: str) -> None:
        found = TOKEN.match(note)
        if found is not None and found["note"] and re.fullmatch(r"\d{1,3}", number) and int(number) < 128:
            alter = {"^": 1, "_": -1}.get((found[2] or " ")[0], 0) * len(found[2] or "")
            octave = 12 * ((found[5] or "").count("'") - (found[5] or "").count(","))
            self.shared.drums[PLACES[found[4]] + alter + octave] = int(number)

    # ---- the end -----------------------------------------------------------------------------------------

    def score(self) -> Score:
        names = [*(n for n in self.announced if n in self.voices), *(n for n in self.voices if n not in self.announced)]
        for name in names:
            self.voices[name].finish()
        voices = {name: self.voices[name] for name in names if self.voices[name].lengths}
        most = self.shared.limits.notes
        parts = parts_of_voices(voices, self.order, self.warnings, most_notes=most) if voices else [PartRows()]
        counts = self.shared.counts
        counts["macros"] += self.macros.transposing
        counted = [f"{name}: {agreed(text, counts[name])}" for name, text in WARNINGS.items() if counts[name]]
        return Score(parts, [*self.warnings, *counted])


def _apply(props: Props, setup: Setup) -> None:
    """Apply the further properties of a K: or V: field."""
    for name in ("octave", "clef_octave", "transpose", "percussion", "name"):
        value = getattr(props, name)
        if value is not None:
            setattr(setup, name, value)
