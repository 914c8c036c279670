"""Scores of the next step of each row from a memory model, field after field, for sampling.

They are log probabilities, so that filters and temperatures work as with other models. The arithmetic is that of the
head, optimised for one step: all that a field needs from its features is one product with one packed matrix, and
look-ups use numpy, which has less overhead per call. A row's numbers don't depend on the other rows: products are
computed row by row, and all else is elementwise. The packed matrices keep 32 bits when others are quantised to 8.

Shapes: B rows, F fields, C width, K values of a field, X logits by interval, distance or program, G gates, S of them
for pointers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.layers.linear import products_by_row
from musicgen.models.layouts import FIELDS, MOST_PARTS, ONSET, PART, PITCH, VELOCITY
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.sources import COUNTS, POINTERS
from musicgen.models.memory.trust import COUNT_BUCKETS, TRUST_BUCKETS

if TYPE_CHECKING:
    from musicgen.models.memory.head import PointerHead

__all__ = ["INTERVALS", "LOUDNESS", "NEVER", "PART_WIDTH", "MemoryScores", "Packed"]

LOUDNESS = 5  # columns of `Recalled.loudness`
INTERVALS = 49  # semitones either way
PART_WIDTH = 48
NEVER = -1e9
TINY = 1e-30
_SPAN = 2 * INTERVALS + 1
_BLOCK = 16  # products are padded to a multiple of this width, so that every row of a batch is aligned in memory


class Packed:
    """The head's weights packed for single steps; built once for many steps."""

    @torch.no_grad()
    def __init__(self, head: PointerHead) -> None:
        self.residual = list(head.residual)
        self.norms = [cast(nn.LayerNorm, norm) for norm in head.norms]
        # What each value contributes to the inputs of all later fields, by field: (V, (F - 1 - f) C).
        contributions_VFC = torch.stack([layer(head.embedding.weight) for layer in head.from_fields], dim=1)
        self.contributions = [contributions_VFC[:, field:].flatten(1).contiguous() for field in range(FIELDS - 1)]
        self.loudness = torch.cat([table.weight for table in head.loudness]).cpu().numpy()  # type: ignore[misc]
        self.outputs = [_output(head, field) for field in range(FIELDS)]
        self.gates = {field: _gates(head, field) for field in POINTERS}
        self.looked_up = {
            PITCH: 2 * _SPAN,
            VELOCITY: 65,
            ONSET: len(head.distances.weight),
            PART: len(head.part_program.weight),
        }


def _output(head: PointerHead, field: int) -> Tensor:
    """The weights of a field's logits and gates, (K + X + G, padded with zero rows, C), stored column-major."""
    own = cast(nn.Linear, head.outputs[field]).weight
    rows: list[Tensor] = [own]
    if field == PITCH:
        rows.append(head.intervals.weight)
    elif field == VELOCITY:
        rows.append(head.offsets.weight)
    elif field == ONSET:
        rows.append(head.distances.weight)
    elif field == PART:  # a query times the embedding of the part's number, and times that of its program
        query = head.part_query.weight / math.sqrt(PART_WIDTH)
        by_number = F.pad(head.part_number.weight @ query, (0, 0, head.sizes[PART] - MOST_PARTS, 0))
        rows = [own + by_number, head.part_program.weight @ query]
    if field in POINTERS:
        rows.append(cast(nn.Linear, head.gates[str(field)]).weight)
    weight_NC = torch.cat(rows)
    return F.pad(weight_NC, (0, 0, 0, -len(weight_NC) % _BLOCK)).t().contiguous().t()


def _gates(head: PointerHead, field: int) -> list[list[float]]:
    """The bias of each gate, [gate][bucket]; NEVER in bucket 0, where the source has no guess."""
    name, gates = str(field), cast(nn.Linear, head.gates[str(field)])
    trust_SV = cast(nn.Embedding, head.trust[name]).weight.view(-1, TRUST_BUCKETS)
    weight_NV = cast(nn.Embedding, head.weight[name]).weight.view(-1, COUNT_BUCKETS)
    first, *others = gates.bias.tolist()
    tables = [*trust_SV.unbind(), *weight_NV.unbind()]
    shut = ([NEVER, *(table[1:] + bias).tolist()] for table, bias in zip(tables, others, strict=True))
    return [[first], *shut]


class MemoryScores:
    """See `Scores`. Products run on the device of the head's weights, the rest on the CPU."""

    def __init__(self, head: PointerHead, packed: Packed, hidden_BC: Tensor, memories: Sequence[Memory]) -> None:
        self._head, self._packed = head, packed
        self._hidden_BC, self._memories = hidden_BC, memories
        self._projected = head.project(hidden_BC)  # (B, F C)
        self._chosen = [[0] * FIELDS for _ in memories]

    def logits_BK(self, field: int) -> Tensor:
        """(B, K) float32: log probabilities of the field's values."""
        head, K = self._head, self._head.sizes[field]
        out = products_by_row(self._seen_BC(field), self._packed.outputs[field]).float().cpu()
        scores_BK, rest = out[:, :K], out[:, K:].numpy()  # X logits to look up, then G gates
        self._add(field, scores_BK.numpy(), rest)
        if head.inverse_temperature[field] != 1:
            scores_BK *= head.inverse_temperature[field]
        if field not in POINTERS:
            return scores_BK.log_softmax(dim=-1)
        p_BK = scores_BK.softmax(dim=-1)
        self._mix(field, p_BK.numpy(), rest)
        return p_BK.clamp_(min=TINY).log_()

    def take(self, field: int, ids_B: Tensor) -> None:
        for chosen, token in zip(self._chosen, ids_B.tolist(), strict=True):
            chosen[field] = token
        if field != VELOCITY and field + 1 < FIELDS:
            C = self._hidden_BC.shape[1]
            self._projected[:, (field + 1) * C :] += F.embedding(ids_B, self._packed.contributions[field])

    def _seen_BC(self, field: int) -> Tensor:
        """`PointerHead.seen` for this step."""
        hidden_BC, C = self._hidden_BC, self._hidden_BC.shape[1]
        x_BC = self._projected[:, field * C : (field + 1) * C].contiguous()
        if field == VELOCITY:
            x_BC = x_BC + self._loudness_BC()
        y_BC = hidden_BC + self._packed.residual[field](F.gelu(x_BC))
        norm = self._packed.norms[field]
        return torch.layer_norm(y_BC, (C,), norm.weight, norm.bias, norm.eps)

    def _loudness_BC(self) -> Tensor:
        tables, size = self._packed.loudness, len(self._packed.loudness) // LOUDNESS
        at = [[n * size + level + 1 for n, level in enumerate(memory.loudness())] for memory in self._memories]
        return torch.from_numpy(tables[at].sum(1)).to(self._projected.device)

    def _add(self, field: int, scores_BK: np.ndarray, rest: np.ndarray) -> None:
        """Add logits by interval, offset, distance or program: `PointerHead.field_scores` for this step."""
        for scores, found, memory, chosen in zip(scores_BK, rest, self._memories, self._chosen, strict=True):
            layout = memory.layout
            if field == PITCH:
                last = memory.pitches()[0]
                if last >= 0:
                    kind, base = last // 128, last % 128
                    low, high = max(0, base - INTERVALS), min(128, base + INTERVALS + 1)
                    begin = kind * _SPAN + INTERVALS - base
                    scores[128 * kind + low : 128 * kind + high] += found[begin + low : begin + high]
            elif field == VELOCITY:
                *_, part, piece = memory.loudness()
                mean = part if part >= 0 else piece
                if mean >= 0:
                    scores += found[32 - mean : 64 - mean]
            elif field == ONSET:
                steps = layout.span_steps
                _, x, window, _, _, _ = memory.place[-1]
                begin = steps - max(0, x - window * steps)
                scores[layout.position - layout.bos :] += found[begin : begin + steps]
            elif field == PART:
                _add_parts(scores, found, memory, onset=chosen[ONSET])

    def _mix(self, field: int, p_BK: np.ndarray, rest: np.ndarray) -> None:
        """Mix the memory's guesses into each row's probabilities, in place."""
        S, G = len(POINTERS[field]), 1 + len(POINTERS[field]) + len(COUNTS[field])
        tables = self._packed.gates[field]
        guesses = [memory.guesses(field, chosen) for memory, chosen in zip(self._memories, self._chosen, strict=True)]
        X = self._packed.looked_up.get(field, 0)
        added_BG = [
            [table[bucket] for table, bucket in zip(tables, (0, *one.trust, *one.weight), strict=True)]
            for one in guesses
        ]
        gates_BG = torch.from_numpy(rest[:, X : X + G] + np.array(added_BG, np.float32)).softmax(dim=-1).numpy()
        p_BK *= gates_BG[:, :1]
        for p, (_, *shares), one in zip(p_BK, gates_BG.tolist(), guesses, strict=True):
            for share, value in zip(shares, one.value, strict=False):
                if value >= 0:
                    p[value] += share
            for share, tally in zip(shares[S:], one.counted, strict=True):
                if tally is not None:
                    p += tally.counts[:-1] * (share / tally.total)


def _add_parts(scores: np.ndarray, by_program: np.ndarray, memory: Memory, *, onset: int) -> None:
    """Add logits by program, and mask parts that have not entered, but for the next where it may enter."""
    layout, programs = memory.layout, memory.programs[:MOST_PARTS]
    first, entered = layout.part - layout.meter, len(programs)
    scores[first + entered :] += by_program[0]
    scores[first : first + entered] += by_program[[program + 1 for program in programs]]
    if onset >= layout.position or onset == layout.enter:
        opens = memory.place[-1][0] < 0
        scores[first + entered + int(opens) :] = NEVER
