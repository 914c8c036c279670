"""Forecasting as a task of training: windows of series, and the error of what is foreseen of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.events import Listener, Warned
from musicgen.models.tasks.forecaster import Forecaster, ForecastSettings
from musicgen.models.tasks.registry import task_settings
from musicgen.recipe import Recipe
from musicgen.tasks.forecast.report import Report, report_on, summary
from musicgen.tasks.forecast.series import Series, scales_of
from musicgen.tasks.forecast.using import report_of_run
from musicgen.tasks.forecast.windows import Batch, Windows, series_in
from musicgen.tokenizers import Tokenizer
from musicgen.training.step import Learner, Loss, Setup
from musicgen.training.task import Task, Validation

__all__ = ["Forecast", "ForecastLearner", "error_of"]

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"model.width": 64, "model.layers": 2, "model.heads": 4},
    "small": {"model.width": 128, "model.layers": 2, "model.heads": 4},
    "medium": {"model.width": 256, "model.layers": 3, "model.heads": 4},
    "large": {"model.width": 512, "model.layers": 4, "model.heads": 8},
}
TRAINING = {
    "train.steps": 300, "train.batch": 32, "train.length": 128, "train.evaluate_every": 50, "train.learning_rate": 5e-3,
}  # fmt: skip


class Forecast(Task):
    """Foresee numbers. The figure is the error that is minimised, in standard deviations (squared ones for mse)."""

    unit: ClassVar[str] = "scaled_error"

    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> ForecastLearner:
        self.check_request(model, setup.recipe, setup.device, taught=False)
        return ForecastLearner(model, source, setup=setup)

    def settled(self, recipe: Recipe, corpus: Corpus, *, listener: Listener) -> Recipe:
        settings = task_settings(recipe.task)
        found = series_in(corpus, "train", settings=settings)
        scales = scales_of(found)
        for name, (mean, deviation) in zip(settings.numbers, scales, strict=True):
            if deviation < 1e-6 * max(1, abs(mean)):  # but for rounding
                what = f"{name} is {mean:g} throughout the training split"
                raise UsageError(what, where=corpus.folder, hint="choose a series that varies, or another corpus")
        if left := len(corpus.pieces("train")) - len(found):
            listener(Warned(f"{left} of the pieces to train on have no melody of more than {settings.lags} steps"))
        return replace(recipe, task={**asdict(settings), "scales": scales})

    def evaluate(
        self,
        run: TaskRun,
        corpus: Corpus,
        *,
        split: str,
        baseline: bool,
        max_tokens: int | None,
        check: Callable[[], None],
    ) -> Report:
        if max_tokens is not None:
            what = "errors of forecasts are of whole pieces, so `max_tokens` is nothing to them"
            raise UsageError(what, where=run.name, hint="leave it out")
        return report_of_run(run, corpus, split=split, baseline=baseline, check=check)

    def presets(self, size: str, table: Mapping[str, Any]) -> dict[str, Any]:
        return {**SHAPES[size], **TRAINING}


class ForecastLearner(Learner[Forecaster]):
    """Learns from windows of the training split at random."""

    def __init__(self, model: Forecaster, source: TokenSource, *, setup: Setup) -> None:
        super().__init__(model, setup=setup)
        assert isinstance(source, Corpus)
        self.source, self.task = source, model.task
        self.train_series = series_in(source, "train", settings=self.task, check=setup.check)
        self._windows = self.windows(self.train_series)

    def windows(self, pieces: list[Series]) -> Windows:
        """Windows of pieces as the recipe says."""
        how = self.settings
        return Windows(
            pieces,
            settings=self.task,
            steps=self.model.steps,
            length=how.length,
            batch=how.batch,
            seed=how.seed,
        )

    def made(self, step: int) -> Batch:
        return self._windows(step)

    def loss(self, batch: Batch) -> Loss:
        total, count = error_of(self.model, batch, task=self.task)
        mean = total / count.clamp(min=1)
        return Loss(mean, mean.detach())

    def places(self, batch: Batch) -> int:
        return batch.x_BTF.shape[0] * batch.x_BTF.shape[1]

    def validation(self, *, check: Callable[[], None]) -> Validation:
        return ForecastValidation(self, check=check)

    def seen(self, steps: int) -> dict[str, int]:
        return {"steps_seen": steps * self.settings.batch * self.settings.length}


class ForecastValidation(Validation):
    """The error on the windows of the validation split; at the end the errors of whole pieces, for the card."""

    def __init__(self, learner: ForecastLearner, *, check: Callable[[], None]) -> None:
        self.learner, self._check = learner, check
        self.pieces = series_in(learner.source, "valid", settings=learner.task, check=check)
        self.batches = learner.windows(self.pieces).in_order(learner.settings.evaluate_tokens) if self.pieces else []
        self.counts = {"valid_steps": sum(int(each.counted_BTHK.any(-1).any(-1).sum()) for each in self.batches)}

    @torch.no_grad()
    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> Tensor | None:
        learner, model = self.learner, self.learner.model
        model.eval()
        total, count = torch.zeros((), dtype=torch.float64), 0
        for each in self.batches:
            self._check()
            with learner.autocast():
                error, counted = error_of(model, each.to(learner.device), task=learner.task)
            total, count = total + error.double().cpu(), count + int(counted)
        return (total / count).view(1, 1) if count else None

    def figures(self) -> dict[str, Any]:
        if not self.pieces:
            return {}
        learner = self.learner
        report = report_on(
            learner.model, self.pieces, train=learner.train_series, settings=learner.task, check=self._check
        )
        return {"forecast": summary(report)}


def error_of(model: Forecaster, batch: Batch, *, task: ForecastSettings) -> tuple[Tensor, Tensor]:
    """(the sum of the errors of what is foreseen in a batch, how many numbers that are), in standard deviations."""
    forecast_BTHK, _ = model(batch.x_BTF)
    off_BTHK = forecast_BTHK - batch.y_BTHK
    error_BTHK = off_BTHK**2 if task.loss == "mse" else off_BTHK.abs()
    return (error_BTHK * batch.counted_BTHK).sum(), batch.counted_BTHK.sum()
