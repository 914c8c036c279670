"""Masks of logits, where a tokenizer restricts which id may follow which.

A frame of music is a set, encoded in one order of many. Scores are masked to that order and renormalised, so that the
product over a frame's ids is the likelihood of the frame itself.

Shapes: B batch, T time, V vocabulary; following_VV is true where the column's id may come after the row's.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["following_of", "masked", "scored_targets"]


class Ordered(Protocol):
    """A tokenizer, as far as it says which id may come after which."""

    @property
    def following(self) -> np.ndarray | None:
        """Boolean (V, V), or None where there is no such order, or a grammar too rich for a table."""


def following_of(tokenizer: Ordered, device: torch.device | str = "cpu") -> Tensor | None:
    """The tokenizer's table on `device`; None for one that has no such order, or a grammar too rich for a table."""
    table = tokenizer.following
    return None if table is None else torch.tensor(table, device=device)


def masked(logits_BTV: Tensor, ids_BT: Tensor, following_VV: Tensor) -> Tensor:
    """The logits with minus infinity where an id may not follow the one of ids_BT."""
    return logits_BTV.masked_fill(~following_VV[ids_BT], -torch.inf)


def scored_targets(targets_BT: Tensor, following_VV: Tensor | None, *, pad: int) -> Tensor:
    """The targets with `pad` for those that follow nothing, such as the end of a piece: they are not scored."""
    if following_VV is None:
        return targets_BT
    never_V = ~following_VV.any(dim=0)
    return targets_BT.masked_fill(never_V.to(targets_BT.device)[targets_BT], pad)
