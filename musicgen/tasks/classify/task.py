"""The task `classify` for the training loop: labelled windows, cross-entropy, and a validation by whole pieces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.events import Listener, Warned
from musicgen.models.tasks.classifier import Classifier
from musicgen.models.tasks.registry import task_settings
from musicgen.recipe import Recipe
from musicgen.tasks.classify.evaluating import ClassEvaluation, evaluate_classes
from musicgen.tasks.classify.figures import measured, nats
from musicgen.tasks.classify.labels import Labelled, labelled, labels_of, lookup_of
from musicgen.tasks.classify.scoring import Scored, most_windows
from musicgen.tasks.classify.windows import Draw, Windows
from musicgen.tokenizers import Tokenizer
from musicgen.training.step import Learner, Loss, Setup
from musicgen.training.task import Task, Validation

__all__ = ["Classify"]


class Classify(Task):
    """Tell pieces apart by a label. Validated are nats a piece, of the mean probabilities of its windows; where classes
    are balanced in training, the mean over classes of their pieces' mean."""

    unit: ClassVar[str] = "nats_per_piece"
    calibrates: ClassVar[bool] = True

    def presets(self, size: str, table: Mapping[str, Any]) -> dict[str, Any]:
        # Labels are few: a window tells much less than next-note prediction learns from it, and large models overfit.
        usual: dict[str, Any] = {"train.steps": 600, "train.batch": 16, "train.length": 256, "train.evaluate_every": 50}
        usual |= {"train.learning_rate": 5e-3, "model.dropout": 0.2}
        if size == "tiny":
            usual |= {"model.width": 64, "model.layers": 2}
        if table.get("label") == "key":  # transposed, a piece has another
            usual["augment.transposed"] = 0.0
        return usual

    def check_table(self, table: Mapping[str, Any]) -> None:
        asked = task_settings(table)
        lookup_of(asked.label, asked.labels)

    def settled(self, recipe: Recipe, corpus: Corpus, *, listener: Listener) -> Recipe:
        asked = task_settings(recipe.task)
        found = labels_of(
            corpus, label=asked.label, labels=asked.labels, least=asked.least, classes=asked.classes or None
        )
        if len(found.classes) < 2:
            counts = ", ".join(f"{name} {count}" for name, count in list(found.rare.items())[:5])
            what = f"{len(found.classes)} classes of {asked.label!r} have {asked.least} training pieces or more"
            hint = f"give a smaller `least` (found: {counts})" if found.rare else "give another `label`"
            raise UsageError(what, where=asked.labels or corpus.folder, hint=hint)
        for line in found.left_out():
            listener(Warned(line))
        table = {**recipe.task, "classes": list(found.classes)}
        if asked.labels:
            table["labels_sha256"] = found.digest
        return replace(recipe, task=table)

    def evaluate(
        self,
        run: TaskRun,
        corpus: Corpus,
        *,
        split: str,
        baseline: bool,
        max_tokens: int | None,
        check: Callable[[], None],
    ) -> ClassEvaluation:
        return evaluate_classes(run, corpus, split=split, floors=baseline, max_tokens=max_tokens, check=check)

    def learner(self, model: Any, source: TokenSource, tokenizer: Tokenizer, *, setup: Setup) -> ClassifyLearner:
        self.check_request(model, setup.recipe, setup.device, taught=False)
        assert isinstance(source, Corpus)
        return ClassifyLearner(model, source, tokenizer, setup=setup)


class ClassifyLearner(Learner[Classifier]):
    """Learns from windows of labelled pieces."""

    def __init__(self, model: Classifier, corpus: Corpus, tokenizer: Tokenizer, *, setup: Setup) -> None:
        super().__init__(model, setup=setup)
        self.corpus, self.tokenizer = corpus, tokenizer
        self.labels: Labelled = labelled(corpus, model.task)
        self._draw = Draw(corpus, self.labels.of("train"), tokenizer, recipe=setup.recipe)

    def made(self, step: int) -> Windows:
        return self._draw(step)

    def loss(self, batch: Windows) -> Loss:
        logits_BK = self.model(batch.ids, batch.lengths_B).float()
        nats_B = F.cross_entropy(logits_BK, batch.classes_B, reduction="none")
        mean = (nats_B * batch.weights_B).sum() / batch.weights_B.sum()
        return Loss(mean, mean.detach())

    def places(self, batch: Windows) -> int:
        return batch.ids.shape[0] * batch.ids.shape[1]

    def validation(self, *, check: Callable[[], None]) -> ClassifyValidation:
        return ClassifyValidation(self, check=check)

    def seen(self, steps: int) -> dict[str, int]:
        return {"windows_seen": steps * self.settings.batch}


class ClassifyValidation(Validation):
    """Scores the labelled pieces of the validation split."""

    def __init__(self, learner: ClassifyLearner, *, check: Callable[[], None]) -> None:
        self.learner = learner
        pieces = learner.labels.of("valid")
        self.truth_P = np.array([number for _, number in pieces], np.int64)
        self.counts = {"valid_pieces": len(pieces)}
        settings = learner.settings
        self.scored = Scored(
            [learner.corpus.ids(record) for record, _ in pieces],
            length=settings.length,
            pad=learner.tokenizer.vocabulary.id("pad"),
            most=most_windows(settings.evaluate_tokens, length=settings.length, pieces=len(pieces)),
            check=check,
        )
        # Each class counts the same, as in training, or each piece.
        balanced = learner.model.task.balance != "none"
        counts = np.bincount(self.truth_P, minlength=len(learner.model.task.classes))
        weight_P = 1 / counts[self.truth_P] if balanced else np.ones(len(pieces))
        self.weight_P = weight_P / max(weight_P.sum(), 1e-9)

    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> Tensor | None:
        if not len(self.truth_P):
            return None
        model, autocast = self.learner.model, self.learner.autocast
        chances_SPK = self.scored.chances(model, inverse_temperature=inverse_temperature, autocast=autocast)
        found = [float((nats(chances_PK, self.truth_P) * self.weight_P).sum()) for chances_PK in chances_SPK]
        return torch.tensor(found, dtype=torch.float64)[:, None]

    def figures(self) -> dict[str, Any]:
        found = measured(self.scored.chances(self.learner.model, autocast=self.learner.autocast)[0], self.truth_P)
        shown = ("accuracy", "balanced_accuracy", "macro_f1")
        return {f"valid_{name}": getattr(found, name) for name in shown}
