"""Models that apply the same weights along every pitch, so that what is learned of one key of the piano holds for all.

Each pitch has its own line, a sequence over frames, which a trunk of any family reads; its inputs are what has sounded
around it, relative to it in semitones. The hidden states of the lines become the next id's likelihood in
`pitch_sets.py`, where frames are sets, and in `pitch_voices.py`, where they are voices.

Shapes: B batch, T time (ids), F frames, I channels, K ranks of the keyboard, C width, V vocabulary.

Sources: tied networks along time and along the notes of a frame from Johnson 2017 ("Generating polyphonic music using
tied parallel networks").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.frames.by_frame import FrameState
from musicgen.models.frames.layers import LockedDropout
from musicgen.models.frames.pitch_view import KEYS, OUTSIDE, Lines, LineView, SetLineView, VoiceLineView
from musicgen.models.frames.recall import PLACES
from musicgen.models.frames.view import BEAT, Memory, Q, from_ranks
from musicgen.models.ladder.rnn import Recurrent
from musicgen.models.ladder.trunk import make_trunk
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["LineReading", "LineState", "PitchModel"]

AROUND = 12  # semitones either way that a line sees


class LineState(FrameState):
    """A `FrameState` of lines: the trunk's state of each row has one batch row per line."""

    @classmethod
    def of_rows(cls, rows: Sequence[Self]) -> Self:
        """The state of a batch from those of its rows, which have all read the same number of ids."""
        memory = Memory.of_rows([row.memory for row in rows])
        trunks = tuple(trunk for row in rows for trunk in row.trunks)
        last = Memory.of_rows([row.last for row in rows if isinstance(row.last, Memory)])
        return cls(memory, trunks, torch.cat([row.hidden for row in rows]), rows[0].position, last)


class LineReading(NamedTuple):
    """Pairs of lines and their projected hidden states: one for the batch in training, else one per row."""

    ids: Tensor
    parts: list[tuple[Any, Tensor]]


class PitchModel(SequenceModel):
    """A trunk along every pitch. In training mode the state is None.

    A hidden state is that of all lines concatenated, K * D numbers, for the frame to which the next id belongs. With
    voices D is C / 2, as all keys are scored at every id: half the width is twice as fast, and as good.
    """

    carries = False
    recalls = True
    apart = True
    reads_frames = True
    embedding: None

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.frames is not None
        C, layout = settings.width, settings.frames
        self.view: LineView = VoiceLineView(layout) if layout.voices else SetLineView(layout)
        self.layout = layout
        # To a line a frame is a step given as a vector of C numbers.
        self.trunk = make_trunk(family, settings, inputs=C)
        self.trunk.embedding = nn.Identity()  # type: ignore[assignment]
        self.trunk.dropout = nn.Identity()  # the inputs are few enough
        if isinstance(self.trunk, Recurrent):
            self.trunk.last_dropout = nn.Identity()  # `dropout` below, after the norm, replaces it
        self.inputs = nn.ModuleDict({
            "around": nn.Conv1d(self.view.channels, C, 2 * AROUND + 1, padding=AROUND),
            "classes": nn.Conv1d(1, C, 12, bias=False),
            "key": nn.Embedding(KEYS, C),
            "beat": nn.Embedding(BEAT, C),
            "confidence": Linear(PLACES, C),
        })  # fmt: skip
        self.input_norm = nn.LayerNorm(C, bias=False)
        self.trunk_norm = nn.LayerNorm(C, bias=False)
        self.dropout = LockedDropout(settings.dropout)
        self.project = Linear(C, max(8, C // 2) if layout.voices else C)
        self.embedding = None
        for name, part in self.inputs.items():
            nn.init.normal_(part.get_parameter("weight"), std=0.05 if name == "classes" else 0.1)

    @property
    def context(self) -> None:
        """None: the trunk's state limits the context by itself."""
        return None

    def first_weights(self) -> None:
        """Nothing to do: the parts have initialised their own weights."""

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, LineState | None]:
        reading, state = self.head_inputs(ids, state)
        rows = []
        for lines, projected_BFKD in reading.parts:
            row_B1 = torch.arange(len(projected_BFKD), device=projected_BFKD.device)[:, None]
            rows.append(projected_BFKD[row_B1, lines.done_BT].flatten(2))
        return torch.cat(rows), state

    def head_inputs(
        self, ids: Tensor, state: State | None = None, *, targets: Tensor | None = None
    ) -> tuple[LineReading, LineState | None]:
        """The whole batch at once in training; else row by row, so that no row depends on the others, and rows can
        complete their frames at different ids."""
        self.check_ids(ids)
        if state is not None and not isinstance(state, LineState):
            raise TypeError(f"a model of pitches can't go on from a {type(state).__name__}")
        if self.training:
            lines, projected_BFKD, _ = self._read_lines(ids, None if state is None or state.trunks else state)
            return LineReading(ids, [(lines, projected_BFKD)]), None
        parts, states = [], list[LineState]()
        for row in range(len(ids)):
            own = None if state is None else state.select(torch.tensor([row]))
            lines, projected_BFKD, after = self._read_lines(ids[row : row + 1], own)
            parts.append((lines, projected_BFKD))
            assert after is not None
            states.append(after)
        return LineReading(ids, parts), LineState.of_rows(states)

    def recalling(self, pasts: Sequence[Tensor]) -> LineState:
        """See `SequenceModel.recalling`."""
        return LineState.of_pasts(self.view, pasts)

    def trunk_steps(self, ids_1T: Tensor) -> tuple[Tensor, Tensor, str]:
        """See `SequenceModel.trunk_steps`: what the trunk reads along the pitch that sounds most."""
        lines = self.view.see(ids_1T, self.view.begin(1, ids_1T.device))
        key = int(lines.inputs_BFIK[0, :, 0].sum(0).argmax())
        rank = self.view.first + key
        pitch = Q - 1 - rank if self.layout.descending else rank
        return self._embedded(lines)[:, :, key], lines.done_BT, f"along pitch {pitch}"

    def input_rows(self) -> Tensor:
        """The key embedding of each line, by the id of its pitch: the only input that depends on the absolute pitch.
        Other rows are meaningless."""
        rows_CK = self.inputs["key"].get_parameter("weight").t()
        rows_CR = F.pad(rows_CK, (self.view.first, OUTSIDE - self.view.first + 1))
        return from_ranks(self.layout, rows_CR, self.settings.vocabulary_size).t()

    def _read_lines(self, ids_BT: Tensor, state: LineState | None) -> tuple[Lines, Tensor, LineState | None]:
        """The lines, their projected hidden states before each of F + 1 frames, and the state of one row after its ids.

        Where a state is given, its trunk has already read the first of these F + 1 steps.
        """
        memory = self.view.begin(len(ids_BT), ids_BT.device) if state is None else state.memory
        lines = self.view.see(ids_BT, memory)
        x_BFKC = self._embedded(lines)
        if state is None or not state.trunks:
            hidden_BFKC, trunk = self._along(x_BFKC)
        else:
            hidden_BFKC, trunk = state.hidden[:, None], state.trunks[0]
            if x_BFKC.shape[1] > 1:
                later_BFKC, trunk = self._along(x_BFKC[:, 1:], trunk)
                hidden_BFKC = torch.cat([hidden_BFKC, later_BFKC], dim=1)
        projected_BFKD = self.project(self.dropout(self.trunk_norm(hidden_BFKC)))
        if self.training or trunk is None:
            return lines, projected_BFKD, None
        position = ids_BT.shape[1] + (0 if state is None else state.position)
        last = self.view.places(lines, slice(-1, None))
        return lines, projected_BFKD, LineState(lines.memory, (trunk,), hidden_BFKC[:, -1], position, last)

    def _embedded(self, lines: Lines) -> Tensor:
        """x_BFKC, the trunk's inputs."""
        inputs_BFIK = lines.inputs_BFIK
        B, frames, _, K = inputs_BFIK.shape
        around = self.inputs["around"](inputs_BFIK.flatten(0, 1)).view(B, frames, -1, K)
        # For every key, the last frame's pitch classes by their interval above it.
        octaves = F.pad(inputs_BFIK[:, :, 0], (0, -K % 12)).unflatten(2, (-1, 12)).sum(2)
        octaves = torch.cat([octaves, octaves[..., :11]], dim=2).flatten(0, 1)
        classes = self.inputs["classes"](octaves[:, None]).view(B, frames, -1, 12)
        x_BFCK = around + classes.repeat(1, 1, 1, -(-K // 12))[..., :K]
        beat_BF1C = self.inputs["beat"](lines.number_BF % BEAT)[:, :, None]
        confidence_BF1C = self.inputs["confidence"](lines.confidence_BFR)[:, :, None]
        return self.input_norm(x_BFCK.transpose(2, 3) + beat_BF1C + confidence_BF1C + self.inputs["key"].weight)

    def _along(self, x_BFKC: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """hidden_BFKC of the trunk, which reads every line as a batch row, and its state."""
        B, frames, K, C = x_BFKC.shape
        hidden, after = self.trunk.read(x_BFKC.transpose(1, 2).reshape(B * K, frames, C), state)
        return hidden.view(B, K, frames, C).transpose(1, 2), after
