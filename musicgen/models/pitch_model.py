"""Models that run along every pitch with the same weights: what was learned of one key of the piano is known of all.

Each pitch has a line of its own through the frames, which any of the families reads; it is told what has sounded
around it, counted in semitones from it. From all lines, and from the ranks said so far in this frame, each rank behind
the last one gets a hazard: how likely it is said, if all before it are not. The ids' likelihoods are products of these,

    p(r | last) = h_r * prod_{last < j < r} (1 - h_j),    p(end | last) = prod_{last < j} (1 - h_j),

which sum to one by themselves. All hazards that a frame needs come from one pass, as none depends on later ranks.

Shapes: B batch, T time (ids), F frames, I channels, K ranks of the keyboard, C width, V vocabulary.

Sources: tied networks along time and along the notes of a frame from Johnson 2017 ("Generating polyphonic music using
tied parallel networks"); here the frame's own ranks are summed by interval, as in a NADE (Larochelle and Murray 2011),
where Johnson has a second recurrence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.base import ModelSettings, SequenceModel, State
from musicgen.models.frame_model import Block, LockedDropout
from musicgen.models.frame_view import BEAT, Memory, Q
from musicgen.models.head import Linear
from musicgen.models.pitch_view import CHANNELS, KEYS, OUTSIDE, Lines, LineView
from musicgen.models.rnn import Recurrent

__all__ = ["LineState", "PitchModel"]

AROUND = 12  # semitones either way that a line is told of
FARTHEST = 40  # semitones; ranks that lie farther below count as that far
NEVER = -12.0  # the hazard's logit of a pitch outside the keyboard: one in 160,000
AT_ONCE = 512  # ids whose scores are worked out at once


@dataclasses.dataclass
class LineState(State):
    """What the view remembers, the trunk's state of each row's lines, and what lines have said of the frame begun."""

    memory: Memory
    trunks: tuple[State, ...]
    hidden_BKC: Tensor
    position: int

    @property
    def rows(self) -> int:
        return len(self.trunks)

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(
            self,
            memory=self.memory.select(rows_B),
            trunks=tuple(self.trunks[row] for row in rows_B.tolist()),
            hidden_BKC=self.hidden_BKC[rows_B.to(self.hidden_BKC.device)],
        )

    @classmethod
    def of_rows(cls, rows: Sequence[Self]) -> Self:
        """The state of a batch from those of its rows, which have read as many ids."""
        tensors = {k: torch.cat([row.memory.tensors[k] for row in rows]) for k in rows[0].memory.tensors}
        trunks = tuple(row.trunks[0] for row in rows)
        return cls(Memory(tensors), trunks, torch.cat([row.hidden_BKC for row in rows]), rows[0].position)


class PitchModel(SequenceModel):
    """A trunk along every pitch and the hazards of a frame's ranks. What `read` returns are the logits themselves.

    In training mode the state is None.
    """

    carries = False
    embedding: None

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.frames is not None
        C, dropout = settings.width, settings.dropout
        self.layout = settings.frames
        self.view = LineView(self.layout)
        # A frame is to a line a step told by C numbers, as a step with fields is.
        self.trunk = family(dataclasses.replace(
            settings, vocabulary_size=C, by_frame=False, by_pitch=False, fields=((0, C),), frames=None
        ))  # fmt: skip
        self.trunk.field_head = None
        self.trunk.embedding = nn.Identity()  # type: ignore[assignment]
        self.trunk.dropout = nn.Identity()  # what is told is little enough
        if isinstance(self.trunk, Recurrent):
            self.trunk.last_dropout = nn.Identity()  # in its place, behind the norm
        self.inputs = nn.ModuleDict({
            "around": nn.Conv1d(CHANNELS, C, 2 * AROUND + 1, padding=AROUND),
            "classes": nn.Conv1d(1, C, 12, bias=False),
            "key": nn.Embedding(KEYS, C),
            "beat": nn.Embedding(BEAT, C),
        })  # fmt: skip
        self.input_norm = nn.LayerNorm(C, bias=False)
        self.trunk_norm = nn.LayerNorm(C, bias=False)
        self.dropout = LockedDropout(dropout)
        self.hear = Linear(C, C)
        self.intervals = nn.Parameter(torch.empty(2, FARTHEST + 1, C))
        self.said_dropout = LockedDropout(dropout / 2)
        self.block = Block(C, dropout=dropout / 2)
        self.block.dropout = LockedDropout(dropout / 2)  # drawing a mask for every frame would take a third of a step
        self.norm = nn.LayerNorm(C, bias=False)
        self.outputs = nn.Linear(C, 1)
        self.embedding, self.head, self.field_head, self.ahead = None, None, None, nn.ModuleList()
        nn.init.normal_(self.intervals, std=0.1)
        for name, part in self.inputs.items():
            nn.init.normal_(part.get_parameter("weight"), std=0.05 if name == "classes" else 0.1)
        nn.init.normal_(self.outputs.weight, std=0.02)
        nn.init.constant_(self.outputs.bias, -3.0)  # about the share of the keys that sound

    @property
    def context(self) -> None:
        """No limit to be kept by the caller: the trunk's state holds what it still sees."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, LineState | None]:
        """logits_BTV after each id, and the state; see `SequenceModel.read`."""
        return self._by_rows(self._read, ids, state)

    def logits(self, hidden_BTC: Tensor) -> Tensor:
        """What `read` returned: it is the logits."""
        return hidden_BTC

    def nats(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[Tensor, LineState | None]:
        """See `SequenceModel.nats`. The order within frames is the model's own: `following_VV` only says which
        targets are impossible. Every frame is gone through once, where `read` does so once an id."""
        return self._by_rows(partial(self._exact, pad=pad, following_VV=following_VV), ids, state, targets)

    def nats_ahead(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[list[Tensor], State | None]:
        """See `SequenceModel.nats_ahead`: the next step alone."""
        nats_BT, after = self.nats(ids, targets, state, pad=pad, following_VV=following_VV)
        return [nats_BT], after

    def faster(self, *, int8: bool = False) -> Self:
        """Only `eval()`: a step reads 88 lines at once, whose products are as fast as they get."""
        self.eval()
        return self

    def busiest_line(self, ids_1T: Tensor) -> tuple[Tensor, Tensor, int]:
        """x_1FC, what the trunk reads along the pitch that sounds most in a piece from its beginning, the first step
        before any frame; done_1T, how many frames have ended after each id; and that pitch."""
        lines = self.view.see(ids_1T, self.view.begin(1, ids_1T.device))
        key = int(lines.told_BFIK[0, :, 0].sum(0).argmax())
        rank = self.view.first + key
        return self._told(lines)[:, :, key], lines.done_BT, Q - 1 - rank if self.layout.descending else rank

    def key_rows(self) -> Tensor:
        """rows_VC: what a line is told of the key that it runs along, by the key's id; other
        rows mean nothing."""
        rows_CK = self.inputs["key"].get_parameter("weight").t()
        rows_CR = F.pad(rows_CK, (self.view.first, OUTSIDE - self.view.first + 1))
        return self.layout.from_ranks(rows_CR, self.settings.vocabulary_size).t()

    def _by_rows(self, read: Callable[..., Any], ids: Tensor, state: State | None, *more: Tensor) -> Any:
        """What `read` makes of ids and a state: of the whole batch in training; else row by row, so that what becomes
        of a row doesn't depend on others, and each can end its frames where it does."""
        self.check_ids(ids)
        if state is not None and not isinstance(state, LineState):
            raise TypeError(f"a model of pitches can't go on from a {type(state).__name__}")
        if self.training:
            return read(ids, None, *more)
        said, states = [], []
        for row in range(len(ids)):
            one = torch.tensor([row])
            part, after = read(ids[row : row + 1], state and state.select(one), *(x[row : row + 1] for x in more))
            said.append(part)
            states.append(after)
        return torch.cat(said), LineState.of_rows(states)

    def _read(self, ids_BT: Tensor, state: LineState | None) -> tuple[Tensor, LineState | None]:
        lines, hidden_BFKC, after = self._listen(ids_BT, state)
        parts = []
        for begin in range(0, ids_BT.shape[1], AT_ONCE):
            part = slice(begin, begin + AT_ONCE)
            parts.append(self._scores(lines, hidden_BFKC, lines.rank_BT[:, part], lines.done_BT[:, part]))
        return self.layout.from_ranks(torch.cat(parts, dim=1), self.settings.vocabulary_size), after

    def _exact(
        self, ids: Tensor, state: LineState | None, targets: Tensor, *, pad: int, following_VV: Tensor | None
    ) -> tuple[Tensor, LineState | None]:
        lines, hidden_BFKC, after = self._listen(ids, state)
        frames = hidden_BFKC.shape[1]
        # The last target belongs to a frame, too; the others are ids.
        rank_BT = torch.cat([lines.rank_BT, self.layout.ranks(targets[:, -1:])], dim=1)
        frame_BT = torch.cat([lines.done_BT, lines.done_BT[:, -1:]], dim=1)
        roll_BFQ = self.view.rolls(rank_BT, frame_BT, lines.begun_BQ, frames=frames)
        keys = slice(self.view.first, self.view.first + KEYS)
        hazard_BFQ = self._hazards(hidden_BFKC, roll_BFQ[..., keys], lines.told_BFIK[:, :, 0])
        spared_BFR = F.pad(F.logsigmoid(-hazard_BFQ).cumsum(-1), (1, 0))  # of the ranks before, up to Q
        width = spared_BFR.shape[2]
        cell_BT = lines.done_BT * width
        next_BT = self.layout.ranks(targets)  # the end lies behind all ranks
        behind_BT = torch.where(lines.rank_BT < Q, lines.rank_BT + 1, 0)
        spared_BT = _at(spared_BFR, cell_BT + next_BT) - _at(spared_BFR, cell_BT + behind_BT)
        said_BT = F.logsigmoid(_at(F.pad(hazard_BFQ, (0, 1)), cell_BT + next_BT))
        nats_BT = -(spared_BT + torch.where(next_BT < Q, said_BT, 0))
        if following_VV is not None:
            nats_BT = nats_BT.masked_fill(~following_VV[ids, targets], torch.inf)
        return nats_BT.masked_fill(targets == pad, 0), after

    def _listen(self, ids_BT: Tensor, state: LineState | None) -> tuple[Lines, Tensor, LineState | None]:
        """The lines, what the trunk says of each before each of F + 1 frames, and the state of one row after its ids.

        A state has read the first of these steps already.
        """
        memory = self.view.begin(len(ids_BT), ids_BT.device) if state is None else state.memory
        lines = self.view.see(ids_BT, memory)
        x_BFKC = self._told(lines)
        if state is None:
            hidden_BFKC, trunk = self._along(x_BFKC)
        else:
            hidden_BFKC, trunk = state.hidden_BKC[:, None], state.trunks[0]
            if x_BFKC.shape[1] > 1:
                later_BFKC, trunk = self._along(x_BFKC[:, 1:], trunk)
                hidden_BFKC = torch.cat([hidden_BFKC, later_BFKC], dim=1)
        if self.training or trunk is None:
            return lines, hidden_BFKC, None
        position = ids_BT.shape[1] + (0 if state is None else state.position)
        return lines, hidden_BFKC, LineState(lines.memory, (trunk,), hidden_BFKC[:, -1], position)

    def _told(self, lines: Lines) -> Tensor:
        """x_BFKC, what the trunk reads."""
        told_BFIK = lines.told_BFIK
        B, frames, _, K = told_BFIK.shape
        around = self.inputs["around"](told_BFIK.flatten(0, 1)).view(B, frames, -1, K)
        # From every key, the last frame's pitches by how far above it their class stands.
        octaves = F.pad(told_BFIK[:, :, 0], (0, -K % 12)).unflatten(2, (-1, 12)).sum(2)
        octaves = torch.cat([octaves, octaves[..., :11]], dim=2).flatten(0, 1)
        classes = self.inputs["classes"](octaves[:, None]).view(B, frames, -1, 12)
        x_BFCK = around + classes.repeat(1, 1, 1, -(-K // 12))[..., :K]
        beat_BF1C = self.inputs["beat"](lines.number_BF % BEAT)[:, :, None]
        return self.input_norm(x_BFCK.transpose(2, 3) + beat_BF1C + self.inputs["key"].weight)

    def _along(self, x_BFKC: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """hidden_BFKC of the trunk, to which every line is a row, and its state."""
        B, frames, K, C = x_BFKC.shape
        hidden, after = self.trunk.read(x_BFKC.transpose(1, 2).reshape(B * K, frames, C), state)
        return hidden.view(B, K, frames, C).transpose(1, 2), after

    def _scores(self, lines: Lines, hidden_BFKC: Tensor, rank_BT: Tensor, done_BT: Tensor) -> Tensor:
        """Scores (B, T, Q + 1) of the ranks and the end, after ids of these ranks in these frames."""
        row_B1 = torch.arange(len(rank_BT), device=rank_BT.device)[:, None]
        frames = hidden_BFKC.shape[1]
        roll_BFQ = self.view.rolls(lines.rank_BT, lines.done_BT, lines.begun_BQ, frames=frames)
        ranks = torch.arange(Q, device=rank_BT.device)
        behind_BTQ = ranks > torch.where(rank_BT < Q, rank_BT, -1)[..., None]
        keys = slice(self.view.first, self.view.first + KEYS)
        said_BTK = (roll_BFQ[row_B1, done_BT] * ~behind_BTQ)[..., keys]
        last_BTK = lines.told_BFIK[row_B1, done_BT, 0]
        hazard_BTQ = self._hazards(hidden_BFKC[row_B1, done_BT], said_BTK, last_BTK)
        spared_BTQ = (F.logsigmoid(-hazard_BTQ) * behind_BTQ).cumsum(-1)
        before_BTQ = F.pad(spared_BTQ, (1, -1)) + F.logsigmoid(hazard_BTQ)
        return torch.cat([before_BTQ.masked_fill(~behind_BTQ, -1e4), spared_BTQ[..., -1:]], dim=-1)

    def _hazards(self, hidden_BFKC: Tensor, said_BFK: Tensor, last_BFK: Tensor) -> Tensor:
        """Logits (B, F, Q) of each rank's hazard, from what lines say and what of the frame is said before it.

        A rank that goes on from the last frame counts otherwise than a new one.
        """
        K = said_BFK.shape[-1]
        apart = torch.arange(K, device=said_BFK.device) - torch.arange(K, device=said_BFK.device)[:, None]
        table = self.intervals[:, apart.clamp(0, FARTHEST)] * (apart > 0)[..., None]  # (2, from K, to K, C)
        said = torch.cat([said_BFK * (1 - last_BFK), said_BFK * last_BFK], dim=-1)
        x = self.hear(self.dropout(self.trunk_norm(hidden_BFKC)))
        x = x + (said @ table.flatten(2).flatten(0, 1)).view(x.shape)
        x = self.block(self.said_dropout(x))
        hazard_BFK = self.outputs(self.norm(x))[..., 0].float()
        return F.pad(hazard_BFK, (self.view.first, OUTSIDE - self.view.first), value=NEVER)


def _at(values_BFR: Tensor, cell_BT: Tensor) -> Tensor:
    return values_BFR.flatten(1).gather(1, cell_BT)
