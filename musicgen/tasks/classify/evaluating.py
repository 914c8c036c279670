"""What a classifier comes to on the labelled pieces of a split, and what simple rules come to beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, PieceRecord
from musicgen.errors import UsageError
from musicgen.models.tasks.classifier import Classifier
from musicgen.tasks.classify.figures import ClassFigures, confusion, measured
from musicgen.tasks.classify.labels import Labelled, labelled, labels_of
from musicgen.tasks.classify.neighbours import Neighbours, majority
from musicgen.tasks.classify.scoring import Scored, most_windows
from musicgen.tasks.pieces import pieces_of

__all__ = ["ClassEvaluation", "evaluate_classes", "labels_for"]

MOST_WINDOWS = 64  # of a piece


@dataclass(frozen=True)
class ClassEvaluation:
    """A classifier's figures on a split. `counts_KK` says how many pieces of the row's class were taken for the
    column's; `floors` are the figures of simple rules on the same pieces, by name."""

    run: str
    corpus: Path
    split: str
    label: str
    classes: tuple[str, ...]
    counts_KK: np.ndarray
    figures: ClassFigures
    floors: dict[str, ClassFigures]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "run": self.run,
            "corpus": str(self.corpus),
            "task": "classify",
            "split": self.split,
            "label": self.label,
            **self.figures.to_dict(),
            "classes": list(self.classes),
            "confusion": self.counts_KK.tolist(),
            "floors": {name: figures.to_dict() for name, figures in self.floors.items()},
        }

    def lines(self) -> list[str]:
        """The figures in words, a table of the model and the rules beside it."""
        rows = {"this model": self.figures, **self.floors}
        wide, label = max(map(len, rows)), self.label or "label"
        lines = [f"{self.split}: {self.figures.pieces:,} pieces of {len(self.classes)} classes by {label}",
                 f"  {'':<{wide}}  accuracy  balanced  macro F1  nats a piece"]  # fmt: skip
        for name, each in rows.items():
            nats = "-" if each.nats_per_piece is None else f"{each.nats_per_piece:.3f}"
            shares = "".join(f"  {share:8.3f}" for share in (each.accuracy, each.balanced_accuracy, each.macro_f1))
            lines.append(f"  {name:<{wide}}{shares}  {nats:>12}")
        return lines


def labels_for(run: TaskRun, corpus: Corpus) -> Labelled:
    """The pieces of a corpus with the run's labels. For another corpus than its own, the index file may be another."""
    task: Any = run.model.task
    if run.recipe.data.corpus_sha256 == corpus.sha256:
        return labelled(corpus, task)
    return labels_of(corpus, label=task.label, labels=task.labels, classes=task.classes)


def evaluate_classes(
    run: TaskRun,
    corpus: Corpus,
    *,
    split: str,
    floors: bool,
    max_tokens: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> ClassEvaluation:
    """Classify the pieces of a split. With `floors` the majority guess and the nearest neighbours, which learn from the
    training split of the same corpus, are measured too. Raises UsageError where no piece of the split has a label."""
    model = run.model
    assert isinstance(model, Classifier)
    corpus.check()
    found = labels_for(run, corpus)
    pieces = found.of(split) if corpus.pieces(split) else []
    if not pieces:
        what = f"no piece of the split {split!r} has a label that the run knows"
        raise UsageError(what, where=corpus.folder, hint="choose another `split`, or another corpus")
    length, pad = run.recipe.train.length, run.tokenizer.vocabulary.id("pad")
    most = MOST_WINDOWS if max_tokens is None else most_windows(max_tokens, length=length, pieces=len(pieces))
    ids = [corpus.ids(record) for record, _ in pieces]
    chances_PK = Scored(ids, length=length, pad=pad, most=most, check=check).chances(model)[0]
    truth_P, count = np.array([number for _, number in pieces]), len(model.task.classes)
    return ClassEvaluation(
        run.name,
        corpus.folder,
        split,
        model.task.label,
        model.task.classes,
        confusion(chances_PK.argmax(axis=1), truth_P, classes=count),
        measured(chances_PK, truth_P),
        _floors(corpus, found, truth_P, split=split, classes=count) if floors else {},
    )


def _floors(
    corpus: Corpus, found: Labelled, truth_P: np.ndarray, *, split: str, classes: int
) -> dict[str, ClassFigures]:
    """The majority guess and the nearest neighbours."""
    train = found.of("train")
    if not train:
        return {}
    train_N = np.array([number for _, number in train])
    rules = {"majority guess": majority(train_N, pieces=len(truth_P), classes=classes)}
    music = {record.offset: piece for part in {"train", split} for record, piece in pieces_of(corpus, part)}

    def of(pieces: list[tuple[PieceRecord, int]]) -> list[Any]:
        return [music[record.offset] for record, _ in pieces]

    if split != "train":
        nearest = Neighbours(of(train), train_N, classes=classes)
        rules[f"nearest neighbours, k {nearest.k}"] = nearest.chances(of(found.of(split)))
    return {name: measured(chances_PK, truth_P) for name, chances_PK in rules.items()}
