"""Tokens and their ids: a vocabulary is a sequence of token kinds, each with a fixed number of values.

The ids of one kind are consecutive, so that testing for a kind takes two comparisons, transposition is an addition,
and a grammar's mask is a slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from musicgen.errors import UsageError

__all__ = ["Field", "Vocabulary"]


class Field(NamedTuple):
    """One field of a step: its values are the ids first .. first + size - 1.

    A flat tokenizer has one field that holds all ids. Where a step has several, a field that a step doesn't use is 0
    (`pad`).
    """

    name: str
    first: int
    size: int


class Vocabulary:
    """Kinds in order, each with its number of values; `base[kind]` is the id of the kind's value 0.

    >>> v = Vocabulary({"bar": 1, "pitch": 128})
    >>> v.id("pitch", 60), v.token(61), len(v)
    (61, 'pitch_60', 129)
    """

    def __init__(self, kinds: Mapping[str, int]) -> None:
        self.sizes = dict(kinds)
        self.base: dict[str, int] = {}
        total = 0
        for kind, size in self.sizes.items():
            self.base[kind] = total
            total += size
        self._length = total
        names = list(self.sizes)
        #: (V,) the kind of each id, as an index into `sizes`
        self.kind_of_id = np.repeat(np.arange(len(names), dtype=np.uint8), list(self.sizes.values()))
        self.kind_number = {name: i for i, name in enumerate(names)}

    def __len__(self) -> int:
        return self._length

    def id(self, kind: str, value: int = 0) -> int:
        """The id of a value of a kind. Raises UsageError when there is no such token."""
        if kind not in self.sizes or not 0 <= value < self.sizes[kind]:
            raise UsageError(f"no token {kind}_{value} in this vocabulary")
        return self.base[kind] + value

    def token(self, token_id: int) -> str:
        """The name `kind_value` of an id. Raises UsageError for an id outside the vocabulary."""
        if not 0 <= token_id < self._length:
            raise UsageError(f"id {token_id} is outside this vocabulary of {self._length}")
        kind = list(self.sizes)[self.kind_of_id[token_id]]
        return f"{kind}_{token_id - self.base[kind]}"

    def slice(self, kind: str, low: int = 0, high: int | None = None) -> slice:
        """The ids of a kind's values low..high-1 as a slice; empty when low >= high."""
        high = self.sizes[kind] if high is None else min(high, self.sizes[kind])
        low = min(max(low, 0), max(high, 0))
        return slice(self.base[kind] + low, self.base[kind] + max(high, low))

    def is_kind(self, ids: np.ndarray, kind: str) -> np.ndarray:
        """Boolean array: which of `ids` are of `kind`."""
        return (ids >= self.base[kind]) & (ids < self.base[kind] + self.sizes[kind])
