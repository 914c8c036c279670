"""The order in which a score's bars sound: repeats, endings, da capo and dal segno.

The readers find the signs, one walk serves them all. Conventions (Gould 2011, "Behind Bars", p. 233 ff.): a repeat
without a start goes back to the end of the one before it, or of its endings, or to where its movement begins; endings
name the passes that they are meant for, a pass that none names takes the one before it, and a lone first ending is
left out the last time; after a jump repeats aren't taken again and only the ending of the last pass sounds, up to a
fine, or to a coda or past the jump, from where everything counts again. Every jump is taken once, and what stands
behind it, past a fine or not, follows: a file may hold several movements. What contradicts itself is left as written,
with a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

__all__ = ["JUMPS", "MAX_TIMES", "Bar", "merged", "play_order"]

MAX_TIMES = 16
MAX_JUMPS = 16
JUMPS = ("DaCapo", "DaCapoAlFine", "DaCapoAlCoda", "DalSegno", "DalSegnoAlFine", "DalSegnoAlCoda")


@dataclass
class Bar:
    """The signs of one bar: what lies between two bar lines, or between a bar line and a sign within a bar."""

    start: bool = False  # a repeat starts here
    times: int = 0  # how often the section that ends here sounds in all; 0 without a sign
    passes: frozenset[int] = frozenset()  # the passes for which this ending is meant
    # Begin (of a movement), Segno and Coda stand at the begin of the bar; ToCoda, Fine and JUMPS at its end.
    marks: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()  # (mark, name): which segno or coda of several is meant
    within: bool = False  # goes on within the measure of the bar before


def merged(parts: Sequence[Sequence[Bar]], n: int) -> list[Bar]:
    """The signs of `n` bars over all parts: editions write them in every part, in the first, or in some."""
    if not parts:
        return [Bar() for _ in range(n)]
    bars = []
    for i in range(n):
        all_ = [bars[i] for bars in parts if i < len(bars)]
        passes = next((bar.passes for bar in all_ if bar.passes), frozenset())
        marks = tuple(dict.fromkeys(mark for bar in all_ for mark in bar.marks))
        labels = tuple(dict.fromkeys(label for bar in all_ for label in bar.labels))
        start, times = any(b.start for b in all_), max((b.times for b in all_), default=0)
        bars.append(Bar(start, times, passes, marks, labels, any(b.within for b in all_)))
    return bars


def play_order(bars: Sequence[Bar], passes: list[int] | None = None) -> tuple[list[int], list[str]]:
    """Indices of `bars` in playing order, and warnings ("repeats: ..."). Bounded by MOST of each bar.

    `passes` is filled with the pass of each: the first time through, the second, ...; after a jump the last one.

    >>> play_order([Bar(), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2}))])[0]
    [0, 1, 0, 2]
    """
    written, times = list(range(len(bars))), [] if passes is None else passes
    times[:] = [1] * len(bars)
    if any(bar.times > MAX_TIMES for bar in bars):
        return written, [f"repeats: a section is to sound more than {MAX_TIMES} times; left as written"]
    warnings: list[str] = []
    bars = _with_sound_endings(bars, warnings)
    jumps = _Jumps(bars, warnings)
    totals = _totals(bars)
    order: list[int] = []
    nths: list[int] = []
    last = [1] * len(bars)  # the pass in which each bar sounded last, jumps aside
    at, section, nth, in_ending, returning, past = 0, 0, 1, False, "", 0
    while at < len(bars):
        bar = bars[at]
        if len(order) > MOST * len(bars):  # can't happen with sane signs
            return written, ["repeats: the signs contradict each other; left as written"]
        if ((bar.start or "Begin" in bar.marks) and at != section) or (in_ending and not bar.passes):
            section, nth = at, 1
        in_ending = bool(bar.passes)
        again = bool(returning) and at < past
        if returning and at == past:
            section, nth, past = at, 1, -1
        if bar.passes and (totals[at] if again else nth) not in bar.passes:
            at += 1
            continue
        if not again:
            last[at] = nth
        order.append(at)
        nths.append(last[at])
        if not again and bar.times:
            if nth < max(bar.times if not bar.passes else 0, totals[at]):
                at, nth, in_ending = section, nth + 1, False
                continue
            section, nth = at + 1, 1
        after = None
        if returning and jumps.stops(at, returning):
            after = jumps.behind(at)
        elif returning:
            after = jumps.coda_from(at, returning)
        if after is not None:
            at = section = after
            nth, in_ending, returning = 1, False, ""
            continue
        jump = jumps.take(at)
        if jump is not None:
            # What was heard before ends with the jump, or with the other endings of the one that it stands in.
            past = next((i for i in range(at + 1, len(bars)) if not (bars[at].passes and bars[i].passes)), len(bars))
            returning, at = jump
            section, nth, in_ending = -1, 1, False
            continue
        at += 1
    times[:] = nths
    return order, list(dict.fromkeys(warnings))


MOST = 2 * MAX_TIMES + MAX_JUMPS


def _totals(bars: Sequence[Bar]) -> list[int]:
    """For each bar in an ending how often its section sounds in all; else 0.

    That is the highest pass that it and the endings next to it name, and one more where a repeat follows an
    ending that no other one takes over from.
    """
    totals = [0] * len(bars)
    for begin, end in _groups(bars):
        group = bars[begin:end]
        highest = max(max(bar.passes) for bar in group)
        lone = all(bar.passes == group[0].passes for bar in group) and any(bar.times for bar in group)
        totals[begin:end] = [highest + lone] * (end - begin)
    return totals


def _groups(bars: Sequence[Bar]) -> Iterable[tuple[int, int]]:
    """(first bar, the one behind the last) of endings that stand next to each other."""
    begin = 0
    for i in range(len(bars) + 1):
        if i == len(bars) or not bars[i].passes:
            if i > begin:
                yield begin, i
            begin = i + 1


def _with_sound_endings(bars: Sequence[Bar], warnings: list[str]) -> list[Bar]:
    """The bars without the brackets that nothing leads back from: their music would be lost.

    A pass between those that the endings name, as 2 of "1" and "3", takes the ending before it.
    """
    bars = list(bars)
    for begin, end in _groups(bars):
        if not any(bar.times or set(bar.marks) & set(JUMPS) for bar in bars[begin:end]):
            # The bracket of the last pass alone, behind the sign: its music sounds once as it is.
            if not (begin and bars[begin - 1].times):
                warnings.append("repeats: endings without a repeat sign; left as written")
            bars[begin:end] = [replace(bar, passes=frozenset()) for bar in bars[begin:end]]
            continue
        named = {nth for bar in bars[begin:end] for nth in bar.passes}
        # A lone ending under a sign for three times is that of the first and the second.
        lone = all(bar.passes == bars[begin].passes for bar in bars[begin:end])
        times = max(bar.times for bar in bars[begin:end]) if lone else 0
        for nth in range(min(named) + 1, min(max(max(named), times), MAX_TIMES + 1)):
            if nth not in named:
                before = max(n for n in named if n < nth)
                for i in range(begin, end):
                    if before in bars[i].passes:
                        bars[i] = replace(bars[i], passes=bars[i].passes | {nth})
                named.add(nth)
    return bars


class _Jumps:
    """Where jumps go, and where the music that they come back to ends."""

    def __init__(self, bars: Sequence[Bar], warnings: list[str]) -> None:
        self.warnings = warnings
        self.labels = [dict(bar.labels) for bar in bars]
        self.commands: dict[int, str] = {}
        for i, bar in enumerate(bars):
            jumps = [mark for mark in bar.marks if mark in JUMPS]
            if jumps:  # of two the one that says how far: the other is the same sign, told less of
                self.commands[i] = max(jumps, key=lambda name: name not in ("DaCapo", "DalSegno"))
        names = ("Begin", "Segno", "Coda", "ToCoda", "Fine")
        self.places = {name: [i for i, bar in enumerate(bars) if name in bar.marks] for name in names}
        codas = self.places["Coda"]
        if self.commands and not self.places["ToCoda"] and len(codas) > 1:
            self.places["ToCoda"], self.places["Coda"] = codas[:1], codas[1:]  # two signs: from the first to the second
        if len(self.commands) > MAX_JUMPS:
            warnings.append(f"repeats: more than {MAX_JUMPS} da capos and dal segnos; they are left as written")
            self.commands = {}
        self.taken = -1  # the bar of the last jump

    def take(self, at: int) -> tuple[str, int] | None:
        """(the jump, the bar that it goes to) behind bar `at`, once."""
        name = self.commands.pop(at, None)
        if name is None:
            return None
        target = max((i for i in self.places["Begin"] if i <= at), default=0)
        if name.startswith("DalSegno"):
            segnos = [i for i in self.places["Segno"] if i <= at]
            label = self.labels[at].get(name)
            target = max([i for i in segnos if self.labels[i].get("Segno") == label] or segnos, default=-1)
            if target < 0:
                self.warnings.append("repeats: a dal segno has no segno before it; left as written")
                return None
        if name.endswith("Coda") and not any(
            self._coda(i, at) is not None for i in self.places["ToCoda"] if target <= i <= at
        ):
            if not any(i > at for i in self.places["Coda"]):
                self.warnings.append("repeats: 'al coda' needs a coda behind it; left as written")
                return None
            self.warnings.append(
                "repeats: 'al coda' without a sign to leave from; it goes on to the coda behind the jump"
            )
            name = name.removesuffix("AlCoda")
        if name.endswith("Fine") and not any(i >= target for i in self.places["Fine"]):
            self.warnings.append("repeats: 'al fine' has no fine; left as written")
            return None
        self.taken = at
        return name, target

    def stops(self, at: int, jump: str) -> bool:
        """Whether the music that `jump` came back to ends with bar `at`."""
        return at in self.places["Fine"] and not jump.endswith("Coda")

    def behind(self, at: int) -> int:
        """The bar that follows the end of what a jump came back to: a further movement begins there."""
        following = max(at, self.taken) + 1
        self.places["Begin"].append(following)
        return following

    def coda_from(self, at: int, jump: str) -> int | None:
        """The coda that is left for behind bar `at` after `jump`."""
        if at not in self.places["ToCoda"] or jump.endswith("Fine"):
            return None
        return self._coda(at, self.taken)

    def _coda(self, leaving: int, command: int) -> int | None:
        """The coda behind bar `leaving` for a jump in bar `command`: behind both, by its label, else the first."""
        codas = [i for i in self.places["Coda"] if i > leaving]
        codas = [i for i in codas if i > command] or codas
        label = self.labels[leaving].get("ToCoda")
        return next((i for i in codas if self.labels[i].get("Coda") == label), next(iter(codas), None))
