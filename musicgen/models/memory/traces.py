"""What a memory that grows keeps of sequences: hashes of their last items, those that `lookup.py` makes of arrays."""

from __future__ import annotations

from typing import NamedTuple

from musicgen.models.memory.lookup import GOLDEN

__all__ = ["Guesses", "PartTrace", "Rolling", "mix", "number_of", "x_of"]

_ALL = 2**64 - 1
_POWERS = {1: GOLDEN}
for _size in (1, 2, 4, 8):
    _POWERS[2 * _size] = _POWERS[_size] ** 2 & _ALL


def mix(*parts: int) -> int:
    """`mixed` of single numbers."""
    out = -1
    for part in parts:
        out = (part & _ALL) * GOLDEN & _ALL if out < 0 else (out ^ (part & _ALL)) * GOLDEN & _ALL
        out ^= out >> 29
    return out * GOLDEN & _ALL


class Rolling:
    """Hashes of the last m items of a list that grows, for each order m."""

    def __init__(self) -> None:
        self.lists: dict[int, list[int]] = {1: [], 2: [], 4: [], 8: [], 16: []}

    def append(self, element: int) -> None:
        current, n = element, len(self.lists[1])
        self.lists[1].append(element)
        for size in (1, 2, 4, 8):
            earlier = self.lists[size][n - size] if n >= size else 0
            current = (current + earlier * _POWERS[size]) & _ALL
            self.lists[2 * size].append(current)

    def copy(self) -> Rolling:
        other = object.__new__(Rolling)
        other.lists = {order: list(values) for order, values in self.lists.items()}
        return other


class PartTrace:
    """What is remembered of one part: its notes, and hashes of its lines."""

    def __init__(self) -> None:
        self.notes: list[int] = []  # rows
        self.line, self.shifted = Rolling(), Rolling()
        self.total_velocity = 0

    def copy(self) -> PartTrace:
        other = object.__new__(PartTrace)
        other.notes, other.total_velocity = list(self.notes), self.total_velocity
        other.line, other.shifted = self.line.copy(), self.shifted.copy()
        return other


class Guesses(NamedTuple):
    """What is recalled of one field of the next step: values within the field and their buckets; see `Recalled`."""

    value: list[int]
    trust: list[int]
    counted: list[dict[int, int]]  # how often each value came
    weight: list[int]


def number_of(x: int, part: int, chord: int) -> int:
    """A place in its bar as one number, in the order in which places come."""
    return ((x + 1) << 7 | (part + 1)) << 8 | min(chord, 255)


def x_of(number: int) -> int:
    """The position of a place that `number_of` names."""
    return (number >> 15) - 1
