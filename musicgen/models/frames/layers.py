"""Layers that models of frames have in common.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.layers.linear import Linear

__all__ = ["Block", "LockedDropout"]


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
