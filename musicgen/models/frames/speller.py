"""The head of a model of frames: it predicts a frame id by id.

From the body's hidden state and the features after each id (`view.py`) it scores the next one: by rank, and by interval
from reference ranks such as the pitch just emitted and the last frame's next pitch. So the likelihood of a frame is
exact, by the chain rule.

Shapes: B batch, T time (ids), C width, V vocabulary, Q ranks.

Sources: a conditional model of each frame beside a recurrence over frames from Boulanger-Lewandowski et al. 2012
(arXiv:1206.6392, RNN-NADE); looking at the last frame relative to the current pitch from Johnson 2017
("Generating polyphonic music using tied parallel networks").
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.frames.by_frame import FrameReading, FrameState
from musicgen.models.frames.layers import Block
from musicgen.models.frames.view import NONE, Q, Sight, View, from_ranks
from musicgen.models.heads.head import IdHead, IdScores
from musicgen.models.layers.embedding import embed
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings

__all__ = ["Speller"]

AROUND = 24  # semitones either way of a window around a pitch
INTERVALS = 32  # from -32 to 31 semitones
BLOCKS = 2


class Speller(IdHead):
    """Scores of the next id, from hidden states of the frames so far and features of them and of the current frame."""

    name = ""

    def __init__(self, settings: ModelSettings, view: View) -> None:
        super().__init__()
        C = settings.width
        self.view, self.layout, self.size = view, view.layout, settings.vocabulary_size
        self.project = Linear(C, C)
        self.embedding = embed(settings)
        categories = {name: nn.Embedding(size, C) for name, size in view.categories.items()}
        windows = {f"around_{name}": Linear(2 * AROUND + 1, C) for name in view.windows}
        self.inputs = nn.ModuleDict({**categories, **windows})
        self.blocks = nn.ModuleList(Block(C, dropout=settings.dropout) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(C, bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.outputs = nn.ModuleDict(
            {"rank": Linear(C, Q + 1), **{k: Linear(C, 2 * INTERVALS) for k in view.references}}
        )
        nn.init.normal_(self.embedding.weight, std=0.3)
        for part in self.inputs.parameters():
            nn.init.normal_(part, std=0.2)
        for part in self.outputs.parameters():
            nn.init.normal_(part, std=0.02)

    def _logits(self, reading: FrameReading) -> Tensor:
        seen = reading.seen
        x_BTC = self.project(reading.hidden_BTC) + self.embedding(reading.ids)
        for name in self.view.categories:
            x_BTC = x_BTC + self.inputs[name](seen.categories[name])
        for name in self.view.windows:
            x_BTC = x_BTC + self.inputs[f"around_{name}"](_around(*seen.windows[name]))
        for block in self.blocks:
            x_BTC = block(x_BTC)
        x_BTC = self.dropout(self.norm(x_BTC))
        scores = self.outputs["rank"](x_BTC)
        for name in self.view.references:
            scores = scores + _by_interval(self.outputs[name](x_BTC), seen.references[name])
        return from_ranks(self.layout, scores, self.size)

    def scores(self, hidden_BC: Tensor, state: Any) -> IdScores:
        """See `Head.scores`; the state has the features after the last id."""
        if not isinstance(state, FrameState) or not isinstance(state.last, Sight):
            raise TypeError("a model of frames needs the state to score the next id")
        reading = FrameReading(hidden_BC[:, None], state.last.ids_BT, state.last)
        return IdScores(self.logits(reading)[:, 0])


def _around(roll_BTQ: Tensor, rank_BT: Tensor) -> Tensor:
    """(B, T, 2 * AROUND + 1) of the roll, centred on a rank; 0 where the rank is NONE."""
    padded = F.pad(roll_BTQ, (AROUND, AROUND + 1))
    at = rank_BT.clamp(max=Q - 1)[..., None] + torch.arange(2 * AROUND + 1, device=roll_BTQ.device)
    return padded.gather(2, at) * (rank_BT < NONE)[..., None]


def _by_interval(scores_BTI: Tensor, rank_BT: Tensor) -> Tensor:
    """Scores by interval from a rank, turned into scores (B, T, Q + 1) by rank; 0 for ranks out of reach."""
    interval = torch.arange(Q + 1, device=rank_BT.device) - rank_BT[..., None] + INTERVALS
    there = (interval >= 0) & (interval < 2 * INTERVALS) & (rank_BT < NONE)[..., None]
    there[..., Q] = False  # the mark is no pitch
    return F.pad(scores_BTI, (0, 1)).gather(2, torch.where(there, interval, 2 * INTERVALS))
