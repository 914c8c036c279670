"""The grammar that sampling follows: a walker that says, id by id, what may come next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints

__all__ = ["Grammar"]


class Grammar(ABC):
    """Which token may come next. One object walks one sequence; it is fed every token of it in order.

    Where a step has fields, they are fed one by one in their order, `pad` for an empty one.
    """

    @property
    @abstractmethod
    def bars_done(self) -> int:
        """How many bars since `constrain` are full."""

    @abstractmethod
    def advance(self, token: int) -> None:
        """Take `token` as the next one of the sequence, whether or not it is allowed."""

    @abstractmethod
    def allowed(self) -> np.ndarray:
        """Boolean array of shape (V,): the tokens that may come next. Never all false."""

    @abstractmethod
    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins there."""

    @abstractmethod
    def ends(self, token: int) -> bool:
        """Whether the sequence is over when `token` comes next; that token is no part of it."""

    @abstractmethod
    def copy(self) -> Self:
        """An independent walker at the same place."""
