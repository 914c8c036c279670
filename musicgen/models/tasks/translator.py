"""An encoder and a decoder over the bodies of the ladder, with attention between them or a single vector.

Reads from top to bottom: what the decoder looks at, how it looks, the model.

The encoder is two bodies of one family: one reads the source forwards, one backwards, so that what is known of a note
depends on the notes around it. The decoder is a body that reads the steps it has written, and looks at the source
before and behind it. With attention it looks at all the source's notes and weighs them anew at each step; without, at
one vector for all of them, what both encoders know when they have read to the end. Both have the same weights:
attention over a single vector gives that vector, whatever is asked.

Few pairs are too few to find out that a chord goes with the notes under it. So scores have a learned bias by how far a
note is from the step that is to come, and it begins with most of the weight on what sounds there and on what follows.

Shapes: B batch, S source steps, T target steps, F fields of a target step, I fields of an input, C width, H heads,
D = C / H.

Sources: Sutskever, Vinyals and Le 2014 (arXiv:1409.3215: encoder, one vector, decoder); Cho et al. 2014
(arXiv:1406.1078: the vector is read at every step); Bahdanau, Cho and Bengio 2015 (arXiv:1409.0473: attention, before
the decoder's body, over encoders in both directions); Luong, Pham and Manning 2015 (arXiv:1508.04025: products as
scores, behind it); Vaswani et al. 2017 (arXiv:1706.03762, section 3.2: several heads); Shaw, Uszkoreit and Vaswani 2018
(arXiv:1803.02155) and Raffel et al. 2020 (arXiv:1910.10683, section 2.1: distances in classes, a bias each and head);
Bowman et al. 2016 (arXiv:1511.06349, section 3.1: words before are left out in training).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models.body import SequenceModel
from musicgen.models.heads.fields import FieldHead, FieldScores
from musicgen.models.heads.head import Reading
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings, nearest
from musicgen.models.state import State
from musicgen.models.tasks.base import TaskModel, body_of_vectors
from musicgen.models.tasks.translate_distances import N_DISTANCES, distances
from musicgen.models.tasks.translate_layout import CHORDS, FIRST_PITCH, PAD, PAIRS, PLACE, SOURCE, Layout
from musicgen.schemas import typed

__all__ = ["CrossAttention", "Memory", "TranslateSettings", "Translator"]

MOST_BARS = 256
HEADS = 4  # of attention, where the family has no number of its own
# How the bias begins: of each head in turn, for each class of distance (`translate_distances.EDGES`).
AHEAD = (0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 2.5, 1.5, 1.0, 0.0, 0.0, 3.0)
NOW = (0.0, 0.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0)
AROUND = (0.0, 0.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0, 1.5, 0.0, 0.0, 2.0)
ANYWHERE = (0.0,) * 12
STARTS = (AHEAD, NOW, AROUND, ANYWHERE)


@dataclasses.dataclass(frozen=True)
class TranslateSettings:
    """The table `[task]` of a run that translates.

    `pair` says from what to what. `attention` false leaves the decoder one vector of the source. `bars` is how many
    bars an excerpt has at most, in training and wherever the model is asked. `key` moves each source to the signature
    without sharps and flats, and its target back. `forget` is the share of the steps before that are left out in
    training, so that the source counts; of the source's notes it is half of that.
    """

    name: str = "translate"
    pair: str = CHORDS
    attention: bool = True
    bars: int = 32
    key: bool = True
    forget: float = 0.3

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        if self.pair not in PAIRS:
            raise UsageError(f"[task] pair is {self.pair!r}", where="recipe", hint=nearest(self.pair, PAIRS))
        if not 1 <= self.bars <= MOST_BARS:
            raise UsageError(f"[task] bars is {self.bars}", where="recipe", hint=f"give 1 to {MOST_BARS} bars")
        if not 0 <= self.forget < 1:
            raise UsageError(f"[task] forget is {self.forget}", where="recipe", hint="give a share from 0, below 1")


@dataclasses.dataclass(frozen=True)
class Memory:
    """What is known of the source: states_BSC, of which those where seen_BS is false are padding; with attention
    source_BSI, too, the ids. S is 1 without attention."""

    states_BSC: Tensor
    seen_BS: Tensor
    source_BSI: Tensor | None

    def select(self, rows_B: Tensor) -> Self:
        source_BSI = None if self.source_BSI is None else self.source_BSI[rows_B]
        rows = {"states_BSC": self.states_BSC[rows_B], "seen_BS": self.seen_BS[rows_B]}
        return dataclasses.replace(self, source_BSI=source_BSI, **rows)


class CrossAttention(nn.Module):
    """Each step of the target asks, each vector of the memory answers by its weight: softmax(Q K^T / sqrt(D)) V."""

    def __init__(self, width: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, bias=False)
        self.query = Linear(width, width)
        self.key_value = Linear(width, 2 * width)
        self.project = Linear(width, width)
        self.bias = nn.Embedding(N_DISTANCES, heads)

    def forward(self, x_BTC: Tensor, memory: Memory, near_BTS: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is added to x_BTC, and weights_BHTS. `near_BTS` are classes of distances (`distances`)."""
        query_BHTD = self.query(self.norm(x_BTC)).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key_value = self.key_value(memory.states_BSC).unflatten(-1, (2, self.heads, -1))
        key_BHSD, value_BHSD = key_value.unbind(2)[0].transpose(1, 2), key_value.unbind(2)[1].transpose(1, 2)
        scores_BHTS = query_BHTD @ key_BHSD.transpose(2, 3) / math.sqrt(query_BHTD.shape[-1])
        if near_BTS is not None:
            scores_BHTS = scores_BHTS + self.bias(near_BTS).movedim(-1, 1)
        scores_BHTS = scores_BHTS.masked_fill(~memory.seen_BS[:, None, None], -math.inf)
        weights_BHTS = scores_BHTS.softmax(dim=-1)
        y_BTC = (weights_BHTS @ value_BHSD).transpose(1, 2).flatten(2)
        return self.project(y_BTC), weights_BHTS


class Translator(TaskModel):
    """Predicts the steps of a target from a source and the steps before, field after field."""

    task_settings: ClassVar[type[Any]] = TranslateSettings
    task: TranslateSettings

    def __init__(self, settings: ModelSettings, task: TranslateSettings) -> None:
        super().__init__(settings, task)
        C, layout = settings.width, Layout(task.pair, task.bars)
        self.layout = layout
        heads = settings.heads if settings.family == "transformer" else HEADS if C % HEADS == 0 else 1
        self.source_embedding = nn.Embedding(layout.n_source, C)
        self.target_embedding = nn.Embedding(layout.n_target, C)
        # One table for both sides: a note and a step of one place are alike from the start.
        self.place_embedding = nn.Embedding(layout.n_place, C)
        self.forwards, self.backwards, self.decoder = (_reading(settings) for _ in range(3))
        self.join = Linear(2 * C, C)
        self.memory_norm = nn.LayerNorm(C, bias=False)
        self.before = CrossAttention(C, heads=heads)
        self.behind = CrossAttention(C, heads=heads)
        self.last_norm = nn.LayerNorm(C, bias=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.step_head = FieldHead(layout.fields, vocabulary_size=layout.n_target, width=C, dropout=settings.dropout)
        self._inverse_temperature = self.step_head.inverse_temperature
        for table in (self.source_embedding, self.target_embedding, self.place_embedding):
            nn.init.normal_(table.weight, std=0.5)
        with torch.no_grad():  # octaves are alike from the start
            octaves = self.source_embedding.weight[FIRST_PITCH : FIRST_PITCH + 12].repeat(11, 1)[:128]
            self.source_embedding.weight[FIRST_PITCH : FIRST_PITCH + 128] = octaves
        for attention in (self.before, self.behind):
            _aligned(attention.bias.weight)

    # ---- the two halves ------------------------------------------------------------------------------

    def encode(self, source_BSI: Tensor) -> Memory:
        """What is known of sources, (B, S, fields and place) int64, padded at their ends."""
        seen_BS = source_BSI[..., 0] != PAD
        what, where = source_BSI.split([SOURCE, PLACE], -1)
        x_BSC = self._left_out(self.source_embedding(what).sum(-2), share=self.task.forget / 2)
        x_BSC = self.dropout(x_BSC + self.place_embedding(where).sum(-2))
        turned_BS = _turned(seen_BS)
        hidden_BSC, _ = self.forwards.read(x_BSC)
        back_BSC, _ = self.backwards.read(_taken(x_BSC, turned_BS))
        if self.task.attention:
            both_BSC = torch.cat([hidden_BSC, _taken(back_BSC, turned_BS)], dim=-1)
            return Memory(self.memory_norm(self.join(both_BSC) + x_BSC), seen_BS, source_BSI)
        last_B1 = seen_BS.sum(dim=1, keepdim=True) - 1
        both_BSC = torch.cat([_taken(hidden_BSC, last_B1), _taken(back_BSC, last_B1)], dim=-1)
        return Memory(self.memory_norm(self.join(both_BSC)), seen_BS[:, :1], None)

    def decode(
        self, inputs_BTI: Tensor, memory: Memory, state: State | None = None
    ) -> tuple[Tensor, State | None, tuple[Tensor, Tensor]]:
        """hidden_BTC from which each next step is scored, the decoder's state, and its two weights_BHTS.

        An input is the step before, F ids, and the place of the step that is to come."""
        before, where = inputs_BTI.split([inputs_BTI.shape[-1] - PLACE, PLACE], -1)
        before_BTC = self._left_out(self.target_embedding(before).sum(-2), share=self.task.forget)
        x_BTC = self.dropout(before_BTC + self.place_embedding(where).sum(-2))
        near_BTS = None if memory.source_BSI is None else distances(self.layout, where, memory.source_BSI)
        found_BTC, first = self.before(x_BTC, memory, near_BTS)
        x_BTC = x_BTC + found_BTC
        hidden_BTC, state = self.decoder.read(x_BTC, state)
        found_BTC, second = self.behind(hidden_BTC, memory, near_BTS)
        return self.last_norm(hidden_BTC + self.dropout(found_BTC)), state, (first, second)

    def _left_out(self, x_BTC: Tensor, *, share: float) -> Tensor:
        """The steps, in training without a share of them, whose places stay."""
        if not self.training or not share:
            return x_BTC
        return x_BTC * (torch.rand_like(x_BTC[..., :1]) >= share)

    # ---- with the head -------------------------------------------------------------------------------

    def nats(self, source_BSI: Tensor, inputs_BTI: Tensor, targets_BTF: Tensor) -> Tensor:
        """Negative log-likelihood of the targets, nats_BTF; 0 where they are padding."""
        hidden_BTC, _, _ = self.decode(inputs_BTI, self.encode(source_BSI))
        return self.step_head.nats(Reading(hidden_BTC, inputs_BTI), targets_BTF, pad=PAD)

    def scores(self, hidden_BC: Tensor) -> FieldScores:
        """The next step's scores, field after field."""
        return self.step_head.scores(hidden_BC, None)

    def set_inverse_temperature(self, values: Sequence[float]) -> None:
        """One number a field of a target step; see `TaskModel.set_inverse_temperature`."""
        super().set_inverse_temperature(values)
        self.step_head.inverse_temperature = tuple(values)


def _reading(settings: ModelSettings) -> SequenceModel:
    """A body of the family that reads vectors of its own width."""
    body = body_of_vectors(settings, inputs=settings.width)
    body.embedding = nn.Identity()  # type: ignore[assignment]
    return body


@torch.no_grad()
def _aligned(bias_DH: Tensor) -> None:
    """Let heads begin with the notes under the step that is to come, and around it."""
    for head in range(bias_DH.shape[1]):
        bias_DH[:, head] = torch.tensor(STARTS[head % len(STARTS)])


def _turned(seen_BS: Tensor) -> Tensor:
    """index_BS of the source's steps from the last to the first; padding stays where it is."""
    place_S = torch.arange(seen_BS.shape[1], device=seen_BS.device)
    turned_BS = seen_BS.sum(dim=1, keepdim=True) - 1 - place_S
    return torch.where(turned_BS >= 0, turned_BS, place_S)


def _taken(x_BSC: Tensor, index_BN: Tensor) -> Tensor:
    """The steps (B, N, C) of those indices."""
    return x_BSC.gather(1, index_BN[..., None].expand(-1, -1, x_BSC.shape[-1]))
