"""Constraints on players: which programs may play, and which parts for a tokenizer that numbers parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.place import DRUMS, BarPlace

__all__ = ["PlayerLimits", "Players"]


@dataclass(frozen=True)
class PlayerLimits:
    """Who may play: `programs`, 128 for drums; None: all.

    For a tokenizer that numbers parts, `parts` are the numbers of those that may play (None: all), and `part_count` is
    how many there are (None: one or more). `longest_rests`: (part number, the most consecutive bars in which it begins
    no note).
    """

    programs: frozenset[int] | None = None
    parts: frozenset[int] | None = None
    part_count: int | None = None
    longest_rests: tuple[tuple[int, int], ...] = ()

    @property
    def melodic(self) -> frozenset[int] | None:
        """The allowed programs without drums; None if all are allowed."""
        return None if self.programs is None else self.programs - {DRUMS}


class Players:
    """The programs and parts that a request allows. No melodic program may play where no pitch is allowed."""

    def __init__(self, limits: PlayerLimits, pitches: Pitches, *, parts: int = 0) -> None:
        """`parts`: the number of part numbers in the vocabulary, 0 for a tokenizer without parts."""
        self.programs = _chosen(limits.programs, DRUMS + 1)  # boolean (129,)
        if not pitches.any:
            self.programs[:DRUMS] = False
        self._open = _chosen(limits.parts if parts else None, parts)
        self._count = limits.part_count
        self._rests = limits.longest_rests

    def parts(self, entered: list[int]) -> np.ndarray:
        """Boolean (parts,): which parts may play; `entered` holds the program of each part introduced so far."""
        playing = self._open.copy()
        playing[len(entered) :] = False
        playing[: len(entered)] &= self.programs[entered]
        return playing

    def due(self, place: BarPlace) -> frozenset[int]:
        """The parts that must begin a note in this bar, having rested for as long as they may."""
        return frozenset(part for part, most in self._rests if place.rest_of(part) > most)

    def may_enter(self, entered: list[int]) -> bool:
        """Whether one more part may be introduced."""
        return len(entered) < (len(self._open) if self._count is None else self._count)

    def are_complete(self, entered: list[int]) -> bool:
        """Whether enough parts have been introduced for the first bar to begin."""
        return len(entered) >= (1 if self._count is None else self._count)


def _chosen(numbers: frozenset[int] | None, size: int) -> np.ndarray:
    mask = np.ones(size, bool)
    if numbers is not None:
        mask[:] = False
        mask[list(numbers)] = True
    return mask
