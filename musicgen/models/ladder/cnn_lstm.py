"""A convolutional front end for features of a few steps, and a stacked LSTM over them.

Shapes: B batch, T time, V vocabulary, C width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from musicgen.models.body import SequenceModel
from musicgen.models.layers.convolution import ConvolutionBlock, PastState
from musicgen.models.layers.embedding import embed
from musicgen.models.layers.recurrence import Recurrence, RecurrentState
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["CNNLSTM"]

CONVOLUTIONS = 2  # blocks of three taps with dilations 1 and 2: a step sees the last seven


@dataclasses.dataclass
class CNNLSTMState(State):
    """The past inputs that the convolutions still need, and the LSTM's state."""

    past: PastState
    memory: RecurrentState

    @property
    def position(self) -> int:  # type: ignore[override]
        return self.memory.position

    @property
    def rows(self) -> int:
        return self.memory.rows

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(self, past=self.past.select(rows_B), memory=self.memory.select(rows_B))

    def tensors(self) -> dict[str, Tensor]:
        return {**self.past.tensors(), **self.memory.tensors()}

    def restored(self, tensors: Mapping[str, Tensor]) -> Self:
        memory = {name: tensors[name] for name in self.memory.tensors()}
        return dataclasses.replace(self, past=self.past.restored(tensors), memory=self.memory.restored(memory))

    def cleared(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(self, past=self.past.cleared(rows_B), memory=self.memory.cleared(rows_B))


class CNNLSTM(SequenceModel):
    """Embedding, convolutions, stacked LSTM, norm, head. A residual path leads from the convolutions to the head."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        C = settings.width
        self.embedding = embed(settings)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(
            ConvolutionBlock(C, dilation=2**layer, dropout=settings.dropout, blocks=CONVOLUTIONS)
            for layer in range(CONVOLUTIONS)
        )
        self.features = nn.LayerNorm(C, bias=False)
        by_hand = settings.recurrence == "loop"
        self.recurrence = Recurrence("lstm", C, C, settings.layers, dropout=settings.dropout, by_hand=by_hand)
        self.norm = nn.LayerNorm(C, bias=False)

    @property
    def context(self) -> None:
        """None: the recurrent state has no limit."""
        return None

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, CNNLSTMState]:
        self.check_ids(ids)
        if state is not None and not isinstance(state, CNNLSTMState):
            raise TypeError(f"a CNN-LSTM can't go on from a {type(state).__name__}")
        x_BTC = self.dropout(self.embedded(ids))
        pasts = []
        for layer, block in enumerate(self.blocks):
            x_BTC, past = block(x_BTC, None if state is None else state.past.pasts[layer])
            pasts.append(past)
        features_BTC = self.features(x_BTC)
        if ids.shape[1] == 1 and not self.training:
            memory = self.recurrence.silence(len(ids)) if state is None else state.memory
            hidden_BC, memory = self.recurrence.step(features_BTC[:, 0], memory)
            hidden_BTC = hidden_BC[:, None]
        else:
            hidden_BTC, memory = self.recurrence(features_BTC, None if state is None else state.memory)
        x_BTC = x_BTC + self.dropout(hidden_BTC)
        return self.norm(x_BTC), CNNLSTMState(PastState(tuple(pasts), memory.position), memory)

    def gates(self, ids: Tensor) -> list[dict[str, Tensor]]:
        """For each layer of the LSTM its gates' activations (B, T, C) by name, while it reads `ids`."""
        self.check_ids(ids)
        with torch.no_grad():
            x_BTC = self.embedded(ids)
            for block in self.blocks:
                x_BTC, _ = block(x_BTC, None)
            return self.recurrence.gates(self.features(x_BTC))
