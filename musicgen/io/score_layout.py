"""Where the bars of a score lie, and its maps of tempo, meter and key.

Times are FINE ticks, 10080 a quarter. A part comes as rows by bar; a `Layout` puts bars one after the other
in playing order, so that bars sung twice cost an index and no copy of a music21 object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from musicgen.io.score_order import JUMPS, Bar, play_order
from musicgen.piece import KEY, METER, TEMPO

__all__ = ["FINE", "Layout", "PartRows", "joined", "rebar"]

FINE = 10080  # ticks a quarter


@dataclass
class PartRows:
    """What one part holds, by bar; times within a bar in FINE ticks."""

    name: str = ""
    program: int | None = None
    instrument: str = ""
    part_id: str = ""
    sounding: bool = True
    starts: list[int] = field(default_factory=list)  # of its bars, as music21 places them
    end: int = 0
    notes: list[tuple[int, int, int, int, int]] = field(default_factory=list)  # bar, onset, duration, pitch, tie
    levels: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, velocity
    transpositions: list[tuple[int, int]] = field(default_factory=list)  # onset in the part, semitones
    nominal: dict[int, tuple[int, int]] = field(default_factory=dict)  # bar -> meter
    keys: list[tuple[int, int, int, bool]] = field(default_factory=list)  # bar, onset, fifths, minor
    tempos: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, microseconds
    bars: list[Bar] = field(default_factory=list)


class Layout:
    """Where bars lie once repeats are written out: bar `order[i]` begins at `start[i]` (FINE ticks)."""

    def __init__(self, parts: list[PartRows], warnings: list[str], *, repeats: bool = True) -> None:
        fullest = max(parts, key=lambda p: len(p.starts))
        self.n = len(fullest.starts)
        self.nominal = _nominal(parts, self.n)
        lengths = np.zeros(self.n, dtype=np.int64)
        for part in parts:
            own = np.diff([*part.starts, part.end])
            if len(own):
                final = self.nominal[len(own) - 1]
                # A last bar may be left incomplete: it still is a whole bar to the meter.
                own[-1] = max(own[-1], 4 * FINE * final[0] // final[1] if len(own) > 1 else 0)
            lengths[: len(own)] = np.maximum(lengths[: len(own)], own)
        self.lengths = lengths
        if any((np.diff(p.starts) != self.lengths[: len(p.starts) - 1]).any() for p in parts):
            warnings.append("bars: the parts disagree on the length of a bar; the longest one holds")
        self.order = np.arange(self.n)
        # The signs stand in every part or, in kern and by accident, in only some.
        signs = max(parts, key=lambda p: sum(bool(b.times) + bool(b.marks) for b in p.bars))
        if repeats and any(b.times or b.passes or set(b.marks) & set(JUMPS) for b in signs.bars):
            order, said = play_order(signs.bars + [Bar()] * (self.n - len(signs.bars)))
            self.order = np.array(order, dtype=np.int64)
            warnings += said
        self.start = np.concatenate([[0], np.cumsum(self.lengths[self.order])])
        self.warnings = warnings

    def expand(self, bar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For rows with these bars: (place in `order`, row), one entry each time a row sounds."""
        by_bar = np.argsort(bar, kind="stable")
        first = np.searchsorted(bar[by_bar], np.arange(self.n + 1))
        count = np.diff(first)[self.order]
        instance = np.repeat(np.arange(len(self.order)), count)
        within = np.arange(len(instance)) - np.repeat(np.cumsum(count) - count, count)
        return instance, by_bar[first[self.order][instance] + within]

    def count(self, parts: list[PartRows]) -> int:
        """How many notes sound, ties not yet joined."""
        return sum(len(self.expand(np.array([n[0] for n in p.notes], dtype=np.int64))[0]) for p in parts)

    def maps(self, parts: list[PartRows]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tempos, meters, keys) of the piece. Tempi of all parts; keys of the first part in concert pitch."""
        tempos = self._map([row for p in parts for row in p.tempos], TEMPO)
        concert = next((p for p in parts if p.keys and p.sounding), None)
        keys = self._map(concert.keys if concert else [], KEY)
        meters: list[tuple[int, int, int]] = []
        current, irregular = None, 0
        for i, bar in enumerate(self.order.tolist()):
            length, meter = int(self.lengths[bar]), self.nominal[bar]
            if not length:
                continue
            real = meter
            if length * meter[1] != 4 * FINE * meter[0]:
                told = _as_meter(length, meter[1])
                irregular += told is None
                real = told or meter
            if real != current:
                meters.append((int(self.start[i]), *real))
            # After a bar whose length no meter tells, the next one is put right by a change of its own.
            current = real if length * real[1] == 4 * FINE * real[0] else None
        if irregular:
            self.warnings.append(f"meters: {irregular} bars have a length that no meter can tell")
        return tempos, np.array(meters, METER), keys

    def _map(self, rows: list[tuple], dtype: np.dtype) -> np.ndarray:
        """Rows (bar, onset, values..) as a map by tick without repetitions; of several on one tick the last."""
        instance, index = self.expand(np.array([r[0] for r in rows], dtype=np.int64))
        pairs = zip(instance.tolist(), index.tolist(), strict=True)
        timed = sorted(((int(self.start[i]) + rows[k][1], *rows[k][2:]) for i, k in pairs), key=lambda row: row[0])
        kept = list({row[0]: row for row in timed}.values())
        kept = [row for i, row in enumerate(kept) if not i or row[1:] != kept[i - 1][1:]]
        return np.array(kept, dtype)


def rebar(parts: list[PartRows]) -> None:
    """Give all parts the same bar lines, in place; for formats where a note may cross them.

    In kern a note or rest of four bars stands in the first of them, and music21 lets the next bar of that part
    begin at its end. Onsets in the part are right all the same, so each bar begins where the earliest part says.
    """
    n = max(len(p.starts) for p in parts)
    starts = np.min([p.starts for p in parts if len(p.starts) == n], axis=0)
    starts = np.maximum.accumulate(np.append(starts, max(p.end for p in parts)))
    nominal = _nominal(parts, n)
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


def _nominal(parts: list[PartRows], n: int) -> list[tuple[int, int]]:
    """The meter in force at each bar: the first part's that says so."""
    changes: dict[int, tuple[int, int]] = {}
    for part in reversed(parts):
        changes.update(part.nominal)
    meters, current = [], (4, 4)
    for bar in range(n):
        current = changes.get(bar, current)
        meters.append(current)
    return meters


def _as_meter(length: int, denominator: int) -> tuple[int, int] | None:
    """A bar of `length` FINE ticks as a meter, in the given note values or the next smaller ones that fit."""
    while denominator <= 64:
        numerator, rest = divmod(length * denominator, 4 * FINE)
        if not rest and 1 <= numerator <= 64:
            return numerator, denominator
        denominator *= 2
    return None


def joined(
    start: np.ndarray, duration: np.ndarray, pitch: np.ndarray, tie: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Notes by (start, pitch) with ties joined and unisons merged into the longest; how many were merged."""
    order = np.lexsort((pitch, start))
    start, duration, pitch, tie = start[order], duration[order].copy(), pitch[order], tie[order]
    keep = np.ones(len(start), dtype=bool)
    waiting: dict[tuple[int, int], int] = {}  # (pitch, end) of a tied note -> its row
    for i in np.flatnonzero(tie).tolist():
        begin, kind, p = int(start[i]), int(tie[i]), int(pitch[i])
        row = waiting.pop((p, begin), None) if kind > 1 else None
        if row is None:
            row = i
        else:
            duration[row] += duration[i]
            keep[i] = False
        if kind < 3:
            waiting[p, begin + int(duration[i])] = row
    start, duration, pitch = start[keep], duration[keep], pitch[keep]
    order = np.lexsort((-duration, pitch, start))
    start, duration, pitch = start[order], duration[order], pitch[order]
    first = np.ones(len(start), dtype=bool)
    first[1:] = (start[1:] != start[:-1]) | (pitch[1:] != pitch[:-1])
    return start[first], duration[first], pitch[first], int((~first).sum())
