"""Sequences of the `parts` tokenizer for music with a hole: what the model reads before it fills it, and what is given.

A hole is some bars and the parts that are to be written there; the other parts are given. `tasks.py` defines the two
orders that a model learns, and this module makes the same orders for a request:

- the bars behind the hole, between the marks `after` and `here`, come before the bars that lead to it;
- where parts are given, each bar tells their notes first, then `again`, then the notes of the parts to be written.

Rows are (N, 6) ids; an item is a note in one row with its position and part (`items_of`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicgen.tokenizers.bars.music import SPAN_QUARTERS
from musicgen.tokenizers.bars.tasks import items_of, rows_of
from musicgen.tokenizers.base import Tokenizer
from musicgen.tokenizers.constraints.given import GivenBar

__all__ = ["LONGEST_TOLD", "Hole", "HoleReading", "read_hole", "told_around", "with_drawn"]

ONSET, PART = 3, 4
MOST_AFTER = 8  # bars behind a hole that are told: as many as in training
LONGEST_TOLD = 4  # bars of a hole that are filled towards what follows: as many as in training


@dataclass(frozen=True)
class Hole:
    """Bars `begin` .. `end` - 1, counted from 0, in which the parts with the numbers `parts` are to be written."""

    begin: int
    end: int
    parts: frozenset[int]

    @property
    def bars(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class HoleReading:
    """What comes before the hole's first bar: ids before the prompt (for a model that recalls them), the prompt, both
    (N, 6), and the first fields of the next step; then the given steps of each bar of the hole."""

    past: np.ndarray
    prompt: np.ndarray
    begun: tuple[int, ...]
    given: tuple[GivenBar, ...]


def read_hole(
    rows: np.ndarray, tokenizer: Tokenizer, hole: Hole, *, room: int, towards: bool = True, count: int | None = None
) -> HoleReading:
    """The reading of a hole in a piece with these `rows`, from BOS to EOS; notes of the hole's parts in it are ignored.

    `room` is the number of steps that the prompt may have. `towards`: tell the bars behind the hole, if there are any.
    `count` is the number of the hole's bars that are told to be missing, for a hole of which only the last bars are
    filled now; None: all.
    """
    bars = _Bars(rows, tokenizer, hole)
    behind = bars.behind(room // 3) if towards else range(0)
    marks = bars.marks(behind, hole.bars if count is None else count)
    first = bars.first_of_tail(room - len(marks))
    early = bars.head if first == 0 else np.concatenate([bars.head, bars.told(range(first))])
    tail = bars.told(range(first, hole.begin))
    ends = bars.mark("eos")
    whole = rows_of(np.concatenate([early, marks, tail, ends]))
    base = tokenizer.vocabulary.id("eos")
    last = whole[-1].tolist()
    whole, begun = whole[:-1], tuple(int(x) for x in last[: last.index(base)])
    # The head alone is no past: a model reads who plays.
    split = 0 if first == 0 else len(early)
    return HoleReading(whole[:split], whole[split:], begun, bars.given())


def told_around(rows: np.ndarray, tokenizer: Tokenizer, hole: Hole) -> np.ndarray:
    """The bars before and behind a hole as (N, 6) ids, in the order in which the hole is read; none where the hole's
    parts play nowhere else."""
    bars = _Bars(rows, tokenizer, hole)
    if not (bars.kept & bars.late).any():
        return rows[:0].astype(np.int64)
    around = [bars.told(range(hole.begin)), bars.told(range(hole.end, bars.count))]
    return rows_of(np.concatenate([bars.head, *around, bars.mark("eos")]))


def with_drawn(rows: np.ndarray, tokenizer: Tokenizer, hole: Hole, drawn: np.ndarray) -> np.ndarray:
    """The piece's rows, in order of time, with what has been `drawn` (steps from the hole's first bar line on) in place
    of what its parts had there."""
    old = _Bars(rows, tokenizer, hole)
    ended = np.concatenate([drawn.astype(np.int64), old.mark("eos")])
    ended[-1, :3] = 0  # the last step drawn has no onset, or begins a note that isn't there
    new = _Bars(np.concatenate([old.head, ended]), tokenizer, replace(hole, begin=0, end=0))
    mine = new.late
    bar = np.concatenate([old.bar[old.kept], new.bar[mine] + hole.begin])
    notes = np.concatenate([old.notes[old.kept], new.notes[mine]])
    window = np.concatenate([old.window[old.kept], new.window[mine]])
    order = np.lexsort((notes[:, 0], notes[:, PART], window * old.reach + notes[:, ONSET], bar))
    old.notes, old.bar, old.window = notes[order], bar[order], window[order]
    old.kept, old.late, old.split = np.ones(len(order), bool), np.zeros(len(order), bool), False
    return rows_of(np.concatenate([old.head, old.told(range(old.count)), old.mark("eos")]))


class _Bars:
    """The items of a piece by bar, with and without the notes that are to be written."""

    def __init__(self, rows: np.ndarray, tokenizer: Tokenizer, hole: Hole) -> None:
        v = tokenizer.vocabulary
        items = items_of(rows.astype(np.int64))
        self.tokenizer, self.v, self.hole = tokenizer, v, hole
        onset = items[:, ONSET]
        is_bar = onset == v.id("bar")
        bar = np.cumsum(is_bar) - 1
        self.head = items[bar < 0]
        if not is_bar.any():  # without a bar EOS is the last of the head
            self.head = self.head[self.head[:, ONSET] != v.id("eos")]
        self.lines = items[is_bar]  # the bar items, with their meters
        self.count = len(self.lines)
        is_note = (items[:, 0] != 0) & (bar >= 0)
        window = np.cumsum(onset == v.id("span"))
        begins = is_bar | (onset == v.id("again"))
        starts = np.maximum.accumulate(np.where(begins, np.arange(len(items)), 0))
        reach = SPAN_QUARTERS * tokenizer.steps
        self.reach = reach
        self.notes, self.bar = items[is_note], bar[is_note]
        self.window = (window - window[starts])[is_note]
        part = self.notes[:, PART] - v.base["part"]
        self.late = np.isin(part, sorted(hole.parts))
        inside = (self.bar >= hole.begin) & (self.bar < hole.end)
        self.kept = ~(self.late & inside)
        # Parts that never play are no reason to tell each bar twice.
        self.split = bool((~self.late).any())

    def mark(self, kind: str, part: int = 0) -> np.ndarray:
        row = np.zeros((1, 6), np.int64)
        row[0, ONSET] = self.v.id(kind)
        row[0, PART] = part
        return row

    def told(self, bars: range) -> np.ndarray:
        """The items of some bars: each bar's own, given notes, `again`, the other notes; spans where a bar is long."""
        if not len(bars):
            return self.head[:0]
        chosen = np.flatnonzero(self.kept & (self.bar >= bars.start) & (self.bar < bars.stop))
        numbers = np.arange(bars.start, min(bars.stop, self.count))
        turn = self.bar[chosen] * 4 + 1 + (2 * self.late[chosen] if self.split else 0)
        items, keys = [self.lines[numbers], self.notes[chosen]], [numbers * 4, turn]
        windows = [np.zeros(len(numbers), np.int64), self.window[chosen]]
        if self.split:
            items.append(np.repeat(self.mark("again"), len(numbers), axis=0))
            keys.append(numbers * 4 + 2)
            windows.append(np.zeros(len(numbers), np.int64))
        key = np.concatenate(keys)
        order = np.argsort(key, kind="stable")
        return self._with_spans(np.concatenate(items)[order], key[order], np.concatenate(windows)[order])

    def _with_spans(self, items: np.ndarray, turn: np.ndarray, window: np.ndarray) -> np.ndarray:
        """The items with as many spans before each as lead to its window from that of the item before in its turn."""
        before = np.concatenate([[0], np.where(turn[1:] == turn[:-1], window[:-1], 0)])
        spans = np.maximum(0, window - before) if len(window) else window
        if not spans.any():
            return items
        at = np.repeat(np.arange(len(items)), spans + 1)
        out = items[at]
        is_span = np.append(at[1:] == at[:-1], False)
        out[is_span] = self.mark("span")
        return out

    def behind(self, room: int) -> range:
        """The bars behind the hole that are told: at most MOST_AFTER that fit into `room` steps, one if none does and
        it fits into twice as many."""
        last = min(self.hole.end + MOST_AFTER, self.count)
        for stop in range(last, self.hole.end, -1):
            size = len(self.told(range(self.hole.end, stop)))
            if size <= room or (stop == self.hole.end + 1 and size <= 2 * room):
                return range(self.hole.end, stop)
        return range(0)

    def marks(self, behind: range, missing: int) -> np.ndarray:
        """The bars behind the hole between `after` and `here`, which says how many bars are missing."""
        if not len(behind):
            return self.head[:0]
        number = self.v.id("part", min(missing, self.v.sizes["part"] - 1))
        return np.concatenate([self.mark("after"), self.told(behind), self.mark("here", number)])

    def first_of_tail(self, room: int) -> int:
        """The first bar that is part of the prompt: as many bars before the hole as fit into `room` steps; with all of
        them the head comes along."""
        begin = self.hole.begin
        whole = self.told(range(begin))
        if len(whole) + len(self.head) <= room:
            return 0
        at = np.append(np.flatnonzero(whole[:, ONSET] == self.v.id("bar")), len(whole))
        fitting = np.flatnonzero(at[-1] - at <= max(room, 0))
        return max(1, int(fitting[0])) if len(fitting) else begin

    def given(self) -> tuple[GivenBar, ...]:
        """For each bar of the hole its meter, and the steps that are given in it, from the first after the bar line to
        the one with `again`."""
        found = []
        for number in range(self.hole.begin, self.hole.end):
            inside = number < self.count
            meter = int(self.lines[number, PART] if inside else self.lines[-1, PART])
            steps: list[int] = []
            if self.split:
                told = self.told(range(number, number + 1)) if inside else self._empty(meter)
                # The last step's note is one that is still to be written.
                steps = rows_of(told)[1:].ravel().tolist()
            found.append(GivenBar(meter, tuple(steps)))
        return tuple(found)

    def _empty(self, meter: int) -> np.ndarray:
        return np.concatenate([self.mark("bar", meter), self.mark("again")])
