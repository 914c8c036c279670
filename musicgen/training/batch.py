"""What an optimiser step learns from: windows of music, and all that a model is to know of them.

Shapes: B batch, T time, F fields.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

from musicgen.models import State
from musicgen.scoring import Scoring

__all__ = ["Batch"]


@dataclass(frozen=True)
class Batch:
    """Windows of B pieces.

    `inputs` and `targets` are int64 of shape (B, T), or (B, T, F) where steps have fields; a target is the step that
    follows its input. The mask is in the targets: they are the padding's id wherever nothing is to be learned.
    `n_values` and `n_steps` say how many of them count; a step with fields has several values.

    `pasts` are the ids that lie before each window in its piece, of shape (N,) or (N, F) each, for models that recall
    their whole past; empty where no model does. begins_B (bool) is true for rows that begin a piece, where the others
    read on from the batch before; None where every window stands alone. `state` is what a model reads on from: the
    state that the batch before has left, or what is recalled of the pasts.
    """

    inputs: Tensor
    targets: Tensor
    n_values: int
    n_steps: int
    pasts: tuple[np.ndarray, ...] = ()
    begins_B: Tensor | None = None
    state: State | None = None

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        scoring: Scoring,
        *,
        pasts: tuple[np.ndarray, ...] = (),
        begins_B: Tensor | None = None,
    ) -> Batch:
        """The batch of windows of T + 1 steps: int64 of shape (B, T + 1) or (B, T + 1, F), filled up with padding."""
        ids = torch.from_numpy(rows)
        targets = scoring.targets(ids[:, 1:])
        scored = targets != scoring.pad
        n_steps = int((scored.any(dim=2) if scored.ndim == 3 else scored).sum())
        return cls(ids[:, :-1], targets, int(scored.sum()), n_steps, pasts, begins_B)

    def past_ids(self) -> list[Tensor]:
        """The pasts as tensors, on the device of the inputs."""
        return [torch.from_numpy(past.astype(np.int64)).to(self.inputs.device) for past in self.pasts]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device. From pinned memory a GPU fetches it by itself, while the program goes on."""
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
        """The batch in memory that a GPU can fetch by itself."""
        return replace(
            self,
            inputs=_pinned(self.inputs),
            targets=_pinned(self.targets),
            state=None if self.state is None else self.state.pin_memory(),
        )


def _pinned(ids: Tensor) -> Tensor:
    return ids if ids.is_pinned() else ids.pin_memory()
