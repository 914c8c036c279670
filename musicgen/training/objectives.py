"""What a model is to learn of a batch: modules whose forward gives the loss.

All that a loss depends on goes through `forward`, so that what wraps a module for several devices sees it. A further
objective is a class with `nats`; one that carries a state from batch to batch (truncated back-propagation through time)
needs none of its own, for the state comes in the batch and goes in the loss.

Shapes: B batch, T time, F fields, K the values of one choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from musicgen.models import SequenceModel, State
from musicgen.scoring import Scoring
from musicgen.training.batch import Batch

__all__ = ["Loss", "NextSteps", "Objective", "Taught"]


@dataclass(frozen=True)
class Loss:
    """What a batch gives.

    `mean` is what is made smaller: nats a value that was chosen, so that gradients are of one size with and without
    fields, and the mean over the horizon, so that the learning rate means the same. `nats_per_token` is what is told:
    of the next step alone, without its gradient. `state` is that after the last step, where training has one.
    """

    mean: Tensor
    nats_per_token: Tensor
    state: State | None


class Objective(nn.Module, ABC):
    """A model, and what it is to learn."""

    def __init__(self, model: SequenceModel, scoring: Scoring) -> None:
        super().__init__()
        self.model, self.scoring = model, scoring

    @abstractmethod
    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        """Nats of every target, of the next step first, each (B, T) or (B, T, F), and the state after the last step."""

    def forward(self, batch: Batch) -> Loss:
        nats, state = self.nats(batch)
        totals = [each.sum() for each in nats]
        mean = torch.stack(totals).mean() / max(1, batch.n_values)
        return Loss(mean, totals[0].detach() / max(1, batch.n_steps), state)


class NextSteps(Objective):
    """The next step; and where the model has a horizon of H, the H next ones, from one pass."""

    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        return self.scoring.nats_ahead(self.model, batch.inputs, batch.targets, batch.state)


class Taught(Objective):
    """What teachers together say of each step, as well as the step that came.

    A mixture of models predicts better than any of them, and costs as much as all. A student that learns the mixture's
    chances rather than the one step that came has more to learn from every step, and learns less by heart: chances say
    what else might have come. `share` of the loss is the teachers', each as much as the others, and the rest the
    music's. They read each window by itself, and one step ahead: their student carries no state and has no horizon.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531).
    """

    def __init__(
        self, model: SequenceModel, scoring: Scoring, *, teachers: Sequence[SequenceModel], share: float
    ) -> None:
        super().__init__(model, scoring)
        device = next(model.parameters()).device
        # In a tuple, so that they are no part of this module: they don't learn, and stay in evaluation mode.
        self.teachers, self.share = tuple(teacher.to(device).eval() for teacher in teachers), share

    @torch.no_grad()
    def chances(self, batch: Batch) -> list[Tensor]:
        """The mean of what teachers say, (B, T, K) for each choice that a step is."""
        said = []
        for teacher in self.teachers:
            state = teacher.recalling(batch.past_ids()) if teacher.recalls and batch.pasts else None
            choices = self.scoring.choices(teacher, batch.inputs, batch.targets, state)
            said.append([logits.softmax(-1) for logits in choices])
        return [torch.stack(parts).mean(0) for parts in zip(*said, strict=True)]

    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        """Nats of the student, expected over what teachers and the music say comes next."""
        chances = self.chances(batch)
        choices = self.scoring.choices(self.model, batch.inputs, batch.targets, batch.state)
        fields = self.model.settings.fields
        by_field = batch.targets.unbind(-1) if fields else (batch.targets,)
        firsts = [first for first, _ in fields] or [0]
        parts = []
        for logits, told, target_BT, first in zip(choices, chances, by_field, firsts, strict=True):
            came_BT1 = (target_BT - first).clamp(0, told.shape[-1] - 1)[..., None]
            told = (self.share * told).scatter_add(2, came_BT1, told.new_full(came_BT1.shape, 1 - self.share))
            logs = logits.log_softmax(-1).masked_fill(told == 0, 0)
            parts.append(-(told * logs).sum(-1))
        nats = torch.stack(parts, dim=-1) if fields else parts[0]
        return [nats.masked_fill(batch.targets == self.scoring.pad, 0)], None
