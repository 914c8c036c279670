"""The head of a memory model: each field of a step is a mixture of the model's prediction and the memory's guesses.

p(value) = g_0 softmax(scores)[value] + sum_s g_s [value is the guess of pointer s] + sum_k g_k share_k(value)

where the gates g are a softmax over the sources that have a guess, computed from the hidden state, the fields chosen
before, and the trust bucket of each source. Logits of pitches are summed by pitch and by interval from the part's last
pitch, those of onsets by position and by distance. Loudness is an input of the velocity field alone, and no later field
depends on the velocity.

Shapes: B batch, T time, F fields, C width, K values of a field, S pointers and N counts of a field.

Sources: See et al. 2017 (arXiv:1704.04368) and Merity et al. 2016 (arXiv:1609.07843) for pointers mixed with a softmax.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models.heads.head import Head, Scores
from musicgen.models.layers.linear import Linear
from musicgen.models.layouts import FIELDS, MOST_PARTS, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.scores import INTERVALS, LOUDNESS, NEVER, PART_WIDTH, MemoryScores, Packed
from musicgen.models.memory.sources import COUNTS, POINTERS
from musicgen.models.memory.state import MemoryState
from musicgen.models.memory.trust import COUNT_BUCKETS, TRUST_BUCKETS

__all__ = ["Hints", "PointerHead", "Recollection"]


class Hints(NamedTuple):
    """The memory's guesses of each next step, by field; see `Recalled`. There are none for the program."""

    value: dict[int, Tensor]  # (B, T, S)
    trust: dict[int, Tensor]
    share: dict[int, Tensor]  # (B, T, N), of the target
    weight: dict[int, Tensor]
    last_pitch_BT: Tensor  # -1: none
    x_BT: Tensor  # position, within its span, of the place that the step before sets
    loudness_BTL: Tensor
    programs_BP: Tensor  # program value of every part, -1 for those that aren't there
    entered_BT: Tensor  # how many parts have entered; the programs of the others must not be used yet
    opens_BT: Tensor  # whether another part may enter, as no bar has begun

    def at(self, places: Tensor) -> Hints:
        """The hints at some time indices."""

        def picked(x: Any) -> Any:
            return {field: one[:, places] for field, one in x.items()} if isinstance(x, dict) else x[:, places]

        parts = {name: picked(x) for name, x in self._asdict().items() if name != "programs_BP"}
        return self._replace(**parts)


class Recollection(NamedTuple):
    """The trunk's hidden states, and the memory's guesses of the steps that follow."""

    hidden_BTC: Tensor
    hints: Hints

    def at(self, places: Tensor) -> Recollection:
        """The same at some time indices."""
        return Recollection(self.hidden_BTC[:, places], self.hints.at(places))


class PointerHead(Head):
    """`FieldHead` extended by the memory: fields are predicted one after another from the hidden state and guesses."""

    name = "pointer_head"
    teaches = False

    def __init__(self, layout: MemoryLayout, *, width: int, dropout: float) -> None:
        super().__init__(FIELDS)
        C = width
        self.layout, self.first, self.sizes = layout, layout.first, layout.sizes
        self.embedding = nn.Embedding(layout.size, C)
        self.project = Linear(C, FIELDS * C)
        self.from_fields = nn.ModuleList(Linear(C, C) for _ in range(FIELDS - 1))
        self.residual = nn.ModuleList(Linear(C, C) for _ in range(FIELDS))
        self.norms = nn.ModuleList(nn.LayerNorm(C, bias=False) for _ in range(FIELDS))
        self.outputs = nn.ModuleList(Linear(C, size) for size in self.sizes)
        self.intervals = Linear(C, 2 * (2 * INTERVALS + 1))  # separately for pitches and drums
        self.distances = Linear(C, 2 * layout.span_steps)
        self.part_query = Linear(C, PART_WIDTH)
        self.part_program = nn.Embedding(130, PART_WIDTH)
        self.part_number = nn.Embedding(MOST_PARTS, PART_WIDTH)
        self.loudness = nn.ModuleList(nn.Embedding(34, C) for _ in range(LOUDNESS))
        self.offsets = Linear(C, 65)  # of velocities, from the part's mean
        gates = {str(f): 1 + len(POINTERS[f]) + len(COUNTS[f]) for f in POINTERS}
        self.gates = nn.ModuleDict({f: nn.Linear(C, count) for f, count in gates.items()})
        self.trust = nn.ModuleDict(
            {str(f): nn.Embedding(len(names) * TRUST_BUCKETS, 1) for f, names in POINTERS.items()}
        )
        self.weight = nn.ModuleDict(
            {str(f): nn.Embedding(len(names) * COUNT_BUCKETS, 1) for f, names in COUNTS.items()}
        )
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.project.weight, std=C**-0.5)
        for part in (*self.from_fields.parameters(), *self.residual.parameters()):
            nn.init.normal_(part, std=C**-0.5)
        for layer in (*self.outputs, self.intervals, self.distances, self.part_query, self.offsets):
            nn.init.normal_(layer.weight, std=0.02)
        for gate in self.gates.values():
            nn.init.normal_(gate.weight, std=0.02)  # type: ignore[arg-type]
            nn.init.zeros_(gate.bias)  # type: ignore[arg-type]
        for table in (*self.trust.values(), *self.weight.values()):
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]
        for table in self.loudness:
            nn.init.normal_(table.weight, std=0.3)  # type: ignore[arg-type]

    # ---- one field --------------------------------------------------------------------------------

    def seen(self, field: int, hidden: Tensor, x: Tensor) -> Tensor:
        """The features from which a field's logits and gates are computed, (..., C)."""
        x = self.residual[field](self.dropout(F.gelu(x)))
        return self.norms[field](hidden + x)

    def field_scores(self, field: int, y_BTC: Tensor, hints: Hints, onset_BT: Tensor) -> Tensor:
        """Logits (B, T, K) of the field's values before mixing, float32; the onset is used for the part."""
        scores = self.outputs[field](y_BTC).float()
        if field == PITCH:
            scores = scores + self._by_interval(y_BTC, hints.last_pitch_BT)
        elif field == VELOCITY:
            scores = scores + self._by_offset(y_BTC, hints.loudness_BTL)
        elif field == ONSET:
            scores = scores + self._by_distance(y_BTC, hints.x_BT)
        elif field == PART:
            scores = self._of_parts(scores, y_BTC, hints, onset_BT)
        if not self.training and self.inverse_temperature[field] != 1:
            scores = scores * self.inverse_temperature[field]
        return scores

    def _by_interval(self, y_BTC: Tensor, last_BT: Tensor) -> Tensor:
        """Logits by interval from the part's last pitch; pitches 0..127, then drums."""
        half = 2 * INTERVALS + 1
        both = F.pad(self.intervals(y_BTC).float().unflatten(-1, (2, half)), (0, 1))  # last: 0, out of range
        kinds = []
        for kind in range(2):
            base_BT = last_BT - 128 * kind
            interval = torch.arange(128, device=last_BT.device) - base_BT[..., None] + INTERVALS
            there = (interval >= 0) & (interval < half) & ((base_BT >= 0) & (base_BT < 128))[..., None]
            kinds.append(both[:, :, kind].gather(2, torch.where(there, interval, half)))
        return torch.cat(kinds, dim=2)

    def _by_offset(self, y_BTC: Tensor, loudness_BTL: Tensor) -> Tensor:
        """Logits of velocities by distance from the part's mean, or from the piece's where the part has none."""
        mean_BT = torch.where(loudness_BTL[..., 3] >= 0, loudness_BTL[..., 3], loudness_BTL[..., 4])
        offset = torch.arange(32, device=mean_BT.device) - mean_BT[..., None] + 32
        there = (mean_BT >= 0)[..., None]
        return F.pad(self.offsets(y_BTC).float(), (0, 1)).gather(2, torch.where(there, offset, 65))

    def _by_distance(self, y_BTC: Tensor, x_BT: Tensor) -> Tensor:
        """Logits of onsets: positions by distance from the current position; 0 for bar lines and other marks."""
        steps = self.layout.span_steps
        distance = torch.arange(steps, device=x_BT.device) - x_BT[..., None] + steps  # 1 ..
        scores = self.distances(y_BTC).float().gather(2, distance.clamp(0, 2 * steps - 1))
        return F.pad(scores, (self.layout.position - self.layout.bos, 0))

    def _of_parts(self, scores: Tensor, y_BTC: Tensor, hints: Hints, onset_BT: Tensor) -> Tensor:
        """Logits of parts, by number and by program.

        Where the onset is a position or `enter`, parts that have not entered are masked, but the next one may enter
        before the first bar. With any other onset no part is masked.
        """
        at = self.layout.part - self.layout.meter
        query_BTC = self.part_query(y_BTC).float()
        number_P = torch.arange(MOST_PARTS, device=y_BTC.device)
        named_BT1 = ((onset_BT >= self.layout.position) | (onset_BT == self.layout.enter))[..., None]
        known_BTP = number_P < hints.entered_BT[..., None]
        there_BTP = known_BTP | ((number_P == hints.entered_BT[..., None]) & hints.opens_BT[..., None])
        by_program_BTP = query_BTC @ self.part_program(hints.programs_BP + 1).float().transpose(1, 2)
        by_none_BT1 = query_BTC @ self.part_program.weight[:1].float().t()
        found = query_BTC @ self.part_number.weight.float().t() + torch.where(known_BTP, by_program_BTP, by_none_BT1)
        found = (scores[..., at:] + found / math.sqrt(PART_WIDTH)).masked_fill(~there_BTP & named_BT1, NEVER)
        return torch.cat([scores[..., :at], found], dim=2)

    def log_gates(self, field: int, y_BTC: Tensor, hints: Hints) -> Tensor:
        """Log gates, log g (B, T, 1 + S + N); about NEVER for sources without a guess."""
        name = str(field)
        gates = self.gates[name](y_BTC).float()
        trust, weight = hints.trust[field], hints.weight[field]
        S, N = trust.shape[-1], weight.shape[-1]
        device = trust.device
        own = torch.cat(
            [
                torch.zeros_like(gates[..., :1]),
                self.trust[name](trust + torch.arange(S, device=device) * TRUST_BUCKETS)[..., 0],
                self.weight[name](weight + torch.arange(N, device=device) * COUNT_BUCKETS)[..., 0],
            ],
            dim=-1,
        )
        there = torch.cat([torch.ones_like(trust[..., :1]), trust, weight], dim=-1) > 0
        return (gates + own.float()).masked_fill(~there, NEVER).log_softmax(dim=-1)

    # ---- all of them ------------------------------------------------------------------------------

    def nats(self, reading: Recollection, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        """nats_BTF of each field given the ones before it; 0 where the target is `pad`."""
        hidden_BTC, hints = reading
        projected = self.project(hidden_BTC).unflatten(-1, (FIELDS, -1))
        embedded_BTC: Tensor | None = None
        nats = []
        for f in range(FIELDS):
            x_BTC = projected[:, :, f]
            if embedded_BTC is not None:
                x_BTC = x_BTC + self.from_fields[f - 1](embedded_BTC)
            if f == VELOCITY:
                x_BTC = x_BTC + self.embedded_loudness(hints.loudness_BTL)
            y_BTC = self.seen(f, hidden_BTC, x_BTC)
            target_BT = targets[:, :, f]
            scored_BT = target_BT != pad
            inside_BT = (target_BT - self.first[f]).clamp(min=0)
            scores = self.field_scores(f, y_BTC, hints, targets[:, :, ONSET])
            log_p = -F.cross_entropy(scores.flatten(0, 1), inside_BT.flatten(), reduction="none").view_as(inside_BT)
            if f in POINTERS:
                log_g = self.log_gates(f, y_BTC, hints)
                hit = hints.value[f] == inside_BT[..., None]
                one = torch.zeros_like(log_g[..., : hit.shape[-1]]).masked_fill(~hit, NEVER)
                many = hints.share[f].clamp(min=1e-30).log().masked_fill(hints.share[f] <= 0, NEVER)
                log_p = torch.logsumexp(log_g + torch.cat([log_p[..., None], one, many], dim=-1), dim=-1)
            nats.append(torch.where(scored_BT, -log_p, 0.0))
            if f != VELOCITY:
                chosen_BTC = self.embedding(target_BT)
                embedded_BTC = chosen_BTC if embedded_BTC is None else embedded_BTC + chosen_BTC
        return torch.stack(nats, dim=-1)

    def choices(self, reading: Any, targets: Tensor, *, following_VV: Tensor | None = None) -> list[Tensor]:
        raise UsageError("a model with a memory neither teaches nor is taught", hint="leave `teachers` out")

    def scores(self, hidden_BC: Tensor, state: Any, *, packed: Packed | None = None) -> Scores:
        """See `Head.scores`; the state is the one returned with the hidden state. `packed` is `Packed(self)`
        where the caller has it at hand."""
        if not isinstance(state, MemoryState):
            raise TypeError("a model with a memory needs the state to score the next step")
        return MemoryScores(self, packed or Packed(self), hidden_BC, state.memories_now(self.layout))

    def embedded_loudness(self, loudness_BTL: Tensor) -> Tensor:
        """The summed embeddings of the loudness columns, (..., C)."""
        tables = [table(loudness_BTL[..., n] + 1) for n, table in enumerate(self.loudness)]
        return torch.stack(tables).sum(0)
