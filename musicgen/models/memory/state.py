"""The state of a model with a memory."""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
from torch import Tensor

from musicgen.models.layouts import MemoryLayout
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.traces import Remembered
from musicgen.models.state import State

__all__ = ["MemoryState"]


@dataclasses.dataclass
class MemoryState(State):
    """The steps of every row so far, and the trunk's state after those it has read; None where it has read none.

    `memories`, used in step-by-step generation, are handed on to the next state, which extends them; a state whose
    memories have been extended that way rebuilds its own. `whole` caches memories of complete pasts, which every
    continuation of a prompt copies: building the memory of a long piece takes longer than generating a few bars.
    """

    pasts: tuple[np.ndarray | Remembered, ...]  # (N, 6) each
    trunk: State | None
    position: int
    memories: tuple[Memory, ...] = ()
    shared: bool = False  # whether several rows may refer to the same memory
    whole: dict[int, tuple[object, Memory]] = dataclasses.field(
        default_factory=dict
    )  # by id of the past, and that past

    @property
    def rows(self) -> int:
        return len(self.pasts)

    def select(self, rows_B: Tensor) -> Self:
        rows = rows_B.tolist()
        trunk = None if self.trunk is None else self.trunk.select(rows_B)
        memories = tuple(self.memories[row] for row in rows) if self.memories else ()
        shared = self.shared or len(set(rows)) < len(rows)
        return dataclasses.replace(
            self, pasts=tuple(self.pasts[row] for row in rows), trunk=trunk, memories=memories, shared=shared
        )

    def memories_now(self, layout: MemoryLayout) -> tuple[Memory, ...]:
        """Memories of exactly the current pasts, built where needed and kept for the next step."""
        if len(self.memories) != self.rows or any(
            len(memory.rows) != len(past) for memory, past in zip(self.memories, self.pasts, strict=True)
        ):
            self.memories, self.shared = tuple(self.own_memories(layout)), False
        return self.memories

    def own_memories(self, layout: MemoryLayout) -> list[Memory]:
        """A memory of each past that the caller may extend, as no other row refers to it."""
        found = []
        for row, past in enumerate(self.pasts):
            memory = self.memories[row] if self.memories else None
            if memory is None or len(memory.rows) != len(past):
                if id(past) not in self.whole:
                    self.whole[id(past)] = past, Memory(layout, np.asarray(past).tolist())
                memory = self.whole[id(past)][1].copy()
            elif self.shared:
                memory = memory.copy()
            found.append(memory)
        return found
