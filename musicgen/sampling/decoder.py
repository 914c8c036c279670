"""What drawing asks of a model: read a prompt, score, step, select rows. Behind it stands PyTorch, as the model is.

The loop that draws (`loop.py`) knows nothing else of a model, so that another engine may take its place.

Shapes: B rows, T time, F fields, C width, K the values of a field.
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
    """The scores of one next step a row, field after field."""

    def logits_BK(self, field: int) -> np.ndarray:
        """Scores of the field's values, given the fields taken so far; float32."""

    def take(self, field: int, ids: Sequence[int]) -> None:
        """Say what each row chose for a field; `pad` where it stays empty."""


class Decoder(ABC):
    """A model that draws. Where rows stand is a value of the engine's own: going on from it spoils it not."""

    def drawing(self) -> AbstractContextManager[Any]:
        """What the other calls are made in, however many there are."""
        return nullcontext()

    @abstractmethod
    def read(self, ids: np.ndarray, *, past: np.ndarray | None = None) -> Any:
        """Where a single row stands that has read ids (T,) or (T, F), T >= 1. `past` are ids before them, of which a
        model is told that asks for its whole past. Raises UsageError where T is 0."""

    @abstractmethod
    def next_step(self, rows: Any) -> NextStep:
        """The scores of what comes next."""

    @abstractmethod
    def step(self, rows: Any, ids_BF: Sequence[Sequence[int]]) -> Any:
        """Where rows stand after a step each, of one id or of F."""

    @abstractmethod
    def select(self, rows: Any, chosen: Sequence[int]) -> Any:
        """Where the named rows stand, in that order; a row may be named many times, or not at all."""


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
    """PyTorch, operation by operation. On a CPU a row is the same bit for bit whatever rows stand beside it.

    The model is switched to evaluation and its weights are laid as steps read them, with the same values; what steps
    otherwise has a copy of the layers (`eager.prepared`). With `int8` single
    steps multiply with weights of 8 bits in the layers that can.
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
