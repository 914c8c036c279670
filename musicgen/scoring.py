"""How the steps of a tokenizer are scored, whatever the model: which targets count, and which ids are possible.

A frame of music is a set, encoded in one order of many. Where a tokenizer says which id may follow which, likelihoods
are over those alone, so that the product over a frame's ids is the likelihood of the frame itself. Ids that may follow
no other, such as the end of a piece, are not scored.

Shapes: B batch, T time, F fields, K the values of one choice, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from musicgen.models import SequenceModel, State
from musicgen.models.heads.following import following_of, scored_targets
from musicgen.tokenizers import Tokenizer

__all__ = ["Scoring"]


@dataclass(frozen=True)
class Scoring:
    """A tokenizer's rules for likelihoods over its ids, on the device of the models that it is used with.

    `pad` is the id that counts 0. A frame has `period` ids, where all have the same number. following_VV (bool)
    is true where the column's id may come after the row's, and None where every id may.
    """

    pad: int
    period: int = 1
    following_VV: Tensor | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> Scoring:
        """The scoring of a tokenizer's ids."""
        pad, period = tokenizer.vocabulary.id("pad"), tokenizer.period
        return cls(pad, period, following_of(tokenizer, device))

    def targets(self, targets: Tensor) -> Tensor:
        """The targets, of shape (B, T) or (B, T, F), with `pad` for those that aren't scored."""
        return scored_targets(targets, self.following_VV, pad=self.pad)

    def nats(
        self, model: SequenceModel, ids: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[Tensor, State | None]:
        """See `SequenceModel.nats`."""
        return model.nats(ids, targets, state, pad=self.pad, following_VV=self.following_VV)

    def nats_read(self, model: SequenceModel, reading: Any, targets: Tensor) -> Tensor:
        """The nats of `targets` by the head alone, from what `SequenceModel.head_inputs` returned for the inputs."""
        return model.step_head.nats(reading, targets, pad=self.pad, following_VV=self.following_VV)

    def nats_ahead(
        self, model: SequenceModel, ids: Tensor, targets: Tensor, state: State | None = None
    ) -> tuple[list[Tensor], State | None]:
        """See `SequenceModel.nats_ahead`."""
        return model.nats_ahead(ids, targets, state, pad=self.pad, following_VV=self.following_VV)

    def nats_at(
        self,
        model: SequenceModel,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        inverse_temperature: Sequence[tuple[float, ...]],
    ) -> list[Tensor]:
        """See `SequenceModel.nats_at`."""
        asked: dict[str, Any] = {"pad": self.pad, "following_VV": self.following_VV}
        return model.nats_at(ids, targets, state, **asked, inverse_temperature=inverse_temperature)

    def choices(self, model: SequenceModel, ids: Tensor, targets: Tensor, state: State | None = None) -> list[Tensor]:
        """Logits (B, T, K) of each choice in the steps after `ids`; see `SequenceModel.choices`."""
        return model.choices(ids, targets, state, following_VV=self.following_VV)
