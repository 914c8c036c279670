"""Inputs and guesses of a memory model for training windows, computed without the model, such as in worker processes.

Shapes: B batch, T time, I columns, F fields, P parts, M all integers of a step, N all shares of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from torch import Tensor

from musicgen.models.layouts import MOST_PARTS, ONSET, MemoryLayout
from musicgen.models.memory.head import Hints
from musicgen.models.memory.inputs import column_sizes, columns
from musicgen.models.memory.scores import LOUDNESS
from musicgen.models.memory.sources import COUNTS, POINTERS, Recalled, nothing_of, recall
from musicgen.models.state import State

__all__ = ["Precomputed", "precompute"]


@dataclass
class Precomputed(State):
    """The input columns of a batch of windows and the guesses of its targets, packed into three small tensors that are
    cheap to send between processes and to a GPU."""

    layout: MemoryLayout
    numbers_BTM: Tensor  # int16
    shares_BTN: Tensor  # float32
    programs_BP: Tensor  # int16

    @property
    def rows(self) -> int:
        return len(self.numbers_BTM)

    def select(self, rows_B: Tensor) -> Self:
        return type(self)(self.layout, self.numbers_BTM[rows_B], self.shares_BTN[rows_B], self.programs_BP[rows_B])

    def pin_memory(self) -> Self:
        """A copy in pinned memory, for asynchronous transfer to a GPU."""
        numbers, shares, programs = self.numbers_BTM, self.shares_BTN, self.programs_BP
        return type(self)(self.layout, numbers.pin_memory(), shares.pin_memory(), programs.pin_memory())

    def to(self, device: torch.device) -> Self:
        """The same on a device."""
        numbers, shares, programs = (
            each.to(device, non_blocking=True) for each in (self.numbers_BTM, self.shares_BTN, self.programs_BP)
        )
        return type(self)(self.layout, numbers, shares, programs)

    def unpacked(self) -> tuple[Tensor, Hints]:
        """columns_BTI, the input columns in int64, and the hints."""
        count = len(column_sizes(self.layout))
        pointers = [len(names) for names in POINTERS.values()]
        counts = [len(names) for names in COUNTS.values()]
        sizes = [count, *pointers, *pointers, *counts, 1, 1, LOUDNESS, 1, 1]
        edges = np.cumsum([0, *sizes]).tolist()
        numbers_BTM = self.numbers_BTM.long()
        parts = [numbers_BTM[:, :, low:high] for low, high in pairwise(edges)]
        n, fields = len(POINTERS), list(POINTERS)
        value, trust, weight = (dict(zip(fields, parts[at : at + n], strict=True)) for at in (1, 1 + n, 1 + 2 * n))
        last, x, loudness, entered, opens = parts[1 + 3 * n :]
        share = dict(zip(fields, self.shares_BTN.split(counts, dim=2), strict=True))
        return parts[0], Hints(
            value, trust, share, weight, last[..., 0], x[..., 0], loudness, self.programs_BP.long(), entered[..., 0],
            opens[..., 0] > 0,
        )  # fmt: skip


def precompute(
    layout: MemoryLayout,
    inputs: Tensor,
    targets: Tensor,
    pasts: Sequence[np.ndarray],
    *,
    forgets: bool = False,
) -> Precomputed:
    """Inputs and guesses for windows of inputs and targets (B, T, 6), each preceded by a past (N, 6).

    With `forgets` all guesses are empty.
    """
    inputs_BTF = inputs.cpu().numpy().astype(np.int64)
    ends_B1F = targets[:, -1:].cpu().numpy().astype(np.int64)
    numbers, shares, programs = [], [], []
    for past, rows, end in zip(pasts, inputs_BTF, ends_B1F, strict=True):
        all_rows = np.concatenate([past.astype(np.int64), rows, end])
        found = recall(all_rows, layout)
        found = nothing_of(found) if forgets else found
        numbers.append(_numbers(all_rows, found, layout, len(past)))
        shares.append(np.concatenate([found.share[f][len(past) + 1 :] for f in COUNTS], axis=1))
        own = np.full(MOST_PARTS, -1)
        own[: len(found.walk.programs)] = found.walk.programs[:MOST_PARTS]
        programs.append(own)
    return Precomputed(
        layout,
        torch.from_numpy(np.stack(numbers)),
        torch.from_numpy(np.stack(shares).astype(np.float32)),
        torch.from_numpy(np.stack(programs).astype(np.int16)),
    )


def _numbers(rows: np.ndarray, found: Recalled, layout: MemoryLayout, begin: int) -> np.ndarray:
    """(T, M) int16: the input columns of the rows from `begin` on, and the guesses of the row after each."""
    w = found.walk
    later, now = slice(begin + 1, None), slice(begin, -1)
    parts = [columns(rows, found, layout, begin)]
    parts += [found.value[f][later] for f in POINTERS]
    parts += [found.trust[f][later] for f in POINTERS]
    parts += [found.weight[f][later] for f in POINTERS]
    x = np.maximum(w.x[now] - w.window[now] * layout.span_steps, 0)
    entered = np.cumsum(rows[:, ONSET] == layout.enter)[now]
    parts += [found.pitches[later, :1], x[:, None], found.loudness[later], entered[:, None], (w.bar[now] < 0)[:, None]]
    return np.concatenate(parts, axis=1).astype(np.int16)
