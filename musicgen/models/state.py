"""The interface of model states, carried from step to step.

Shapes: B batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor

__all__ = ["State", "select_state"]


class State(ABC):
    """A model's state after the ids it has read. Immutable: a step makes a new state, and older ones stay valid.

    `position` counts the ids read so far. The state carries no gradient from a Transformer's cache.

    >>> from musicgen.models.layers.recurrence import RecurrentState
    >>> RecurrentState(torch.zeros(1, 2, 8), None, 5).select(torch.tensor([0, 0, 1])).rows
    3
    """

    position: int

    @property
    @abstractmethod
    def rows(self) -> int:
        """The batch size B."""

    @abstractmethod
    def select(self, rows_B: Tensor) -> Self:
        """The state of the named rows, in that order; a row may be named many times, or not at all."""

    def tensors(self) -> dict[str, Tensor]:
        """The tensors from which `restored` makes the same state; TypeError if training carries none."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        """A copy of this state with `tensors` in place of its own."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def cleared(self, rows_B: Tensor) -> Self:
        """The state in which the rows where `rows_B` (bool) is true have read nothing yet."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def detach(self) -> Self:
        """The same state without its gradient, for training on an excerpt that continues the one before."""
        return self.restored({name: value.detach() for name, value in self.tensors().items()})

    def to(self, device: torch.device) -> Self:
        """The same state on another device; TypeError for one that a model has made, which stays on its device."""
        raise TypeError(f"a {type(self).__name__} stays on the device of its model")

    def pin_memory(self) -> Self:
        """The same state in pinned memory, for asynchronous transfer to a GPU; TypeError as for `to`."""
        raise TypeError(f"a {type(self).__name__} stays on the device of its model")


def select_state(state: State, rows_B: Tensor | Iterable[int]) -> State:
    """Rows of a batch's state: such as one prompt's state for 64 takes, or only the unfinished takes.

    >>> from musicgen.models.layers.recurrence import RecurrentState
    >>> select_state(RecurrentState(torch.zeros(1, 2, 8), None, 5), [1] * 64).rows
    64
    """
    rows = rows_B if isinstance(rows_B, Tensor) else torch.tensor(list(rows_B), dtype=torch.int64)
    return state.select(rows)
