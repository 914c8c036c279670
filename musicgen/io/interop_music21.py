"""Conversion from and to music21 streams.

Time in music21 is a float or fraction of a quarter; in a piece it is ticks. Repeats, ties and transpositions of a score
are written out, as for score files (see `musicgen.io.scores`).
"""

from __future__ import annotations

import contextlib
import gc
import io
import warnings as python_warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from musicgen.errors import MusicgenError, UnreadableError, UsageError
from musicgen.io.midi import Limits
from musicgen.io.scores.assembly import assemble
from musicgen.io.scores.layout import FINE, VELOCITIES, PartRows, Score
from musicgen.io.scores.order import Bar
from musicgen.piece import MAX_MICROSECONDS, MIN_MICROSECONDS, Piece

__all__ = ["from_music21", "to_music21"]

DRUM_CHANNEL = 9
HINT = "give it a Score, a Part or a Measure of music21"
UNLIMITED = Limits(notes=10**9, tracks=10**6, hours=1e6)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence music21's output, and run the cyclic garbage collector less often on its many objects."""
    thresholds = gc.get_threshold()
    gc.set_threshold(200_000, 20, 50)  # a third less time, measured
    try:
        with (
            python_warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            python_warnings.simplefilter("ignore")
            yield
    finally:
        gc.set_threshold(*thresholds)


# ---- in --------------------------------------------------------------------------------------------------


def from_music21(stream: Any) -> Piece:
    """A `music21.stream.Score`, or another stream with notes, as a Piece with a track for each part.

    The resolution is 480 ticks a quarter if that is exact, else 10080. Velocities are those of the notes, else of the
    last dynamic mark. The piece's warnings name what can't be kept. Raises UsageError for a stream that can't be read.
    """
    try:
        with _quiet():
            from music21.stream import Stream

            if not isinstance(stream, Stream):
                raise UsageError(f"is a {type(stream).__name__}, not a stream of music21", hint=HINT)
            score = _Reader().score(stream)
    except (MusicgenError, MemoryError, ImportError):
        raise
    except Exception as error:  # music21 raises whatever the line at hand happens to raise
        reason = next(iter(str(error).splitlines()), "")[:160]
        raise UsageError(f"music21's stream can't be read ({type(error).__name__}: {reason})", hint=HINT) from None
    try:
        return assemble(score, where="music21's stream", limits=UNLIMITED)
    except UnreadableError as error:
        raise UsageError(f"music21's stream {error.what}", hint=HINT) from None


@dataclass
class _Rows(PartRows):
    """A part as music21 represents it: bars by onset, written pitches."""

    sounding: bool = True
    starts: list[int] = field(default_factory=list)
    end: int = 0
    transpositions: list[tuple[int, int]] = field(default_factory=list)  # onset in the part, semitones


class _Reader:
    """One walk through a music21 score."""

    def __init__(self) -> None:
        from music21 import chord, dynamics, harmony, instrument, key, layout, meter, note, repeat, stream, tempo

        self.chord, self.harmony, self.stream, self.layout = chord.ChordBase, harmony.Harmony, stream, layout
        self.note: Any = note
        self.marks = (dynamics.Dynamic, key.KeySignature, meter.TimeSignature, tempo.MetronomeMark)
        self.instrument, self.jump = instrument.Instrument, repeat.RepeatExpression
        self.warnings: list[str] = []
        self.skipped = {"graces": 0, "unpitched": 0}

    def score(self, score: Any) -> Score:
        streams = list(getattr(score, "parts", ())) or [score]
        parts = [self.part(stream) for stream in streams]
        texts = {
            "graces": "grace notes were left out",
            "unpitched": "notes without a General MIDI drum were left out",
        }
        self.warnings += [f"{k}: {n} {texts[k]}" for k, n in self.skipped.items() if n]
        for part in parts:
            part.lengths = np.diff([*part.starts, part.end]).tolist()
            self.sound_pitches(part)
        return Score(list(self.joined_staves(score, streams, parts)), self.warnings)

    def joined_staves(self, score: Any, streams: list[Any], parts: list[_Rows]) -> list[_Rows]:
        """The parts, with the staves of one instrument joined to one part."""
        places = {id(stream): i for i, stream in enumerate(streams)}
        gone: set[int] = set()
        for group in score.getElementsByClass(self.layout.StaffGroup):
            members = group.getSpannedElements()
            if len(members) > 1 and all(isinstance(m, self.stream.PartStaff) and id(m) in places for m in members):
                first, *others = (parts[places[id(m)]] for m in members)
                for other in others:
                    if other.lengths == first.lengths and other.is_drum == first.is_drum:
                        for row, velocity in other.velocities.items():
                            first.velocities[len(first.notes) + row] = velocity
                        first.notes += other.notes
                        first.levels += other.levels
                        gone.add(id(other))
        return [part for part in parts if id(part) not in gone]

    def sound_pitches(self, part: _Rows) -> None:
        if part.transpositions and not part.sounding and not part.is_drum and part.notes:
            at, semitones = np.array(sorted(part.transpositions, key=lambda t: t[0]), dtype=np.int64).T
            rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
            when = np.array(part.starts, dtype=np.int64)[rows[:, 0]] + rows[:, 1]
            rows[:, 3] += semitones[np.maximum(np.searchsorted(at, when, side="right") - 1, 0)]
            part.notes = [(bar, onset, duration, pitch, tie) for bar, onset, duration, pitch, tie in rows.tolist()]
        if not part.sounding:
            part.keys = []

    # ---- a part ----------------------------------------------------------------------------------------

    def part(self, stream: Any) -> _Rows:
        part = _Rows(name=str(getattr(stream, "partName", "") or "").strip())
        part.sounding = stream.atSoundingPitch is not False
        is_made = not stream.getElementsByClass(self.stream.Measure) and not isinstance(stream, self.stream.Measure)
        is_made = is_made and bool(stream.notesAndRests)
        source = stream.makeMeasures() if is_made else stream
        measures = list(source.getElementsByClass(self.stream.Measure)) or [source]
        for element in stream:
            if isinstance(element, self.instrument):
                self.instrument_of(part, element, _fine(element.offset))
        numbers = {id(m): i for i, m in enumerate(measures)}
        for i, measure in enumerate(measures):
            part.starts.append(_fine(measure.offset) if measure is not source else 0)
            part.bars.append(Bar(**_repeat_signs(measure)))
            self.walk(part, measure, i, 0)
        last = measures[-1]
        part.end = part.starts[-1] + _fine(last.barDuration.quarterLength if is_made else last.highestTime)
        for bracket in source.getElementsByClass("RepeatBracket"):
            inside = [numbers[id(m)] for m in bracket.getSpannedElements() if id(m) in numbers]
            for i in range(min(inside, default=0), max(inside, default=-1) + 1):
                part.bars[i].passes = frozenset(bracket.numberRange)
        return part

    def walk(self, part: _Rows, container: Any, bar: int, base: int) -> None:
        """Take the elements of a measure or voice; `base` is the container's onset in the bar."""
        for element in container:
            onset = base + _fine(element.offset)
            if isinstance(element, self.note.GeneralNote):
                if element.isRest:
                    continue
                if isinstance(element, self.harmony):
                    part.chords.append((bar, onset, str(element.figure).replace("-", "b")))
                elif element.duration.isGrace:
                    self.skipped["graces"] += 1
                else:
                    self.sound(part, element, bar, onset)
            elif isinstance(element, self.marks):
                self.mark(part, element, bar, onset)
            elif isinstance(element, self.jump):
                name = type(element).__name__
                part.bars[bar].marks += ("DalSegno" if name == "AlSegno" else name,)
            elif isinstance(element, self.instrument):
                self.instrument_of(part, element, part.starts[bar] + onset)
            elif element.isStream and not isinstance(element, self.stream.Measure):
                self.walk(part, element, bar, onset)

    def sound(self, part: _Rows, element: Any, bar: int, onset: int) -> None:
        duration = _fine(element.quarterLength)
        if duration < 1:
            self.skipped["graces"] += 1
            return
        single: Any = element
        for note in single.notes if isinstance(element, self.chord) else (single,):
            if isinstance(note, self.note.Unpitched):
                self.skipped["unpitched"] += 1
                continue
            # Each note of a chord may have its own tie; some formats tie the whole chord instead.
            tie = note.tie or element.tie
            kind = {"start": 1, "continue": 2, "stop": 3}.get(tie.type, 0) if tie is not None else 0
            for loud in (note, element):
                if loud.hasVolumeInformation() and loud.volume.velocity:
                    part.velocities[len(part.notes)] = int(loud.volume.velocity)
                    break
            part.notes.append((bar, onset, duration, round(note.pitch.ps), kind))

    def mark(self, part: _Rows, element: Any, bar: int, onset: int) -> None:
        dynamic, key, meter, _ = self.marks
        if isinstance(element, dynamic):
            if element.value in VELOCITIES:
                part.levels.append((bar, onset, VELOCITIES[element.value]))
        elif isinstance(element, meter):
            numerator, denominator = element.numerator, element.denominator
            if numerator and 1 <= numerator <= 64 and denominator in (1, 2, 4, 8, 16, 32, 64):
                part.meters[bar] = (numerator, denominator)
        elif isinstance(element, key):
            fifths = element.sharps
            if fifths is not None and -7 <= fifths <= 7:
                part.keys.append((bar, onset, fifths, getattr(element, "mode", None) == "minor"))
        else:
            bpm = element.getQuarterBPM(useNumberSounding=True)
            if bpm is None or not bpm > 0:
                return
            kept = min(max(round(60e6 / bpm), MIN_MICROSECONDS), MAX_MICROSECONDS)
            if not 4 <= bpm <= 1000:
                self.warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
            part.tempos.append((bar, onset, kept))

    def instrument_of(self, part: _Rows, element: Any, onset: int) -> None:
        if part.program is None and element.midiProgram is not None and 0 <= element.midiProgram <= 127:
            part.program = element.midiProgram
        part.is_drum = part.is_drum or element.midiChannel == DRUM_CHANNEL
        part.name = part.name or str(element.partName or element.instrumentName or "").strip()
        part.instrument = part.instrument or str(element.instrumentName or "")
        transposition = element.transposition
        part.transpositions.append((onset, int(transposition.chromatic.semitones) if transposition else 0))


def _fine(quarters: Any) -> int:
    """music21's float or Fraction of a quarter in FINE ticks."""
    return round(float(quarters) * FINE)


def _repeat_signs(measure: Any) -> dict[str, Any]:
    signs: dict[str, Any] = {}
    barlines: list[Any] = [getattr(measure, side, None) for side in ("leftBarline", "rightBarline")]
    for barline in barlines:
        if getattr(barline, "direction", None) == "start":
            signs["start"] = True
        elif getattr(barline, "direction", None) == "end":
            signs["times"] = barline.times or 2
    return signs


# ---- out -------------------------------------------------------------------------------------------------


def to_music21(piece: Piece) -> Any:
    """A Piece as a `music21.stream.Score`: a Part a track, with instrument, notes, chords, meters, keys and tempi.

    Parts are flat: `score.makeNotation()` puts bars, ties and voices in. Controllers and bends have no place there.
    """
    with _quiet():
        from music21 import chord, instrument, key, meter, note, stream, tempo

        score: Any = stream.Score()
        per = piece.ticks_per_quarter
        for number, track in enumerate(piece.tracks):
            part: Any = stream.Part(id=f"track {number + 1}")
            part.partName = track.name
            player: Any = instrument.Percussion() if track.is_drum else instrument.Instrument()
            player.partName, player.midiProgram = track.name, track.program
            player.midiChannel = DRUM_CHANNEL if track.is_drum else None
            part.insert(0, player)
            for tick, numerator, denominator in piece.meters.tolist():
                part.insert(Fraction(tick, per), meter.TimeSignature(f"{numerator}/{denominator}"))
            for tick, fifths, minor in piece.keys.tolist():
                signature = key.KeySignature(fifths)
                part.insert(Fraction(tick, per), signature.asKey("minor" if minor else "major"))
            if not number:
                for tick, microseconds in piece.tempos.tolist():
                    part.insert(Fraction(tick, per), tempo.MetronomeMark(number=60e6 / microseconds))
            together: dict[tuple[int, int], list[Any]] = {}
            for start, duration, pitch, velocity in track.notes.tolist():
                made: Any = note.Note(pitch)
                made.volume.velocity = velocity
                together.setdefault((start, duration), []).append(made)
            for (start, duration), notes in together.items():
                element = notes[0] if len(notes) == 1 else chord.Chord(notes)
                element.quarterLength = Fraction(duration, per)
                part.insert(Fraction(start, per), element)
            score.insert(0, part)
        return score
