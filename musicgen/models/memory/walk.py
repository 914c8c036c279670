"""The metrical place of every row of a sequence: bar, position, part, and index within its chord; arrays of (N,)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, PROGRAM, VELOCITY, MemoryLayout

__all__ = ["AHEAD", "Walk", "bar_steps", "walk"]

AHEAD = 1 << 20


@dataclass(frozen=True)
class Walk:
    """The place of each row. A row places the note of the next one, so entry r is the place of the note in row r + 1.

    `part` is -1 where a row places no note; `x` is the position in the bar, -1 for a bar line and before the first.
    Arrays of (M,) are about notes, in the order of the rows that hold them; a note's place is entry r - 1 of its row r.
    """

    rows: np.ndarray  # (N, 6)
    bar: np.ndarray  # -1 before the first
    x: np.ndarray
    window: np.ndarray  # spans since the bar line
    part: np.ndarray
    time: np.ndarray  # steps since the first bar line
    chord: np.ndarray  # index, from 0, of the note placed among the notes of its part on this onset
    meter: np.ndarray  # 1 + the meter's value, 0 before the first meter
    note: np.ndarray  # (M,) rows
    pitch: np.ndarray  # (M,) 0..127, drums from 128
    duration: np.ndarray  # (M,) values
    velocity: np.ndarray  # (M,) values
    note_part: np.ndarray  # (M,)
    drum: np.ndarray  # (M,) bool
    order: np.ndarray  # (M,) note indices part by part, in time order
    begins: np.ndarray  # (M,) bool, whether this entry of `order` begins a part
    rank: np.ndarray  # (M,) number of earlier notes of its part
    last: np.ndarray  # (M,) index of the previous note of its part, -1 for none
    programs: np.ndarray  # (parts,) program of each part that enters in these rows
    tempo: int  # value, -1 where unknown
    style: int


def bar_steps(meter: np.ndarray, steps: int) -> np.ndarray:
    """The length of bars in grid steps for these meter values, rounded up."""
    return -(-(meter // 7 + 1) * 4 * steps // (1 << (meter % 7)))


def walk(rows: np.ndarray, layout: MemoryLayout) -> Walk:
    """The `Walk` of `rows` (N, 6), which start at the beginning of a piece or at a bar line."""
    N = len(rows)
    onset, what = rows[:, ONSET], rows[:, PART]
    at = np.arange(N)
    is_bar = onset == layout.bar
    begins = is_bar | (onset == layout.again)
    # Bars after a gap that are given in advance get numbers from AHEAD on; the other bars are numbered consecutively.
    ahead = (np.cumsum(onset == layout.after) - np.cumsum(onset == layout.here)) > 0
    bar = np.where(ahead, AHEAD + np.cumsum(is_bar & ahead), np.cumsum(is_bar & ~ahead)) - 1
    spans = np.cumsum(onset == layout.span)
    bar_at = np.maximum.accumulate(np.where(begins, at, 0))
    window = spans - spans[bar_at]
    placed = onset >= layout.position
    x = np.where(placed, onset - layout.position + window * layout.span_steps, -1)
    part = np.where((what >= layout.part) & placed, what - layout.part, -1)
    meter = np.where(is_bar & (what >= layout.meter) & (what < layout.tempo), what - layout.meter, -1)
    metered = np.maximum.accumulate(np.where(meter >= 0, at, -1))
    meter_now = np.where(metered >= 0, meter[metered], -1)
    lengths = np.where(is_bar & (meter_now >= 0), bar_steps(np.maximum(meter_now, 0), layout.steps), 0)
    bar_time = np.cumsum(lengths) - lengths  # time of each bar line
    last_bar = np.maximum.accumulate(np.where(is_bar, at, 0))
    time = np.where(np.cumsum(is_bar) > 0, bar_time[last_bar], 0) + np.maximum(x, 0)

    # The notes of a chord are consecutive rows at the same place.
    same = np.zeros(N, bool)
    if N > 1:
        same[1:] = (part[1:] >= 0) & (part[1:] == part[:-1]) & (x[1:] == x[:-1]) & (bar[1:] == bar[:-1])
    chord = at - np.maximum.accumulate(np.where(same, 0, at))

    note = np.flatnonzero(rows[:, DURATION] != 0)
    note = note[note > 0]
    note = note[part[note - 1] >= 0]
    note_part = part[note - 1]
    order = np.argsort(note_part, kind="stable")
    by_part = note_part[order]
    first = np.ones(len(order), bool)
    np.not_equal(by_part[1:], by_part[:-1], out=first[1:])
    place = np.arange(len(order))
    rank = np.empty(len(order), np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(first, place, 0)) if len(order) else 0
    last = np.full(len(order), -1)
    if len(order) > 1:
        last[order[1:]] = np.where(first[1:], -1, order[:-1])
    pitch = rows[note, PITCH] - layout.pitch
    enter = onset == layout.enter
    opening = rows[onset == layout.bos]
    return Walk(
        rows, bar, x, window, part, time, chord, meter_now + 1,
        note, pitch, rows[note, DURATION] - layout.duration, np.maximum(0, rows[note, VELOCITY] - layout.velocity),
        note_part, pitch >= layout.drum - layout.pitch, order, first, rank, last,
        rows[enter, PROGRAM] - layout.program,
        int(opening[0, PART] - layout.tempo) if len(opening) else -1,
        int(max(0, opening[0, PROGRAM] - layout.style)) if len(opening) else 0,
    )  # fmt: skip
