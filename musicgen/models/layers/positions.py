"""Where a step stands, told to a Transformer by vectors that are added to its input: sinusoids, or a learned table.

Rotary positions turn queries and keys instead (`attention.py`); with none at all, the causal mask alone tells a model
something of the order, as a step sees how many came before it (Haviv et al. 2022, arXiv:2203.16634).

Shapes: T time, C width.

Sources: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5, compares both kinds and finds no difference; learned ones
as in Radford et al. 2019 (GPT-2).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models.layers.attention import Rotary
from musicgen.models.settings import ModelSettings

__all__ = ["LearnedPositions", "Sinusoids", "added_positions"]


class Sinusoids(nn.Module):
    """sin and cos of position / 10000^(2i/C): any position, without a weight (Vaswani et al. 2017, section 3.5).

    The sines stand before the cosines. `size` is the root mean square of a vector's numbers: that of the embedding's
    first weights, so that neither drowns the other.
    """

    def __init__(self, context: int, width: int, *, size: float) -> None:
        super().__init__()
        self._size = size * math.sqrt(2)
        self.table = Rotary(context, width)  # the same angles, of positions and frequencies

    def forward(self, start: int, length: int) -> Tensor:
        """added_TC of positions start .. start + length - 1."""
        cos_TC, sin_TC = self.table(start, length)
        half = cos_TC.shape[1] // 2
        return torch.cat([sin_TC[:, half:], cos_TC[:, half:]], dim=1) * self._size


class LearnedPositions(nn.Module):
    """A vector for each of the first `context` positions, learned; none beyond."""

    def __init__(self, context: int, width: int, *, size: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(context, width)
        nn.init.normal_(self.embedding.weight, std=size)

    def forward(self, start: int, length: int) -> Tensor:
        """added_TC of positions start .. start + length - 1. Raises UsageError past the last."""
        context = self.embedding.num_embeddings
        if start + length > context:
            raise UsageError(
                f"step {start + length:,} is past the {context:,} positions that this model has learned",
                where="model.positions = learned",
                hint="ask for less, or train with a longer context, or with rotary positions",
            )
        return self.embedding.weight[start : start + length]


def added_positions(settings: ModelSettings) -> Sinusoids | LearnedPositions | None:
    """What a Transformer adds to its input; None where it adds nothing (none, rotary)."""
    kinds: dict[str, type[Sinusoids] | type[LearnedPositions]] = {
        "sinusoidal": Sinusoids,
        "learned": LearnedPositions,
    }
    if settings.positions not in kinds:
        return None
    # As `SequenceModel.first_weights` begins the embedding.
    size = 1.0 if settings.fields and settings.embedding == "learned" else 0.02
    return kinds[settings.positions](settings.context, settings.width, size=size)
