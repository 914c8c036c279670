"""Several runs side by side: what each has learned, as curves in one unit, and how long each was trained.

Losses of one tokenizer are in nats a token. Runs of different tokenizers say different things in a token, so their
losses and lags are counted in notes: by how many tokens a note takes in the validation split of each run's corpus.

Shapes: S rows of the log, K lags, N excerpts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import Run
from musicgen.corpus.store import Corpus
from musicgen.errors import UsageError
from musicgen.pictures.logs import read_columns, read_gradients
from musicgen.pictures.memory import gradients_of
from musicgen.pictures.subject import Absent, Subject
from musicgen.scoring import Scoring

__all__ = ["Compared", "Comparison", "csv_text"]

WINDOWS, WINDOW = 16, 256  # of the validation split, for the nats by horizon


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV; numbers with six digits that count."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in rows)
    return text.getvalue()


@dataclass(frozen=True, eq=False)
class Compared:
    """One of the runs: its name in legends, and `scale`, how many tokens stand for one unit of the comparison."""

    subject: Subject
    name: str
    scale: float

    @property
    def run(self) -> Run:
        run: Run = self.subject.run
        return run

    @property
    def label(self) -> str:
        """The name in a legend, with the family and how long it was trained."""
        return f"{self.name} ({self.run.model.settings.family}; {self.subject.trained})"

    @cached_property
    def log(self) -> dict[str, np.ndarray] | None:
        """The columns of log.csv, losses in the unit of the comparison; None where there is none."""
        path = self.subject.folder / "log.csv"
        if not path.is_file():
            return None
        log = read_columns(path)
        names = ("train_nats_per_token", "valid_nats_per_token")
        if not {"step", "seconds", *names} <= set(log) or not len(log["step"]):
            return None
        return log | {name: log[name] * self.scale for name in names}

    @cached_property
    def by_lag(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(lags in the unit of the comparison, mean norm of the gradient); None where it can't be measured."""
        try:
            norm_NK = gradients_of(self.subject)
        except Absent:
            return None
        mean_K = norm_NK.mean(axis=0)
        return np.arange(len(mean_K)) / self.scale, mean_K

    @cached_property
    def by_layer(self) -> dict[str, float] | None:
        """The mean norm of each layer's gradient over the second half of the log, from input to output."""
        path = self.subject.folder / "gradients.csv"
        if not path.is_file():
            return None
        found = read_gradients(path)
        return {name: float(np.mean(norms[len(norms) // 2 :])) for name, (_, norms) in found.items()} or None

    @cached_property
    def by_horizon(self) -> np.ndarray | None:
        """Mean nats of the step 1, 2, .. H ahead, on windows of the validation split; None without its corpus."""
        try:
            source = self.subject.needed_corpus()
        except Absent:
            return None
        spans = source.spans("valid")[:WINDOWS]
        if not len(spans):
            return None
        model, scoring = self.run.model.eval(), Scoring.of(self.run.tokenizer, self.subject.device)
        length = min(WINDOW, model.context or WINDOW)
        sums = np.zeros((model.settings.horizon, 2))
        with torch.inference_mode():
            for offset, size in spans.tolist():
                ids = self.subject.tensor(source.tokens[offset : offset + min(size, length + 1)])[None]
                targets = scoring.targets(ids[:, 1:])
                nats, _ = scoring.nats_ahead(model, ids[:, :-1], targets)
                counted_T = (targets != scoring.pad).view(*targets.shape[:2], -1).any(-1)[0]
                for ahead, each in enumerate(nats):
                    sums[ahead] += each.sum().item(), counted_T[ahead:].sum().item()
        mean: np.ndarray = sums[:, 0] / np.maximum(1, sums[:, 1]) * self.scale
        return mean


@dataclass(frozen=True)
class Comparison:
    """Runs on one axis. `unit` is token, or note where the tokenizers differ; `notes` is what a reader has to know."""

    runs: tuple[Compared, ...]
    unit: str
    notes: tuple[str, ...]

    @classmethod
    def of(cls, runs: Sequence[Run], folders: Sequence[Path]) -> Comparison:
        """The comparison of these runs. Raises UsageError where they can't be brought to one unit."""
        subjects = [Subject(run, folder) for run, folder in zip(runs, folders, strict=True)]
        names = [run.name for run in runs]
        if len(set(names)) < len(names):
            names = [str(folder) for folder in folders]
        one = all(run.tokenizer.spec == runs[0].tokenizer.spec for run in runs)
        compared = tuple(
            Compared(subject, name, 1.0 if one else _tokens_a_note(subject))
            for subject, name in zip(subjects, names, strict=True)
        )
        notes = [
            f"{each.name} is untrained: after {each.subject.time_taken} it shows what it began with"
            for each in compared
            if each.subject.is_untrained
        ]
        if not one:
            told = ", ".join(
                f"{each.name} {each.run.tokenizer.name} ({each.scale:.2f} tokens a note)" for each in compared
            )
            notes.append(f"different tokenizers, so nats are those of a note: {told}")
        if len({run.recipe.data.corpus_sha256 for run in runs}) > 1 and one:
            notes.append("the runs learned from different corpora, so their losses are of different music")
        return cls(compared, "token" if one else "note", tuple(notes))

    def title(self, what: str) -> str:
        """A title that says what is drawn, and which of the runs are untrained."""
        untrained = [each.name for each in self.runs if each.subject.is_untrained]
        return f"{what}; untrained: {', '.join(untrained)}" if untrained else what


def _tokens_a_note(subject: Subject) -> float:
    """Tokens for each note in the validation split of the run's corpus. Raises UsageError without the corpus."""
    try:
        source: Corpus = subject.needed_corpus()
    except Absent:
        what = "the runs have different tokenizers, and the corpus that tells how many tokens a note takes is not there"
        raise UsageError(
            what, where=subject.folder, hint="compare runs of one tokenizer, or put the corpus back"
        ) from None
    pieces = source.pieces("valid") or source.pieces("train")
    tokens = sum(record.length - 1 for record in pieces)
    notes = sum(subject.run.tokenizer.count_notes(source.ids(record)) for record in pieces)
    return float(tokens / max(1, notes))
