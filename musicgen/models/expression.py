"""How a note is played: a network that reads all notes of a player, both ways, and gives for each the distribution of
its loudness, timing and whatever else there are classes of.

The notes and their order are given, so a note may be told of what comes after it: two recurrent layers, each reading
forwards and backwards (Schuster and Paliwal 1997), and one linear head a value. Models never see a note: they read
features, and what the classes mean others know.

Shapes: B batch, T notes, I inputs, C width, K classes of one output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError

__all__ = ["NO_CLASS", "ExpressionModel", "ExpressionSettings"]

NO_CLASS = -1  # a target that isn't known
MOST = 4096


@dataclasses.dataclass(frozen=True)
class ExpressionSettings:
    """The shape of a model: `inputs` features a note, the number of classes of each of its `outputs`.

    Raises UsageError where a number is below 1 or beyond any use.
    """

    inputs: int
    outputs: tuple[int, ...]
    width: int = 64
    layers: int = 2
    dropout: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", tuple(self.outputs))
        for name in ("inputs", "width", "layers", "outputs"):
            value = getattr(self, name)
            for one in value if isinstance(value, tuple) else (value,):
                if not isinstance(one, int) or isinstance(one, bool) or not 1 <= one <= MOST:
                    raise UsageError(f"{name} is {one!r}", where="expression", hint=f"give a whole number up to {MOST}")
        if not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}", where="expression", hint="give a number from 0 to below 1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Settings from plain values. Raises UsageError for keys that are missing or don't exist."""
        names = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted(set(values) ^ names):
            raise UsageError(f"{odd[0]!r} is missing or isn't known", where="expression", hint="copy the model again")
        return cls(**{**values, "outputs": tuple(values["outputs"])})


class ExpressionModel(nn.Module):
    """Features x_BTI to scores of classes, one (B, T, K) an output."""

    centre_I: Tensor
    scale_I: Tensor

    def __init__(self, settings: ExpressionSettings) -> None:
        super().__init__()
        self.settings = settings
        C = settings.width
        # Of the training notes: features of very different sizes are brought to one.
        self.register_buffer("centre_I", torch.zeros(settings.inputs))
        self.register_buffer("scale_I", torch.ones(settings.inputs))
        self.into = nn.Linear(settings.inputs, C)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.both_ways = nn.GRU(C, C, settings.layers, batch_first=True, bidirectional=True, dropout=between)
        self.drop = nn.Dropout(settings.dropout)
        self.out = nn.Linear(2 * C, sum(settings.outputs))

    def normalise(self, features_NI: Tensor) -> None:
        """Take centre and scale of the features from those of the training notes."""
        self.centre_I.copy_(features_NI.mean(0))
        self.scale_I.copy_(features_NI.std(0).clamp(min=0.05))

    def forward(self, x_BTI: Tensor) -> list[Tensor]:
        """The scores of each output's classes. All rows are whole: nothing is padded."""
        hidden_BTC = F.gelu(self.into((x_BTI - self.centre_I) / self.scale_I))
        both_BT2C, _ = self.both_ways(hidden_BTC)
        scores: Tensor = self.out(self.drop(both_BT2C))
        return list(scores.split(self.settings.outputs, dim=-1))

    def nats(self, x_BTI: Tensor, classes_BTO: Tensor) -> list[Tensor]:
        """For each output the negative log-likelihoods (B, T) of given classes; 0 for NO_CLASS."""
        return [
            F.cross_entropy(scores.transpose(1, 2), classes_BTO[..., o], ignore_index=NO_CLASS, reduction="none")
            for o, scores in enumerate(self(x_BTI))
        ]

    @torch.no_grad()
    def chances(self, features_TI: Tensor) -> list[Tensor]:
        """For each output the probabilities (T, K) of its classes, over all notes of one player."""
        return [scores[0].softmax(-1) for scores in self(features_TI[None])]
