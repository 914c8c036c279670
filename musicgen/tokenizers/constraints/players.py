"""Who may play: programs, and parts where steps number them."""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import DRUMS, Constraints
from musicgen.tokenizers.constraints.pitches import Pitches

__all__ = ["Players"]


class Players:
    """The programs and the parts that a request lets play. No melodic program plays where no pitch is allowed."""

    def __init__(self, constraints: Constraints, pitches: Pitches, *, parts: int = 0) -> None:
        """`parts`: how many numbers for parts there are."""
        self.programs = _chosen(constraints.programs, DRUMS + 1)  # (129,)
        if not pitches.any:
            self.programs[:DRUMS] = False
        self._open = _chosen(constraints.parts if parts else None, parts)
        self._count = constraints.part_count

    def parts(self, entered: list[int]) -> np.ndarray:
        """(parts,) which of the parts that have entered, each with its program, may play."""
        playing = self._open.copy()
        playing[len(entered) :] = False
        playing[: len(entered)] &= self.programs[entered]
        return playing

    def may_enter(self, entered: list[int]) -> bool:
        """Whether one more part may enter."""
        return len(entered) < (len(self._open) if self._count is None else self._count)

    def are_complete(self, entered: list[int]) -> bool:
        """Whether music may begin with the parts that have entered."""
        return len(entered) >= (1 if self._count is None else self._count)


def _chosen(numbers: frozenset[int] | None, size: int) -> np.ndarray:
    mask = np.ones(size, bool)
    if numbers is not None:
        mask[:] = False
        mask[list(numbers)] = True
    return mask
