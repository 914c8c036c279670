"""confusion.png: which classes a classifier takes for which, on held-out pieces, and the same numbers as confusion.csv.

Rows are the true classes, columns the guesses; a row is shaded by its shares, so that small classes show as well as
large ones, and each field has its count.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

from musicgen.checkpoint import TaskRun
from musicgen.pictures import canvas
from musicgen.pictures.subject import Absent, Subject
from musicgen.tasks.classify.evaluating import ClassEvaluation, evaluate_classes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAME", "TABLE", "confusion_csv", "draw_confusion", "drawn"]

NAME, TABLE = "confusion.png", "confusion.csv"
LONGEST = 24  # characters of a class's name
MOST_NUMBERED = 30  # classes whose fields have room for a number


def drawn(subject: Subject) -> tuple[dict[str, Figure], dict[str, str]]:
    """The picture and its table by name, on the test split of the run's corpus, or else the validation split. Raises
    Absent without labelled pieces there."""
    run, corpus = subject.run, subject.needed_corpus()
    assert isinstance(run, TaskRun)
    split = "test" if corpus.pieces("test") else "valid"
    if not corpus.pieces(split):
        raise Absent("there are no held-out pieces")
    found = evaluate_classes(run, corpus, split=split, floors=False)
    right, total = int(np.trace(found.counts_KK)), int(found.counts_KK.sum())
    title = (
        f"{subject.name} by {found.label or 'label'}: {right:,} of {total:,} {split} pieces right, "
        f"balanced accuracy {found.figures.balanced_accuracy:.3f}"
    )
    return {NAME: draw_confusion(found.counts_KK, classes=found.classes, title=title)}, {TABLE: confusion_csv(found)}


def draw_confusion(counts_KK: np.ndarray, *, classes: tuple[str, ...], title: str) -> Figure:
    """The matrix of counts, rows truth and columns guesses, shaded by the shares of each row."""
    count = len(classes)
    size = float(np.clip(3 + 0.45 * count, 5, 16))
    figure = canvas.figure_of(size + 1.5, size)
    axes = figure.subplots()
    shares_KK = counts_KK / np.maximum(1, counts_KK.sum(axis=1, keepdims=True))
    image = axes.imshow(shares_KK, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(image, ax=axes, label="share of the row's class", shrink=0.8)
    names = [canvas.plain(name[:LONGEST]) for name in classes]
    axes.set_xticks(range(count), names, rotation=45, ha="right", rotation_mode="anchor")
    of_rows = counts_KK.sum(axis=1).tolist()
    axes.set_yticks(range(count), [f"{name} ({number})" for name, number in zip(names, of_rows, strict=True)])
    axes.set_xlabel("guessed")
    axes.set_ylabel("true (pieces)")
    if count <= MOST_NUMBERED:
        for row, column in np.argwhere(counts_KK).tolist():
            colour = "white" if shares_KK[row, column] > 0.55 else "black"
            axes.text(column, row, str(counts_KK[row, column]), ha="center", va="center", color=colour, fontsize=8)
    canvas.entitle(figure, title)
    return figure


def confusion_csv(found: ClassEvaluation) -> str:
    """The counts as CSV: a row for each true class, a column for each guess."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["true", *found.classes])
    writer.writerows([name, *row] for name, row in zip(found.classes, found.counts_KK.tolist(), strict=True))
    return text.getvalue()
