"""The bars of an ABC tune: aligned over all voices, with repeats, endings and jumps.

Voices are read one by one, and one may lack bar lines that another has; signs may stand within a bar. Here the bars of
all voices are cut wherever any voice has a bar line or a sign. A repeat without a start goes back to the end of the
last repeat or to the last double bar line (ABC 2.1, 4.8), unless a start sign came since; an ending lasts up to a
double bar line, a repeat sign or the next ending (4.9).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from musicgen.io.scores.layout import FINE
from musicgen.io.scores.order import JUMPS, Bar

__all__ = ["GRID", "Lines", "Signs", "bars_of", "fine", "lines_of"]

FINER = 2288  # 2^4*11*13
GRID = FINE * FINER  # ticks a quarter while a tune is read


def fine(ticks: int) -> int:
    """GRID ticks in FINE ticks, rounded."""
    return (2 * ticks + FINER) // (2 * FINER)


@dataclass
class Signs:
    """The repeats, endings and jumps of one voice. Bars are as written, onsets within them in GRID ticks."""

    starts: dict[int, int] = field(default_factory=dict)  # first bar of a section -> how often it sounds
    ends: dict[int, int] = field(default_factory=dict)  # last bar of a section -> how often it sounds
    heavy: list[int] = field(default_factory=list)  # bars that follow a double bar line or a repeat sign
    passes: list[tuple[int, int, frozenset[int]]] = field(default_factory=list)  # bar, onset, passes from there on
    begins: list[tuple[int, int, str]] = field(default_factory=list)  # bar, onset, a segno or coda
    soft: list[tuple[int, int, str]] = field(default_factory=list)  # bar, onset, a fine or jump just before it
    finishes: list[tuple[int, str]] = field(default_factory=list)  # bar, a fine or jump at its end
    labels: list[tuple[int, str]] = field(default_factory=list)  # bar, label of the section (P:) that begins there

    def end(self, bar: int, before: int, after: int) -> None:
        """Add a double bar line or repeat sign before `bar`; its sections sound `before` and `after` times."""
        if before and bar:
            self.ends[bar - 1] = max(before, self.ends.get(bar - 1, 0))
        if after:
            self.starts[bar] = max(after, self.starts.get(bar, 0))
        self.heavy.append(bar)
        if self.passes and self.passes[-1][2]:
            self.passes.append((bar, 0, frozenset()))

    def settle(self, n: int) -> None:
        """Move jumps within a bar to its end if a double bar line or the end of the tune (`n` bars) follows."""
        codas = [row for row in self.begins if row[2] == "Coda"]
        if len(codas) > 1 and "ToCoda" not in [mark for *_, mark in (*self.soft, *self.finishes)]:
            # Of two coda signs the first means "to coda".
            self.begins.remove(codas[0])
            bar, onset, _ = codas[0]
            if onset:
                self.soft.append((bar, onset, "ToCoda"))
            else:
                self.finishes.append((bar - 1, "ToCoda"))
        at_end = {bar - 1 for bar in self.heavy} | {n - 1}
        late = {row for row in self.soft if row[0] in at_end and row[2] != "ToCoda"}
        self.finishes += [(bar, mark) for bar, _, mark in late]
        self.soft = [row for row in self.soft if row not in late]
        marks = [mark for *_, mark in (*self.soft, *self.finishes)]
        if not set(marks) & set(JUMPS):
            self.begins, self.soft, self.finishes = [], [], []  # without a da capo or dal segno they mean nothing

    def cuts(self) -> list[tuple[int, int]]:
        """(bar, onset) of the signs within bars, at which bars are to be cut."""
        return [(bar, onset) for bar, onset, _ in (*self.passes, *self.begins, *self.soft) if onset]


@dataclass
class Lines:
    """The bars of one voice as written and as aligned with the other voices, in GRID ticks from the voice's begin."""

    own: list[int]  # the begin of each written bar, and the end
    edges: list[int]  # the begin of each aligned bar, and the end
    first: list[int]  # written bar -> the first aligned bar in it

    def place(self, bar: int, onset: int) -> tuple[int, int]:
        """(aligned bar, onset in it) of an onset in a written bar."""
        if onset == 0:
            return min(self.first[bar], len(self.edges) - 2), 0
        when = self.own[bar] + onset
        now = min(bisect_right(self.edges, when), len(self.edges) - 1) - 1
        return now, when - self.edges[now]


def lines_of(voices: Sequence[tuple[Sequence[int], Signs]], *, labelled: bool) -> list[Lines]:
    """Align the bars of all voices, each given as (lengths of its bars, signs).

    If voices differ in their number of bars, they are aligned by section if `labelled`, else by time if the bar lines
    of one voice include those of all others, else bar by bar.
    """
    own = [[0, *accumulate(lengths)] for lengths, _ in voices]
    counts = [len(lengths) for lengths, _ in voices]
    cuts = sorted({cut for _, signs in voices for cut in signs.cuts()})
    if len(set(counts)) > 1:
        signs = [s for _, s in voices]
        by_part = _by_part(own, signs) if labelled and len({len(s.labels) for s in signs}) == 1 else None
        if by_part is not None:
            return by_part
        longest = set(own[counts.index(max(counts))])
        if all(set(starts) <= longest for starts in own):
            return [_by_time(starts, own, signs) for starts in own]
    return [_by_bar(starts, cuts) for starts in own]


def _by_bar(own: list[int], cuts: list[tuple[int, int]]) -> Lines:
    edges: list[int] = []
    first: list[int] = []
    k = 0
    for bar, (start, end) in enumerate(pairwise(own)):
        first.append(len(edges))
        edges.append(start)
        while k < len(cuts) and cuts[k][0] <= bar:
            edges.append(min(start + cuts[k][1], end))
            k += 1
    return Lines(own, [*edges, own[-1]], [*first, len(edges)])


def _by_time(own: list[int], all_: list[list[int]], signs: list[Signs]) -> Lines:
    edges = {start for starts in all_ for start in starts}
    for starts, sign in zip(all_, signs, strict=True):
        edges |= {starts[bar] + onset for bar, onset in sign.cuts()}
    kept = sorted(edge for edge in edges if edge <= own[-1])
    return Lines(own, kept, [bisect_left(kept, start) for start in own])


def _by_part(own: list[list[int]], signs: list[Signs]) -> list[Lines] | None:
    """Align by section (P:): a voice with fewer bars in a section gets empty bars at the section's end.

    None if no single voice has the most bars in every section: then voices are written one after the other and the
    labels of the first don't apply to the rest.
    """
    bounds = [[0, *(bar for bar, _ in s.labels), len(starts) - 1] for starts, s in zip(own, signs, strict=True)]
    sizes = [max(after[i + 1] - after[i] for after in bounds) for i in range(len(bounds[0]) - 1)]
    if all([after[i + 1] - after[i] for i in range(len(sizes))] != sizes for after in bounds):
        return None
    lines = []
    for starts, bound in zip(own, bounds, strict=True):
        edges: list[int] = []
        first: list[int] = []
        for (begin, end), size in zip(pairwise(bound), sizes, strict=True):
            first += range(len(edges), len(edges) + end - begin)
            edges += starts[begin:end] + [starts[end]] * (size - (end - begin))
        lines.append(Lines(starts, [*edges, starts[-1]], [*first, len(edges)]))
    return lines


def bars_of(lines: Sequence[Lines], signs: Sequence[Signs], warnings: list[str]) -> list[list[Bar]]:
    """The signs of the aligned bars of each voice. Adds a warning for repeats that begin but never end."""
    all_ = [[Bar() for _ in line.edges[:-1]] for line in lines]
    starts: dict[int, int] = {}
    ends: dict[int, int] = {}
    heavy: set[int] = set()
    for bars, line, sign in zip(all_, lines, signs, strict=True):
        n = len(bars)

        def before(boundary: int, line: Lines = line) -> int:
            return line.first[boundary] - 1

        for bar, times in sign.ends.items():
            ends[before(bar + 1)] = max(times, ends.get(before(bar + 1), 0))
        for bar, times in sign.starts.items():
            starts[line.first[bar]] = max(times, starts.get(line.first[bar], 0))
        heavy |= {line.first[bar] for bar in sign.heavy}
        changes = [(line.first[bar] if not t else line.place(bar, t)[0], p) for bar, t, p in sign.passes]
        changes.sort(key=lambda change: change[0])
        for (begin, passes), (stop, _) in pairwise([*changes, (n, frozenset())]):
            for bar in range(begin, min(stop, n)):
                bars[bar].passes = passes
        for bar, onset in sign.cuts():
            at, behind = line.place(bar, onset)
            bars[at].within |= not behind and at > line.first[bar]
        for bar, onset, mark in sign.begins:
            at = line.place(bar, onset)[0] if onset or bar < len(line.own) - 1 else n - 1
            bars[at].marks += (mark,)
        for bar, onset, mark in sign.soft:
            bars[line.place(bar, onset)[0] - 1].marks += (mark,)
        for bar, mark in sign.finishes:
            if bar >= 0:
                bars[before(bar + 1)].marks += (mark,)
    if _repeats(all_, starts, ends, heavy):
        warnings.append("repeats: a section that begins with |: has no end before the next one; it is played once")
    for bars in all_:
        _lead_back(bars)
    return all_


def _repeats(all_: list[list[Bar]], starts: dict[int, int], ends: dict[int, int], heavy: set[int]) -> bool:
    """Write the repeats of all voices into the bars of the longest voice; returns whether one began inside another."""
    bars = max(all_, key=len)
    in_endings = {i for voice in all_ for i, bar in enumerate(voice) if bar.passes}
    wanted, is_open, begun_twice = 2, False, False
    for i, bar in enumerate(bars):
        if i in starts:
            begun_twice |= is_open
            bar.start, is_open, wanted = True, True, starts[i]
        elif i in heavy and not is_open and i not in in_endings:
            bar.start = True
        if i in ends:
            bar.times = max(ends[i], wanted)
            is_open, wanted = False, 2
    return begun_twice


def _lead_back(bars: list[Bar]) -> None:
    """Add the repeat sign that an ending lacks if a later ending of its group has one."""
    repeated = False  # whether a later ending of this group has a repeat sign
    for here, after in reversed(list(pairwise(bars))):
        repeated = bool(after.passes) and (repeated or bool(after.times))
        if repeated and here.passes and here.passes != after.passes and not here.times:
            here.times = 2
