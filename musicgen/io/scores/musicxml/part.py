"""One part of a MusicXML score as rows by measure: its notes, and the elements between them.

Source: MusicXML 4.0 (W3C), the elements' own pages.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any
from xml.etree.ElementTree import Element

from musicgen.errors import UnreadableError
from musicgen.io.scores.layout import FINE, PartRows
from musicgen.io.scores.musicxml.cursor import LONGEST_QUARTERS, Cursor
from musicgen.io.scores.musicxml.marks import (
    CLASSES,
    PITCHES,
    Transposition,
    chord_symbol,
    key_of,
    level_of,
    meter_of,
    metronome_of,
    number_of,
    transposition_of,
    velocity_of,
)
from musicgen.io.scores.musicxml.words import ALONE, Sign, signs_of_sound, signs_of_words

__all__ = ["Instrument", "Part", "PartInfo", "Tempo"]

DRUMS = 10  # General MIDI's channel
NO_SHIFT = Transposition()
TIE = {0: 0, 1: 1, 2: 3, 3: 2, 4: 2, 5: 2, 6: 2, 7: 2}  # bits 1 start, 2 stop, 4 continue -> 1 start, 2 both, 3 stop


@dataclass
class Instrument:
    """A `<midi-instrument>`: channel (from 1), program and drum key (both from 0)."""

    channel: int | None = None
    program: int | None = None
    drum: int | None = None


@dataclass
class PartInfo:
    """The entry of a part in the part list; its instruments by id, in file order."""

    name: str = ""
    instrument: str = ""
    instruments: dict[str, Instrument] = field(default_factory=dict)


@dataclass(frozen=True)
class Tempo:
    """A tempo in quarters a minute, or a change by a factor; `rank` is 1 for a `<sound>`, 0 for a printed mark."""

    bar: int
    onset: int
    rank: int
    quarters: Fraction | None
    factor: Fraction | None


class Part(Cursor):
    """The rows of a part, and what is evaluated once all parts are read: signs, tempi, repeated measures.

    `rows` holds its melodic notes, `drums` those for a drum kit. Of the `limit` on notes of the score, `most` are left
    for this part.
    """

    def __init__(self, info: PartInfo, where: object, counts: Counter[str], *, most: int, limit: int) -> None:
        super().__init__(where, counts)
        self.info, self.most, self.limit = info, most, limit
        self.rows, self.drums = PartRows(info.name or info.instrument, info.instrument), PartRows(is_drum=True)
        self.lengths = self.rows.lengths
        self.used: Counter[int | None] = Counter()  # program -> number of notes
        self.voices = {"": 0}  # name -> number
        self.default = next(iter(info.instruments), "")
        self.has_instruments = len(info.instruments) > 1 or any(i.channel == DRUMS for i in info.instruments.values())
        self.is_plain = not self.has_instruments  # one instrument, and all staves transposed alike
        self.signs: list[Sign] = []
        self.tempos: list[Tempo] = []
        self.repeats: list[tuple[int, int]] = []  # (measure, how many its measure-repeat repeats; 0: stop)
        self.transpositions: dict[str, Transposition] = {}
        self.shift = Transposition()

    def end(self) -> None:
        """End the measure. Raises UnreadableError past the limit on notes."""
        super().end()
        if len(self.rows.notes) + len(self.drums.notes) > self.most:
            what = f"has more than {self.limit:,} notes"
            raise UnreadableError(what, where=self.where, hint="raise the limit with `Limits.notes`")

    # ---- notes -----------------------------------------------------------------------------------------

    def note(self, fields: dict[str, Any], attributes: dict[str, str]) -> None:
        """Add a `<note>`, given by the texts and flags of its children."""
        duration = fields.get("duration")
        if duration is None or "grace" in fields:
            self._timeless(fields)
            return
        length = self.known.get(duration)
        if length is None:
            length = self.length(duration)
        if "chord" in fields:
            onset = self.last
        else:
            onset = self.last = self.cursor
            self.cursor = end = onset + length
            if "rest" in fields:
                if fields["rest"].get("measure") == "yes":
                    self.resting = max(self.resting, end)
                else:
                    self.fill(end)
                return
            if end > self.filled:
                self.fill(end)
        if self.unit != FINE:
            end = self.fine(onset + length)
            onset = self.fine(onset)
            length = end - onset
        is_odd = length < 1 or "cue" in fields or "notehead" in fields or "rest" in fields
        if is_odd and not self._sounds(fields, length):
            return
        if "midi" in fields and self.is_plain:
            pitch, beside, rows = fields["midi"] + self.shift.semitones, self.shift.beside, self.rows
        else:
            pitch, beside, rows = self._pitch_of(fields)
            if pitch is None:
                return
        if "dynamics" in attributes or "time-only" in attributes:
            self._mark(rows, attributes)
        tie = TIE[fields["tie"]] + 4 * self._voice(fields.get("voice", "")) if "tie" in fields else 0
        rows.notes.append((self.bar, onset, length, pitch, tie))
        if beside:
            rows.notes.append((self.bar, onset, length, pitch + beside, tie))
        if "dynamics" in fields:
            rows.levels.append((self.bar, onset, fields["dynamics"]))

    def _voice(self, name: str) -> int:
        """The number of the voice with this name, from 1; 0 for an empty name."""
        return self.voices.setdefault(name.strip(), len(self.voices))

    def _timeless(self, fields: dict[str, Any]) -> None:
        """Count a grace note or other note without duration."""
        if "grace" in fields:
            self.counts["graces"] += "cue" not in fields and "rest" not in fields
        else:
            self.counts["no_duration"] += 1

    def _sounds(self, fields: dict[str, Any], length: int) -> bool:
        """Whether a note sounds; counts it if it doesn't."""
        if "rest" in fields:
            return False
        if "cue" in fields:
            self.counts["cues"] += 1
        elif fields.get("notehead", "").strip() == "slash":
            self.counts["slashes"] += 1
        elif length < 1:
            self.counts["graces"] += 1
        else:
            return True
        return False

    def _pitch_of(self, fields: dict[str, Any]) -> tuple[int | None, int, PartRows]:
        """(sounding pitch or None, octave doubling in semitones or 0, the rows that the note belongs to)."""
        shift = self.shift
        if self.has_instruments or "unpitched" in fields:
            ident = (fields["instrument"].get("id") or "") if "instrument" in fields else self.default
            instrument = self.info.instruments.get(ident)
            if "unpitched" in fields:
                drum = None if instrument is None else instrument.drum
                self.counts["unpitched"] += drum is None
                return drum, 0, self.drums
            if instrument is not None and instrument.channel == DRUMS:
                shift = NO_SHIFT
            else:
                self.used[None if instrument is None else instrument.program] += 1
        else:
            instrument = None
        name = (fields.get("step"), fields.get("alter"), fields.get("octave"))
        pitch = PITCHES.get(name)
        if pitch is None:
            pitch = self._odd_pitch(name)
            if pitch is None:
                self.counts["bad_pitches"] += 1
                return None, 0, self.rows
        if instrument is not None and instrument.channel == DRUMS:
            return pitch, 0, self.drums
        if self.transpositions:
            shift = self.transpositions.get((fields.get("staff") or "1").strip(), shift)
        return pitch + shift.semitones, shift.beside, self.rows

    def _odd_pitch(self, name: tuple[str | None, str | None, str | None]) -> int | None:
        """The written pitch of (step, alter, octave) as a MIDI number; quarter tones are rounded up to a half step."""
        step, alter, octave = (part if part is None else part.strip() for part in name)
        height, shift = number_of(octave), number_of(alter or "0")
        if step not in CLASSES or height is None or height.denominator != 1 or shift is None:
            return None
        if abs(height) > 12 or abs(shift) > 12:
            return None
        self.counts["microtones"] += shift.denominator != 1
        return int(12 * (height + 1) + CLASSES[step or ""] + (shift + Fraction(1, 2)) // 1)

    def _mark(self, rows: PartRows, attributes: dict[str, str]) -> None:
        """Store the attributes of the note to be added next: its velocity, and the passes in which it sounds."""
        velocity = velocity_of(attributes.get("dynamics"))
        if velocity is not None:
            rows.velocities[len(rows.notes)] = velocity
        passes = frozenset(int(n) for n in re.findall(r"\d{1,3}", attributes.get("time-only", ""))[:100])
        if passes:
            rows.only[len(rows.notes)] = passes

    # ---- elements between notes ------------------------------------------------------------------------

    def attributes(self, element: Element) -> None:
        """Apply `<attributes>`: divisions, key, time, transposition, measure repeats."""
        for child in element:
            number = child.get("number", "1")
            if child.tag == "divisions":
                self.divide(child.text or "")
            elif child.tag == "transpose":
                self._transpose(child)
            elif child.tag == "time" and number == "1":
                self._meter(child)
            elif child.tag == "measure-style":
                for style in child.findall("measure-repeat"):
                    count = number_of(style.text)
                    is_start = style.get("type") == "start" and count is not None and 1 <= count <= 100
                    self.repeats.append((self.bar, int(count) if is_start and count is not None else 0))
        for child in element.findall("key"):  # last: its written pitch depends on the transposition
            if child.get("number", "1") == "1":
                key = key_of(child, self.transpositions.get("1", self.shift))
                if key is not None:
                    self.rows.keys.append((self.bar, self.fine(self.cursor), *key))

    def _transpose(self, element: Element) -> None:
        shift = transposition_of(element)
        if shift is None:
            raise self.refuse("a transposition that can't be read")
        if "number" in element.attrib:
            self.transpositions[element.get("number", "").strip()] = shift
            self.is_plain = False
        else:
            self.shift = shift
            self.transpositions.clear()

    def _meter(self, element: Element) -> None:
        if element.find("senza-misura") is not None:
            return
        meter = meter_of(element)
        if meter is None:
            self.counts["meters"] += 1
        else:  # behind notes it is a courtesy meter for the next measure
            self.rows.meters[self.bar + (self.cursor > 0)] = meter

    def direction(self, element: Element) -> None:
        """Apply `<direction>`: dynamics, tempi, jumps. Its offset moves its `<sound>` only if it has `sound="yes"`."""
        if not len(element):
            return
        offset, drawn, played = element.find("offset"), self.cursor, self.cursor
        if offset is not None:
            drawn = self._offset(offset)
            played = drawn if offset.get("sound") == "yes" else played
        sound, words = element.find("sound"), []
        level = None
        for child in element:
            if child.tag == "dynamics":
                level = level_of(child)
                if level is None:  # an accent on one note
                    sound = sound if sound is None else _without(sound, "dynamics")
            elif child.tag == "metronome" and (sound is None or "tempo" not in sound.attrib):
                self._tempo(drawn, 0, metronome_of(child))
            elif child.tag in ("segno", "coda"):
                words.append(f"<{child.tag}>")
            elif child.tag in ("words", "symbol"):
                words.append("".join(child.itertext()))
        if level is not None and (sound is None or "dynamics" not in sound.attrib):
            self.rows.levels.append((self.bar, self.fine(drawn), level))
        signs = signs_of_words(words, self.bar, self.fine(drawn)) if words else []
        if sound is not None:
            signs = self._sound_of(sound, played, signs, alone=False)
        self.signs += signs

    def sound(self, element: Element) -> None:
        """Apply a `<sound>` outside a `<direction>`."""
        offset = element.find("offset")
        at = self.cursor if offset is None else self._offset(offset)
        self.signs += self._sound_of(element, at, [], alone=True)

    def _sound_of(self, sound: Element, at: int, signs: list[Sign], *, alone: bool) -> list[Sign]:
        """Apply the tempo and dynamics of `<sound>`; returns the signs that follow from it and the words beside it."""
        if "tempo" in sound.attrib:
            quarters = number_of(sound.get("tempo"))
            self._tempo(at, 1, (quarters, None) if quarters and quarters > 0 else None)
        velocity = velocity_of(sound.get("dynamics"))
        if velocity is not None:
            self.rows.levels.append((self.bar, self.fine(at), velocity))
        self.counts["swing"] += sound.find("swing") is not None
        self.counts["instruments"] += sound.find("instrument-change") is not None
        return signs_of_sound(sound, self.bar, self.fine(at), signs, alone=alone)

    def _tempo(self, at: int, rank: int, tempo: tuple[Fraction | None, Fraction | None] | None) -> None:
        if tempo is None:
            self.counts["tempos"] += 1
        else:
            self.tempos.append(Tempo(self.bar, self.fine(at), rank, *tempo))

    def _offset(self, element: Element) -> int:
        """The position at `<offset>`, in units, but not before the begin of the measure."""
        value = number_of(element.text)
        if value is None or abs(value) > LONGEST_QUARTERS * (self.divisions or 1):
            return self.cursor
        return max(0, self.cursor + round(value * self.unit / (self.divisions or 1)))

    def harmony(self, element: Element) -> None:
        """Store the chord symbol of `<harmony>`, which isn't played."""
        offset = element.find("offset")
        at = self.cursor if offset is None else self._offset(offset)
        symbol = chord_symbol(element, self.transpositions.get("1", self.shift).semitones)
        if symbol is None:
            self.counts["rootless"] += 1
        else:
            self.rows.chords.append((self.bar, self.fine(at), symbol))

    def barline(self, element: Element) -> None:
        """Apply `<barline>`: repeats and endings, at the measure's begin, at its end, or at the cursor."""
        place = element.get("location", "right")
        onset = {"left": 0, "middle": self.fine(self.cursor)}.get(place, -1)
        for child in element:
            if child.tag in ("segno", "coda"):
                self.signs += signs_of_words([f"<{child.tag}>"], self.bar, onset)
            elif child.tag == "repeat":
                times = number_of(child.get("times")) or Fraction(2)
                kind = {"forward": "start", "backward": "times"}.get(child.get("direction", ""))
                if kind:
                    self.signs.append(
                        Sign(self.bar, onset, kind, times=int(min(abs(times), Fraction(10**6))), source=ALONE)
                    )
                self.counts["after_jump"] += child.get("after-jump") == "yes"
            elif child.tag == "ending":
                kind = "ending" if child.get("type") == "start" else "ended"
                numbers = child.get("number", "").strip() or (child.text or "")
                self.signs.append(Sign(self.bar, onset, kind, label=numbers, source=ALONE))
        if place == "middle":
            self.signs.append(Sign(self.bar, onset, "line", source=ALONE))

    # ---- after reading -----------------------------------------------------------------------------------

    def stretch(self, factors: dict[int, Fraction]) -> None:
        """Scale measures by factors (measure -> factor), together with all times in them."""

        def at(bar: int, onset: int) -> int:
            return round(onset * factors[bar]) if bar in factors and onset > 0 else onset

        for rows in (self.rows, self.drums):
            rows.notes = [(b, at(b, o), at(b, o + d) - at(b, o), pitch, tie) for b, o, d, pitch, tie in rows.notes]
            for name in ("levels", "keys", "chords"):
                setattr(rows, name, [(b, at(b, o), *rest) for b, o, *rest in getattr(rows, name)])
        self.tempos = [replace(tempo, onset=at(tempo.bar, tempo.onset)) for tempo in self.tempos]
        self.signs = [replace(sign, onset=at(sign.bar, sign.onset)) for sign in self.signs]
        for bar in factors:
            self.lengths[bar] = at(bar, self.lengths[bar])
            self.rows.meters.pop(bar, None)


def _without(sound: Element, attribute: str) -> Element:
    """A copy of `<sound>` without one of its attributes."""
    copied = Element(sound.tag, {key: value for key, value in sound.attrib.items() if key != attribute})
    copied.extend(sound)
    return copied
