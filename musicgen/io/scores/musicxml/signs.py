"""Turn the signs of a MusicXML score into the bars of `order`: place each sign, and cut measures where needed.

A `<sound>` applies exactly where it is written. A sign that is only drawn may be drawn a little off: the target of a
jump (segno, coda) applies to the begin of its measure, a place to leave from to the end of its measure. A da capo or
dal segno with notes behind it in its measure is moved to the end, too, as those notes would never sound.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from musicgen.io.scores.layout import PartRows
from musicgen.io.scores.musicxml.words import ALONE, DRAWN, PLAYED, Sign, family, passes_of
from musicgen.io.scores.order import JUMPS, Bar

__all__ = ["Cuts", "bars_of", "movements", "settled"]

BEGINS = ("start", "ending", "Segno", "Coda", "Begin")
MARKS = (*JUMPS, "DaCapoAlSegno", "Segno", "Coda", "ToCoda", "Fine", "Begin")


def movements(numbers: Sequence[int | None]) -> list[Sign]:
    """Signs for the begin of each movement: where the measure numbers start anew."""
    signs, before = [], 0
    for bar, number in enumerate(numbers):
        if number is None:
            continue
        if number in (0, 1) and before > 1:
            signs.append(Sign(bar, 0, "Begin", source=ALONE))
        before = number
    return signs


def settled(
    signs: Iterable[Sign], lengths: Sequence[int], onsets: dict[int, int], warnings: list[str]
) -> dict[str, list[Sign]]:
    """The signs of one part by kind, each moved to the place where it applies, an onset from 0 to its measure's end.

    `onsets` holds the last onset of a note in each measure. Of several signs of one family in a measure one is kept.
    """
    signs = list(signs)
    lines = {(sign.bar, sign.onset) for sign in signs if sign.kind == "line"}
    lines |= {(sign.bar, sign.onset) for sign in signs if sign.kind in ("Coda", "Begin") and sign.source >= PLAYED}
    kept: dict[str, list[Sign]] = defaultdict(list)
    marks: dict[tuple[int, str], Sign] = {}
    for sign in signs:
        if sign.kind == "line":
            continue
        place = (
            _begin(sign, lengths, lines)
            if sign.kind in BEGINS
            else _end(sign, lengths, lines=lines, onsets=onsets, warnings=warnings)
        )
        if place is None:
            continue
        if place.kind not in MARKS:
            kept[place.kind].append(place)
            continue
        name = place.bar, family(place.kind)
        other = marks.get(name)
        best = place if other is None else max(other, place, key=lambda s: s.source)
        if other is not None:  # keep the more specific name of the two
            kind = max(other.kind, place.kind, key=len)
            best = replace(best, kind=kind, label=best.label or other.label or place.label)
        marks[name] = best
    kept["marks"] = list(marks.values())
    return kept


def _begin(sign: Sign, lengths: Sequence[int], lines: set[tuple[int, int]]) -> Sign | None:
    """Place a sign that marks a begin: a target, or the start of a repeat or ending; None to drop it."""
    length = lengths[sign.bar]
    if sign.onset < 0 or (sign.onset >= length and sign.onset > 0):
        if sign.kind == "Coda" and sign.source == DRAWN:  # at the end of a measure it means "to coda"
            return replace(sign, kind="ToCoda", onset=length)
        return replace(sign, bar=sign.bar + 1, onset=0) if sign.bar + 1 < len(lengths) else None
    exact = sign.source >= PLAYED or (sign.bar, sign.onset) in lines
    return sign if exact else replace(sign, onset=0)


def _end(
    sign: Sign, lengths: Sequence[int], *, lines: set[tuple[int, int]], onsets: dict[int, int], warnings: list[str]
) -> Sign | None:
    """Place a sign that marks an end: a jump, a fine, or the end of a repeat or ending; None to drop it."""
    length = lengths[sign.bar]
    if sign.onset < 0 or sign.onset >= length:
        return replace(sign, onset=length)
    if sign.onset == 0:
        if sign.source < ALONE:
            return replace(sign, onset=length)
        return replace(sign, bar=sign.bar - 1, onset=lengths[sign.bar - 1]) if sign.bar else None
    if (sign.bar, sign.onset) in lines:
        return sign
    if sign.source == DRAWN:
        return replace(sign, onset=length)
    if sign.source == PLAYED and family(sign.kind) in JUMPS and onsets.get(sign.bar, -1) >= sign.onset:
        warnings.append("repeats: a da capo or dal segno before the last notes of its measure; it is taken behind them")
        return replace(sign, onset=length)
    return sign


class Cuts:
    """Measures cut into pieces at signs within them; each piece is a bar of `order`."""

    def __init__(self, lengths: Sequence[int], signs: Iterable[Sign]) -> None:
        inner: dict[int, set[int]] = defaultdict(set)
        for sign in signs:
            if 0 < sign.onset < lengths[sign.bar]:
                inner[sign.bar].add(sign.onset)
        self.lengths = lengths
        self.onsets = {bar: [0, *sorted(cuts)] for bar, cuts in inner.items()}
        self.first: list[int] = []  # index of the first piece of each measure
        for bar in range(len(lengths) + 1):
            before = len(self.onsets.get(bar - 1, (0,))) if bar else 0
            self.first.append((self.first[-1] if bar else 0) + before)
        self.n = self.first[-1]

    def piece(self, bar: int, onset: int, *, ends: bool = False) -> int:
        """The index of the piece that contains `onset`, or, with `ends`, that ends there."""
        cuts = self.onsets.get(bar)
        if cuts is None:
            return self.first[bar]
        return self.first[bar] + bisect_right(cuts, onset - 1 if ends else onset) - 1

    def moved(self, rows: list[Any]) -> list[Any]:
        """Convert rows that begin with (measure, onset) to rows that begin with (piece, onset in the piece)."""
        if not self.onsets:
            return rows
        placed = []
        for bar, onset, *rest in rows:
            piece = self.piece(bar, onset)
            cuts = self.onsets.get(bar)
            placed.append((piece, onset - (cuts[piece - self.first[bar]] if cuts else 0), *rest))
        return placed

    def cut(self, part: PartRows) -> None:
        """Cut the measures of a part, in place. A note across a cut stays whole, in the piece where it begins."""
        if not self.onsets:
            return
        for name in ("notes", "levels", "keys", "tempos", "chords"):
            setattr(part, name, self.moved(getattr(part, name)))
        part.meters = {self.first[min(bar, len(self.first) - 1)]: meter for bar, meter in part.meters.items()}
        lengths: list[int] = []
        for bar, length in enumerate(part.lengths):
            ends = [*self.onsets.get(bar, [0])[1:], max(length, self.lengths[bar])]
            begins = self.onsets.get(bar, [0])
            lengths += [max(0, min(end, length) - begin) for begin, end in zip(begins, ends, strict=True)]
        part.lengths = lengths


def bars_of(cuts: Cuts, parts: Sequence[dict[str, list[Sign]]]) -> list[Bar]:
    """The bars with the signs of all parts; `parts` holds the result of `settled` for each part."""
    bars = [Bar() for _ in range(cuts.n)]
    for measure, onsets in cuts.onsets.items():
        for piece in range(cuts.first[measure] + 1, cuts.first[measure] + len(onsets)):
            bars[piece].within = True
    for signs in parts:
        for sign in signs.get("start", ()):
            bars[cuts.piece(sign.bar, sign.onset)].start = True
        for sign in signs.get("times", ()):
            bar = bars[cuts.piece(sign.bar, sign.onset, ends=True)]
            bar.times = max(bar.times, sign.times)
    repeated = [i for i, bar in enumerate(bars) if bar.times]
    started = [i for i, bar in enumerate(bars) if bar.start]
    for signs in parts:
        for first, last, passes in _endings(cuts, signs, repeated, started):
            for bar in bars[first : last + 1]:
                bar.passes = bar.passes or passes
    marks = [sign for signs in parts for sign in signs.get("marks", ())]
    segnos = [cuts.piece(sign.bar, sign.onset) for sign in marks if sign.kind == "Segno"]
    for sign in marks:
        piece = cuts.piece(sign.bar, sign.onset, ends=sign.kind not in BEGINS)
        kind = sign.kind
        if kind == "DaCapoAlSegno":  # it ends at the segno, like a fine
            before = [segno - 1 for segno in segnos if 0 < segno <= piece]
            kind = "DaCapoAlFine" if before else "DaCapo"
            if before:
                bars[before[-1]].marks += ("Fine",)
        bars[piece].marks += (kind,) if kind not in bars[piece].marks else ()
        if sign.label:
            bars[piece].labels += ((kind, sign.label),)
    return bars


def _endings(
    cuts: Cuts, signs: dict[str, list[Sign]], repeated: Sequence[int], started: Sequence[int]
) -> Iterable[tuple[int, int, frozenset[int]]]:
    """(first piece, last piece, passes) of each ending of a part.

    An ending without a stop reaches to the next repeat sign, or up to the next ending or start of a repeat; if none
    follows, it is one piece long. An ending that stops before its repeat sign is extended to it.
    """
    opened = sorted((cuts.piece(s.bar, s.onset), s.label) for s in signs.get("ending", ()))
    closed = sorted(cuts.piece(s.bar, s.onset, ends=True) for s in signs.get("ended", ()))
    for i, (first, label) in enumerate(opened):
        passes = passes_of(label)
        following = opened[i + 1][0] if i + 1 < len(opened) else cuts.n
        last = next((k for k in closed if first <= k < following), None)
        if last is None:
            last = next((k for k in repeated if first <= k < following), None)
        if last is None:
            limit = min([following, *(k for k in started if k > first)])
            last = limit - 1 if limit < cuts.n else first
        # A bracket may be drawn over the first measure alone; it reaches to the repeat sign.
        sign = next((k for k in repeated if k >= last), None)
        is_first = 1 in passes or (i + 1 < len(opened) and sign is not None and following == sign + 1)
        if sign is not None and is_first and not any(last < k <= sign for k in (*started, following)):
            last = sign
        if passes:
            yield first, last, passes
