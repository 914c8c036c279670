"""The head of steps that are single ids: the embedding once more, or a layer of its own.

Shapes: B batch, T time, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.heads.head import IdHead, IdScores, Reading
from musicgen.models.layers.linear import Linear, row_by_row

__all__ = ["TokenHead"]


class TokenHead(IdHead):
    """A learned embedding is also the head's weight (Press and Wolf 2017, arXiv:1608.05859); one-hot inputs share
    nothing, so without `tied` the head has a weight of its own."""

    name = ""
    tied: nn.Embedding | None

    def __init__(self, *, width: int, vocabulary_size: int, tied: nn.Embedding | None = None) -> None:
        super().__init__()
        vars(self)["tied"] = tied  # not as a module: the weight is the body's, and is stored once
        self.head = Linear(width, vocabulary_size) if tied is None else None
        self.packed_VC: Tensor | None = None  # the tied weight as sampling reads it

    def start_even(self) -> None:
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=0.02)

    def _logits(self, reading: Reading) -> Tensor:
        hidden_BTC = reading.hidden_BTC
        if self.head is not None:
            return self.head(hidden_BTC)
        packed_VC = self.packed_VC
        if packed_VC is not None and hidden_BTC.shape[1] == 1:
            return row_by_row(lambda row: F.linear(row, packed_VC), hidden_BTC)
        assert self.tied is not None
        return F.linear(hidden_BTC, self.tied.weight)

    def scores(self, hidden_BC: Tensor, state: Any) -> IdScores:
        hidden_B1C = hidden_BC[:, None]
        return IdScores(self.logits(Reading(hidden_B1C, hidden_B1C))[:, 0])

    def pack(self) -> None:
        """For sampling: a product of one row waits for the weights to come from memory."""
        if self.tied is not None:
            self.packed_VC = self.tied.weight.t().contiguous().t()

    def train(self, mode: bool = True) -> TokenHead:
        if mode:
            self.packed_VC = None
        return super().train(mode)
