"""Training objectives: modules whose `forward` computes the loss of a batch.

Everything that a loss depends on goes through `forward`, so that wrappers for several devices work. A new objective is
a class that implements `nats`. Truncated back-propagation through time needs no class of its own, for the state carried
from batch to batch is passed in with the batch and returned with the loss.

Shapes: B batch rows, T time steps, F fields of a step, K values of a field, or of the vocabulary without fields.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from musicgen.models import SequenceModel, State
from musicgen.scoring import Scoring
from musicgen.training.batch import Batch
from musicgen.training.step import Loss

__all__ = ["NextSteps", "Objective", "Taught"]


class Objective(nn.Module, ABC):
    """A model with a loss to minimise."""

    def __init__(self, model: SequenceModel, scoring: Scoring) -> None:
        super().__init__()
        self.model, self.scoring = model, scoring

    @abstractmethod
    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        """(the nats of every target, (B, T) or (B, T, F), for each step of the horizon, the next step first; the state
        after the last step)."""

    def forward(self, batch: Batch) -> Loss:
        """The loss. What is minimised is nats per scored value, so that gradients have the same scale with and without
        fields, averaged over the horizon, so that the same learning rate suits every horizon; what is reported is nats
        per step, for the next step only."""
        nats, state = self.nats(batch)
        totals = [each.sum() for each in nats]
        mean = torch.stack(totals).mean() / max(1, batch.n_values)
        return Loss(mean, totals[0].detach() / max(1, batch.n_steps), state)


class NextSteps(Objective):
    """Predict the next step, or the next H steps in one pass if the model has a horizon of H.

    Of a batch whose steps have been read already, only the next step is predicted, by the head.
    """

    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        if batch.reading is not None:
            return [self.scoring.nats_read(self.model, batch.reading, batch.targets)], None
        return self.scoring.nats_ahead(self.model, batch.inputs, batch.targets, batch.state)


class Taught(Objective):
    """Knowledge distillation: predict the teachers' mean distribution of each step, as well as the true next step.

    A mixture of models predicts better than any one of them but costs as much as all. A student trained on the
    mixture's probabilities gets more information from each step than from the true step alone, and overfits less. The
    target distribution is `share` times the mean of the teachers', all weighted equally, plus 1 - `share` on the true
    step. Teachers read each window independently and predict one step ahead, so the student carries no state between
    batches and has no horizon.

    Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531).
    """

    def __init__(
        self, model: SequenceModel, scoring: Scoring, *, teachers: Sequence[SequenceModel], share: float
    ) -> None:
        super().__init__(model, scoring)
        device = next(model.parameters()).device
        # A tuple keeps the teachers out of this module's submodules: they are not trained and stay in evaluation mode.
        self.teachers, self.share = tuple(teacher.to(device).eval() for teacher in teachers), share

    @torch.no_grad()
    def chances(self, batch: Batch) -> list[Tensor]:
        """The mean of the teachers' probabilities, (B, T, K) for each field, or for the single id, of a step."""
        of_teachers = []
        for teacher in self.teachers:
            state = teacher.recalling(batch.past_ids()) if teacher.recalls and batch.pasts else None
            choices = self.scoring.choices(teacher, batch.inputs, batch.targets, state)
            of_teachers.append([logits.softmax(-1) for logits in choices])
        return [torch.stack(parts).mean(0) for parts in zip(*of_teachers, strict=True)]

    def nats(self, batch: Batch) -> tuple[list[Tensor], State | None]:
        """The student's cross-entropy in nats relative to the target distribution of teachers and music."""
        chances = self.chances(batch)
        choices = self.scoring.choices(self.model, batch.inputs, batch.targets, batch.state)
        fields = self.model.settings.fields
        by_field = batch.targets.unbind(-1) if fields else (batch.targets,)
        firsts = [first for first, _ in fields] or [0]
        parts = []
        for logits, chance, target_BT, first in zip(choices, chances, by_field, firsts, strict=True):
            came_BT1 = (target_BT - first).clamp(0, chance.shape[-1] - 1)[..., None]
            chance = (self.share * chance).scatter_add(2, came_BT1, chance.new_full(came_BT1.shape, 1 - self.share))
            logs = logits.log_softmax(-1).masked_fill(chance == 0, 0)
            parts.append(-(chance * logs).sum(-1))
        nats = torch.stack(parts, dim=-1) if fields else parts[0]
        return [nats.masked_fill(batch.targets == self.scoring.pad, 0)], None
