"""Next-note prediction, the task of every run without a `[task]` table: what a step learns from, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen.corpus.store import TokenSource
from musicgen.errors import UsageError
from musicgen.models import SequenceModel
from musicgen.models.tasks.base import Model
from musicgen.recipe import Recipe
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch
from musicgen.training.batches import Batches
from musicgen.training.objectives import NextSteps, Objective, Taught
from musicgen.training.precision import precision_for
from musicgen.training.step import Learner, Loss, Setup
from musicgen.training.streams import Carried, Streams
from musicgen.training.task import Task
from musicgen.training.validation import NextNoteValidation

__all__ = ["NextNote", "NextNoteLearner"]


class NextNote(Task):
    """Predict the next step of a piece. With `teachers`, models with the same tokenizer, their predictions are
    distilled (`objectives.Taught`)."""

    unit: ClassVar[str] = "nats_per_token"
    calibrates: ClassVar[bool] = True

    def __init__(self, teachers: Sequence[SequenceModel] = ()) -> None:
        self.teachers = teachers

    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> NextNoteLearner:
        self.check_request(model, setup.recipe, setup.device, taught=bool(self.teachers))
        return NextNoteLearner(model, source, tokenizer, setup=setup, teachers=self.teachers)

    def check_request(self, model: Model, recipe: Recipe, device: torch.device, *, taught: bool) -> None:
        settings = recipe.train
        precision_for(device, settings.precision, model)
        assert isinstance(model, SequenceModel)
        if settings.carry and not model.carries:
            what = "a model that reads by frame" if model.settings.by_frame else "a Transformer"
            raise UsageError(
                f"[train] carry is for models with a state, which {what} in training has not",
                hint="leave carry out, or choose a recurrent model and by_frame = false",
            )
        if model.settings.positions == "learned" and settings.length > model.settings.context:
            here, learned = settings.length, model.settings.context
            raise UsageError(
                f"windows of {here:,} tokens need as many positions, and {learned:,} are learned",
                where="model.positions = learned",
                hint="make train.length and model.context equal",
            )
        if taught and not model.step_head.teaches:
            raise UsageError("a model with a memory neither teaches nor is taught", hint="leave `teachers` out")
        if taught and (settings.carry or model.settings.horizon > 1):
            what = "carry" if settings.carry else "a horizon"
            raise UsageError(f"{what} and teachers don't go together", hint="leave one of them out")


class NextNoteLearner(Learner[SequenceModel]):
    """Learns from windows at random or, with `carry`, from rows that read on with the hidden state."""

    def __init__(
        self,
        model: SequenceModel,
        source: TokenSource,
        tokenizer: Tokenizer,
        *,
        setup: Setup,
        teachers: Sequence[SequenceModel] = (),
    ) -> None:
        recipe, settings = setup.recipe, setup.recipe.train
        # Rows that read on must be made in order, each after the one before.
        super().__init__(model, setup=replace(setup, workers=0) if settings.carry else setup)
        self.source, self.tokenizer = source, tokenizer
        self.scoring = Scoring.of(tokenizer, setup.device)
        self.objective: Objective = NextSteps(model, self.scoring)
        if teachers:
            self.objective = Taught(model, self.scoring, teachers=teachers, share=settings.taught)
        how: dict[str, Any] = {"length": settings.length, "batch": settings.batch, "seed": settings.seed}
        self._data: Streams | Batches
        if settings.carry:
            self._data = Streams(source, tokenizer, augment=recipe.augment, **how)
        else:
            recalls = any(each.recalls for each in (model, *teachers))
            shuffle = recipe.data.shuffle_notes
            self._data = Batches(source, tokenizer, augment=recipe.augment, pasts=recalls, shuffle_notes=shuffle, **how)
        self._precompute = None if teachers else model.precomputing()
        self._carried = Carried(model)

    def made(self, step: int) -> Batch:
        return self.precomputed(self._data(step))

    def loss(self, batch: Batch) -> Loss:
        loss: Loss = self.objective(batch)
        return loss

    def places(self, batch: Batch) -> int:
        return batch.inputs.shape[0] * batch.inputs.shape[1]

    def validation(self, *, check: Callable[[], None]) -> NextNoteValidation:
        return NextNoteValidation(self.source, self.tokenizer, self, check=check)

    def seen(self, steps: int) -> dict[str, int]:
        return {"tokens_seen": steps * self.settings.batch * self.settings.length}

    def precomputed(self, batch: Batch) -> Batch:
        """The batch with the state that a memory model recalls for it, if that can be computed without the model."""
        if self._precompute is None:
            return batch
        return replace(batch, pasts=(), state=self._precompute(batch.inputs, batch.targets, batch.pasts))

    def ready(self, batch: Batch) -> Batch:
        batch = batch.to(self.device)
        if batch.state is None and batch.pasts and self.model.recalls:
            batch = replace(batch, state=self.model.recalling(batch.past_ids()))
        return self._carried.give(batch)

    @property
    def carried(self) -> Mapping[str, Tensor]:
        return self._carried.tensors

    def restore(self, carried: Mapping[str, Tensor]) -> None:
        self._carried.restore(carried)

    def keep(self, batch: Batch, loss: Loss) -> None:
        self._carried.take(batch, loss.state)
