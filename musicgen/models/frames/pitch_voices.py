"""Frames of voices, from lines along every pitch: each voice in turn takes a key or a rest.

A key is scored by its line and by its intervals from reference keys: the last two different ones of this voice, and
those of the other voices in this frame or the last. A softmax over all keys and the rest gives probabilities.

Shapes: B batch, T time (ids), F frames, K ranks of the keyboard, R reference places, C width of lines, D of scores,
S voices, Q = 128 ranks.

Sources: as in `by_pitch.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.frames.layers import Block, LockedDropout
from musicgen.models.frames.line_head import NEVER, LineHead
from musicgen.models.frames.pitch_view import KEYS, OUTSIDE, VoiceLineView
from musicgen.models.settings import ModelSettings

__all__ = ["VoiceKeys"]

LONGEST = 15  # frames; a voice that has held its rank for longer counts as this
MOVES = 8


class VoiceKeys(LineHead):
    """The scores of a voice's keys, from lines and from the current keys of all voices."""

    view: VoiceLineView

    def __init__(self, settings: ModelSettings, view: VoiceLineView, *, width: int) -> None:
        super().__init__(view, vocabulary_size=settings.vocabulary_size)
        S, dropout, D = view.voices, settings.dropout, width
        self.inputs = nn.ModuleDict({
            "turn": nn.Embedding(S, D),
            "held": nn.Embedding(S * (LONGEST + 1), D),
            "moves": nn.Embedding(S * MOVES, D),
        })  # fmt: skip
        # One table of intervals for all voices, scaled by voice: with a table per voice, models overfitted chorales
        # no sooner, and were no better.
        self.intervals = nn.Parameter(torch.empty(self.view.kinds, 2 * KEYS - 1, D))
        self.by_turn = nn.Parameter(torch.ones(S, self.view.kinds, 1, D))
        self.head_dropout = LockedDropout(dropout / 2)
        self.block = Block(D, dropout=dropout / 2)
        self.block.dropout = LockedDropout(dropout / 2)
        self.norm = nn.LayerNorm(D, bias=False)
        self.outputs = nn.ModuleDict({"key": nn.Linear(D, 1, bias=False), "rest": nn.Embedding(2 * S, 1)})
        for name in ("turn", "held", "moves"):
            nn.init.normal_(self.inputs[name].get_parameter("weight"), std=0.1)
        nn.init.normal_(self.intervals, std=0.1)
        nn.init.normal_(self.outputs["key"].get_parameter("weight"), std=0.02)
        nn.init.constant_(self.outputs["rest"].get_parameter("weight"), -3.0)

    def _prepared(self) -> Tensor:
        """Each place's contribution to every key, (S * kinds * (K + 1), K * D); that of the last key, none, is 0."""
        K = KEYS
        intervals = (self.by_turn * self.intervals).flatten(0, 1)
        # The intervals from key k to all keys are a window of the table that starts at -k.
        windows = intervals.unfold(1, K, 1).flip(1).transpose(2, 3)  # (S * kinds, from K, to K, D)
        return F.pad(windows.flatten(2), (0, 0, 0, 1)).flatten(0, 1)

    def _of_places(self, projected_BTKD: Tensor, places: dict[str, Tensor], prepared: Tensor) -> Tensor:
        turn_BT, from_BTR = places["turn"], places["from"]
        B, T = turn_BT.shape
        intervals_BTKD = F.embedding_bag(from_BTR.reshape(B * T, -1), prepared, mode="sum").view(B, T, KEYS, -1)
        about_BTD = (
            self.inputs["turn"](turn_BT)
            + self.inputs["held"](turn_BT * (LONGEST + 1) + places["held"].clamp(max=LONGEST))
            + self.inputs["moves"](turn_BT * MOVES + places["moves"])
        )
        x = projected_BTKD + intervals_BTKD + about_BTD[:, :, None]
        x = self.block(self.head_dropout(x))
        key_BTK = self.outputs["key"](self.norm(x))[..., 0].float()
        rest_BT1 = self.outputs["rest"](2 * turn_BT + places["rested"])
        ranks_BTQ = F.pad(key_BTK, (self.view.first, OUTSIDE - self.view.first), value=NEVER)
        return torch.cat([ranks_BTQ, rest_BT1], dim=-1)
