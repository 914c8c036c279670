"""Where every row of a sequence stands: bar, position, part, and which note of its chord it is. Arrays of (N,)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, PROGRAM, VELOCITY, MemoryLayout

__all__ = ["AHEAD", "Walk", "bar_steps", "walk"]

AHEAD = 1 << 20


@dataclass(frozen=True)
class Walk:
    """A row says where the next note stands, so what is said of row r here is the place that it leads to.

    Of a row that leads to no note `part` is -1; `x` is the position in the bar, -1 for a bar line and before it.
    Notes, (M,), are numbered by the rows that hold them; their place is that of the row before.
    """

    rows: np.ndarray  # (N, 6)
    bar: np.ndarray  # -1 before the first
    x: np.ndarray
    window: np.ndarray  # spans since the bar line
    part: np.ndarray
    time: np.ndarray  # steps since the first bar line
    chord: np.ndarray  # which note of its part on this onset the one led to is, from 0
    meter: np.ndarray  # the meter's value, 0 before it is told; its ids begin at 1 here
    note: np.ndarray  # (M,) rows
    pitch: np.ndarray  # (M,) 0..127, drums from 128
    duration: np.ndarray  # (M,) values
    velocity: np.ndarray  # (M,) values
    note_part: np.ndarray  # (M,)
    drum: np.ndarray  # (M,) bool
    order: np.ndarray  # (M,) notes part by part, in order of time
    begins: np.ndarray  # (M,) which of `order` begin a part
    rank: np.ndarray  # (M,) how many notes of its part came before
    last: np.ndarray  # (M,) the note before it in its part, -1
    programs: np.ndarray  # (parts,) of those that have entered in these rows
    tempo: int  # value, -1 where it isn't told
    style: int


def bar_steps(meter: np.ndarray, steps: int) -> np.ndarray:
    """The length in grid steps of bars of these meter values, rounded up."""
    return -(-(meter // 7 + 1) * 4 * steps // (1 << (meter % 7)))


def walk(rows: np.ndarray, layout: MemoryLayout) -> Walk:
    """See `Walk`. `rows` (N, 6) are the steps from a piece's beginning on, or from a bar line."""
    N = len(rows)
    onset, what = rows[:, ONSET], rows[:, PART]
    at = np.arange(N)
    is_bar = onset == layout.bar
    begins = is_bar | (onset == layout.again)
    # Bars told ahead, behind a hole, are numbered apart: those around them follow one another.
    ahead = (np.cumsum(onset == layout.after) - np.cumsum(onset == layout.here)) > 0
    bar = np.where(ahead, AHEAD + np.cumsum(is_bar & ahead), np.cumsum(is_bar & ~ahead)) - 1
    spans = np.cumsum(onset == layout.span)
    bar_at = np.maximum.accumulate(np.where(begins, at, 0))
    window = spans - spans[bar_at]
    placed = onset >= layout.position
    x = np.where(placed, onset - layout.position + window * layout.span_steps, -1)
    part = np.where((what >= layout.part) & placed, what - layout.part, -1)
    meter = np.where(is_bar & (what >= layout.meter) & (what < layout.tempo), what - layout.meter, -1)
    told = np.maximum.accumulate(np.where(meter >= 0, at, -1))
    meter_now = np.where(told >= 0, meter[told], -1)
    lengths = np.where(is_bar & (meter_now >= 0), bar_steps(np.maximum(meter_now, 0), layout.steps), 0)
    bar_time = np.cumsum(lengths) - lengths  # at a bar line: where it lies
    last_bar = np.maximum.accumulate(np.where(is_bar, at, 0))
    time = np.where(np.cumsum(is_bar) > 0, bar_time[last_bar], 0) + np.maximum(x, 0)

    # A chord's notes follow one another, on one place.
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
