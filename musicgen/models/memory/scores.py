"""The scores of one next step a row from a model with a memory, field after field, for sampling.

What is given are the logarithms of chances, so that filters and temperatures mean what they mean elsewhere. It is the
head's own arithmetic, done for one step: what is a product of matrices stays in PyTorch, the small rest is numpy's,
which spends less on calls. Rows go one by one: a row's numbers don't depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from musicgen.models.memory.growing import Guesses, Memory
from musicgen.models.memory.head import INTERVALS, NEVER, PART_WIDTH, PointerHead
from musicgen.models.memory.layout import FIELDS, MOST_PARTS, ONSET, PART, PITCH, VELOCITY
from musicgen.models.memory.sources import POINTERS
from musicgen.models.memory.trust import COUNT_BUCKETS, TRUST_BUCKETS

__all__ = ["MemoryScores", "Packed"]

TINY = 1e-30


class Packed:
    """The head's small tables as arrays, and what every value tells each later field; made once for many steps."""

    def __init__(self, head: PointerHead) -> None:
        with torch.no_grad():
            self.told_VFC = torch.stack([learn(head.embedding.weight) for learn in head.learn], dim=1).contiguous()
            self.gates = {int(f): (_array(g.weight), _array(g.bias)) for f, g in head.gates.items()}  # type: ignore[arg-type]
            self.trust = {int(f): _array(t.weight)[:, 0].tolist() for f, t in head.trust.items()}  # type: ignore[arg-type]
            self.weight = {int(f): _array(t.weight)[:, 0].tolist() for f, t in head.weight.items()}  # type: ignore[arg-type]
            self.loudness = [_array(table.weight) for table in head.loudness]  # type: ignore[arg-type]
            self.part_number, self.part_program = _array(head.part_number.weight), _array(head.part_program.weight)


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy()


class MemoryScores:
    """See `Scores`. The head's arithmetic runs where its weights are, the rest on the CPU."""

    def __init__(self, head: PointerHead, hidden_BC: Tensor, memories: Sequence[Memory]) -> None:
        packed = head.packed or Packed(head)
        self._rows = [_Row(head, packed, hidden_BC[n : n + 1], memory) for n, memory in enumerate(memories)]

    def logits_BK(self, field: int) -> Tensor:
        return torch.from_numpy(np.stack([row.logits(field) for row in self._rows]))

    def take(self, field: int, ids_B: Tensor) -> None:
        for row, token in zip(self._rows, ids_B.tolist(), strict=True):
            row.take(field, token)


class _Row:
    """One row: its hidden state (1, C), what is recalled, and what was chosen so far."""

    def __init__(self, head: PointerHead, packed: Packed, hidden_1C: Tensor, memory: Memory) -> None:
        self._head, self._packed, self._hidden, self._memory = head, packed, hidden_1C, memory
        self._chosen = [0] * FIELDS
        self._x_FC = head.hear(hidden_1C).view(FIELDS, -1).clone()

    def logits(self, field: int) -> np.ndarray:
        """(K,) float32: log p of the field's values."""
        head = self._head
        x_1C = self._x_FC[field : field + 1]
        if field == VELOCITY:
            heard = sum(table[at + 1] for table, at in zip(self._packed.loudness, self._memory.loudness(), strict=True))
            x_1C = x_1C + torch.from_numpy(heard).to(x_1C.device)
        y_1C = head.seen(field, self._hidden, x_1C)
        scores = self._scores(field, y_1C)
        scores -= scores.max()
        p = np.exp(scores)
        p /= p.sum()
        if field in POINTERS:
            y = y_1C[0].float().cpu().numpy()
            p = self._mixed(field, y, p, self._memory.guesses(field, self._chosen))
        return np.log(np.maximum(p, TINY)).astype(np.float32)

    def _scores(self, field: int, y_1C: Tensor) -> np.ndarray:
        """(K,) float64: `PointerHead.scores` of this step."""
        head, memory, layout = self._head, self._memory, self._memory.layout
        scores = head.outputs[field](y_1C)[0].double().cpu().numpy()
        bar, x, window, _, _, _ = memory.place[-1]
        if field == PITCH:
            last = memory.pitches()[0]
            if last >= 0:
                kind, base = last // 128, last % 128
                half = 2 * INTERVALS + 1
                by_interval = head.intervals(y_1C)[0].cpu().numpy()[kind * half : (kind + 1) * half]
                low, high = max(0, base - INTERVALS), min(128, base + INTERVALS + 1)
                scores[128 * kind + low : 128 * kind + high] += by_interval[
                    low - base + INTERVALS : high - base + INTERVALS
                ]
        elif field == VELOCITY:
            *_, part, piece = memory.loudness()
            mean = part if part >= 0 else piece
            if mean >= 0:
                scores += head.offsets(y_1C)[0].cpu().numpy()[32 - mean : 64 - mean]
        elif field == ONSET:
            steps = layout.span_steps
            at = max(0, x - window * steps)
            by_distance = head.distances(y_1C)[0].cpu().numpy()
            scores[layout.position - layout.bos :] += by_distance[
                np.clip(np.arange(steps) - at + steps, 0, 2 * steps - 1)
            ]
        elif field == PART:
            self._add_parts(scores, head.part_query(y_1C)[0].float().cpu().numpy(), opens=bar < 0)
        if head.sharpness[field] != 1:
            scores *= head.sharpness[field]
        return scores

    def _add_parts(self, scores: np.ndarray, query: np.ndarray, *, opens: bool) -> None:
        memory, layout, packed = self._memory, self._memory.layout, self._packed
        programs = memory.programs[:MOST_PARTS]
        entered = len(programs)
        rows = np.zeros(MOST_PARTS, np.int64)
        rows[:entered] = np.array(programs, np.int64) + 1
        first = layout.part - layout.meter
        found = (packed.part_number + packed.part_program[rows]) @ query / math.sqrt(PART_WIDTH)
        scores[first:] += found
        onset = self._chosen[ONSET]
        if onset >= layout.position or onset == layout.enter:
            scores[first + entered + int(opens) :] = NEVER

    def _mixed(self, field: int, y: np.ndarray, p: np.ndarray, guesses: Guesses) -> np.ndarray:
        weight, bias = self._packed.gates[field]
        gates = (weight @ y + bias).astype(np.float64)
        trust, many = self._packed.trust[field], self._packed.weight[field]
        S = len(guesses.value)
        for n, bucket in enumerate(guesses.trust):
            gates[1 + n] = gates[1 + n] + trust[n * TRUST_BUCKETS + bucket] if bucket else NEVER
        for n, bucket in enumerate(guesses.weight):
            gates[1 + S + n] = gates[1 + S + n] + many[n * COUNT_BUCKETS + bucket] if bucket else NEVER
        gates = np.exp(gates - gates.max())
        gates /= gates.sum()
        p *= gates[0]
        shares = gates.tolist()
        for gate, value in zip(shares[1:], guesses.value, strict=False):
            if value >= 0:
                p[value] += gate
        for gate, found in zip(shares[1 + S :], guesses.counted, strict=True):
            if found:
                share = gate / sum(found.values())
                for value, count in found.items():
                    if value >= 0:  # else the field was left empty there, which is no value of it
                        p[value] += share * count
        return p

    def take(self, field: int, token: int) -> None:
        self._chosen[field] = token
        if field != VELOCITY and field + 1 < FIELDS:
            self._x_FC[field + 1 :] += self._packed.told_VFC[token, field:]
