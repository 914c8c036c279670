"""Data structures of the incremental memory (`growing.py`), with the same hashes as `lookup.py` computes on arrays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from musicgen.models.memory.lookup import GOLDEN

__all__ = [
    "Answer",
    "Found",
    "Guesses",
    "Key",
    "PartTrace",
    "Remembered",
    "Rolling",
    "Tally",
    "mix",
    "number_of",
    "x_of",
]

Key = tuple[int, ...]  # of a count's context, or of a cached query

_ALL = 2**64 - 1
_DOUBLING = [(1, GOLDEN)]  # (size, the multiplier for items that many places back)
while _DOUBLING[-1][0] < 8:
    _DOUBLING.append((2 * _DOUBLING[-1][0], _DOUBLING[-1][1] ** 2 & _ALL))


def mix(first: int, *others: int) -> int:
    """`mixed` for single integers."""
    out = first * GOLDEN & _ALL
    out ^= out >> 29
    for part in others:
        out = (out ^ part) * GOLDEN & _ALL
        out ^= out >> 29
    return out * GOLDEN & _ALL


class Rolling:
    """Rolling hashes of the last m items of a growing list, for each order m."""

    def __init__(self) -> None:
        self.lists: dict[int, list[int]] = {1: [], 2: [], 4: [], 8: [], 16: []}

    def append(self, element: int) -> None:
        current, half = element, self.lists[1]
        n = len(half)
        half.append(element)
        for size, power in _DOUBLING:
            if n >= size:
                current = (current + half[n - size] * power) & _ALL
            half = self.lists[2 * size]
            half.append(current)

    def copy(self) -> Rolling:
        other = object.__new__(Rolling)
        other.lists = {order: list(values) for order, values in self.lists.items()}
        return other


class PartTrace:
    """The memory of one part: the rows of its notes, and rolling hashes of its melodic line."""

    def __init__(self) -> None:
        self.notes: list[int] = []  # the rows that hold them
        self.line, self.shifted = Rolling(), Rolling()
        self.total_velocity = 0

    def before(self, row: int) -> int:
        """The row of the note before that of `row`, -1 for none."""
        at = bisect_left(self.notes, row)
        return self.notes[at - 1] if at else -1

    def copy(self) -> PartTrace:
        other = object.__new__(PartTrace)
        other.notes, other.total_velocity = list(self.notes), self.total_velocity
        other.line, other.shifted = self.line.copy(), self.shifted.copy()
        return other


class Tally:
    """How often each value of a field occurred in one context; the last of `counts` (K + 1) counts the empty field.

    `owner` is the memory that may change it: copies of a memory share tallies until one of them writes.
    """

    __slots__ = ("counts", "distinct", "owner", "total")

    def __init__(self, size: int, owner: object) -> None:
        self.counts, self.owner = np.zeros(size + 1, np.float32), owner
        self.total = self.distinct = 0

    def add(self, value: int) -> None:
        """Count a value; -1 stands for an empty field."""
        before = self.counts[value]
        self.counts[value] = before + 1
        self.distinct += not before
        self.total += 1

    def copy(self, owner: object) -> Tally:
        other = object.__new__(Tally)
        other.counts, other.owner = self.counts.copy(), owner
        other.total, other.distinct = self.total, self.distinct
        return other


class Guesses(NamedTuple):
    """The memory's guesses of one field of the next step: values counted from the field's first id, and trust buckets;
    see `Recalled`."""

    value: list[int]
    trust: list[int]
    counted: list[Tally | None]
    weight: list[int]


class Answer(NamedTuple):
    """The pointers' values and trust of `Guesses`, and the keys of its counts."""

    value: list[int]
    trust: list[int]
    keys: list[Key]


class Found(NamedTuple):
    """The rows that the pointers find for the next row."""

    row: dict[str, int]  # by name, -1 for none
    level: dict[str, int]
    lines: dict[str, list[tuple[int, int, int]]]  # (level, order, key) of the lines that the next note would continue
    here: list[int]  # per earlier bar, the index of its first event after the same place; -1 without such a bar
    onsets: list[int]  # the onset value of that event


class Remembered:
    """A view of the first N rows of a list that may since have grown; converts to an (N, 6) array on demand."""

    def __init__(self, rows: Sequence[tuple[int, ...]]) -> None:
        self._rows, self._count = rows, len(rows)

    def __len__(self) -> int:
        return self._count

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self._rows[: self._count], dtype or np.int64)


def number_of(x: int, part: int, chord: int) -> int:
    """A place within its bar as one integer that sorts in time order."""
    return ((x + 1) << 7 | (part + 1)) << 8 | min(chord, 255)


def x_of(number: int) -> int:
    """The position encoded in a `number_of` integer."""
    return (number >> 15) - 1
