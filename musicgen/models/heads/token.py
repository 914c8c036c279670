"""Scores of a next step: what any head gives to draw from, and those of a step that is one id.

Shapes: B batch, V vocabulary, K the values of one field.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

__all__ = ["Scores", "TokenScores"]


class Scores(Protocol):
    """The scores of one next step a row, field after field."""

    def logits_BK(self, field: int) -> Tensor:
        """Scores of the field's values, given the fields taken so far; float32."""

    def take(self, field: int, ids_B: Tensor) -> None:
        """Say what was chosen for a field; `pad` where it stays empty."""


class TokenScores:
    """The scores where a step is one id."""

    def __init__(self, logits_BV: Tensor) -> None:
        self._logits_BV = logits_BV.float()

    def logits_BK(self, field: int) -> Tensor:
        return self._logits_BV

    def take(self, field: int, ids_B: Tensor) -> None:
        pass
