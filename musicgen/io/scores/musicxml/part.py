"""One part of a MusicXML score: its notes, and what stands between them, as rows by measure.

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
    """What `<midi-instrument>` says: channel, program and drum key as MIDI numbers, the last two from 0."""

    channel: int | None = None
    program: int | None = None
    drum: int | None = None


@dataclass
class PartInfo:
    """What the part list says of a part; its instruments by id, the first one first."""

    name: str = ""
    instrument: str = ""
    instruments: dict[str, Instrument] = field(default_factory=dict)


@dataclass(frozen=True)
class Tempo:
    """A tempo in quarters a minute, or a change by a factor; `rank` 1 where it says how to play, 0 how it looks."""

    bar: int
    onset: int
    rank: int
    quarters: Fraction | None
    factor: Fraction | None


class Part(Cursor):
    """The rows of a part, and what waits until all parts are known: signs, tempi, repeated bars.

    `rows` are its melodic notes, `drums` those for a drum kit. `most` of the `limit` of notes are left for it.
    """

    def __init__(self, info: PartInfo, where: object, counts: Counter[str], *, most: int, limit: int) -> None:
        super().__init__(where, counts)
        self.info, self.most, self.limit = info, most, limit
        self.rows, self.drums = PartRows(info.name or info.instrument, info.instrument), PartRows(is_drum=True)
        self.lengths = self.rows.lengths
        self.used: Counter[int | None] = Counter()  # programs, by their notes
        self.voices = {"": 0}  # numbers by name
        self.default = next(iter(info.instruments), "")
        self.has_instruments = len(info.instruments) > 1 or any(i.channel == DRUMS for i in info.instruments.values())
        self.is_plain = not self.has_instruments  # and all staves transposed alike
        self.signs: list[Sign] = []
        self.tempos: list[Tempo] = []
        self.repeats: list[tuple[int, int]] = []  # (measure, how many measures its repeat sign repeats; 0 ends it)
        self.transpositions: dict[str, Transposition] = {}
        self.shift = Transposition()

    def end(self) -> None:
        """The measure is over. Raises UnreadableError past the limit of notes."""
        super().end()
        if len(self.rows.notes) + len(self.drums.notes) > self.most:
            what = f"has more than {self.limit:,} notes"
            raise UnreadableError(what, where=self.where, hint="raise the limit with --max-notes")

    # ---- notes -----------------------------------------------------------------------------------------

    def note(self, fields: dict[str, Any], attributes: dict[str, str]) -> None:
        """`<note>`, from the texts and flags of its children."""
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
        """The number of a voice, from 1; 0 without a name."""
        return self.voices.setdefault(name.strip(), len(self.voices))

    def _timeless(self, fields: dict[str, Any]) -> None:
        """Count a note that takes no time."""
        if "grace" in fields:
            self.counts["graces"] += "cue" not in fields and "rest" not in fields
        else:
            self.counts["no_duration"] += 1

    def _sounds(self, fields: dict[str, Any], length: int) -> bool:
        """Whether a note sounds; one that doesn't is counted."""
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
        """(the sounding pitch, None where there is none; an octave that sounds beside it; the rows it belongs to)."""
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
        """The written pitch of (step, alter, octave) as a MIDI number, quarter tones to the half step above."""
        step, alter, octave = (part if part is None else part.strip() for part in name)
        height, shift = number_of(octave), number_of(alter or "0")
        if step not in CLASSES or height is None or height.denominator != 1 or shift is None:
            return None
        if abs(height) > 12 or abs(shift) > 12:
            return None
        self.counts["microtones"] += shift.denominator != 1
        return int(12 * (height + 1) + CLASSES[step or ""] + (shift + Fraction(1, 2)) // 1)

    def _mark(self, rows: PartRows, attributes: dict[str, str]) -> None:
        """What a note says of itself: how loud it is, and in which passes it sounds."""
        velocity = velocity_of(attributes.get("dynamics"))
        if velocity is not None:
            rows.velocities[len(rows.notes)] = velocity
        passes = frozenset(int(n) for n in re.findall(r"\d{1,3}", attributes.get("time-only", ""))[:100])
        if passes:
            rows.only[len(rows.notes)] = passes

    # ---- what stands between notes ---------------------------------------------------------------------

    def attributes(self, element: Element) -> None:
        """`<attributes>`: divisions, key, time, transposition, measures written as repeats."""
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
        for child in element.findall("key"):  # last, as it is told in written pitch
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
        else:  # behind notes it announces the next measure's
            self.rows.meters[self.bar + (self.cursor > 0)] = meter

    def direction(self, element: Element) -> None:
        """`<direction>`: dynamics, tempi, jumps. Its offset moves what is drawn, and what is played if it says so."""
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
                if level is None:  # an accent of a moment
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
        """`<sound>` that stands for itself."""
        offset = element.find("offset")
        at = self.cursor if offset is None else self._offset(offset)
        self.signs += self._sound_of(element, at, [], alone=True)

    def _sound_of(self, sound: Element, at: int, signs: list[Sign], *, alone: bool) -> list[Sign]:
        """Take what `<sound>` says; the signs that it and the words beside it give."""
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
        """Where `<offset>` leads, in units; not to before the bar."""
        value = number_of(element.text)
        if value is None or abs(value) > LONGEST_QUARTERS * (self.divisions or 1):
            return self.cursor
        return max(0, self.cursor + round(value * self.unit / (self.divisions or 1)))

    def harmony(self, element: Element) -> None:
        """`<harmony>`: a chord symbol, kept and not played."""
        offset = element.find("offset")
        at = self.cursor if offset is None else self._offset(offset)
        symbol = chord_symbol(element, self.transpositions.get("1", self.shift).semitones)
        if symbol is None:
            self.counts["rootless"] += 1
        else:
            self.rows.chords.append((self.bar, self.fine(at), symbol))

    def barline(self, element: Element) -> None:
        """`<barline>`: repeats and endings, at the measure's begin, at its end, or where it stands."""
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

    # ---- when all is read --------------------------------------------------------------------------------

    def stretch(self, factors: dict[int, Fraction]) -> None:
        """Make measures longer or shorter by a factor, with all that stands in them."""

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
    """`<sound>` without what one of its attributes says."""
    copied = Element(sound.tag, {key: value for key, value in sound.attrib.items() if key != attribute})
    copied.extend(sound)
    return copied
