"""Bodies that read a frame at a time: a trunk of any family reads about a quarter as many steps as there are ids.

The hidden state after an id is the trunk's after the last completed frame. Features of the frame in progress
(`view.py`) are passed on to the head, which predicts the next frame id by id (`speller.py`).

Shapes: B batch, T time (ids), F frames, C width, V vocabulary, Q ranks, X numbers that describe a frame.

Sources: a recurrence over frames beside a conditional model of each frame from Boulanger-Lewandowski et al. 2012
(arXiv:1206.6392, RNN-NADE).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.frames.layers import LockedDropout
from musicgen.models.frames.set_view import SetView
from musicgen.models.frames.view import Memory, Q, Seen, Sight, View, from_ranks
from musicgen.models.frames.voice_view import VoiceView
from musicgen.models.heads.head import Reading
from musicgen.models.ladder.rnn import Recurrent
from musicgen.models.ladder.trunk import make_trunk
from musicgen.models.layers.embedding import OneHotLinear
from musicgen.models.layouts import FrameLayout
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

if TYPE_CHECKING:
    from musicgen.models.frames.pitch_view import LineView

__all__ = ["FrameModel", "FrameReading", "FrameState", "view_of"]


@dataclasses.dataclass
class FrameState(State):
    """The view's memory; the trunk's states, one per row, as rows complete their frames at different ids; and `hidden`,
    the trunk's hidden state after the last whole frame: (B, C), or (B, K, C) for each of K lines."""

    memory: Memory
    trunks: tuple[State, ...]
    hidden: Tensor
    position: int
    last: Sight | Memory | None = None  # the head's features of the place after the last id

    @classmethod
    @torch.no_grad()
    def of_pasts(cls, view: View | LineView, pasts: Sequence[Tensor]) -> Self:
        """The state of rows whose pasts are in the view's memory but have not been read by the trunk."""
        rows = []
        for past_T in pasts:
            memory = view.begin(1, past_T.device)
            rows.append(view.see(past_T[None], memory, skims=True).memory if len(past_T) else memory)
        return cls(Memory.of_rows(rows), (), torch.zeros(len(rows), 0, device=pasts[0].device), 0)

    @property
    def rows(self) -> int:
        return len(self.hidden)

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(
            self,
            memory=self.memory.select(rows_B),
            trunks=tuple(self.trunks[row] for row in rows_B.tolist()) if self.trunks else (),
            hidden=self.hidden[rows_B.to(self.hidden.device)],
            last=None if self.last is None else self.last.select(rows_B),
        )


@dataclasses.dataclass(frozen=True)
class FrameReading(Reading):
    """The trunk's hidden state after the frames completed at each id, and the view's features after the id."""

    seen: Sight


class FrameModel(SequenceModel):
    """A trunk over frames. In training mode the state is None."""

    carries = False
    recalls = True
    reads_frames = True
    embedding: nn.Embedding | OneHotLinear  # the head's

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.frames is not None
        self.layout = settings.frames
        self.view = view_of(self.layout, look_back=settings.look_back)
        self.trunk = make_trunk(family, settings, inputs=self.view.width)
        self.trunk.dropout = LockedDropout(settings.dropout)
        if isinstance(self.trunk, Recurrent):
            self.trunk.last_dropout = nn.Identity()  # replaced by this one, which follows the norm:
        self.hidden_dropout = LockedDropout(settings.dropout)
        self.trunk_norm = nn.LayerNorm(settings.width, bias=False)

    def first_weights(self) -> None:
        """Nothing to do: the trunk has initialised its own weights."""

    def input_rows(self) -> Tensor | None:
        """For sets, the trunk's input weights of each newly struck pitch; otherwise as `SequenceModel.input_rows`."""
        read = self.trunk.embedding
        if self.layout.voices or not isinstance(read, nn.Embedding):
            return super().input_rows()
        return from_ranks(self.layout, F.pad(read.weight[:Q].t(), (0, 1)), self.settings.vocabulary_size).t()

    @property
    def context(self) -> None:
        """None: the trunk's state limits the context by itself."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        reading, state = self.head_inputs(ids, state)
        return reading.hidden_BTC, state

    def head_inputs(
        self, ids: Tensor, state: State | None = None, *, targets: Tensor | None = None
    ) -> tuple[FrameReading, FrameState | None]:
        self.check_ids(ids)
        if state is None or (type(state) is FrameState and not state.trunks):
            memory = self.view.begin(len(ids), ids.device) if state is None else state.memory
            seen = self.view.see(ids, memory)
            frames_BFX = torch.cat([self.view.opening(len(ids), ids.device), seen.frames_BFX], dim=1)
            hidden_BFC, trunks = self._read_frames(frames_BFX, seen.done_BT[:, -1] + 1)
            position = 0
        elif type(state) is FrameState:  # not a `LineState`
            seen = self.view.see(ids, state.memory)
            hidden_BFC, trunks = self._read_on(state, seen)
            position = state.position
        else:
            raise TypeError(f"a model of frames can't go on from a {type(state).__name__}")
        at_BTC = seen.done_BT[..., None].expand(-1, -1, hidden_BFC.shape[2])
        reading = FrameReading(self.hidden_dropout(self.trunk_norm(hidden_BFC)).gather(1, at_BTC), ids, seen)
        if not trunks:
            return reading, None
        last_BC = hidden_BFC.gather(1, at_BTC[:, -1:])[:, 0]
        last = seen.map(lambda x: x[:, -1:])
        return reading, FrameState(seen.memory, trunks, last_BC, position + ids.shape[1], last)

    def recalling(self, pasts: Sequence[Tensor]) -> FrameState:
        """See `SequenceModel.recalling`."""
        return FrameState.of_pasts(self.view, pasts)

    def trunk_steps(self, ids_BT: Tensor) -> tuple[Tensor, Tensor, str]:
        """See `SequenceModel.trunk_steps`: steps are frames, the first of which marks the beginning of a piece."""
        seen = self.view.see(ids_BT, self.view.begin(len(ids_BT), ids_BT.device))
        opening_B1X = self.view.opening(len(ids_BT), ids_BT.device)
        return torch.cat([opening_B1X, seen.frames_BFX], dim=1), seen.done_BT, ""

    def _read_frames(self, frames_BFX: Tensor, count_B: Tensor) -> tuple[Tensor, tuple[State, ...]]:
        """The trunk's hidden states after each frame, read from the first, and its states after count_B frames."""
        hidden_BFC, after = self.trunk.read(frames_BFX)
        if self.training or after is None:
            return hidden_BFC, ()
        states = []
        for row, count in enumerate(count_B.tolist()):
            if count == frames_BFX.shape[1]:
                states.append(after.select(torch.tensor([row])))
            else:  # this row has fewer frames than the batch
                _, own = self.trunk.read(frames_BFX[row : row + 1, :count])
                assert own is not None
                states.append(own)
        return hidden_BFC, tuple(states)

    def _read_on(self, state: FrameState, seen: Seen) -> tuple[Tensor, tuple[State, ...]]:
        """The same from a state, whose hidden state comes first in the result. Each row is read by itself."""
        hidden_BFC = state.hidden[:, None]
        frames = seen.frames_BFX.shape[1]
        if not frames:
            return hidden_BFC, state.trunks
        hidden_BFC = F.pad(hidden_BFC, (0, 0, 0, frames))
        states = list(state.trunks)
        for row, count in enumerate(seen.done_BT[:, -1].tolist()):
            if count:
                hidden_1FC, after = self.trunk.read(seen.frames_BFX[row : row + 1, :count], states[row])
                assert after is not None
                states[row] = after
                hidden_BFC[row, 1 : count + 1] = hidden_1FC[0]
        return hidden_BFC, tuple(states)


def view_of(layout: FrameLayout, *, look_back: int) -> View:
    """The view for a tokenizer's encoding of frames; `look_back` applies to sets only."""
    return VoiceView(layout) if layout.voices else SetView(layout, look_back)
