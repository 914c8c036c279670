"""Classify pieces with a run of `musicgen train --task classify`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.checkpoint import TaskRun, load_task_run
from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io import read
from musicgen.io.midi import Limits
from musicgen.models.tasks.classifier import Classifier
from musicgen.piece import Piece
from musicgen.tasks.classify.scoring import Scored
from musicgen.training.loop import choose_device

__all__ = ["Classified", "classify", "classify_piece"]

MOST_WINDOWS = 64  # of a piece


@dataclass(frozen=True)
class Classified:
    """The probabilities of a piece's classes, most probable first; or why it has none."""

    piece: str
    label: str
    probabilities: dict[str, float]
    windows: int = 0
    error: MusicgenError | None = None

    @property
    def best(self) -> str | None:
        """The most probable class."""
        return next(iter(self.probabilities), None)

    def to_dict(self, *, top: int | None = None) -> dict[str, Any]:
        """Plain values for JSON, with the `top` most probable classes or all."""
        if self.error is not None:
            return {"piece": self.piece, "error": str(self.error)}
        few = dict(list(self.probabilities.items())[:top])
        return {
            "piece": self.piece,
            "label": self.label,
            "class": self.best,
            "probabilities": few,
            "windows": self.windows,
        }


def classify(
    pieces: Iterable[str | Path], *, model: str | Path, limits: Limits | None = None, device: str = "auto"
) -> list[Classified]:
    """Classify the pieces in files. A file that can't be read, or has no notes, has its `error` in the result.

    `model` is a run folder. Raises UnreadableError where that is no run that classifies.

    >>> classify(["jig.mid"], model="dances")[0].probabilities  # doctest: +SKIP
    {'jig': 0.91, 'reel': 0.09}
    """
    run = load_task_run(model, task="classify")
    run.model.to(choose_device(device))
    found = []
    for path in pieces:
        try:
            found.append(classify_piece(read(path, limits=limits), run, name=str(path)))
        except MusicgenError as error:
            found.append(Classified(str(path), run.model.task.label, {}, error=error))
    return found


def classify_piece(piece: Piece, run: TaskRun, *, name: str = "piece") -> Classified:
    """The probabilities of one piece: the mean over windows that cover it. Raises UnreadableError for a piece without
    notes that the run's tokenizer reads."""
    model, tokenizer = run.model, run.tokenizer
    assert isinstance(model, Classifier)
    ids = np.asarray(tokenizer.encode(piece))
    if not tokenizer.count_notes(ids):
        raise UnreadableError("has no notes that this run's tokenizer reads", where=name, hint="give another piece")
    pad = tokenizer.vocabulary.id("pad")
    scored = Scored([ids], length=run.recipe.train.length, pad=pad, most=MOST_WINDOWS)
    chances_K = scored.chances(model)[0, 0]
    order = np.argsort(-chances_K, kind="stable")
    probabilities = {model.task.classes[k]: float(chances_K[k]) for k in order.tolist()}
    return Classified(name, model.task.label or "label", probabilities, windows=len(scored.owners))
