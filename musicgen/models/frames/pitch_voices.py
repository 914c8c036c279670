"""Frames of voices, from lines along every pitch: each voice in turn says a key or a rest.

A key is scored by its line and by how far it lies from what is there: what the voice had and had before that, and what
the other voices say or still have. The scores of an id are made into chances together.

Shapes: B batch, T time (ids), F frames, K ranks of the keyboard, R places to count from, C width of lines, D of scores,
S voices, Q = 128 ranks.

Sources: as in `pitch_model.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.frames.by_frame import Block, LockedDropout
from musicgen.models.frames.by_pitch import AT_ONCE, NEVER, LineState, PitchModel
from musicgen.models.frames.pitch_view import KEYS, OUTSIDE, VoiceLines, VoiceLineView
from musicgen.models.frames.view import from_ranks
from musicgen.models.settings import ModelSettings

__all__ = ["PitchVoices"]

LONGEST = 15  # frames that a voice has kept its rank
MOVES = 8


class PitchVoices(PitchModel):
    """The scores of a voice's keys, from lines and from where all voices are."""

    view: VoiceLineView

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        assert settings.frames is not None
        S, dropout = settings.frames.voices, settings.dropout
        D = max(8, settings.width // 2)  # every id scores every key: half as wide is twice as fast, and as good
        super().__init__(settings, family, VoiceLineView(settings.frames), scores=D)
        self.inputs.update({
            "turn": nn.Embedding(S, D),
            "held": nn.Embedding(S * (LONGEST + 1), D),
            "moves": nn.Embedding(S * MOVES, D),
        })  # fmt: skip
        # One table of intervals for all voices, which differ in what they make of it: with a table each, chorales
        # were learned by heart no sooner, and no better.
        self.intervals = nn.Parameter(torch.empty(self.view.kinds, 2 * KEYS - 1, D))
        self.by_turn = nn.Parameter(torch.ones(S, self.view.kinds, 1, D))
        self.said_dropout = LockedDropout(dropout / 2)
        self.block = Block(D, dropout=dropout / 2)
        self.block.dropout = LockedDropout(dropout / 2)
        self.norm = nn.LayerNorm(D, bias=False)
        self.outputs = nn.ModuleDict({"key": nn.Linear(D, 1, bias=False), "rest": nn.Embedding(2 * S, 1)})
        for name in ("turn", "held", "moves"):
            nn.init.normal_(self.inputs[name].get_parameter("weight"), std=0.1)
        nn.init.normal_(self.intervals, std=0.1)
        nn.init.normal_(self.outputs["key"].get_parameter("weight"), std=0.02)
        nn.init.constant_(self.outputs["rest"].get_parameter("weight"), -3.0)

    def _read(self, ids_BT: Tensor, state: LineState | None) -> tuple[Tensor, LineState | None]:
        lines, hidden_BFKC, after = self._listen(ids_BT, state)
        assert isinstance(lines, VoiceLines)
        heard_BFKD = self.hear(self.dropout(self.trunk_norm(hidden_BFKC)))
        table = self._by_interval()
        parts = []
        for begin in range(0, ids_BT.shape[1], AT_ONCE):
            parts.append(self._scores(lines, slice(begin, begin + AT_ONCE), heard_BFKD, table))
        return from_ranks(self.layout, torch.cat(parts, dim=1), self.settings.vocabulary_size), after

    def _by_interval(self) -> Tensor:
        """A row for each place: what it says to every key, (S * kinds * (K + 1), K * D). No key says nothing."""
        K = KEYS
        intervals = (self.by_turn * self.intervals).flatten(0, 1)
        # From key k to all others: a window of the intervals from -k up.
        windows = intervals.unfold(1, K, 1).flip(1).transpose(2, 3)  # (S * kinds, from K, to K, D)
        return F.pad(windows.flatten(2), (0, 0, 0, 1)).flatten(0, 1)

    def _scores(self, lines: VoiceLines, part: slice, heard_BFKD: Tensor, table: Tensor) -> Tensor:
        """Scores (B, T, Q + 1) of the ranks and the rest, after some of the ids."""
        turn_BT = lines.turn_BT[:, part]
        B, T = turn_BT.shape
        row_B1 = torch.arange(B, device=turn_BT.device)[:, None]
        done_BT = lines.done_BT[:, part]
        places = lines.places_BTR[:, part]
        said = F.embedding_bag(places.reshape(B * T, -1), table, mode="sum").view(B, T, KEYS, -1)
        held_BT = lines.held_BT[:, part].clamp(max=LONGEST)
        about_BTD = (
            self.inputs["turn"](turn_BT)
            + self.inputs["held"](turn_BT * (LONGEST + 1) + held_BT)
            + self.inputs["moves"](turn_BT * MOVES + lines.moves_BT[:, part])
        )
        x = heard_BFKD[row_B1, done_BT] + said + about_BTD[:, :, None]
        x = self.block(self.said_dropout(x))
        key_BTK = self.outputs["key"](self.norm(x))[..., 0].float()
        rest_BT1 = self.outputs["rest"](2 * turn_BT + lines.rested_BT[:, part])
        ranks_BTQ = F.pad(key_BTK, (self.view.first, OUTSIDE - self.view.first), value=NEVER)
        return torch.cat([ranks_BTQ, rest_BT1], dim=-1)
