"""The order in which a score's bars sound: repeats, endings, da capo and dal segno.

The readers of all formats find the signs; one walk puts the bars in order. Conventions (Gould 2011, "Behind Bars",
p. 233 ff.):
- A repeat without a start sign goes back to the end of the repeat before it (or of its endings), or to the begin of
  its movement.
- An ending names the passes in which it sounds; a pass that no ending names takes the ending of the pass before. A
  lone first ending is skipped in the last pass.
- After a jump, repeats aren't taken and only the ending of the last pass sounds, up to the fine, the coda or the bar
  of the jump; behind that repeats count again.
- Each jump is taken once, and the music written behind it follows, also after a fine: a file may hold several
  movements.
- Where signs contradict each other, the written order stays, with a warning.
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
    """The signs of one bar. A bar here reaches from one bar line, or repeat sign within a measure, to the next."""

    start: bool = False  # a repeat starts at its begin
    times: int = 0  # how often the section that it ends sounds in all; 0: no repeat sign
    passes: frozenset[int] = frozenset()  # of the ending that it belongs to: the passes in which it sounds
    # Begin (of a movement), Segno and Coda stand at the begin of the bar; ToCoda, Fine and JUMPS at its end.
    marks: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()  # (mark, name): which segno or coda of several is meant
    within: bool = False  # continues the measure of the bar before


def merged(parts: Sequence[Sequence[Bar]], n: int) -> list[Bar]:
    """The signs of `n` bars, united over all parts: editions write them in every part, in the first, or in some."""
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
    """Indices of `bars` in playing order, at most MOST for each bar, and warnings ("repeats: ...").

    `passes` is filled with the pass of each index: 1 the first time through, 2 the second; after a jump the last one.

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
    last = [1] * len(bars)  # the pass in which each bar last sounded, not counting those after a jump
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
            # The music that returns ends at the jump, or, if the jump stands in an ending, behind the last ending.
            past = next((i for i in range(at + 1, len(bars)) if not (bars[at].passes and bars[i].passes)), len(bars))
            returning, at = jump
            section, nth, in_ending = -1, 1, False
            continue
        at += 1
    times[:] = nths
    return order, list(dict.fromkeys(warnings))


MOST = 2 * MAX_TIMES + MAX_JUMPS


def _totals(bars: Sequence[Bar]) -> list[int]:
    """For each bar in an ending, how often its section sounds in all; 0 for other bars.

    That is the highest pass named by the ending and its neighbours, plus one if a lone ending has a repeat sign: the
    last pass skips it.
    """
    totals = [0] * len(bars)
    for begin, end in _groups(bars):
        group = bars[begin:end]
        highest = max(max(bar.passes) for bar in group)
        lone = all(bar.passes == group[0].passes for bar in group) and any(bar.times for bar in group)
        totals[begin:end] = [highest + lone] * (end - begin)
    return totals


def _groups(bars: Sequence[Bar]) -> Iterable[tuple[int, int]]:
    """(first bar, one past the last) of each run of neighbouring endings."""
    begin = 0
    for i in range(len(bars) + 1):
        if i == len(bars) or not bars[i].passes:
            if i > begin:
                yield begin, i
            begin = i + 1


def _with_sound_endings(bars: Sequence[Bar], warnings: list[str]) -> list[Bar]:
    """The bars with endings that can all be reached.

    Endings without a repeat sign or jump lose their brackets, as all but the first would never sound. A pass that no
    ending names, such as 2 beside "1" and "3", is added to the ending of the pass before.
    """
    bars = list(bars)
    for begin, end in _groups(bars):
        if not any(bar.times or set(bar.marks) & set(JUMPS) for bar in bars[begin:end]):
            # If only the last ending has a bracket, behind the repeat sign, it sounds once without one, too.
            if not (begin and bars[begin - 1].times):
                warnings.append("repeats: endings without a repeat sign; left as written")
            bars[begin:end] = [replace(bar, passes=frozenset()) for bar in bars[begin:end]]
            continue
        named = {nth for bar in bars[begin:end] for nth in bar.passes}
        # A lone first ending with a repeat sign for three times serves passes 1 and 2.
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
    """Da capos and dal segnos: where each goes, and where the music that it repeats ends."""

    def __init__(self, bars: Sequence[Bar], warnings: list[str]) -> None:
        self.warnings = warnings
        self.labels = [dict(bar.labels) for bar in bars]
        self.commands: dict[int, str] = {}
        for i, bar in enumerate(bars):
            jumps = [mark for mark in bar.marks if mark in JUMPS]
            if jumps:  # of two, which mean the same jump, that with "al .."
                self.commands[i] = max(jumps, key=lambda name: name not in ("DaCapo", "DalSegno"))
        names = ("Begin", "Segno", "Coda", "ToCoda", "Fine")
        self.places = {name: [i for i, bar in enumerate(bars) if name in bar.marks] for name in names}
        codas = self.places["Coda"]
        if self.commands and not self.places["ToCoda"] and len(codas) > 1:
            self.places["ToCoda"], self.places["Coda"] = codas[:1], codas[1:]  # the first sign is "to coda"
        if len(self.commands) > MAX_JUMPS:
            warnings.append(f"repeats: more than {MAX_JUMPS} da capos and dal segnos; they are left as written")
            self.commands = {}
        self.taken = -1  # the bar of the last jump

    def take(self, at: int) -> tuple[str, int] | None:
        """(name of the jump, target bar) of a jump at the end of bar `at`, the first time; None without one."""
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
        """Whether the music repeated after `jump` ends at a fine in bar `at`."""
        return at in self.places["Fine"] and not jump.endswith("Coda")

    def behind(self, at: int) -> int:
        """The bar to go on with after a fine in bar `at`: behind it and the jump; it begins a new movement."""
        following = max(at, self.taken) + 1
        self.places["Begin"].append(following)
        return following

    def coda_from(self, at: int, jump: str) -> int | None:
        """The bar of the coda to go to from a "to coda" in bar `at` after `jump`; None without one."""
        if at not in self.places["ToCoda"] or jump.endswith("Fine"):
            return None
        return self._coda(at, self.taken)

    def _coda(self, leaving: int, command: int) -> int | None:
        """The bar of the coda for a "to coda" in bar `leaving` and a jump in bar `command`; None without one.

        It is one behind both bars if there is any; of several, that with the same label, else the first.
        """
        codas = [i for i in self.places["Coda"] if i > leaving]
        codas = [i for i in codas if i > command] or codas
        label = self.labels[leaving].get("ToCoda")
        return next((i for i in codas if self.labels[i].get("Coda") == label), next(iter(codas), None))
