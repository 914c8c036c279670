"""Scores through music21: its streams as parts, bar by bar."""

from __future__ import annotations

import contextlib
import gc
import io
import warnings as python_warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.files import ScoreText
from musicgen.io.scores.layout import FINE, VELOCITIES, PartRows, Score, nominal_meters
from musicgen.io.scores.order import Bar
from musicgen.piece import MAX_MICROSECONDS, MIN_MICROSECONDS

__all__ = ["score_of"]

# ---- through music21 -----------------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence music21 and keep the cyclic collector from walking its graph of objects over and over."""
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


def score_of(source: ScoreText, path: Path, limits: Limits) -> Score:
    """What music21 reads in a text. Raises UnreadableError, which names the file `path`."""
    hint = "open it in a notation program and export it as MusicXML or MIDI"
    try:
        with _quiet():
            from music21 import converter

            # From text: neither a pickle of music21's nor a second look at the file can come between.
            score: Any = converter.parseData(source.text, format=source.format)
            scores = list(score.scores) if "Opus" in score.classes else [score]
            if not scores:
                raise UnreadableError("has no score", where=path, hint=hint)
            return _Reader(source, path, limits).score(scores[0])
    except (MusicgenError, MemoryError):
        raise
    except RecursionError:
        raise UnreadableError("is nested too deeply", where=path, hint=hint) from None
    except Exception as error:  # music21 raises whatever the line at hand happens to raise
        reason = next(iter(str(error).splitlines()), "")[:160]
        what = f"can't be read as {source.format} ({type(error).__name__}{': ' if reason else ''}{reason})"
        raise UnreadableError(what, where=path, hint=hint) from None


@dataclass
class _Rows(PartRows):
    """A part as music21 places it: bars by onset, written pitches."""

    part_id: str = ""
    sounding: bool = True
    starts: list[int] = field(default_factory=list)
    end: int = 0
    transpositions: list[tuple[int, int]] = field(default_factory=list)  # onset in the part, semitones


class _Reader:
    """One walk through a music21 score."""

    def __init__(self, source: ScoreText, path: Path, limits: Limits) -> None:
        from music21 import chord, dynamics, harmony, instrument, key, meter, note, repeat, stream, tempo

        self.source, self.path, self.limits = source, path, limits
        self.chord, self.harmony, self.stream = chord.ChordBase, harmony.Harmony, stream
        self.note: Any = note
        self.marks = (dynamics.Dynamic, key.KeySignature, meter.TimeSignature, tempo.MetronomeMark)
        self.instrument, self.jump = instrument.Instrument, repeat.RepeatExpression
        self.warnings: list[str] = []
        self.skipped = {"graces": 0, "unpitched": 0, "pitches": 0}

    def score(self, score: Any) -> Score:
        parts = [self.part(p) for p in (list(score.parts) or [score])]
        said = {
            "graces": "grace notes were left out",
            "unpitched": "notes without a General MIDI drum were left out",
            "pitches": "notes outside MIDI's pitches were left out",
        }
        self.warnings += [f"{k}: {n} {said[k]}" for k, n in self.skipped.items() if n]
        if self.source.format == "humdrum" and any(p.starts for p in parts):
            _rebar(parts)
        for part in parts:
            part.lengths = np.diff([*part.starts, part.end]).tolist()
            self.sound_pitches(part)
        return Score(list(parts), self.warnings)

    def sound_pitches(self, part: _Rows) -> None:
        if part.transpositions and not part.sounding and not part.is_drum:
            at, semitones = np.array(sorted(part.transpositions, key=lambda t: t[0]), dtype=np.int64).T
            rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
            when = np.array(part.starts, dtype=np.int64)[rows[:, 0]] + rows[:, 1]
            rows[:, 3] += semitones[np.maximum(np.searchsorted(at, when, side="right") - 1, 0)]
            part.notes = [(bar, onset, duration, pitch, tie) for bar, onset, duration, pitch, tie in rows.tolist()]
        if not part.sounding:
            part.keys = []

    # ---- a part ----------------------------------------------------------------------------------------

    def part(self, stream: Any) -> _Rows:
        part = _Rows(name=str(stream.partName or "").strip())
        part.sounding = stream.atSoundingPitch is not False
        measures = list(stream.getElementsByClass(self.stream.Measure))
        for element in stream:
            if isinstance(element, self.instrument):
                self.instrument_of(part, element, _fine(element.offset))
        if not measures:  # ABC without bar lines: one long bar
            part.starts.append(0)
            part.bars.append(Bar())
            self.walk(part, stream, 0, 0)
            part.end = _fine(stream.highestTime)
            return part
        numbers = {id(m): i for i, m in enumerate(measures)}
        for i, measure in enumerate(measures):
            offset = _fine(measure.offset)
            part.starts.append(offset)
            part.bars.append(Bar(**_repeat_signs(measure)))
            self.walk(part, measure, i, 0)
        part.end = part.starts[-1] + _fine(measures[-1].highestTime)
        for bracket in stream.getElementsByClass("RepeatBracket"):
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
            # Each note of a chord has its own tie; where a format ties the whole chord, that one holds.
            tie = note.tie or element.tie
            kind = {"start": 1, "continue": 2, "stop": 3}.get(tie.type, 0) if tie is not None else 0
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
        part.name = part.name or str(element.partName or element.instrumentName or "").strip()
        part.instrument = part.instrument or str(element.instrumentName or "")
        part.part_id = part.part_id or str(element.partId or "")
        transposition = element.transposition
        part.transpositions.append((onset, int(transposition.chromatic.semitones) if transposition else 0))


def _fine(quarters: Any) -> int:
    """music21's float or Fraction of a quarter in FINE ticks."""
    return round(float(quarters) * FINE)


def _repeat_signs(measure: Any) -> dict[str, Any]:
    signs: dict[str, Any] = {}
    for barline in (measure.leftBarline, measure.rightBarline):
        if getattr(barline, "direction", None) == "start":
            signs["start"] = True
        elif getattr(barline, "direction", None) == "end":
            signs["times"] = barline.times or 2
    return signs


def _rebar(parts: list[_Rows]) -> None:
    """Give all parts the same bar lines, in place; for formats where a note may cross them.

    In kern a note or rest of four bars stands in the first of them, and music21 lets the next bar of that part
    begin at its end. Onsets in the part are right all the same, so each bar begins where the earliest part says.
    """
    n = max(len(p.starts) for p in parts)
    starts = np.min([p.starts for p in parts if len(p.starts) == n], axis=0)
    starts = np.maximum.accumulate(np.append(starts, max(p.end for p in parts)))
    nominal = nominal_meters(parts, n)
    # A line that every part crosses seems to come late; put it back where the bars around it say.
    for i in range(n):
        bar = 4 * FINE * nominal[i][0] // nominal[i][1]
        for k in range(2, 17):
            if starts[i + 1] - starts[i] <= bar or i + k > n or nominal[i + k - 1] != nominal[i]:
                break
            if starts[i + k] - starts[i] == bar * k:
                starts[i : i + k] = starts[i] + bar * np.arange(k)

    for part in parts:
        own = np.array(part.starts, dtype=np.int64)

        def moved(rows: list, own: np.ndarray = own) -> list:
            onsets = np.array([(r[0], r[1]) for r in rows], dtype=np.int64).reshape(-1, 2)
            onsets = own[onsets[:, 0]] + onsets[:, 1]
            bars = np.clip(np.searchsorted(starts[:-1], onsets, side="right") - 1, 0, n - 1)
            places = zip(bars.tolist(), (onsets - starts[bars]).tolist(), rows, strict=True)
            return [(bar, onset, *row[2:]) for bar, onset, row in places]

        part.notes, part.levels = moved(part.notes), moved(part.levels)
        part.keys, part.tempos = moved(part.keys), moved(part.tempos)
        part.starts, part.end = starts[:-1].tolist(), int(starts[-1])
        part.bars += [Bar() for _ in range(n - len(part.bars))]
