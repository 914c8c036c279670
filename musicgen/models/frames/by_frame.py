"""Models that read a frame at a time: any family as the trunk, and a small network that spells each frame.

The trunk reads whole frames, so that a piece is a quarter as long to it as to a model of ids. From its state, and from
what is seen after each id (`frame_view.py`), the speller scores the next id: by pitch, and by interval from the pitch
just said and from the one where the last frame goes on. So the likelihood of a frame is exact, by the chain rule.

Shapes: B batch, T time (ids), F frames, C width, V vocabulary, Q ranks, X numbers that describe a frame.

Sources: a recurrence over frames beside a conditional model of each frame from Boulanger-Lewandowski et al. 2012
(arXiv:1206.6392, RNN-NADE); looking at the last frame from where one stands, whatever the key, from Johnson 2017
("Generating polyphonic music using tied parallel networks").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.frames.set_view import SetView
from musicgen.models.frames.view import NONE, Memory, Q, Seen, View, from_ranks
from musicgen.models.frames.voice_view import VoiceView
from musicgen.models.ladder.rnn import Recurrent
from musicgen.models.layers.embedding import OneHotLinear, embed
from musicgen.models.layers.linear import Linear
from musicgen.models.layouts import FrameLayout
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

if TYPE_CHECKING:
    from musicgen.models.frames.pitch_view import LineView

__all__ = ["FrameModel", "FrameState", "view_of"]

AROUND = 24  # semitones either way that are looked at from a pitch
INTERVALS = 32  # from -32 to 31 semitones
BLOCKS = 2


@dataclasses.dataclass
class FrameState(State):
    """What the view remembers, the trunk's states, one a row (rows end their frames at different ids), and what the
    trunk has said of the frames so far: heard, (B, C), or (B, K, C) of each of K lines."""

    memory: Memory
    trunks: tuple[State, ...]
    heard: Tensor
    position: int

    @classmethod
    @torch.no_grad()
    def told(cls, view: View | LineView, pasts: Sequence[Tensor]) -> Self:
        """The state of rows that are told of what came before; no trunk has read it."""
        rows = []
        for past_T in pasts:
            memory = view.begin(1, past_T.device)
            rows.append(view.see(past_T[None], memory, skims=True).memory if len(past_T) else memory)
        return cls(Memory.of_rows(rows), (), torch.zeros(len(rows), 0, device=pasts[0].device), 0)

    @property
    def rows(self) -> int:
        return len(self.heard)

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(
            self,
            memory=self.memory.select(rows_B),
            trunks=tuple(self.trunks[row] for row in rows_B.tolist()) if self.trunks else (),
            heard=self.heard[rows_B.to(self.heard.device)],
        )


class LockedDropout(nn.Dropout):
    """Dropout that leaves out the same numbers at every time of a sequence (Gal and Ghahramani 2016)."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x_BTC
        kept = torch.full_like(x_BTC[:, :1], 1 - self.p).bernoulli_()
        return x_BTC * (kept / (1 - self.p))


class Block(nn.Module):
    """A hidden layer on a normalised copy, added to the stream: nothing at first.

    No wider than the stream: with twice the width chorales were learned by heart sooner.
    """

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, bias=False)
        self.hidden = Linear(width, width)
        self.project = Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.project.weight)

    def forward(self, x_BTC: Tensor) -> Tensor:
        return x_BTC + self.project(self.dropout(F.gelu(self.hidden(self.norm(x_BTC)))))


class FrameModel(SequenceModel):
    """A trunk over frames and a speller. What `read` returns are the logits themselves: they depend on what is seen.

    In training mode the state is None.
    """

    carries = False
    recalls = True
    embedding: nn.Embedding | OneHotLinear

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.frames is not None
        C = settings.width
        self.layout = settings.frames
        self.view = view_of(self.layout, look_back=settings.look_back)
        X = self.view.width
        # A frame is a step told by what it has, as a step with fields is.
        self.trunk = family(dataclasses.replace(
            settings, vocabulary_size=X, by_frame=False, fields=((0, X),), frames=None
        ))  # fmt: skip
        self.trunk.field_head = None
        self.trunk.dropout = LockedDropout(settings.dropout)
        if isinstance(self.trunk, Recurrent):
            self.trunk.last_dropout = nn.Identity()  # in its place, behind the norm:
        self.heard_dropout = LockedDropout(settings.dropout)
        self.trunk_norm = nn.LayerNorm(C, bias=False)
        self.hear = Linear(C, C)
        self.embedding = embed(settings)
        categories = {name: nn.Embedding(size, C) for name, size in self.view.categories.items()}
        windows = {f"around_{name}": Linear(2 * AROUND + 1, C) for name in self.view.windows}
        self.inputs = nn.ModuleDict({**categories, **windows})
        self.blocks = nn.ModuleList(Block(C, dropout=settings.dropout) for _ in range(BLOCKS))
        self.norm = nn.LayerNorm(C, bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.outputs = nn.ModuleDict(
            {"rank": Linear(C, Q + 1), **{k: Linear(C, 2 * INTERVALS) for k in self.view.references}}
        )
        self.head, self.field_head, self.ahead = None, None, nn.ModuleList()
        nn.init.normal_(self.embedding.weight, std=0.3)
        for part in self.inputs.parameters():
            nn.init.normal_(part, std=0.2)
        for part in self.outputs.parameters():
            nn.init.normal_(part, std=0.02)

    @property
    def context(self) -> None:
        """No limit to be kept by the caller: the trunk's state holds what it still sees."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, FrameState | None]:
        """logits_BTV after each id, and the state; see `SequenceModel.read`."""
        self.check_ids(ids)
        if state is None or (type(state) is FrameState and not state.trunks):
            memory = self.view.begin(len(ids), ids.device) if state is None else state.memory
            seen = self.view.see(ids, memory)
            frames_BFX = torch.cat([self.view.opening(len(ids), ids.device), seen.frames_BFX], dim=1)
            heard_BFC, trunks = self._read_frames(frames_BFX, seen.done_BT[:, -1] + 1)
            position = 0
        elif type(state) is FrameState:  # not that of a model of pitches
            seen = self.view.see(ids, state.memory)
            heard_BFC, trunks = self._read_on(state, seen)
            position = state.position
        else:
            raise TypeError(f"a model of frames can't go on from a {type(state).__name__}")
        at_BTC = seen.done_BT[..., None].expand(-1, -1, heard_BFC.shape[2])
        heard_BTC = self.heard_dropout(self.trunk_norm(heard_BFC)).gather(1, at_BTC)
        logits_BTV = self._spell(ids, seen, heard_BTC)
        if not trunks:
            return logits_BTV, None
        last_BC = heard_BFC.gather(1, at_BTC[:, -1:])[:, 0]
        return logits_BTV, FrameState(seen.memory, trunks, last_BC, position + ids.shape[1])

    def recalling(self, pasts: Sequence[Tensor]) -> FrameState:
        """See `SequenceModel.recalling`."""
        return FrameState.told(self.view, pasts)

    def frames(self, ids_BT: Tensor) -> tuple[Tensor, Tensor]:
        """frames_BFX, what the trunk reads of pieces from their beginnings, the first before any frame; and done_BT,
        which of them is the last that it has read after each id."""
        seen = self.view.see(ids_BT, self.view.begin(len(ids_BT), ids_BT.device))
        opening_B1X = self.view.opening(len(ids_BT), ids_BT.device)
        return torch.cat([opening_B1X, seen.frames_BFX], dim=1), seen.done_BT

    def _read_frames(self, frames_BFX: Tensor, count_B: Tensor) -> tuple[Tensor, tuple[State, ...]]:
        """What the trunk says after each frame of pieces from their beginnings, and its states after count_B frames."""
        heard_BFC, after = self.trunk.read(frames_BFX)
        if self.training or after is None:
            return heard_BFC, ()
        states = []
        for row, count in enumerate(count_B.tolist()):
            if count == frames_BFX.shape[1]:
                states.append(after.select(torch.tensor([row])))
            else:  # the row's own end is inside the batch
                _, own = self.trunk.read(frames_BFX[row : row + 1, :count])
                assert own is not None
                states.append(own)
        return heard_BFC, tuple(states)

    def _read_on(self, state: FrameState, seen: Seen) -> tuple[Tensor, tuple[State, ...]]:
        """The same from a state, which said the first of what is returned. Rows go one by one, each by its frames."""
        heard_BFC = state.heard[:, None]
        frames = seen.frames_BFX.shape[1]
        if not frames:
            return heard_BFC, state.trunks
        heard_BFC = F.pad(heard_BFC, (0, 0, 0, frames))
        states = list(state.trunks)
        for row, count in enumerate(seen.done_BT[:, -1].tolist()):
            if count:
                heard_1FC, after = self.trunk.read(seen.frames_BFX[row : row + 1, :count], states[row])
                assert after is not None
                states[row] = after
                heard_BFC[row, 1 : count + 1] = heard_1FC[0]
        return heard_BFC, tuple(states)

    def _spell(self, ids_BT: Tensor, seen: Seen, heard_BTC: Tensor) -> Tensor:
        """logits_BTV of the next id."""
        x_BTC = self.hear(heard_BTC) + self.embedding(ids_BT)
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
        return from_ranks(self.layout, scores, self.settings.vocabulary_size)

    def _logits(self, hidden_BTC: Tensor) -> Tensor:
        """What `read` returned: it is the logits."""
        return hidden_BTC

    def faster(self, *, int8: bool = False) -> Self:
        super().faster(int8=int8)
        self.trunk.faster(int8=int8)
        return self

    def _pack_head(self) -> None:
        pass


def _around(roll_BTQ: Tensor, rank_BT: Tensor) -> Tensor:
    """The roll from AROUND ranks before to AROUND behind a rank; nothing where that is NONE."""
    padded = F.pad(roll_BTQ, (AROUND, AROUND + 1))
    at = rank_BT.clamp(max=Q - 1)[..., None] + torch.arange(2 * AROUND + 1, device=roll_BTQ.device)
    return padded.gather(2, at) * (rank_BT < NONE)[..., None]


def _by_interval(scores_BTI: Tensor, rank_BT: Tensor) -> Tensor:
    """Scores of the intervals from a rank as scores (B, T, Q + 1) of the ranks they lead to; else 0."""
    interval = torch.arange(Q + 1, device=rank_BT.device) - rank_BT[..., None] + INTERVALS
    there = (interval >= 0) & (interval < 2 * INTERVALS) & (rank_BT < NONE)[..., None]
    there[..., Q] = False  # the mark is no pitch
    return F.pad(scores_BTI, (0, 1)).gather(2, torch.where(there, interval, 2 * INTERVALS))


def view_of(layout: FrameLayout, *, look_back: int) -> View:
    """The view for a tokenizer's way of spelling frames; `look_back` is for sets."""
    return VoiceView(layout) if layout.voices else SetView(layout, look_back)
