"""Frames as sets, from lines along every pitch: every rank above the last one emitted has a hazard.

The hazard h_r is the probability that rank r comes next given that no rank between it and the last one does. The
likelihoods of ids are products,

    p(r | last) = h_r * prod_{last < j < r} (1 - h_j),    p(end | last) = prod_{last < j} (1 - h_j),

which sum to one without normalisation. One pass gives all hazards of a frame, as none depends on later ranks.

Shapes: B batch, T time (ids), F frames, K ranks of the keyboard, C width, V vocabulary, Q = 128 ranks.

Sources: as in `by_pitch.py`; the ranks emitted so far are summed by interval, as in a NADE (Larochelle and
Murray 2011), where Johnson has a second recurrence along the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.frames.by_pitch import LineReading
from musicgen.models.frames.layers import Block, LockedDropout
from musicgen.models.frames.line_head import NEVER, LineHead
from musicgen.models.frames.pitch_view import KEYS, OUTSIDE, SetLines, SetLineView
from musicgen.models.frames.view import Q, ranks_of
from musicgen.models.settings import ModelSettings

__all__ = ["Hazards"]

FARTHEST = 40  # semitones; larger intervals count as this one


class Hazards(LineHead):
    """The hazards of a frame's ranks, from lines and from the ranks of the frame emitted so far."""

    view: SetLineView

    def __init__(self, settings: ModelSettings, view: SetLineView) -> None:
        super().__init__(view, vocabulary_size=settings.vocabulary_size)
        C, dropout = settings.width, settings.dropout
        self.intervals = nn.Parameter(torch.empty(2, FARTHEST + 1, C))
        self.head_dropout = LockedDropout(dropout / 2)
        self.block = Block(C, dropout=dropout / 2)
        self.block.dropout = LockedDropout(dropout / 2)  # drawing a mask for every frame would take a third of a step
        self.norm = nn.LayerNorm(C, bias=False)
        self.outputs = nn.Linear(C, 1)
        nn.init.normal_(self.intervals, std=0.1)
        nn.init.normal_(self.outputs.weight, std=0.02)
        nn.init.constant_(self.outputs.bias, -3.0)  # about the share of the keys that sound

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits unchanged: the inverse temperature has been applied to the hazards."""
        return logits

    def nats(self, reading: Any, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        """See `Head.nats`. The order within frames is built in: `following_VV` only says which targets are
        impossible. Hazards are computed once per frame, where `logits` computes them once per id."""
        (nats_BT,) = self.nats_at(
            reading, targets, pad=pad, following_VV=following_VV, inverse_temperature=[self.inverse_temperature]
        )
        return nats_BT

    def nats_at(
        self,
        reading: LineReading,
        targets: Tensor,
        *,
        pad: int,
        following_VV: Tensor | None,
        inverse_temperature: Sequence[Sequence[float]],
    ) -> list[Tensor]:
        """See `Head.nats_at`; the hazards are computed once."""
        parts, begin = [], 0
        for lines, projected_BFKD in reading.parts:
            rows = slice(begin, begin + len(projected_BFKD))
            exact = self._exact(lines, projected_BFKD, targets[rows], inverse_temperature=inverse_temperature)
            parts.append(exact)
            begin = rows.stop
        result = []
        for nats in zip(*parts, strict=True):
            nats_BT = torch.cat(nats)
            if following_VV is not None:
                nats_BT = nats_BT.masked_fill(~following_VV[reading.ids, targets], torch.inf)
            result.append(nats_BT.masked_fill(targets == pad, 0))
        return result

    def _exact(
        self,
        lines: SetLines,
        projected_BFKD: Tensor,
        targets: Tensor,
        *,
        inverse_temperature: Sequence[Sequence[float]],
    ) -> list[Tensor]:
        """nats_BT of targets at each inverse temperature."""
        # The last target belongs to a frame, too; the other targets are among the ids.
        rank_BT = torch.cat([lines.rank_BT, ranks_of(self.layout, targets[:, -1:])], dim=1)
        frame_BT = torch.cat([lines.done_BT, lines.done_BT[:, -1:]], dim=1)
        roll_BFQ = self.view.rolls(rank_BT, frame_BT, lines.begun_BQ, frames=projected_BFKD.shape[1])
        keys = slice(self.view.first, self.view.first + KEYS)
        hazard_BFK = self._hazards(projected_BFKD, roll_BFQ[..., keys], lines.inputs_BFIK[:, :, 0])
        cell_BT = lines.done_BT * (Q + 1)
        next_BT = ranks_of(self.layout, targets)  # the end counts as rank Q
        behind_BT = torch.where(lines.rank_BT < Q, lines.rank_BT + 1, 0)
        parts = []
        for values in inverse_temperature:
            hazard_BFQ = self._by_rank(hazard_BFK, values)
            spared_BFR = F.pad(F.logsigmoid(-hazard_BFQ).cumsum(-1), (1, 0))  # log p(no rank below r), r = 0..Q
            spared_BT = _at(spared_BFR, cell_BT + next_BT) - _at(spared_BFR, cell_BT + behind_BT)
            chosen_BT = F.logsigmoid(_at(F.pad(hazard_BFQ, (0, 1)), cell_BT + next_BT))
            parts.append(-(spared_BT + torch.where(next_BT < Q, chosen_BT, 0)))
        return parts

    def _of_places(self, projected_BTKD: Tensor, places: dict[str, Tensor], prepared: None) -> Tensor:
        rank_BT = places["rank"]
        behind_BTQ = torch.arange(Q, device=rank_BT.device) > torch.where(rank_BT < Q, rank_BT, -1)[..., None]
        hazard_BTQ = self._by_rank(
            self._hazards(projected_BTKD, places["emitted"], places["last"]), self.inverse_temperature
        )
        spared_BTQ = (F.logsigmoid(-hazard_BTQ) * behind_BTQ).cumsum(-1)
        before_BTQ = F.pad(spared_BTQ, (1, -1)) + F.logsigmoid(hazard_BTQ)
        return torch.cat([before_BTQ.masked_fill(~behind_BTQ, -1e4), spared_BTQ[..., -1:]], dim=-1)

    def _hazards(self, projected_BFKD: Tensor, emitted_BFK: Tensor, last_BFK: Tensor) -> Tensor:
        """Logits (B, F, K) of each key's hazard, from the lines' hidden states and the frame's ranks below the key.

        Ranks held over from the last frame and new ones have separate interval embeddings.
        """
        K = emitted_BFK.shape[-1]
        apart = torch.arange(K, device=emitted_BFK.device) - torch.arange(K, device=emitted_BFK.device)[:, None]
        table = self.intervals[:, apart.clamp(0, FARTHEST)] * (apart > 0)[..., None]  # (2, from K, to K, C)
        emitted = torch.cat([emitted_BFK * (1 - last_BFK), emitted_BFK * last_BFK], dim=-1)
        x = projected_BFKD + (emitted @ table.flatten(2).flatten(0, 1)).view(projected_BFKD.shape)
        x = self.block(self.head_dropout(x))
        return self.outputs(self.norm(x))[..., 0].float()

    def _by_rank(self, hazard_BFK: Tensor, inverse_temperature: Sequence[float]) -> Tensor:
        """Hazard logits (B, F, Q) of all ranks, times the inverse temperature except in training."""
        if not self.training and inverse_temperature[0] != 1:
            hazard_BFK = hazard_BFK * inverse_temperature[0]
        return F.pad(hazard_BFK, (self.view.first, OUTSIDE - self.view.first), value=NEVER)


def _at(values_BFR: Tensor, cell_BT: Tensor) -> Tensor:
    return values_BFR.flatten(1).gather(1, cell_BT)
