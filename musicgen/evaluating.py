"""Measure a run on a split of a corpus: how well it predicts notes, or what its task's own figures are.

Errors name parameters in backquotes, which the commands show as their options.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.checkpoint import AnyRun, TaskRun, load_any_run, load_run
from musicgen.corpus.store import Corpus, own_corpus
from musicgen.errors import UsageError
from musicgen.evaluation import likelihood
from musicgen.evaluation.figures import Figures
from musicgen.evaluation.ngram import Baseline, doubt, evaluate_ngram
from musicgen.events import Began, Finished, Listener, Warned, ignore
from musicgen.stopping import Cancel, cancellable
from musicgen.tasks.registry import task_of
from musicgen.training.loop import choose_device
from musicgen.training.task import TaskEvaluation
from musicgen.words import spec_in_words

__all__ = ["Evaluation", "evaluate", "evaluate_task"]

Source = str | Path


@dataclass(frozen=True)
class Evaluation:
    """How well a run predicts a split of a corpus, and how well an n-gram baseline does, if requested.

    >>> evaluate("run").figures.nats_per_token  # doctest: +SKIP
    2.31
    """

    run: str
    corpus: Path
    figures: Figures
    baseline: Baseline | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the figures beside `run`, `corpus` and `baseline`."""
        table = {"run": self.run, "corpus": str(self.corpus), **self.figures.to_dict()}
        return table if self.baseline is None else {**table, "baseline": self.baseline.to_dict()}


def evaluate(
    run: Source,
    corpus: Source | None = None,
    *,
    split: str = "valid",
    max_tokens: int | None = None,
    baseline: bool = False,
    device: str = "auto",
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> Evaluation:
    """Measure how well a run or a bundled model predicts the pieces of a split (train, valid or test).

    `corpus` is a built corpus folder; by default the one that the run was trained on. With `max_tokens`, about so many
    tokens spread over the split are scored, else all. `baseline` also scores a back-off n-gram model of the same
    tokens, field by field where a step has fields. Raises UsageError if the corpus has another tokenizer or the split
    is empty, UnreadableError for damaged folders.

    >>> evaluate("run", "songs/corpus", split="test", baseline=True).to_dict()["perplexity"]  # doctest: +SKIP
    10.1
    """
    loaded = load_run(run)
    source = _corpus_of(loaded, run, corpus)
    listener(Began("evaluation", "piece"))
    found = likelihood.evaluate(
        loaded.model.to(choose_device(device)),
        source,
        loaded.tokenizer,
        split=split,
        max_tokens=max_tokens,
        listener=cancellable(listener, cancel),
    )
    floor = evaluate_ngram(source, loaded.tokenizer, split=split, max_tokens=max_tokens) if baseline else None
    listener(Finished("evaluation"))
    if few := doubt(split, found.pieces):
        listener(Warned(few))
    return Evaluation(str(run), source.folder, found, floor)


def evaluate_task(
    run: Source,
    corpus: Source | None = None,
    *,
    split: str = "valid",
    max_tokens: int | None = None,
    baseline: bool = True,
    device: str = "auto",
    cancel: Cancel | None = None,
) -> TaskEvaluation:
    """Measure a run of another task than next-note prediction, by that task's own figures: `to_dict()` and `lines()`.

    Parameters and errors as of `evaluate`; `baseline` adds what simple rules come to on the same pieces.
    """
    loaded = load_any_run(run)
    if not isinstance(loaded, TaskRun):
        raise UsageError("is a run of next-note prediction", where=run, hint="use `evaluate`")
    source, check = _corpus_of(loaded, run, corpus), (cancel or Cancel()).check
    loaded.model.to(choose_device(device))
    task = task_of(loaded.recipe.task)
    return task.evaluate(loaded, source, split=split, baseline=baseline, max_tokens=max_tokens, check=check)


def _corpus_of(loaded: AnyRun, run: Source, corpus: Source | None) -> Corpus:
    """The corpus to measure on. Raises UsageError if it has another tokenizer than the run."""
    folder = Path(corpus) if corpus is not None else own_corpus(run, loaded.recipe.data.corpus)
    source = Corpus.open(folder)
    if source.spec != loaded.tokenizer.spec:
        raise UsageError(
            f"this corpus was built with the tokenizer {spec_in_words(source.spec)}, "
            f"the run uses {spec_in_words(loaded.tokenizer.spec)}",
            where=folder,
            hint="build the corpus again with the run's tokenizer",
        )
    return source
