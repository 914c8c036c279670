"""Layers shared by the models of frames.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.layers.linear import Linear

__all__ = ["Block", "LockedDropout"]


class LockedDropout(nn.Dropout):
    """Dropout with one mask for all time steps of a sequence (Gal and Ghahramani 2016)."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x_BTC
        kept = torch.full_like(x_BTC[:, :1], 1 - self.p).bernoulli_()
        return x_BTC * (kept / (1 - self.p))


class Block(nn.Module):
    """A pre-norm residual block with one hidden layer; its output weights start at 0.

    The hidden layer is as wide as the stream: with twice the width, models overfitted chorales sooner.
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
