"""The scores of one next step a row from a model with a memory, field after field, for sampling.

What is given are the logarithms of chances, so that filters and temperatures mean what they mean elsewhere. Rows go
one by one: a row's numbers don't depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from musicgen.models.memory.growing import Guesses, Memory
from musicgen.models.memory.head import Hints, PointerHead
from musicgen.models.memory.layout import FIELDS, MOST_PARTS, VELOCITY
from musicgen.models.memory.sources import POINTERS

__all__ = ["MemoryScores"]

TINY = 1e-30


class MemoryScores:
    """See `Scores`."""

    def __init__(self, head: PointerHead, hidden_BC: Tensor, memories: Sequence[Memory]) -> None:
        self._rows = [_Row(head, hidden_BC[row : row + 1, None], memory) for row, memory in enumerate(memories)]

    def logits_BK(self, field: int) -> Tensor:
        return torch.from_numpy(np.stack([row.logits(field) for row in self._rows]))

    def take(self, field: int, ids_B: Tensor) -> None:
        for row, token in zip(self._rows, ids_B.tolist(), strict=True):
            row.take(field, token)


class _Row:
    """One row: its hidden state (1, 1, C), what is recalled, and what was chosen so far."""

    def __init__(self, head: PointerHead, hidden_11C: Tensor, memory: Memory) -> None:
        self._head, self._hidden, self._memory = head, hidden_11C, memory
        self._chosen = [0] * FIELDS
        self._heard = head.hear(hidden_11C).unflatten(-1, (FIELDS, -1))
        self._told: Tensor | None = None
        device = hidden_11C.device
        layout = memory.layout
        bar, x, window, _, _, _ = memory.place[-1]
        programs = torch.full((1, MOST_PARTS), -1)
        programs[0, : len(memory.programs)] = torch.tensor(memory.programs[:MOST_PARTS])
        self._hints = Hints(
            {}, {}, {}, {},
            torch.tensor([[memory.pitches()[0]]], device=device),
            torch.tensor([[max(0, x - window * layout.span_steps)]], device=device),
            torch.tensor([[memory.loudness()]], device=device),
            programs.to(device),
            torch.tensor([[len(memory.programs)]], device=device),
            torch.tensor([[bar < 0]], device=device),
        )  # fmt: skip

    def logits(self, field: int) -> np.ndarray:
        """(K,) float32: log p of the field's values."""
        head = self._head
        x = self._heard[:, :, field]
        if self._told is not None:
            x = x + head.learn[field - 1](self._told)
        if field == VELOCITY:
            x = x + head.heard_loudness(self._hints.loudness_BTL)
        y = head.seen(field, self._hidden, x)
        own = head.scores(field, y, self._hints).log_softmax(dim=-1)[0, 0]
        if field not in POINTERS:
            return own.cpu().numpy()
        guesses = self._memory.guesses(field, self._chosen)
        return self._mixed(field, y, own.double().exp().cpu().numpy(), guesses)

    def _mixed(self, field: int, y: Tensor, p: np.ndarray, guesses: Guesses) -> np.ndarray:
        device = y.device
        trust = torch.tensor([[guesses.trust]], device=device)
        weight = torch.tensor([[guesses.weight]], device=device)
        hints = self._hints._replace(trust={field: trust}, weight={field: weight})
        gates = self._head.log_gates(field, y, hints)[0, 0].double().exp().tolist()
        p = p * gates[0]
        for gate, value in zip(gates[1:], guesses.value, strict=False):
            if value >= 0:
                p[value] += gate
        for gate, found in zip(gates[1 + len(guesses.value) :], guesses.counted, strict=True):
            if found:
                share = gate / sum(found.values())
                for value, count in found.items():
                    if value >= 0:  # else the field was left empty there, which is no value of it
                        p[value] += share * count
        return np.log(np.maximum(p, TINY)).astype(np.float32)

    def take(self, field: int, token: int) -> None:
        self._chosen[field] = token
        if field != VELOCITY:
            chosen = self._head.embedding(torch.tensor([[token]], device=self._hidden.device))
            self._told = chosen if self._told is None else self._told + chosen
