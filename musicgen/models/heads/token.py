"""The head of steps that are single ids: a projection tied to the embedding, or a layer of its own.

Shapes: B batch, T time, V vocabulary, C width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.heads.head import IdHead, IdScores, Reading
from musicgen.models.layers.linear import Linear

__all__ = ["TokenHead"]


class TokenHead(IdHead):
    """A linear projection to logits, without bias. Its weight is the learned embedding `tied` (Press and Wolf 2017,
    arXiv:1608.05859) or, without one, as for one-hot inputs, its own."""

    name = ""
    tied: nn.Embedding | None

    def __init__(self, *, width: int, vocabulary_size: int, tied: nn.Embedding | None = None) -> None:
        super().__init__()
        vars(self)["tied"] = tied  # not as a module: the weight is the body's, and is stored once
        self.head = Linear(width, vocabulary_size) if tied is None else None

    def start_even(self) -> None:
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=0.02)

    def _logits(self, reading: Reading) -> Tensor:
        return self.project(reading.hidden_BTC)

    def project(self, hidden: Tensor) -> Tensor:
        """Logits (..., V) of hidden states (..., C)."""
        if self.head is not None:
            return self.head(hidden)
        assert self.tied is not None
        return F.linear(hidden, self.tied.weight)

    def scores(self, hidden_BC: Tensor, state: Any) -> IdScores:
        hidden_B1C = hidden_BC[:, None]
        return IdScores(self.logits(Reading(hidden_B1C, hidden_B1C))[:, 0])
