"""What a model remembers between the steps that it reads.

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
    """What a model remembers of the ids it has read. A value: stepping makes a new one and spoils no old one.

    `position` counts the ids read so far. The state carries no gradient from a Transformer's cache.
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
        """What a checkpoint has to hold so that `restored` makes the same state; TypeError where training has none."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        """This state with `tensors` in the place of its own."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def cleared(self, rows_B: Tensor) -> Self:
        """The state in which the rows where `rows_B` (bool) is true have read nothing yet."""
        raise TypeError(f"a {type(self).__name__} is not carried from one training window to the next")

    def detach(self) -> Self:
        """The same state without its gradient, for training on an excerpt that goes on from the one before."""
        return self.restored({name: value.detach() for name, value in self.tensors().items()})

    def to(self, device: torch.device) -> Self:
        """The same state on another device; TypeError for one that a model has made, which stays where the model is."""
        raise TypeError(f"a {type(self).__name__} stays on the device of its model")

    def pin_memory(self) -> Self:
        """The same state in memory that a GPU can fetch by itself; TypeError as for `to`."""
        raise TypeError(f"a {type(self).__name__} stays on the device of its model")


def select_state(state: State, rows_B: Tensor | Iterable[int]) -> State:
    """Picks rows of a batch's state: one prompt's state for 64 takes, or only the takes that go on."""
    rows = rows_B if isinstance(rows_B, Tensor) else torch.tensor(list(rows_B), dtype=torch.int64)
    return state.select(rows)
