"""The task `perform` for the training loop: windows of notes as for next-note prediction, and nats a note.

The corpus is one of the tokenizer `exact`, whose steps are notes with their exact times and velocities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.events import Listener
from musicgen.models.tasks.performer import VALUES, Performer
from musicgen.recipe import Recipe
from musicgen.scoring import Scoring
from musicgen.tasks.perform.figures import PerformFigures, perform_figures
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch
from musicgen.training.batches import Batches, validation_windows
from musicgen.training.step import Learner, Loss, Setup
from musicgen.training.task import Task, Validation

__all__ = ["Perform"]


class Perform(Task):
    """Foresee when, how loud and how long each note of a performance is played, given its key."""

    unit: ClassVar[str] = "nats_per_note"
    tokenizer: ClassVar[str | None] = "exact"

    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> PerformLearner:
        self.check_request(model, setup.recipe, setup.device, taught=False)
        return PerformLearner(model, source, tokenizer, setup=setup)

    def settled(self, recipe: Recipe, corpus: Corpus, *, listener: Listener) -> Recipe:
        if corpus.spec["name"] != self.tokenizer:
            what = f"is built with the tokenizer {corpus.spec['name']}, which tells no exact times"
            hint = f"give the music itself, or build a corpus with the tokenizer {self.tokenizer}"
            raise UsageError(what, where=corpus.folder, hint=hint)
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
    ) -> PerformFigures:
        return perform_figures(run, corpus, split=split, max_tokens=max_tokens, check=check)

    def presets(self, size: str, table: Mapping[str, Any]) -> dict[str, Any]:
        # Performances to learn from are few: what a large model learns in a thousand steps, it doesn't find in others.
        return {"train.steps": 1000, "train.batch": 16, "train.length": 128, "train.evaluate_every": 50,
                "train.optimizer": "adamw", "train.learning_rate": 3e-3}  # fmt: skip


class PerformLearner(Learner[Performer]):
    """Learns from windows at random places."""

    def __init__(self, model: Performer, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> None:
        super().__init__(model, setup=setup)
        self.source, self.tokenizer, self.scoring = source, tokenizer, Scoring.of(tokenizer)
        how: dict[str, Any] = {"length": self.settings.length, "batch": self.settings.batch, "seed": self.settings.seed}
        self._data = Batches(source, tokenizer, augment=setup.recipe.augment, **how)

    def made(self, step: int) -> Batch:
        return self._data(step)

    def loss(self, batch: Batch) -> Loss:
        """Nats a note; what is minimised is its mean over the values, so that learning rates are as for other runs."""
        mean = self.by_value(batch).sum() / max(1, self.notes(batch))
        return Loss(mean / len(VALUES), mean.detach())

    def places(self, batch: Batch) -> int:
        return batch.inputs.shape[0] * batch.inputs.shape[1]

    def validation(self, *, check: Callable[[], None]) -> PerformValidation:
        return PerformValidation(self, check=check)

    def by_value(self, batch: Batch) -> Tensor:
        """nats_V: the sum over all notes of a batch, by value."""
        nats_BTF, _ = self.model.nats(batch.inputs, batch.targets, pad=self.scoring.pad)
        return nats_BTF[..., 1:].sum((0, 1))

    def notes(self, batch: Batch) -> int:
        """The number of notes among the targets."""
        return int((batch.targets[..., 1] != self.scoring.pad).sum())


class PerformValidation(Validation):
    """Fixed windows of the validation split."""

    def __init__(self, learner: PerformLearner, *, check: Callable[[], None]) -> None:
        self.learner, self._check = learner, check
        settings = learner.settings
        self.windows = validation_windows(
            learner.source,
            learner.tokenizer,
            split="valid",
            length=settings.length,
            batch=settings.batch,
            max_tokens=settings.evaluate_tokens,
        )
        self.notes = sum(learner.notes(window) for window in self.windows)
        self.counts = {"valid_notes": self.notes}

    @torch.no_grad()
    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> Tensor | None:
        learner = self.learner
        learner.model.eval()
        total_V = torch.zeros(len(VALUES), dtype=torch.float64)
        for window in self.windows:
            self._check()
            with learner.autocast():
                total_V += learner.by_value(learner.ready(window)).double().cpu()
        return (total_V / self.notes)[None] if self.notes else None

    def figures(self) -> dict[str, Any]:
        """The nats of each value, which add up to those of a note."""
        found = self([])
        if found is None:
            return {}
        rounded = [round(value, 4) for value in found[0].tolist()]
        return {f"valid_nats_of_{name}": value for name, value in zip(VALUES, rounded, strict=True)}
