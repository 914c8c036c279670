"""The order in which a score's bars sound: repeats, endings, da capo and dal segno.

music21 finds the signs; the walk is our own, because `expandRepeats` copies every note of the score, doubles
at a repeat that has an end and no start, and grows without bound on hostile files. Conventions: a repeat
without a start goes back to the end of the one before it; after a jump repeats aren't taken again and only
the last ending sounds (as music21 does, and Gould 2011, "Behind Bars", p. 233 ff.).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "play_order"]

MAX_TIMES = 8
JUMPS = ("DaCapo", "DaCapoAlFine", "DaCapoAlCoda", "DalSegno", "AlSegno", "DalSegnoAlFine", "DalSegnoAlCoda")


@dataclass
class Bar:
    """The signs of one bar."""

    start: bool = False  # a repeat starts here
    times: int = 0  # how often the section that ends here sounds in all; 0 without a sign
    passes: frozenset[int] = frozenset()  # the passes for which this ending is meant
    marks: tuple[str, ...] = ()  # Segno, Coda, Fine or one of JUMPS


def play_order(bars: Sequence[Bar]) -> tuple[list[int], list[str]]:
    """Indices of `bars` in playing order, and warnings ("repeats: ..."). Bounded by MAX_TIMES + 2 per bar.

    >>> play_order([Bar(), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2}))])[0]
    [0, 1, 0, 2]
    """
    written = list(range(len(bars)))
    if any(bar.times > MAX_TIMES for bar in bars):
        return written, [f"repeats: a section is to sound more than {MAX_TIMES} times; left as written"]
    warnings: list[str] = []
    jump = _jump(bars, warnings)
    highest = _highest_passes(bars)
    order: list[int] = []
    at, section, nth, jumped, in_ending = 0, 0, 1, False, False
    while at < len(bars):
        bar = bars[at]
        if len(order) > (MAX_TIMES + 2) * len(bars):  # can't happen with sane signs
            return written, ["repeats: the signs contradict each other; left as written"]
        last = highest[at]
        if (bar.start and at != section) or (in_ending and not bar.passes):
            section, nth = at, 1
        in_ending = bool(bar.passes)
        if bar.passes and (last not in bar.passes if jumped else nth not in bar.passes):
            at += 1
            continue
        order.append(at)
        if not jumped and bar.times:
            again = nth < bar.times
            if bar.passes:  # a lone bracket "1." goes back, the last of several doesn't
                again = nth < last or 1 in bar.passes
            if again:
                at, nth, in_ending = section, nth + 1, False
                continue
            section, nth = at + 1, 1
        if jump is not None:
            command, target, stop, resume = jump
            if not jumped and at == command:
                at, jumped, section, nth, in_ending = target, True, -1, 1, False
                continue
            if jumped and at == stop:
                if resume is None:
                    break
                at, jump = resume, None
                continue
        at += 1
    return order, warnings


def _highest_passes(bars: Sequence[Bar]) -> list[int]:
    """For each bar in an ending the highest pass that it and the endings next to it name; else 0."""
    highest = [0] * len(bars)
    begin = 0
    for i in range(len(bars) + 1):
        if i < len(bars) and bars[i].passes:
            continue
        if i > begin:
            highest[begin:i] = [max(max(bar.passes) for bar in bars[begin:i])] * (i - begin)
        begin = i + 1
    return highest


def _jump(bars: Sequence[Bar], warnings: list[str]) -> tuple[int, int, int | None, int | None] | None:
    """(bar that jumps, where to, bar after which the second round stops, where it goes on then)."""
    names = ("Segno", "Coda", "Fine", *JUMPS)
    places = {name: [i for i, bar in enumerate(bars) if name in bar.marks] for name in names}
    commands = [(i, name) for name in JUMPS for i in places[name]]
    if not commands:
        return None
    if len(commands) > 1:
        warnings.append("repeats: more than one da capo or dal segno; the jumps are left as written")
        return None
    command, name = commands[0]
    target = 0 if name.startswith("DaCapo") else next(iter(places["Segno"]), None)
    if target is None or target > command:
        warnings.append("repeats: a dal segno has no segno before it; left as written")
        return None
    if name.endswith("Coda"):
        codas = places["Coda"]
        if len(codas) != 2 or not target <= codas[0] <= command < codas[1]:
            warnings.append("repeats: 'al coda' needs two coda signs; left as written")
            return None
        return command, target, codas[0], codas[1]
    fines = [i for i in places["Fine"] if target <= i]
    if name.endswith("Fine") and not fines:
        warnings.append("repeats: 'al fine' has no fine; left as written")
        return None
    return command, target, (fines[0] if fines else None), None
