"""The interface between the sampling loop and a model: read a prompt, get logits, advance by a step, select rows.

The sampling loop (`loop.py`) uses a model only through `Decoder`, so that another inference engine can replace PyTorch.

Shapes: B batch rows, T time steps, F fields of a step, C hidden width, K values of a field.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from musicgen.models import SequenceModel, State, select_state
from musicgen.models.heads.head import Scores
from musicgen.sampling.eager import prepared

__all__ = ["Decoder", "EagerDecoder", "NextStep"]


class NextStep(Protocol):
    """The logits of the next step of each row, one field after another."""

    def logits_BK(self, field: int) -> np.ndarray:
        """Logits of the field's values, conditioned on the fields taken so far; float32 of shape (B, K)."""

    def take(self, field: int, ids: Sequence[int]) -> None:
        """Set the id that each row has chosen for a field, `pad` for a row that leaves it empty."""


class Decoder(ABC):
    """A model as the sampling loop uses it.

    The state of the rows is an opaque value of the engine. Methods return a new state and leave their argument valid.
    """

    def drawing(self) -> AbstractContextManager[Any]:
        """The context manager within which all other methods are called."""
        return nullcontext()

    @abstractmethod
    def read(self, ids: np.ndarray, *, past: np.ndarray | None = None) -> Any:
        """The state of a single row after reading ids (T,) or (T, F), T >= 1. `past` are the ids before them, used only
        by models that recall their whole past. Raises UsageError if T is 0."""

    @abstractmethod
    def next_step(self, rows: Any) -> NextStep:
        """The logits of the step that follows the rows' state."""

    @abstractmethod
    def step(self, rows: Any, ids_BF: Sequence[Sequence[int]]) -> Any:
        """The state after each row has read one more step, of one id or of F."""

    @abstractmethod
    def select(self, rows: Any, chosen: Sequence[int]) -> Any:
        """The state of the `chosen` row indices, in that order; a row may be chosen several times or not at all."""


@dataclass(frozen=True)
class _Rows:
    hidden_BC: Tensor
    state: State | None


class _Next:
    def __init__(self, scores: Scores, device: torch.device) -> None:
        self._scores, self._device = scores, device

    def logits_BK(self, field: int) -> np.ndarray:
        logits: np.ndarray = self._scores.logits_BK(field).cpu().numpy()
        return logits

    def take(self, field: int, ids: Sequence[int]) -> None:
        self._scores.take(field, torch.tensor(ids, device=self._device))


class EagerDecoder(Decoder):
    """Decodes with PyTorch in eager mode. On a CPU a row is bit-identical whatever other rows are in the batch.

    The model is switched to evaluation mode and its weight matrices are stored in the memory layout that is fastest for
    single steps, with the same values; the faster step functions are those of a copy of its layers (`eager.prepared`).
    With `int8`, single steps use 8-bit weights in the layers that support it.
    """

    def __init__(self, model: SequenceModel, *, int8: bool = False) -> None:
        self._model = prepared(model, int8=int8)
        self._device = next(model.parameters()).device

    def read(self, ids: np.ndarray, *, past: np.ndarray | None = None) -> _Rows:
        state = None
        if past is not None and len(past) and self._model.recalls:
            state = self._model.recalling([torch.from_numpy(past.astype(np.int64))])
        return self._read(torch.from_numpy(ids.astype(np.int64))[None].to(self._device), state)

    def next_step(self, rows: _Rows) -> _Next:
        return _Next(self._model.scores(rows.hidden_BC, rows.state), self._device)

    def step(self, rows: _Rows, ids_BF: Sequence[Sequence[int]]) -> _Rows:
        ids_B1F = torch.tensor(ids_BF, device=self._device)[:, None]
        return self._read(ids_B1F if self._model.settings.fields else ids_B1F[:, :, 0], rows.state)

    def drawing(self) -> AbstractContextManager[Any]:
        return torch.inference_mode()

    def select(self, rows: _Rows, chosen: Sequence[int]) -> _Rows:
        state = None if rows.state is None else select_state(rows.state, chosen)
        return _Rows(rows.hidden_BC[list(chosen)], state)

    def _read(self, ids: Tensor, state: State | None) -> _Rows:
        hidden_BTC, state = self._model.read(ids, state)
        return _Rows(hidden_BTC[:, -1], state)
