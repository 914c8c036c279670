"""Where the bars of a score lie, and its maps of tempo, meter and key.

Times are FINE ticks, 10080 a quarter. A part holds rows that give a bar and an onset within it; a `Layout` lines up
the bars in playing order, so that a repeated bar costs one index and no copy of its rows.
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
# The velocity of each dynamic mark, the same for all formats.
VELOCITIES = {
    "pppp": 10, "ppp": 16, "pp": 33, "p": 49, "mp": 64, "mf": 80, "f": 96, "ff": 112, "fff": 124, "ffff": 127,
    "fp": 49, "sfp": 49, "pf": 96,
}  # fmt: skip


@dataclass
class PartRows:
    """The contents of one part, by bar: times within a bar in FINE ticks, sounding pitches."""

    name: str = ""
    instrument: str = ""
    program: int | None = None  # General MIDI, 0..127, if the file names one
    is_drum: bool = False
    bars: list[Bar] = field(default_factory=list)  # repeats, endings and jumps of each bar
    lengths: list[int] = field(default_factory=list)  # of its bars, by their contents rather than their meter
    notes: list[tuple[int, int, int, int, int]] = field(
        default_factory=list
    )  # bar, onset, duration, pitch, tie (see `joined`)
    levels: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, velocity
    meters: dict[int, tuple[int, int]] = field(default_factory=dict)  # bar -> the meter that begins there
    keys: list[tuple[int, int, int, bool]] = field(default_factory=list)  # bar, onset, fifths in concert pitch, minor
    tempos: list[tuple[int, int, int]] = field(default_factory=list)  # bar, onset, microseconds a quarter
    chords: list[tuple[int, int, str]] = field(default_factory=list)  # bar, onset, chord symbol such as Bbm7/F
    velocities: dict[int, int] = field(default_factory=dict)  # index in `notes` -> a velocity of its own
    only: dict[int, frozenset[int]] = field(default_factory=dict)  # index in `notes` -> the passes in which it sounds


@dataclass
class Score:
    """The result of a reader: the parts of one piece, and warnings ("name: what was done")."""

    parts: list[PartRows]
    warnings: list[str] = field(default_factory=list)
    order: list[int] | None = None  # bars in playing order if the file lists it; None: follow the repeat signs


class Layout:
    """Where bars lie once repeats are written out: bar `order[i]` begins at `start[i]` (FINE ticks).

    The playing order is `order` if given, else what the repeat signs of the bars ask for; with `repeats` False, the
    written order.
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
        # Warn of a bar that one part fills less than another; a part's last bar may be short.
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
        """For rows in the bars `bar`: (index into `order`, index of the row), one entry for each time a row sounds."""
        by_bar = np.argsort(bar, kind="stable")
        first = np.searchsorted(bar[by_bar], np.arange(self.n + 1))
        count = np.diff(first)[self.order]
        instance = np.repeat(np.arange(len(self.order)), count)
        within = np.arange(len(instance)) - np.repeat(np.cumsum(count) - count, count)
        return instance, by_bar[first[self.order][instance] + within]

    def count(self, parts: list[PartRows]) -> int:
        """How many notes sound with repeats written out, counted before ties are joined."""
        return sum(len(self.expand(np.array([n[0] for n in p.notes], dtype=np.int64))[0]) for p in parts)

    def maps(self, parts: list[PartRows]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(tempos, meters, keys) of the piece: tempi of all parts, keys (concert pitch) of the first that has any."""
        tempos = self._map([row for p in parts for row in p.tempos], TEMPO)
        keys = self._map(next((p.keys for p in parts if p.keys), []), KEY)
        return tempos, self._meters(), keys

    def _meters(self) -> np.ndarray:
        """The meter map: a bar that is shorter or longer than its meter gets a meter of its real length.

        Two short bars that together fill one, such as those around a repeat back to a pickup, count as one bar; a
        short bar at the very end keeps its nominal meter.
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
                length, k = length + lengths[k], k + 1  # rejoin a measure that a sign within it had cut
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
            # No meter expresses this length exactly, so the next bar states its own meter again.
            current = real if length * real[1] == 4 * FINE * real[0] else None
        if irregular:
            self.warnings.append(f"meters: {irregular} bars have a length that no meter can tell")
        return np.array(meters, METER)

    def _full(self, bar: int) -> int:
        numerator, denominator = self.nominal[bar]
        return 4 * FINE * numerator // denominator

    def chords(self, parts: list[PartRows]) -> np.ndarray:
        """The chord symbols of all parts (CHORD), sorted by tick; of several on one tick the last is kept."""
        rows = [(*row[:2], *chord) for p in parts for row in p.chords if (chord := chord_of(row[2])) is not None]
        return self._map(rows, CHORD, repeated=True)

    def _map(self, rows: list[tuple[Any, ...]], dtype: np.dtype, *, repeated: bool = False) -> np.ndarray:
        """Rows (bar, onset, values..) as an array sorted by tick; of several on one tick the last is kept.

        A row with the same values as the one before it is dropped unless `repeated`.
        """
        instance, index = self.expand(np.array([r[0] for r in rows], dtype=np.int64))
        pairs = zip(instance.tolist(), index.tolist(), strict=True)
        timed = sorted(((int(self.start[i]) + rows[k][1], *rows[k][2:]) for i, k in pairs), key=lambda row: row[0])
        kept = list({row[0]: row for row in timed}.values())
        kept = [row for i, row in enumerate(kept) if repeated or not i or row[1:] != kept[i - 1][1:]]
        return np.array(kept, dtype)


def nominal_meters(parts: Sequence[PartRows], n: int) -> list[tuple[int, int]]:
    """The meter in force at each of `n` bars; where one changes, the first part that states a meter there decides."""
    changes: dict[int, tuple[int, int]] = {}
    for part in reversed(parts):
        changes.update(part.meters)
    meters, current = [], (4, 4)
    for bar in range(n):
        current = changes.get(bar, current)
        meters.append(current)
    return meters


def _as_meter(length: int, denominator: int) -> tuple[int, int] | None:
    """The meter of a bar of `length` FINE ticks, over `denominator` or a smaller note value that fits; else None."""
    while denominator <= 64:
        numerator, rest = divmod(length * denominator, 4 * FINE)
        if not rest and 1 <= numerator <= 64:
            return numerator, denominator
        denominator *= 2
    return None


def joined(
    start: np.ndarray, duration: np.ndarray, pitch: np.ndarray, tie: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    """Join tied notes and merge unisons into the longest; the result is sorted by (start, pitch).

    `tie` is 0 (none), 1 (start), 2 (continue) or 3 (stop), plus four times the number of the voice, which is 0 if it
    doesn't matter: of several notes that a tie could continue, that of the same voice is preferred. Returns start,
    duration, pitch, the index of each in the notes given, and how many unisons were merged.
    """
    order = np.lexsort((-duration, pitch, start))
    start, duration, pitch, tie = start[order], duration[order].copy(), pitch[order], tie[order]
    keep = np.ones(len(start), dtype=bool)
    waiting: dict[tuple[int, int], list[int]] = {}  # (pitch, end) of notes whose tie is open -> their rows
    reached: dict[tuple[int, int], int] = {}  # (pitch, start) of a joined note -> the row it was joined to
    voices: dict[int, int] = {}  # row -> the voice of the last note joined to it
    doubled = 0
    for i in np.flatnonzero(tie).tolist():
        begin, kind, voice, p = int(start[i]), int(tie[i]) & 3, int(tie[i]) >> 2, int(pitch[i])
        row = i
        if kind > 1:
            tied = waiting.get((p, begin))
            if tied:
                row = tied.pop(next((k for k, other in enumerate(tied) if voices[other] == voice), 0))
            elif (p, begin) in reached:  # another voice has the same note, which is joined already
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
