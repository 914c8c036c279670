"""Where the bars of a score lie, and its maps of tempo, meter and key.

Times are FINE ticks, 10080 a quarter. A part comes as rows by bar; a `Layout` puts bars one after the other
in playing order, so that bars sung twice cost an index.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from musicgen.chords import chord_of
from musicgen.io.scores.order import JUMPS, Bar, merged, play_order
from musicgen.piece import CHORD, KEY, METER, TEMPO

__all__ = ["FINE", "VELOCITIES", "Layout", "PartRows", "Score", "joined", "nominal_meters"]

FINE = 10080  # ticks a quarter
# What dynamic marks mean, for whatever format they are written in.
VELOCITIES = {
    "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 124, "ffff": 127,
    "fp": 49, "sfp": 49, "pf": 96,
}  # fmt: skip


@dataclass
class PartRows:
    """What one part holds, by bar; times within a bar in FINE ticks, pitches as they sound."""

    name: str = ""
    instrument: str = ""
    program: int | None = None  # as the file says, 0..127
    is_drum: bool = False
    bars: list[Bar] = field(default_factory=list)  # the signs of its bars
    lengths: list[int] = field(default_factory=list)  # of its bars, as they are filled, not as the meter wants
    notes: list[tuple[int, int, int, int, int]] = field(
        default_factory=list
    )  # bar, onset, duration, pitch, tie (see `joined`)
    levels: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, velocity
    meters: dict[int, tuple[int, int]] = field(default_factory=dict)  # bar -> the meter that begins there
    keys: list[tuple[int, int, int, bool]] = field(default_factory=list)  # bar, onset, fifths in concert pitch, minor
    tempos: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, microseconds a quarter
    chords: list[tuple[int, int, str]] = field(default_factory=list)  # bar, onset, chord symbol such as Bbm7/F
    velocities: dict[int, int] = field(default_factory=dict)  # of single notes, by their place in `notes`
    only: dict[int, frozenset[int]] = field(default_factory=dict)  # passes in which a note sounds, likewise


@dataclass
class Score:
    """What a reader gives: the parts of one piece, and warnings ("name: what was done")."""

    parts: list[PartRows]
    warnings: list[str] = field(default_factory=list)
    order: list[int] | None = None  # its bars as they are to sound, where the file lists them; else the signs tell


class Layout:
    """Where bars lie once repeats are written out: bar `order[i]` begins at `start[i]` (FINE ticks).

    With `order` that is the order; else the signs of the bars say it, and without `repeats` bars sound as written.
    """

    def __init__(
        self, parts: list[PartRows], warnings: list[str], *, repeats: bool = True, order: list[int] | None = None
    ) -> None:
        self.n = max(len(p.lengths) for p in parts)
        self.nominal = nominal_meters(parts, self.n)
        self.lengths = np.zeros(self.n, dtype=np.int64)
        for part in parts:
            own = self.lengths[: len(part.lengths)]
            np.maximum(own, part.lengths, out=own)
        # A part that ends early says nothing; one that is short in the middle is another matter.
        if any((np.array(p.lengths[:-1]) != self.lengths[: max(len(p.lengths) - 1, 0)]).any() for p in parts):
            warnings.append("bars: the parts disagree on the length of a bar; the longest one holds")
        self.order, self.passes = np.arange(self.n), np.ones(self.n, dtype=np.int64)
        signs = merged([p.bars for p in parts if p.bars], self.n)
        self.within = [bar.within for bar in signs]
        if order is not None:
            self.order, self.passes = np.array(order, dtype=np.int64), np.ones(len(order), dtype=np.int64)
        elif repeats and any(b.times or b.passes or set(b.marks) & set(JUMPS) for b in signs):
            passes: list[int] = []
            walked, problems = play_order(signs, passes)
            self.order, self.passes = np.array(walked, dtype=np.int64), np.array(passes, dtype=np.int64)
            warnings += problems
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
        keys = self._map(next((p.keys for p in parts if p.keys), []), KEY)
        return tempos, self._meters(), keys

    def _meters(self) -> np.ndarray:
        """The meter map: a bar that is shorter or longer than its meter says has a meter of its own.

        Two short bars that fill one, as at a repeat that goes back to a pickup, are one bar; a short bar at the
        very end is an unfilled one.
        """
        meters: list[tuple[int, int, int]] = []
        current, irregular = None, 0
        played = [(i, b) for i, b in enumerate(self.order.tolist()) if self.lengths[b]]
        lengths = [int(self.lengths[bar]) for _, bar in played]
        k = 0
        while k < len(played):
            (i, bar), length = played[k], lengths[k]
            meter = self.nominal[bar]
            full = self._full(bar)
            k += 1
            while k < len(played) and played[k][1] == played[k - 1][1] + 1 and self.within[played[k][1]]:
                length, k = length + lengths[k], k + 1  # what a sign within a measure had cut
            if length < full and k == len(played) and k > 1:
                length = full
            elif k > 1 and length < full and length + sum(lengths[k : k + 1]) == full == self._full(played[k][1]):
                length, k = full, k + 1
            real = meter
            if length * meter[1] != 4 * FINE * meter[0]:
                fitting = _as_meter(length, meter[1])
                irregular += fitting is None
                real = fitting or meter
            if real != current:
                meters.append((int(self.start[i]), *real))
            # After a bar whose length no meter tells, the next one is put right by a change of its own.
            current = real if length * real[1] == 4 * FINE * real[0] else None
        if irregular:
            self.warnings.append(f"meters: {irregular} bars have a length that no meter can tell")
        return np.array(meters, METER)

    def _full(self, bar: int) -> int:
        numerator, denominator = self.nominal[bar]
        return 4 * FINE * numerator // denominator

    def chords(self, parts: list[PartRows]) -> np.ndarray:
        """The chord symbols of all parts by tick (CHORD); of several on one tick the last."""
        rows = [(*row[:2], *chord) for p in parts for row in p.chords if (chord := chord_of(row[2])) is not None]
        return self._map(rows, CHORD, repeated=True)

    def _map(self, rows: list[tuple[Any, ...]], dtype: np.dtype, *, repeated: bool = False) -> np.ndarray:
        """Rows (bar, onset, values..) as a map by tick; of several on one tick the last.

        What changes nothing is left out unless it is to be `repeated`.
        """
        instance, index = self.expand(np.array([r[0] for r in rows], dtype=np.int64))
        pairs = zip(instance.tolist(), index.tolist(), strict=True)
        timed = sorted(((int(self.start[i]) + rows[k][1], *rows[k][2:]) for i, k in pairs), key=lambda row: row[0])
        kept = list({row[0]: row for row in timed}.values())
        kept = [row for i, row in enumerate(kept) if repeated or not i or row[1:] != kept[i - 1][1:]]
        return np.array(kept, dtype)


def nominal_meters(parts: Sequence[PartRows], n: int) -> list[tuple[int, int]]:
    """The meter in force at each bar: the first part's that says so."""
    changes: dict[int, tuple[int, int]] = {}
    for part in reversed(parts):
        changes.update(part.meters)
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
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Notes by (start, pitch) with ties joined and unisons merged into the longest.

    A tie is 0 none, 1 begins, 2 goes on, 3 ends, and four times the number of its voice, 0 where it doesn't matter: of
    several notes that could go on, that of the same voice does. Gives start, duration, pitch, which of the given notes
    each was, and how many unisons were merged.
    """
    order = np.lexsort((-duration, pitch, start))
    start, duration, pitch, tie = start[order], duration[order].copy(), pitch[order], tie[order]
    keep = np.ones(len(start), dtype=bool)
    waiting: dict[tuple[int, int], list[int]] = {}  # (pitch, end) of tied notes -> their rows
    reached: dict[tuple[int, int], int] = {}  # (pitch, start) of a note that was joined -> the row that it went to
    voices: dict[int, int] = {}  # by row, of what was joined to it last
    doubled = 0
    for i in np.flatnonzero(tie).tolist():
        begin, kind, voice, p = int(start[i]), int(tie[i]) & 3, int(tie[i]) >> 2, int(pitch[i])
        row = i
        if kind > 1:
            tied = waiting.get((p, begin))
            if tied:
                row = tied.pop(next((k for k, other in enumerate(tied) if voices[other] == voice), 0))
            elif (p, begin) in reached:  # a second voice comes to the same tied note
                row, doubled = reached[p, begin], doubled + 1
            if row != i:
                keep[i] = False
                duration[row] = max(int(duration[row]), begin + int(duration[i]) - int(start[row]))
                reached[p, begin] = row
        voices[row] = voice
        if kind < 3:
            waiting.setdefault((p, int(start[row] + duration[row])), []).append(row)
    start, duration, pitch, order = start[keep], duration[keep], pitch[keep], order[keep]
    by = np.lexsort((-duration, pitch, start))
    start, duration, pitch, order = start[by], duration[by], pitch[by], order[by]
    first = np.ones(len(start), dtype=bool)
    first[1:] = (start[1:] != start[:-1]) | (pitch[1:] != pitch[:-1])
    return start[first], duration[first], pitch[first], order[first], doubled + int((~first).sum())
