"""What a run learns: the contract between the one training loop and its tasks.

A `Task` makes, from a recipe and a corpus, a `Learner` (`step.py`: what a step learns from, and its loss), which makes
a `Validation` (the figure that chooses the best weights). The loop knows nothing else of a task: resuming, killing,
logging, keeping the best weights and the calendar of evaluations are the same for all. `next_note.py` is the task of
runs without a `[task]` table; the others live in `musicgen/tasks/`, their models in `models/tasks/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.events import Listener
from musicgen.models.tasks.base import Model
from musicgen.models.tasks.registry import named
from musicgen.recipe import Recipe
from musicgen.tokenizers import Tokenizer
from musicgen.training.precision import precision_for
from musicgen.training.step import Learner, Setup

__all__ = ["Task", "TaskEvaluation", "Validation"]


class Validation(ABC):
    """Measures a learner's model on the validation split, whose data were made once.

    `counts` says on how much, for the card, such as {"valid_tokens": 4096}: all zero if the corpus holds nothing to
    validate on.
    """

    counts: dict[str, int]

    @abstractmethod
    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> Tensor | None:
        """figures_SF, float64 on the CPU: the figure in the task's unit, of which less is better, at each of S inverse
        temperatures, as a sum over F parts; None without any data. Without calibration S is 1."""

    def figures(self) -> dict[str, Any]:
        """Further figures of the model as it is, for the card; called once, with the best weights."""
        return {}


class TaskEvaluation(Protocol):
    """What a run of a task comes to on a split: as plain values for JSON, and in lines for people."""

    def to_dict(self) -> dict[str, Any]: ...

    def lines(self) -> list[str]: ...


class Task(ABC):
    """A task of training. `unit` names the figure that is minimised, in log.csv (`train_UNIT`, `valid_UNIT`) and on the
    card (`valid_UNIT`); `calibrates` says whether inverse temperatures mean anything to its models. `tokenizer` is what
    corpora are built with where none is asked for, by name; None is the usual one.

    An instance holds no state of a run: the settings of its `[task]` table stand in the recipe.
    """

    unit: ClassVar[str]
    calibrates: ClassVar[bool] = False
    tokenizer: ClassVar[str | None] = None

    @abstractmethod
    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> Learner[Any]:
        """The learner of a model, which is on the device already.

        Raises UnreadableError where the corpus has nothing to learn from, UsageError as `check_request`.
        """

    def check_table(self, table: Mapping[str, Any]) -> None:
        """Raise UsageError or UnreadableError for what is wrong with the `[task]` that is asked for, as far as it shows
        before there is a corpus: one may have to be built first, which takes long."""
        return None

    def settled(self, recipe: Recipe, corpus: Corpus, *, listener: Listener) -> Recipe:
        """The recipe with what the corpus says about the task, such as its classes, written into `[task]`.

        Called once for a new run, before anything of it is written. `listener` gets warnings. Raises UsageError and
        UnreadableError where the corpus can't serve the task.
        """
        return recipe

    def evaluate(
        self,
        run: TaskRun,
        corpus: Corpus,
        *,
        split: str,
        baseline: bool,
        max_tokens: int | None,
        check: Callable[[], None],
    ) -> TaskEvaluation:
        """The figures of a run on a split of a corpus, of its own tokenizer; `baseline` adds what simple rules come to.

        `check` is called now and then, and may raise. Raises UsageError where the split has nothing to measure on.
        """
        raise UsageError(f"is a model that {named(run.task).does}, which `evaluate` doesn't measure", where=run.name)

    def presets(self, size: str, table: Mapping[str, Any]) -> dict[str, Any]:
        """Settings in which new runs of a preset size differ from those of next-note prediction, such as
        {"train.batch": 32}; a recipe file and `changes` overrule them. `table` is the `[task]` that is asked for."""
        return {}

    def check_request(self, model: Model, recipe: Recipe, device: torch.device, *, taught: bool) -> None:
        """Raise UsageError for settings that the task, its model or this device doesn't support; the model may be on
        the meta device. `taught` says that there are teachers."""
        precision_for(device, recipe.train.precision, model)
        refused = {"[train] carry is set": recipe.train.carry, "there are teachers": taught}
        for what in [what for what, there in refused.items() if there]:
            raise UsageError(
                f"{what}, which only next-note prediction can use", hint="leave it out, or leave out `task`"
            )
