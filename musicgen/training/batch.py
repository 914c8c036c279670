"""A training batch: windows of token sequences, their targets and the state they are read with.

Shapes: B batch rows, T time steps, F fields of a step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from musicgen.models import State
from musicgen.scoring import Scoring

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """Windows of B pieces.

    `inputs` and `targets` are int64 of shape (B, T), or (B, T, F) if steps have fields; a target is the step that
    follows its input. The loss mask is in the targets: they are the padding id wherever there is no loss. `n_values` is
    the number of target values that are scored, `n_steps` the number of steps with at least one such value.

    `pasts` are the ids before each window in its piece, each of shape (N,) or (N, F), for models that recall their
    whole past; empty if no model does. begins_B (bool) is true for rows that begin a piece, while the others continue
    from the previous batch; None if all windows are independent. `state` is the state that the model starts from: the
    one after the previous batch, or the one recalled from the pasts. `reading` is the body's output for the inputs, if
    it was computed before (`SequenceModel.head_inputs`): then only the head is evaluated, and the state isn't used.
    """

    inputs: Tensor
    targets: Tensor
    n_values: int
    n_steps: int
    pasts: tuple[np.ndarray, ...] = ()
    begins_B: Tensor | None = None
    state: State | None = None
    reading: Any = None

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        scoring: Scoring,
        *,
        pasts: tuple[np.ndarray, ...] = (),
        begins_B: Tensor | None = None,
    ) -> Batch:
        """A batch from windows of T + 1 steps: int64 `rows` of shape (B, T + 1) or (B, T + 1, F), padded at the end."""
        ids = torch.from_numpy(rows)
        targets = scoring.targets(ids[:, 1:])
        return cls(ids[:, :-1], targets, *_counts(targets, scoring.pad), pasts, begins_B)

    def at(self, places: Tensor, scoring: Scoring) -> Batch:
        """The batch at some time indices, for a batch with a `reading`, as steps without one need those before them."""
        targets = self.targets[:, places]
        n_values, n_steps = _counts(targets, scoring.pad)
        reading = self.reading.at(places)
        return Batch(self.inputs[:, places], targets, n_values, n_steps, reading=reading)

    def past_ids(self) -> list[Tensor]:
        """The pasts as tensors, on the device of the inputs."""
        return [torch.from_numpy(past.astype(np.int64)).to(self.inputs.device) for past in self.pasts]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. Copies to CUDA go from pinned memory and are asynchronous."""
        fetches = device.type == "cuda"
        batch = self.pin_memory() if fetches else self
        return replace(
            batch,
            inputs=batch.inputs.to(device, non_blocking=fetches),
            targets=batch.targets.to(device, non_blocking=fetches),
            begins_B=None if batch.begins_B is None else batch.begins_B.to(device),
            state=None if batch.state is None else batch.state.to(device),
        )

    def pin_memory(self) -> Self:
        """The batch in pinned (page-locked) memory."""
        return replace(
            self,
            inputs=_pinned(self.inputs),
            targets=_pinned(self.targets),
            state=None if self.state is None else self.state.pin_memory(),
        )


def _counts(targets: Tensor, pad: int) -> tuple[int, int]:
    """(target values that are scored, steps with at least one)."""
    scored = targets != pad
    return int(scored.sum()), int((scored.any(dim=2) if scored.ndim == 3 else scored).sum())


def _pinned(ids: Tensor) -> Tensor:
    return ids if ids.is_pinned() else ids.pin_memory()
