"""What the model of a task is to training and to a run folder, and the bodies of the ladder inside of it.

A model that predicts the next note is a `SequenceModel` (`models/body.py`). One of another task is a `TaskModel`: it
has bodies of a family and whatever reads their hidden states. A new task's model is a class here, with the settings of
its `[task]` table as a frozen dataclass, and a line in `registry.py`.

Shapes: B batch, T time, C width.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from torch import nn

from musicgen.models.body import SequenceModel
from musicgen.models.ladder.trunk import make_trunk
from musicgen.models.registry import family_named
from musicgen.models.settings import ModelSettings

__all__ = ["Model", "TaskModel", "body_of_ids", "body_of_vectors"]


class TaskModel(nn.Module):
    """The model of a task. `settings` is the shape of its bodies, `task` its `[task]` table, of `task_settings`.

    Its first weights are drawn from the generator of the CPU alone, in a fixed order. Parameters whose names contain
    `embedding`, `head`, `inputs` or `outputs` are taken for those of outer layers (`training/optimizers.py`).
    """

    task_settings: ClassVar[type[Any]]

    def __init__(self, settings: ModelSettings, task: Any) -> None:
        super().__init__()
        self.settings, self.task = settings, task
        self._inverse_temperature: tuple[float, ...] = (1.0,)

    @property
    def n_parameters(self) -> int:
        """The number of parameters; a shared weight counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def inverse_temperature(self) -> tuple[float, ...]:
        """What logits are multiplied by, except in training; ones where there are no logits."""
        return self._inverse_temperature

    def set_inverse_temperature(self, values: Sequence[float]) -> None:
        """Raises ValueError where there are more or fewer numbers, or one isn't above 0."""
        count = len(self._inverse_temperature)
        if len(values) != count or not all(0 < value < math.inf for value in values):
            raise ValueError(f"inverse temperatures are {count} numbers above 0, not {list(values)}")
        self._inverse_temperature = tuple(values)


Model = SequenceModel | TaskModel  # of any run


def body_of_ids(settings: ModelSettings) -> SequenceModel:
    """A body of the family that reads ids with an embedding of its own and has no head: `read` gives hidden_BTC."""
    plain = dataclasses.replace(settings, horizon=1, by_frame=False, by_pitch=False, frames=None, steps=None)
    body = family_named(settings.family)(plain)
    body.first_weights()
    return body


def body_of_vectors(settings: ModelSettings, *, inputs: int) -> SequenceModel:
    """A body of the family that reads vectors of `inputs` numbers: floats (B, T, inputs) in, hidden_BTC out."""
    return make_trunk(family_named(settings.family), settings, inputs=inputs)
