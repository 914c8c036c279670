"""MusicXML, Humdrum kern and ABC to pieces, through music21.

Conventions: one track a part (the staves of a piano are one part), tied notes are one note, repeats sound as
often as the score says, bar lines lie where the score has them: a short first bar is a meter of its real
length. Grace and cue notes are left out with a warning: they have no time of their own. Pitches are sounding
ones. Time is 480 ticks a quarter where that holds every onset and duration exactly, else 10080 = 2^5*3^2*5*7,
which is exact for 128ths, triplets, quintuplets, septuplets and nonuplets; the rest is rounded to it.
Velocity follows the last dynamic mark of the part, 72 before the first one.

A file gives pieces that satisfy `Piece.validate`, with named warnings, or raises UnreadableError.
"""

from __future__ import annotations

import contextlib
import gc
import io
import warnings as python_warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.score_layout import FINE, Layout, PartRows, joined, rebar
from musicgen.io.score_names import is_high_voice, program_for
from musicgen.io.score_order import Bar
from musicgen.io.score_text import SCORE_SUFFIXES, ScoreText, abc_tunes, read_texts
from musicgen.piece import MAX_MICROSECONDS, MIN_MICROSECONDS, NOTE, Piece, Track

__all__ = ["SCORE_SUFFIXES", "iter_scores", "read_score", "read_scores", "read_tune"]

PLAIN = 480  # ticks a quarter of pieces which that holds exactly
VELOCITY = 72
VELOCITIES = {
    "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 124, "ffff": 127,
    "fp": 49, "sfp": 49, "pf": 96,
}  # fmt: skip


def read_scores(path: str | Path, *, limits: Limits | None = None) -> list[tuple[str, Piece]]:
    """(name, piece) for each piece in a score file; the name is the file's stem, or a tune's number and title.

    A broken tune among good ones is left out with a warning on the first piece. Raises UnreadableError when
    nothing can be read.
    """
    pieces: list[tuple[str, Piece]] = []
    broken: list[str] = []
    for name, result in iter_scores(path, limits=limits):
        if isinstance(result, Piece):
            pieces.append((name, result))
        else:
            broken.append(f"bad_tune: {name!r} was left out ({result.what})")
            error = result
    if not pieces:
        raise error
    if broken:
        name, first = pieces[0]
        pieces[0] = (name, replace(first, warnings=(*first.warnings, *broken)))
    return pieces


def read_score(path: str | Path, *, limits: Limits | None = None) -> Piece:
    """The first piece in a score file. Raises UnreadableError."""
    texts = read_texts(path, limits=limits or Limits())
    return _piece(texts[0], Path(path), limits or Limits())


def read_tune(text: str, *, where: str | Path = "tune.abc", limits: Limits | None = None) -> Piece:
    """The first tune in ABC text. Raises UnreadableError, which names it `where`."""
    return _piece(abc_tunes(text, Path(where))[0], Path(where), limits or Limits())


def iter_scores(path: str | Path, *, limits: Limits | None = None) -> Iterator[tuple[str, Piece | UnreadableError]]:
    """Like `read_scores`, one by one: a tune that can't be read comes as its error. At least one item."""
    for text in read_texts(path, limits=limits or Limits()):
        try:
            yield text.name, _piece(text, Path(path), limits or Limits())
        except UnreadableError as error:
            yield text.name, error


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


def _piece(source: ScoreText, path: Path, limits: Limits) -> Piece:
    hint = "open it in a notation program and export it as MusicXML or MIDI"
    try:
        with _quiet():
            from music21 import converter

            # From text: neither a pickle of music21's nor a second look at the file can come between.
            score: Any = converter.parseData(source.text, format=source.format)
            scores = list(score.scores) if "Opus" in score.classes else [score]
            if not scores:
                raise UnreadableError("has no score", where=path, hint=hint)
            piece = _Reader(source, path, limits).piece(scores[0])
        piece.validate()
    except (MusicgenError, MemoryError):
        raise
    except RecursionError:
        raise UnreadableError("is nested too deeply", where=path, hint=hint) from None
    except Exception as error:  # music21 raises whatever the line at hand happens to raise
        reason = next(iter(str(error).splitlines()), "")[:160]
        what = f"can't be read as {source.format} ({type(error).__name__}{': ' if reason else ''}{reason})"
        raise UnreadableError(what, where=path, hint=hint) from None
    return piece


class _Reader:
    """One walk through a music21 score."""

    def __init__(self, source: ScoreText, path: Path, limits: Limits) -> None:
        from music21 import chord, dynamics, harmony, instrument, key, meter, note, repeat, stream, tempo

        self.source, self.path, self.limits = source, path, limits
        self.chord, self.harmony, self.stream = chord.ChordBase, harmony.Harmony, stream
        self.note: Any = note
        self.marks = (dynamics.Dynamic, key.KeySignature, meter.TimeSignature, tempo.MetronomeMark)
        self.instrument, self.jump = instrument.Instrument, repeat.RepeatExpression
        self.warnings = list(source.warnings)
        self.skipped = {"chord_symbols": 0, "graces": 0, "unpitched": 0, "pitches": 0}

    def piece(self, score: Any) -> Piece:
        parts = [self.part(p) for p in (list(score.parts) or [score])]
        said = {
            "chord_symbols": "chord symbols were left out",
            "graces": "grace notes were left out",
            "unpitched": "notes without a General MIDI drum were left out",
            "pitches": "notes outside MIDI's pitches were left out",
        }
        self.warnings += [f"{k}: {n} {said[k]}" for k, n in self.skipped.items() if n]
        count = sum(len(p.notes) for p in parts)
        if not count:
            raise UnreadableError("has no notes", where=self.path, hint="check that it is a score with music in it")
        if self.source.format == "humdrum":
            rebar(parts)
        layout = Layout(parts, self.warnings)
        if layout.count(parts) > self.limits.notes:
            if count > self.limits.notes:
                what = f"has {count:,} notes, the limit is {self.limits.notes:,}"
                raise UnreadableError(what, where=self.path, hint="raise the limit with --max-notes")
            self.warnings.append("repeats: with them the score would pass the limit of notes; left as written")
            layout = Layout(parts, self.warnings, repeats=False)
        bass_sings = any(is_high_voice(p.name) for p in parts)
        tracks = [self.track(p, layout, bass_sings=bass_sings) for p in parts]
        tempos, meters, keys = layout.maps(parts)
        tables = [t.notes for t in tracks]
        times = [table[k] for table in tables for k in ("start", "duration")] + [meters["tick"]]
        if all(not (t % (FINE // PLAIN)).any() for t in times):
            for table in tables:
                table["start"] //= FINE // PLAIN
                table["duration"] //= FINE // PLAIN
            for table in (tempos, meters, keys):
                table["tick"] //= FINE // PLAIN
            resolution = PLAIN
        else:
            resolution = FINE
        piece = Piece(resolution, tuple(tracks), tempos, meters, keys, tuple(dict.fromkeys(self.warnings)))
        if piece.seconds > self.limits.hours * 3600:
            what = f"lasts {piece.seconds / 3600:.1f} hours, the limit is {self.limits.hours:g}"
            raise UnreadableError(what, where=self.path, hint="raise the limit with --max-hours")
        return piece

    # ---- a part ----------------------------------------------------------------------------------------

    def part(self, stream: Any) -> PartRows:
        part = PartRows(name=str(stream.partName or "").strip())
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

    def walk(self, part: PartRows, container: Any, bar: int, base: int) -> None:
        """Take the elements of a measure or voice; `base` is the container's onset in the bar."""
        for element in container:
            onset = base + _fine(element.offset)
            if isinstance(element, self.note.GeneralNote):
                if element.isRest:
                    continue
                if isinstance(element, self.harmony):
                    self.skipped["chord_symbols"] += 1
                elif element.duration.isGrace:
                    self.skipped["graces"] += 1
                else:
                    self.sound(part, element, bar, onset)
            elif isinstance(element, self.marks):
                self.mark(part, element, bar, onset)
            elif isinstance(element, self.jump):
                part.bars[bar].marks += (type(element).__name__,)
            elif isinstance(element, self.instrument):
                self.instrument_of(part, element, part.starts[bar] + onset)
            elif element.isStream and not isinstance(element, self.stream.Measure):
                self.walk(part, element, bar, onset)

    def sound(self, part: PartRows, element: Any, bar: int, onset: int) -> None:
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

    def mark(self, part: PartRows, element: Any, bar: int, onset: int) -> None:
        dynamic, key, meter, _ = self.marks
        if isinstance(element, dynamic):
            if element.value in VELOCITIES:
                part.levels.append((bar, onset, VELOCITIES[element.value]))
        elif isinstance(element, meter):
            numerator, denominator = element.numerator, element.denominator
            if numerator and 1 <= numerator <= 64 and denominator in (1, 2, 4, 8, 16, 32, 64):
                part.nominal[bar] = (numerator, denominator)
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

    def instrument_of(self, part: PartRows, element: Any, onset: int) -> None:
        if part.program is None and element.midiProgram is not None and 0 <= element.midiProgram <= 127:
            part.program = element.midiProgram
        part.name = part.name or str(element.partName or element.instrumentName or "").strip()
        part.instrument = part.instrument or str(element.instrumentName or "")
        part.part_id = part.part_id or str(element.partId or "")
        transposition = element.transposition
        part.transpositions.append((onset, int(transposition.chromatic.semitones) if transposition else 0))

    # ---- a track ---------------------------------------------------------------------------------------

    def track(self, part: PartRows, layout: Layout, *, bass_sings: bool) -> Track:
        is_drum = part.part_id in self.source.drum_parts
        program = 0 if is_drum else program_for((part.name, part.instrument), part.program, bass_sings=bass_sings)
        rows = np.array(part.notes, dtype=np.int64).reshape(-1, 5)
        bar, onset, duration, pitch, tie = (rows[:, i] for i in range(5))
        if part.transpositions and not part.sounding and not is_drum:
            at, semitones = np.array(sorted(part.transpositions, key=lambda t: t[0]), dtype=np.int64).T
            when = np.array(part.starts, dtype=np.int64)[bar] + onset
            pitch = pitch + semitones[np.maximum(np.searchsorted(at, when, side="right") - 1, 0)]
        good = (pitch >= 0) & (pitch <= 127)
        if not good.all():
            self.warnings.append(f"pitches: {int((~good).sum())} notes outside MIDI's pitches were left out")
        bar, onset, duration, pitch, tie = (a[good] for a in (bar, onset, duration, pitch, tie))
        instance, index = layout.expand(bar)
        start = layout.start[instance] + onset[index]
        start, duration, pitch, doubled = joined(start, duration[index], pitch[index], tie[index])
        if doubled:
            self.warnings.append(f"unisons: {doubled} notes that another voice plays too were merged")
        notes = np.zeros(len(start), NOTE)
        notes["start"], notes["duration"], notes["pitch"], notes["velocity"] = start, duration, pitch, VELOCITY
        if part.levels:
            levels = np.array(part.levels, dtype=np.int64)
            instance, index = layout.expand(levels[:, 0])
            when = layout.start[instance] + levels[index, 1]
            order = np.argsort(when, kind="stable")
            when, value = when[order], levels[index, 2][order]
            last = np.searchsorted(when, start, side="right") - 1
            notes["velocity"] = np.where(last >= 0, value[np.maximum(last, 0)], VELOCITY)
        return Track(part.name, program, is_drum, notes)


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
