"""Recurrent models over ids: the plain network, GRU and LSTM. The layers are in `recurrence.py`.

Shapes: B batch, T time, F fields, V vocabulary, C width, G the gates of the first layer.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.layers.recurrence import Recurrence, RecurrentState
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "summed"]


class Recurrent(SequenceModel):
    """Embedding, stacked recurrence, head. A learned embedding is also the head's weight.

    With the one-hot input the first layer's gates read the one-hot vector directly, without an embedding of width C.
    """

    kind: ClassVar[str]

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        V, C = settings.vocabulary_size, settings.width
        one_hot = settings.embedding == "one-hot"
        self.embedding = None if one_hot else nn.Embedding(V, C)
        self.recurrence = Recurrence(
            self.kind,
            V if one_hot else C,
            C,
            settings.layers,
            dropout=settings.dropout,
            by_hand=settings.recurrence == "loop",
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.last_dropout: nn.Module = nn.Dropout(settings.dropout)

    def first_weights(self) -> None:
        """Initialise the embedding's rows to about unit length."""
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=self.settings.width**-0.5)

    @property
    def context(self) -> None:
        """None: the recurrent state has no limit."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, RecurrentState]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, RecurrentState):
            raise TypeError(f"a recurrent model can't go on from a {type(state).__name__}")
        # The fused kernel takes three to nine times as long for a single step as the step written out.
        if ids.shape[1] == 1 and not self.training:
            x_BC, into_BG = self.first(ids[:, 0])
            hidden_BC, new = self.recurrence.step(x_BC, state or self.recurrence.silence(len(ids)), into_BG=into_BG)
            hidden_BTC = hidden_BC[:, None]
            if self._skips:
                hidden_BTC = hidden_BTC + self.embedded(ids)
        else:
            inputs = self.inputs(ids)
            hidden_BTC, new = self.recurrence(self.dropout(inputs), state)
            if self._skips:
                hidden_BTC = hidden_BTC + inputs
        return self.last_dropout(hidden_BTC), new

    @property
    def _skips(self) -> bool:
        """Whether the head also sees the step itself, with the next note's place, which the gates would blur."""
        return bool(self.settings.fields) and self.embedding is not None

    def inputs(self, ids: Tensor) -> Tensor:
        """What the first layer reads: x_BTC, or with the one-hot input x_BTV."""
        if self.embedding is not None:
            return self.embedded(ids)
        if ids.is_floating_point():
            return ids
        one_hot = F.one_hot(ids.long(), self.settings.vocabulary_size)
        one_hot = one_hot.sum(dim=-2) if ids.ndim == 3 else one_hot
        return one_hot.to(self.recurrence.first_bias_G.dtype)

    def gates(self, ids: Tensor) -> list[dict[str, Tensor]]:
        """For each layer its gates' activations (B, T, C) by name, while it reads `ids`; see `Recurrence.gates`."""
        self.check_ids(ids)
        with torch.no_grad():
            return self.recurrence.gates(self.inputs(ids))

    def first(self, ids: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """For one step, ids_B or ids_BF: (its vectors, None), or without an embedding (None, first gates' W x + b)."""
        if isinstance(self.embedding, nn.Identity):
            return ids, None
        if self.embedding is not None:
            return summed(ids, self.embedding.weight), None
        return None, summed(ids, self.recurrence.table(None)) + self.recurrence.first_bias_G


def summed(ids: Tensor, table: Tensor) -> Tensor:
    """Rows of the table for ids_B, or their sums for ids_BF or for counts ids_BV."""
    if ids.is_floating_point():
        return ids @ table
    rows = F.embedding(ids, table)
    return rows.sum(dim=1) if ids.ndim == 2 else rows


class RNN(Recurrent):
    """The plain recurrence, h_t = tanh(W x_t + U h_{t-1} + b)."""

    kind = "rnn"


class GRU(Recurrent):
    """Gated recurrent units (GRU): two gates and a single state."""

    kind = "gru"


class LSTM(Recurrent):
    """Long short-term memory (LSTM): three gates, and a cell beside the output."""

    kind = "lstm"
