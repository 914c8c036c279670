"""Humdrum **kern to the parts of a score.

Parts come from the top of the score down; staves of one instrument are one part. Pitches in the file are sounding
pitches with all accidentals spelled out (`*ITr` only describes the player's notation), unless `*Tr` states that they
were transposed. Bars lie where the bar lines do. The default expansion list gives the order of sections; without one,
the repeat signs do.

Notes that take no time or are no part of the main text are left out and counted: grace notes, cues, ossias, strophes
after the first, and unpitched notes whose instrument is no General MIDI drum. Dynamics come from `**dynam`, chord
symbols from `**mxhm` and `**harte`; `**harm` is not read, as it is a harmonic analysis.

Sources: Humdrum Reference (`**kern`, `**dynam`, tandem interpretations) and Humdrum User Guide; where both are silent,
the behaviour of humlib and verovio.
"""

from __future__ import annotations

from bisect import bisect_right
from fractions import Fraction

from musicgen.io.midi import Limits
from musicgen.io.scores.kern.names import CODES, Spine, drum_of, grouped
from musicgen.io.scores.kern.sheet import GRACE, ONSET, Sheet
from musicgen.io.scores.kern.spines import read_sheet
from musicgen.io.scores.kern.time import Bars, Clock, bars_of, clock_of
from musicgen.io.scores.layout import PartRows, Score
from musicgen.piece import MAX_MICROSECONDS, MIN_MICROSECONDS
from musicgen.words import agreed

__all__ = ["score_of"]

WARNINGS = {
    "graces": "{} [grace note was|grace notes were] left out",
    "cues": "{} [cue note was|cue notes were] left out",
    "ossias": "{} [note of an ossia was|notes of ossias were] left out",
    "strophes": "{} [note|notes] of other versions of a passage [was|were] left out",
    "unpitched": "{} [note|notes] without a General MIDI drum [was|were] left out",
    "strange": "{} [token is no note and no rest|tokens are neither notes nor rests]",
    "bare": "{} [note doesn't say how long it lasts|notes don't say how long they last]; "
    "read as quarters, or as the timebase says",
    "rounded": "durations are finer than can be told; they are rounded",
    "rhythm": "the spines disagree on the time of {} [line|lines]; most of them hold",
    "meters": "{} [meter|meters] that no bar can have [was|were] left out",
    "joins": "{} [spine was|spines were] to be joined with none",
    "chords": "{} chord [symbol|symbols] that can't be read [was|were] left out",
    "ending": "the file breaks off before its spines end",
}


def score_of(text: str, where: object, limits: Limits, *, before: int = 0) -> Score:
    """The parts of one piece of Humdrum text that `before` lines of its file precede.

    Raises UnreadableError, which names `where` and the line.
    """
    sheet = read_sheet(text, where, limits, before=before)
    clock = clock_of(sheet, where)
    warnings: list[str] = []
    bars = bars_of(sheet, clock, warnings)
    return _Parts(sheet, clock, bars, warnings).score()


class _Parts:
    """Turns the rows of a sheet into the parts of a score."""

    def __init__(self, sheet: Sheet, clock: Clock, bars: Bars, warnings: list[str]) -> None:
        self.sheet, self.clock, self.warnings = sheet, clock, warnings
        self.bars, self.starts = bars, [clock.fine(start) for start in bars.starts]
        ends = [*self.starts[1:], max(clock.fine(clock.end), self.starts[-1])]
        self.lengths = [end - start for start, end in zip(self.starts, ends, strict=True)]
        self.parts: list[PartRows] = []
        self.of: dict[Spine, PartRows] = {}
        self.drums: dict[Spine, PartRows] = {}
        for group in grouped(sheet.spines, sheet.decoration, sheet.only):
            part = self.part(group)
            self.of |= dict.fromkeys(group, part)

    def score(self) -> Score:
        self.notes()
        # A percussion staff without pitched notes is replaced by its drum parts; a pitched staff of rests alone stays.
        replaced = {id(self.of[spine]) for spine in self.drums}
        self.parts = [part for part in self.parts if part.notes or id(part) not in replaced]
        if self.parts:
            self.marks()
        counts = self.sheet.counts
        counted = [f"{name}: {agreed(text, counts[name])}" for name, text in WARNINGS.items() if counts.get(name)]
        return Score(self.parts, self.warnings + counted, self.bars.order)

    def part(self, group: list[Spine]) -> PartRows:
        codes = [spine.code for spine in group if spine.code] or [self.sheet.only]
        called, program = CODES.get(codes[0], ("", None))
        names = [name for spine in group for name in (spine.name,) if name]
        short = next((spine.short for spine in group if spine.short), "")
        part = PartRows(names[0] if names else called or short, called, program)
        part.bars, part.lengths = self.bars.signs, self.lengths
        self.parts.append(part)
        return part

    def place(self, row: int) -> tuple[int, int]:
        """(bar, onset within it) of a row, in FINE ticks."""
        time = self.clock.times[row]
        bar = bisect_right(self.bars.starts, time) - 1
        return bar, self.clock.fine(time) - self.starts[bar]

    # ---- notes -----------------------------------------------------------------------------------------

    def notes(self) -> None:
        clock, count = self.clock, self.sheet.count
        times, fine = clock.times, clock.fine
        lengths: dict[Fraction | None, int] = {}
        bar, n = 0, len(self.starts)
        begins = self.bars.starts
        alone = len(self.parts) == 1  # then notes printed small are a cadenza, not the cue of another player
        for index, row in enumerate(self.sheet.rows):
            if row.kind not in (ONSET, GRACE):
                continue
            time = times[index]
            while bar + 1 < n and begins[bar + 1] <= time:
                bar += 1
            start = fine(time)
            onset = start - self.starts[bar]
            for _, token, channel in row.content:
                if token.graces:
                    count("graces", token.graces)
                if not token.notes:
                    continue
                if channel.silent and not (alone and channel.silent == "cues"):
                    count(channel.silent, sum(1 for note in token.notes if note[0] is not None))
                    continue
                hits = channel.unpitched or token.unpitched
                rows = self.drum_rows(channel.spine) if hits else self.of[channel.spine].notes
                if rows is None:
                    count("unpitched", len(token.notes))
                    continue
                for pitch, span, tie in token.notes:
                    if hits:
                        pitch = channel.spine.drum
                    elif pitch is None:
                        continue
                    else:
                        pitch += channel.shift
                    length = lengths.get(span)
                    if length is None:
                        quarters = span if span is not None else Fraction(4, row.base or 4)
                        length = round(quarters * clock.unit)
                        if span is not None:
                            lengths[span] = length
                    rows.append((bar, onset, max(fine(time + length) - start, 1), pitch, tie))
                    if hits:
                        break  # an unpitched instrument makes one sound, whatever chord is written

    def drum_rows(self, spine: Spine) -> list[tuple[int, int, int, int, int]] | None:
        """The note rows of an unpitched instrument; None if it is no General MIDI drum."""
        part = self.drums.get(spine)
        if part is None:
            spine.drum = drum_of(spine)
            pitched = self.of[spine]
            part = self.drums[spine] = PartRows(pitched.name, is_drum=True)
            part.bars, part.lengths = pitched.bars, pitched.lengths
            if spine.drum is not None:
                place = next(i for i, other in enumerate(self.parts) if other is pitched)
                self.parts.insert(place + 1, part)
        return None if spine.drum is None else part.notes

    # ---- marks -----------------------------------------------------------------------------------------

    def marks(self) -> None:
        sheet, top = self.sheet, self.parts[0]
        for row, spine, velocity in sheet.levels:
            home = spine.home or sheet.spines[0]
            for part in {id(p): p for p in (self.of[home], self.drums.get(home)) if p is not None}.values():
                part.levels.append((*self.place(row), velocity))
        top.meters = {self.place(row)[0]: meter for row, meter in sheet.highest_meters()}
        top.keys = self.keys()
        for row, tempo in sorted(sheet.tempos, key=lambda pair: pair[0]):
            if not 4 <= tempo <= 1000:
                self.warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
            kept = min(max(round(60e6 / tempo), MIN_MICROSECONDS), MAX_MICROSECONDS)
            top.tempos.append((*self.place(row), kept))
        top.chords = [(*self.place(row), symbol) for row, symbol in sheet.chords]

    def keys(self) -> list[tuple[int, int, int, bool]]:
        """(bar, onset, fifths, minor) of the highest part that is notated in concert pitch.

        The fifths come from key signatures, and minor from a key named at the same place. If no part has a signature,
        both come from the named keys.
        """
        times, sheet = self.clock.times, self.sheet
        named = [key[1] for key in sheet.keys or sheet.modes]
        first = max(named, key=lambda spine: (not spine.transposing, spine.column), default=None)
        if not sheet.keys:
            return [(*self.place(row), fifths, minor) for row, spine, fifths, minor in sheet.modes if spine is first]
        modes = {times[row]: minor for row, spine, _, minor in sheet.modes if spine is first}
        keys, minor = [], False
        for row, spine, fifths in sheet.keys:
            if spine is first:
                minor = modes.get(times[row], minor)
                keys.append((*self.place(row), fifths, minor))
        return keys
