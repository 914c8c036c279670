"""The interface of heads: likelihoods of given steps, and scores from which to sample the next one.

Shapes: B batch, T time, F fields, V vocabulary, C width, K the values of one choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.heads.following import masked

__all__ = ["Head", "IdHead", "IdScores", "Reading", "Scores"]


@dataclass(frozen=True)
class Reading:
    """A body's output: hidden_BTC after each of `ids`. Bodies whose head needs more have their own class."""

    hidden_BTC: Tensor
    ids: Tensor


class Scores(Protocol):
    """The scores of the next step of each row, field after field."""

    def logits_BK(self, field: int) -> Tensor:
        """Logits (B, K) of the field's values, given the fields taken so far; float32."""

    def take(self, field: int, ids_B: Tensor) -> None:
        """Set the ids chosen for a field; `pad` where it stays empty."""


class Head(nn.Module, ABC):
    """Predicts steps from the body's hidden states, its only knowledge of the past.

    `name` is the module name under which a model registers it, which weight files use; "" registers its parts beside
    the body's own.
    """

    name: ClassVar[str]
    teaches: ClassVar[bool] = True  # whether it can be teacher or student in distillation

    def __init__(self, choices: int = 1) -> None:
        super().__init__()
        self.inverse_temperature: tuple[float, ...] = (1.0,) * choices

    def start_even(self) -> None:
        """Initialise a weight of its own to small values, for nearly uniform first predictions."""

    @abstractmethod
    def choices(self, reading: Any, targets: Tensor, *, following_VV: Tensor | None = None) -> list[Tensor]:
        """Logits (B, T, K) of each choice in a step: of the next id, or of each field given the targets of those
        before it. `following_VV` says which id may follow which; the others get minus infinity."""

    @abstractmethod
    def nats(self, reading: Any, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        """Negative log-likelihood of targets one step ahead, nats_BT, or nats_BTF by field; 0 for targets of `pad`."""

    @abstractmethod
    def scores(self, hidden_BC: Tensor, state: Any) -> Scores:
        """The next step's scores, from the last hidden state and the state returned with it."""

    def nats_at(
        self,
        reading: Any,
        targets: Tensor,
        *,
        pad: int,
        following_VV: Tensor | None,
        inverse_temperature: Sequence[Sequence[float]],
    ) -> list[Tensor]:
        """`nats` at each of several inverse temperatures."""
        own, result = self.inverse_temperature, []
        try:
            for values in inverse_temperature:
                self.inverse_temperature = tuple(values)
                result.append(self.nats(reading, targets, pad=pad, following_VV=following_VV))
        finally:  # a run may be interrupted here, and saved
            self.inverse_temperature = own
        return result


class IdHead(Head):
    """The base class of heads for steps that are single ids, with logits_BTV."""

    @abstractmethod
    def _logits(self, reading: Any) -> Tensor:
        """logits_BTV of the next id, without inverse temperature."""

    def logits(self, reading: Any) -> Tensor:
        """logits_BTV of the next id, times the inverse temperature except in training."""
        return self.tempered(self._logits(reading))

    def tempered(self, logits: Tensor) -> Tensor:
        """The logits times the inverse temperature; unchanged in training."""
        return logits if self.training or self.inverse_temperature == (1.0,) else logits * self.inverse_temperature[0]

    def choices(self, reading: Any, targets: Tensor, *, following_VV: Tensor | None = None) -> list[Tensor]:
        logits_BTV = self.logits(reading).float()
        return [logits_BTV if following_VV is None else masked(logits_BTV, reading.ids, following_VV)]

    def nats(self, reading: Any, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        (logits_BTV,) = self.choices(reading, targets, following_VV=following_VV)
        flat = F.cross_entropy(logits_BTV.flatten(0, 1), targets.flatten(), ignore_index=pad, reduction="none")
        return flat.view(targets.shape)


class IdScores:
    """The scores of a step that is one id."""

    def __init__(self, logits_BV: Tensor) -> None:
        self._logits_BV = logits_BV.float()

    def logits_BK(self, field: int) -> Tensor:
        return self._logits_BV

    def take(self, field: int, ids_B: Tensor) -> None:
        pass
