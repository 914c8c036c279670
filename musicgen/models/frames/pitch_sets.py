"""Frames as sets, from lines along every pitch: every rank behind the last one said has a hazard.

A hazard says how likely a rank is said if all between it and the last one are not. The ids' likelihoods are products,

    p(r | last) = h_r * prod_{last < j < r} (1 - h_j),    p(end | last) = prod_{last < j} (1 - h_j),

which sum to one by themselves. All hazards that a frame needs come from one pass, as none depends on later ranks.

Shapes: B batch, T time (ids), F frames, K ranks of the keyboard, C width, V vocabulary, Q = 128 ranks.

Sources: as in `pitch_model.py`; the ranks said so far are summed by interval, as in a NADE (Larochelle and Murray
2011), where Johnson has a second recurrence along the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.frames.by_frame import Block, LockedDropout
from musicgen.models.frames.by_pitch import AT_ONCE, NEVER, LineState, PitchModel
from musicgen.models.frames.pitch_view import KEYS, OUTSIDE, SetLines, SetLineView
from musicgen.models.frames.view import Q, from_ranks, ranks_of
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["PitchSets"]

FARTHEST = 40  # semitones; ranks that lie farther before count as that far


class PitchSets(PitchModel):
    """The hazards of a frame's ranks, from lines and from what of the frame is said."""

    view: SetLineView

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        assert settings.frames is not None
        super().__init__(settings, family, SetLineView(settings.frames), scores=settings.width)
        C, dropout = settings.width, settings.dropout
        self.intervals = nn.Parameter(torch.empty(2, FARTHEST + 1, C))
        self.said_dropout = LockedDropout(dropout / 2)
        self.block = Block(C, dropout=dropout / 2)
        self.block.dropout = LockedDropout(dropout / 2)  # drawing a mask for every frame would take a third of a step
        self.norm = nn.LayerNorm(C, bias=False)
        self.outputs = nn.Linear(C, 1)
        nn.init.normal_(self.intervals, std=0.1)
        nn.init.normal_(self.outputs.weight, std=0.02)
        nn.init.constant_(self.outputs.bias, -3.0)  # about the share of the keys that sound

    def nats(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[Tensor, LineState | None]:
        """See `SequenceModel.nats`. The order within frames is the model's own: `following_VV` only says which
        targets are impossible. Every frame is gone through once, where `read` does so once an id."""
        exact = partial(self._exact, pad=pad, following_VV=following_VV, sharpness=[self.sharpness])
        nats_BST, after = self._by_rows(exact, ids, state, targets)
        return nats_BST[:, 0], after

    def nats_ahead(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[list[Tensor], State | None]:
        """See `SequenceModel.nats_ahead`: the next step alone."""
        nats_BT, after = self.nats(ids, targets, state, pad=pad, following_VV=following_VV)
        return [nats_BT], after

    def nats_at(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
        sharpness: Sequence[tuple[float, ...]],
    ) -> list[Tensor]:
        """See `SequenceModel.nats_at`."""
        exact = partial(self._exact, pad=pad, following_VV=following_VV, sharpness=sharpness)
        return list(self._by_rows(exact, ids, state, targets)[0].unbind(1))

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """What `read` returned, where hazards have been sharpened: they, not the ids' scores, are what is learned."""
        return hidden_BTC

    def _read(self, ids_BT: Tensor, state: LineState | None) -> tuple[Tensor, LineState | None]:
        lines, hidden_BFKC, after = self._listen(ids_BT, state)
        assert isinstance(lines, SetLines)
        parts = []
        for begin in range(0, ids_BT.shape[1], AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            parts.append(self._scores(lines, hidden_BFKC, lines.rank_BT[:, part], lines.done_BT[:, part]))
        return from_ranks(self.layout, torch.cat(parts, dim=1), self.settings.vocabulary_size), after

    def _exact(
        self,
        ids: Tensor,
        state: LineState | None,
        targets: Tensor,
        *,
        pad: int,
        following_VV: Tensor | None,
        sharpness: Sequence[tuple[float, ...]],
    ) -> tuple[Tensor, LineState | None]:
        """nats_BST at S sharpnesses, and the state."""
        lines, hidden_BFKC, after = self._listen(ids, state)
        assert isinstance(lines, SetLines)
        frames = hidden_BFKC.shape[1]
        # The last target belongs to a frame, too; the others are ids.
        rank_BT = torch.cat([lines.rank_BT, ranks_of(self.layout, targets[:, -1:])], dim=1)
        frame_BT = torch.cat([lines.done_BT, lines.done_BT[:, -1:]], dim=1)
        roll_BFQ = self.view.rolls(rank_BT, frame_BT, lines.begun_BQ, frames=frames)
        keys = slice(self.view.first, self.view.first + KEYS)
        hazard_BFK = self._hazards(hidden_BFKC, roll_BFQ[..., keys], lines.told_BFIK[:, :, 0])
        cell_BT = lines.done_BT * (Q + 1)
        next_BT = ranks_of(self.layout, targets)  # the end lies behind all ranks
        behind_BT = torch.where(lines.rank_BT < Q, lines.rank_BT + 1, 0)
        parts = []
        for values in sharpness:
            hazard_BFQ = self._by_rank(hazard_BFK, values)
            spared_BFR = F.pad(F.logsigmoid(-hazard_BFQ).cumsum(-1), (1, 0))  # of the ranks before, up to Q
            spared_BT = _at(spared_BFR, cell_BT + next_BT) - _at(spared_BFR, cell_BT + behind_BT)
            said_BT = F.logsigmoid(_at(F.pad(hazard_BFQ, (0, 1)), cell_BT + next_BT))
            nats_BT = -(spared_BT + torch.where(next_BT < Q, said_BT, 0))
            if following_VV is not None:
                nats_BT = nats_BT.masked_fill(~following_VV[ids, targets], torch.inf)
            parts.append(nats_BT.masked_fill(targets == pad, 0))
        return torch.stack(parts, dim=1), after

    def _scores(self, lines: SetLines, hidden_BFKC: Tensor, rank_BT: Tensor, done_BT: Tensor) -> Tensor:
        """Scores (B, T, Q + 1) of the ranks and the end, after ids of these ranks in these frames."""
        row_B1 = torch.arange(len(rank_BT), device=rank_BT.device)[:, None]
        frames = hidden_BFKC.shape[1]
        roll_BFQ = self.view.rolls(lines.rank_BT, lines.done_BT, lines.begun_BQ, frames=frames)
        ranks = torch.arange(Q, device=rank_BT.device)
        behind_BTQ = ranks > torch.where(rank_BT < Q, rank_BT, -1)[..., None]
        keys = slice(self.view.first, self.view.first + KEYS)
        said_BTK = (roll_BFQ[row_B1, done_BT] * ~behind_BTQ)[..., keys]
        last_BTK = lines.told_BFIK[row_B1, done_BT, 0]
        hazard_BTK = self._hazards(hidden_BFKC[row_B1, done_BT], said_BTK, last_BTK)
        hazard_BTQ = self._by_rank(hazard_BTK, self.sharpness)
        spared_BTQ = (F.logsigmoid(-hazard_BTQ) * behind_BTQ).cumsum(-1)
        before_BTQ = F.pad(spared_BTQ, (1, -1)) + F.logsigmoid(hazard_BTQ)
        return torch.cat([before_BTQ.masked_fill(~behind_BTQ, -1e4), spared_BTQ[..., -1:]], dim=-1)

    def _hazards(self, hidden_BFKC: Tensor, said_BFK: Tensor, last_BFK: Tensor) -> Tensor:
        """Logits of each key's hazard, from what lines say and what of the frame is said before it.

        A rank that goes on from the last frame counts otherwise than a new one.
        """
        K = said_BFK.shape[-1]
        apart = torch.arange(K, device=said_BFK.device) - torch.arange(K, device=said_BFK.device)[:, None]
        table = self.intervals[:, apart.clamp(0, FARTHEST)] * (apart > 0)[..., None]  # (2, from K, to K, C)
        said = torch.cat([said_BFK * (1 - last_BFK), said_BFK * last_BFK], dim=-1)
        x = self.hear(self.dropout(self.trunk_norm(hidden_BFKC)))
        x = x + (said @ table.flatten(2).flatten(0, 1)).view(x.shape)
        x = self.block(self.said_dropout(x))
        return self.outputs(self.norm(x))[..., 0].float()

    def _by_rank(self, hazard_BFK: Tensor, sharpness: tuple[float, ...]) -> Tensor:
        """Logits (B, F, Q) of each rank's hazard, but in training as sharp as that."""
        if not self.training and sharpness != (1.0,):
            hazard_BFK = hazard_BFK * sharpness[0]
        return F.pad(hazard_BFK, (self.view.first, OUTSIDE - self.view.first), value=NEVER)


def _at(values_BFR: Tensor, cell_BT: Tensor) -> Tensor:
    return values_BFR.flatten(1).gather(1, cell_BT)
