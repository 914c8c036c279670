"""The times of the rows of a Humdrum file, its bars, and the order in which they are played.

Time follows from durations alone: a row begins where the previous notes end, in the columns that have a new token. A
voice that has been silent for a while is not considered. Where columns disagree, the time that most of them imply is
taken, and the disagreement is counted. A bar line has the time of the next row, so notes may cross it; consecutive bar
lines with no onsets between them are placed a bar apart. Times are integers in units, `Clock.unit` a quarter, which is
fine enough for every duration of the file.

Sources: Humdrum Reference, `**kern`; Humdrum User Guide, chapter 20, and `thru` (4) for expansion lists.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace
from fractions import Fraction

from musicgen.errors import UnreadableError
from musicgen.io.scores.kern.sheet import BAR, MARK, NULL, ONSET, Row, Sheet, Voice
from musicgen.io.scores.kern.tokens import Barline, Token, barline
from musicgen.io.scores.layout import FINE
from musicgen.io.scores.order import Bar

__all__ = ["Bars", "Clock", "bars_of", "clock_of"]

FINEST = 10**30  # units a quarter; durations that need more are rounded
MAX_QUARTERS = 10_000_000
MAX_PLAYED = 18  # times the number of bars in the file
MAX_STEPS = 10_000  # items of an expansion list, nested lists expanded


@dataclass
class Clock:
    """The time of each row, and the end of the last note, in units."""

    unit: int  # units a quarter; a multiple of FINE
    lengths: dict[Token, int]  # units from each token to the next one of its voice
    times: list[int] = field(default_factory=list)
    end: int = 0

    def fine(self, units: int) -> int:
        """A number of units in FINE ticks, rounded."""
        step = self.unit // FINE
        return (units + step // 2) // step


def clock_of(sheet: Sheet, where: object) -> Clock:
    """The time of each row. Raises UnreadableError for a piece longer than MAX_QUARTERS."""
    unit = FINE
    spans = {span for token in sheet.tokens.values() for span in (token.length, *(n[1] for n in token.notes)) if span}
    for base in {row.base for row in sheet.rows if row.base}:
        spans.add(Fraction(4, base))
    for denominator in sorted({span.denominator for span in spans}):
        finer = math.lcm(unit, denominator)
        if finer > FINEST:
            sheet.count("rounded")
            break
        unit = finer
    clock = Clock(unit, {token: round((token.length or 0) * unit) for token in sheet.tokens.values()})
    _Walk(sheet, clock, where).rows()
    return clock


class _Walk:
    """Sets the time of each row, from the first to the last."""

    def __init__(self, sheet: Sheet, clock: Clock, where: object) -> None:
        self.sheet, self.clock, self.where = sheet, clock, where
        self.live = set(sheet.voices)
        self.meters = dict(sheet.highest_meters())
        self.now = -1  # time of the last ONSET row
        self.bar, self.bar_length = 0, 4 * clock.unit
        self.latest = 0

    def rows(self) -> None:
        times, rows = self.clock.times, self.sheet.rows
        gap: list[int] = []  # rows since the last ONSET row
        for index, row in enumerate(rows):
            times.append(0)
            if row.kind == ONSET:
                self.begin(row, index, gap)
                gap = []
            else:
                gap.append(index)
                if row.kind == MARK:
                    self.change(row)
        self.fill(gap, max(self.latest, self.now, 0))
        self.clock.end = max(self.latest, 0)

    def change(self, row: Row) -> None:
        for what, first, *others in row.content:
            if what == "split":
                new: Voice = others[0]
                new.end = first.end
                first.twin, new.twin = new, first
                self.live.add(new)
            elif what == "join":
                first.end = max(first.end, others[0].end)
                first.twin = None
                self.live.discard(others[0])
            elif what == "begin":
                self.live.add(first)
            else:
                self.live.discard(first)

    def begin(self, row: Row, index: int, gap: list[int]) -> None:
        """Determine the time of an ONSET row, and when its notes end."""
        now, lengths = self.now, self.clock.lengths
        sure: list[int] = []
        unsure: list[int] = []
        for voice, token, _ in row.content:
            if token.length != 0 and voice.end > now:
                (sure if voice.twin is None else unsure).append(voice.end)
        ends = sure or unsure
        if not ends:
            later = [voice.end for voice in self.live if voice.end > now]
            time = min(later, default=max(now, 0))
        elif ends.count(ends[0]) == len(ends):
            time = ends[0]
        else:
            self.sheet.count("rhythm")
            time = max(Counter(ends).items(), key=lambda pair: (pair[1], pair[0]))[0]
        if time > MAX_QUARTERS * self.clock.unit:
            hint = "check its durations"
            raise UnreadableError(f"line {row.line}: more than {MAX_QUARTERS:,} quarters", where=self.where, hint=hint)
        self.fill(gap, time)
        self.clock.times[index] = self.now = time
        for voice, token, _ in row.content:
            length = lengths.get(token, 0)
            if token.length is None:
                length = 4 * self.clock.unit // (row.base or 4)
                self.sheet.count("bare", len(token.notes))
            if token.length != 0:
                voice.end = time + length
                self.latest = max(self.latest, voice.end)
                if voice.twin is not None:
                    voice.twin.twin = None  # then the note before the split was held in the other voice
                    voice.twin = None

    def fill(self, gap: list[int], time: int) -> None:
        """Set the times of the rows in `gap`, between the last ONSET row and the next one, which is at `time`."""
        rows, times = self.sheet.rows, self.clock.times
        timed = [index for index in gap if rows[index].kind in (NULL, BAR)]
        bars = [index for index in timed if rows[index].kind == BAR]
        places: dict[int, int] = {}
        if len(timed) > 1 or len(timed) > len(bars):
            places = self.between(timed, bars, time)
        following = time
        for index in reversed(gap):
            following = times[index] = places.get(index, following)
        for index in gap:
            if rows[index].kind == BAR:
                self.bar = times[index]
            elif index in self.meters:
                numerator, denominator = self.meters[index]
                self.bar_length = 4 * self.clock.unit * numerator // denominator

    def between(self, timed: list[int], bars: list[int], time: int) -> dict[int, int]:
        """Times for bar lines and NULL rows between two ONSET rows.

        Bar lines lie a bar apart if that fits, else evenly; NULL rows are spread evenly between them.
        """
        rows, begin = self.sheet.rows, max(self.now, 0)
        lines = [self.bar + self.bar_length * (k + 1) for k in range(len(bars))]
        trails = rows[timed[-1]].kind == NULL
        if lines and lines[0] >= begin and time - lines[-1] >= 0 and (trails or time - lines[-1] < self.bar_length):
            places = dict(zip(bars, lines, strict=True))
        else:
            places = _evenly(rows, timed[: timed.index(bars[-1]) + 1] if bars else [], begin, time)
        left, after_bar = begin, False
        run: list[int] = []
        for index in [*timed, -1]:
            if index in places or index < 0:
                right = places.get(index, time)
                share = len(run) if after_bar else len(run) + 1  # the first row behind a bar line has its time
                for k, null in enumerate(run, start=not after_bar):
                    places[null] = left + (right - left) * k // share
                left, after_bar, run = right, True, []
            else:
                run.append(index)
        return places


def _evenly(rows: list[Row], timed: list[int], begin: int, end: int) -> dict[int, int]:
    """Times for the bar lines in `timed`, from `begin` to `end`: NULL rows and empty bars all take the same time."""
    chunk, places = 0, {}
    for place, index in enumerate(timed):
        empty = place + 1 < len(timed) and rows[timed[place + 1]].kind == BAR
        chunk += rows[index].kind == NULL or empty
        if rows[index].kind == BAR:
            places[index] = chunk if empty else chunk + 1
    return {index: begin + (end - begin) * at // (chunk + 1) for index, at in places.items()}


# ---- bars ----------------------------------------------------------------------------------------------


@dataclass
class Bars:
    """Where bars begin (units), their signs, and their playing order if the file has an expansion list."""

    starts: list[int]
    signs: list[Bar]
    order: list[int] | None


def bars_of(sheet: Sheet, clock: Clock, warnings: list[str]) -> Bars:
    """Cut the piece at bar lines, section labels and changes of meter."""
    times, end = clock.times, clock.end
    lines = [(times[i], barline(row.content)) for i, row in enumerate(sheet.rows) if row.kind == BAR]
    meters = [(times[row], meter) for row, meter in sheet.highest_meters()]
    whole = _measures(lines, meters, clock.unit)
    cuts = whole | {times[row] for row, _ in sheet.labels} | {time for time, line in lines if line.ends or line.starts}
    starts = sorted(time for time in cuts if time < end) or [0]
    index = {time: i for i, time in enumerate(starts)}
    signs = [Bar(within=time not in whole) for time in starts]
    labels = [(index.get(times[row], len(starts)), name) for row, name in sheet.labels]
    if sheet.through:
        return Bars(starts, signs, None)
    for time, line in lines:
        before = index.get(time, len(starts)) - 1
        if line.ends and before >= 0:
            signs[before].times = 2
        if line.starts and time in index:
            signs[index[time]].start = True
    order = _listed(sheet.lists, labels, len(starts), warnings)
    if order is None:
        _endings(labels, signs)
        for row, before_line, words, mark in sheet.jumps:
            place = bisect_right(starts, times[row]) - 1
            if mark and mark not in ("Segno", "Coda") and before_line and times[row] == starts[place]:
                place = max(place - 1, 0)  # a "D.C." just before a bar line belongs to the bar that ends there
            if mark:
                signs[place].marks += (mark,)
            else:
                warnings.append(f"repeats: {words[:40]!r} is left as written")
    return Bars(starts, signs, order)


def _measures(lines: list[tuple[int, Barline]], meters: list[tuple[int, tuple[int, int]]], unit: int) -> set[int]:
    """The times at which measures begin: at numbered bar lines and at changes of meter.

    An unnumbered line is drawn within a measure, unless no line of the file is numbered or the measure is full there.
    """
    numbered = any(line.numbered for _, line in lines)
    changes = [time for i, (time, meter) in enumerate(meters) if not i or meter != meters[i - 1][1]]
    whole = {0, *changes} if not lines or numbered else {0, *changes, *(time for time, _ in lines)}
    length, meter_at, change_at, begin = 4 * unit, 0, 0, 0
    for time, line in lines if numbered else ():
        while meter_at < len(meters) and meters[meter_at][0] < max(time, 1):
            length = 4 * unit * meters[meter_at][1][0] // meters[meter_at][1][1]
            meter_at += 1
        while change_at < len(changes) and changes[change_at] <= time:
            begin = max(begin, changes[change_at])
            change_at += 1
        if line.numbered or time - begin >= length:
            whole.add(time)
            begin = time
    return whole


def _listed(
    lists: dict[str, list[str]], labels: list[tuple[int, str]], n: int, warnings: list[str]
) -> list[int] | None:
    """The bars in the order of the expansion list that applies: the one without a name, else the first whose name isn't
    norep. Its items are sections or other lists; the bars before the first section come first. None without a list."""
    name = "" if "" in lists else next((name for name in lists if name != "norep"), None)
    if name is None or not labels:
        return None
    sections: dict[str, range] = {}
    after = n
    for place in range(len(labels) - 1, -1, -1):
        begin, label = labels[place]
        if place + 1 < len(labels) and labels[place + 1][0] > begin:
            after = labels[place + 1][0]
        sections[label] = range(begin, after)  # of two sections with the same name the first counts
    order = list(range(labels[0][0]))
    unknown: list[str] = []
    waiting = [(label, 0) for label in reversed(lists[name])]
    steps = 0
    while waiting:
        label, depth = waiting.pop()
        steps += 1
        if label in sections:
            order += sections[label]
        elif label in lists and label and depth < 8:
            waiting += [(inner, depth + 1) for inner in reversed(lists[label])]
        else:
            unknown.append(label)
        if len(order) > MAX_PLAYED * n or len(waiting) + steps > MAX_STEPS:
            warnings.append("repeats: the expansion list is longer than any score; left as written")
            return list(range(n))
    if unknown:
        warnings.append(f"repeats: the expansion list names {unknown[0][:40]!r}, which no section is called")
    if len(unknown) == steps or not order:
        return None
    left = n - len(set(order))
    if left:
        warnings.append(f"repeats: the expansion list leaves out {left} of {n} bars")
    return order


def _endings(labels: list[tuple[int, str]], signs: list[Bar]) -> None:
    """Mark neighbouring sections named A1, A2.. with repeat signs between them as endings."""
    places = [*labels, (len(signs), "")]
    k = 0
    while k < len(labels):
        stem, run = labels[k][1][:-1], 0
        while k + run < len(labels) and labels[k + run][1] == f"{stem}{run + 1}":
            run += 1
        begin = labels[k][0]
        # Endings need music before them that is repeated with each.
        shared = 0 < begin < len(signs) and not signs[begin].start and not signs[begin - 1].times
        edges = [place for place, _ in places[k : k + run + 1]]
        if run > 1 and shared and all(signs[edge - 1].times and edge > begin for edge in edges[1:-1]):
            for i in range(run):
                for bar in range(edges[i], edges[i + 1]):
                    signs[bar] = replace(signs[bar], passes=frozenset({i + 1}))
        k += max(run, 1)
