"""The contract of heads: what a step is made of, how likely it was, and scores to draw the next one from.

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
    """What a body has made of steps: hidden_BTC after each of `ids`. Bodies whose head needs more have their own."""

    hidden_BTC: Tensor
    ids: Tensor


class Scores(Protocol):
    """The scores of one next step a row, field after field."""

    def logits_BK(self, field: int) -> Tensor:
        """Scores of the field's values, given the fields taken so far; float32."""

    def take(self, field: int, ids_B: Tensor) -> None:
        """Say what was chosen for a field; `pad` where it stays empty."""


class Head(nn.Module, ABC):
    """What a step is made of. It never reads on: all it knows of the past is in the body's reading.

    `name` is where a model registers it, for run folders name their weights so: "" is beside the body's own.
    """

    name: ClassVar[str]
    teaches: ClassVar[bool] = True  # whether its choices can be learned from, and from others'

    def __init__(self, choices: int = 1) -> None:
        super().__init__()
        self.inverse_temperature: tuple[float, ...] = (1.0,) * choices

    def start_even(self) -> None:
        """Begin with small scores, where the body asks for it, so that at first every value is about as likely."""

    @abstractmethod
    def choices(self, reading: Any, targets: Tensor, *, following_VV: Tensor | None = None) -> list[Tensor]:
        """Logits (B, T, K) of each choice that a step is: of the next id, or of each field given the targets of those
        before it. `following_VV` says which id may follow which; the others get minus infinity."""

    @abstractmethod
    def nats(self, reading: Any, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        """nats_BT of targets one step ahead, or nats_BTF by field; 0 where the target is `pad`."""

    @abstractmethod
    def scores(self, hidden_BC: Tensor, state: Any) -> Scores:
        """The next step's scores, from what was read up to here and the state that came with it."""

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
    """Heads of steps that are single ids: they give logits_BTV."""

    @abstractmethod
    def _logits(self, reading: Any) -> Tensor:
        """logits_BTV of the next id, as they are learned."""

    def logits(self, reading: Any) -> Tensor:
        """logits_BTV of the next id, but in training as sharp as they are to be."""
        return self.tempered(self._logits(reading))

    def tempered(self, logits: Tensor) -> Tensor:
        """Times the inverse temperature; but in training, which goes without."""
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
