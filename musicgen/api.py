"""The library's interface for making models: build a corpus, train on it, evaluate the model.

Each function takes the parameters of the command with the same name, checks all of them before anything is written, and
returns a typed result; those that evaluate are in `evaluating.py`. A listener is called with progress events
(`events.py`), and a `Cancel` ends the work from another thread, with Cancelled (`stopping.py`). Errors are subclasses
of `MusicgenError`, of one line each; they name parameters in backquotes, which the commands show as their options.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from musicgen.callbacks import Callback, Callbacks
from musicgen.checkpoint import load_run
from musicgen.corpus import build
from musicgen.corpus.journal import part_of
from musicgen.corpus.store import Corpus, is_corpus
from musicgen.errors import UsageError
from musicgen.evaluating import Evaluation, evaluate, evaluate_task
from musicgen.evaluation import likelihood
from musicgen.evaluation.figures import Figures
from musicgen.evaluation.ngram import Baseline, doubt, evaluate_ngram
from musicgen.events import Began, Finished, Listener, Saved, Warned, ignore
from musicgen.io.beside import Beside
from musicgen.io.locks import Hold
from musicgen.io.midi import Limits
from musicgen.planning import Plan, check_corpus, plan_run
from musicgen.recipe import Recipe
from musicgen.runs.checked import read_card
from musicgen.runs.lineage import data_settings, first_card
from musicgen.stopping import Cancel, Cancelled
from musicgen.tokenizers import Tokenizer
from musicgen.training.board import Board, chosen_logs
from musicgen.training.budget import Chosen, fitted_to_budget
from musicgen.training.loop import check_limits
from musicgen.training.loop import train as train_model
from musicgen.training.recipes import Asked
from musicgen.words import counted

__all__ = ["Evaluation", "Trained", "build_corpus", "evaluate", "evaluate_task", "train"]

Source = str | Path
FLOOR_TOKENS = 1_000_000  # counted for the floor at the end of training: seconds, not minutes
COMPARED_TOKENS = 16_384  # of whole validation pieces, on which a trained model is compared with the floor


# ---- corpora ---------------------------------------------------------------------------------------------


def build_corpus(
    sources: Source | Iterable[Source],
    output: Source,
    *,
    tokenizer: Tokenizer | dict[str, Any] | str | None = None,
    valid: float = 0.05,
    test: float = 0.05,
    works_by: Literal["file", "folder"] = "file",
    licence: str = "unknown",
    seed: int = 0,
    limits: Limits | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> Corpus:
    """Build a corpus folder from music, and open it.

    `sources` are folders, files, and names in the catalogue. `tokenizer` is a name, a spec or a tokenizer (default:
    `notes`). `valid` and `test` are the shares of works that are held out; `works_by` says whether a work is a file or
    a folder. `licence` is that of files which aren't from the catalogue; `limits` apply to each MIDI file. `jobs`
    worker processes read the files (default: one per core); the corpus doesn't depend on their number.
    Raises UsageError for an unsuitable source or output, UnreadableError if no file is usable. Calling it again resumes
    an interrupted build.

    >>> build_corpus("songs", "corpus", valid=0.1, licence="CC0").info()["pieces"]  # doctest: +SKIP
    120
    >>> build_corpus("songs", "corpus", works_by="composer")
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: works_by is 'composer'; give 'file' or 'folder'
    """
    if works_by not in ("file", "folder"):
        raise UsageError(f"works_by is {works_by!r}", hint="give 'file' or 'folder'")
    settings = build.BuildSettings(
        licence=licence,
        seed=seed,
        valid=valid,
        test=test,
        by_folder=works_by == "folder",
        overwrite=overwrite,
        limits=limits,
    )
    named = [sources] if isinstance(sources, str | Path) else sources
    return build.build_corpus(
        named, output, listener=listener, cancel=cancel, tokenizer=tokenizer, jobs=jobs, settings=settings
    )


# ---- training --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trained:
    """A trained run. Losses are in nats per token, None if the corpus has no validation pieces.

    `valid_nats_per_token` is the validation loss of the best weights, those after step `best_step`, of next-note
    prediction; `task` names another task, whose figures are on the card;
    `valid_nats_per_token_before` is that of the weights it started from. `seconds` is the training time. `card` is the
    content of card.json. `floor` is what counting in the same corpus comes to on about 16,000 validation tokens of
    whole pieces, and `compared` what the best weights come to on the same ones.

    >>> trained = train("songs", output="run", model="lstm", steps=300)  # doctest: +SKIP
    >>> trained.valid_nats_per_token, trained.best_step  # doctest: +SKIP
    (2.31, 300)
    """

    folder: Path
    steps: int
    best_step: int
    seconds: float
    parameters: int
    valid_nats_per_token: float | None
    valid_nats_per_token_before: float | None
    card: dict[str, Any] = field(repr=False)
    floor: Baseline | None = None
    task: str = ""
    compared: Figures | None = None


def train(
    corpus: Source,
    *,
    output: Source,
    model: str | None = None,
    preset: str | None = None,
    recipe: Source | Recipe | None = None,
    changes: Mapping[str, Any] | None = None,
    embedding: str | None = None,
    tokenizer: Tokenizer | dict[str, Any] | str | None = None,
    task: str | Mapping[str, Any] = "",
    teachers: Iterable[Source] = (),
    start: Source | None = None,
    steps: int | None = None,
    max_seconds: float | None = None,
    seed: int | None = None,
    precision: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    log: str | Iterable[str] = "csv",
    callbacks: Iterable[Callback] = (),
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> Trained:
    """Train a model into the run folder `output`: of the next note or, with `task`, of something else.

    `corpus` is a built corpus folder, a folder of music, or a name in the catalogue; if it isn't built yet, it is built
    in the run folder, with `tokenizer` (see `build_corpus`).

    The model is a `model` family (window, cnn, rnn, gru, lstm, cnn-lstm or transformer, the default) of a `preset` size
    (tiny, the default, of a million parameters, small, medium or large), or that of a `recipe`; `changes` overrides
    single settings, such as {"model.horizon": 4}, and `embedding` chooses the input representation of tokens (learned
    or one-hot). `start` is a run or a bundled model whose weights it starts from (fine-tuning); `teachers` are runs to
    distill.

    `task` is the name of a task, or its settings with the name: {"name": "classify", "label": "folder"}
    (docs/tasks.md).

    Training takes `steps` optimiser steps or `max_seconds`, whichever ends first, with random `seed`, in `precision`
    (auto, float32 or bfloat16), on `device` (auto, cpu, cuda or mps), with `workers` processes that prepare batches.
    What no `recipe`, `start` or `changes` says of batches and validation is fitted to `max_seconds` or few `steps`.
    `resume` resumes the run in the folder; `overwrite` replaces it, once the new one has begun. `log` names the logs:
    csv, which is always written, and tensorboard. `callbacks` are told of steps and evaluations, and may stop the
    training (`callbacks.py`).

    Raises UsageError and UnreadableError for an unsuitable request, before anything is written; CheckError if the loss
    is not finite. When it is cancelled, the run is saved and Cancelled is raised; on Ctrl-C and SIGTERM
    Interrupted, a KeyboardInterrupt.

    >>> train("songs", output="run", preset="tiny", steps=300, callbacks=[EarlyStopping()])  # doctest: +SKIP
    """
    check_limits(max_seconds, workers)
    table = dict(task) if isinstance(task, Mapping) else {"name": task} if task else {}
    asked = Asked(
        model,
        preset,
        recipe,
        changes or {},
        embedding,
        tokenizer,
        tuple(teachers),
        start,
        steps,
        seed,
        precision,
        table,
    )
    folder = Path(output)
    boards = [Board(folder)] if "tensorboard" in chosen_logs(log) else []
    told = Callbacks([*callbacks, *boards], listener, cancel)
    with Hold(folder) as hold:
        if hold.note:
            told(Warned(hold.note))
        timed = max_seconds is not None
        plan = plan_run(
            corpus,
            folder,
            asked=asked,
            device=device,
            resume=resume,
            overwrite=overwrite,
            timed=timed,
            listener=told,
        )
        if resume:
            told(Saved())
        card, floor, compared = _trained(
            plan,
            corpus,
            folder=folder,
            hold=hold,
            listener=told,
            resume=resume,
            max_seconds=max_seconds,
            device=device,
            workers=workers,
        )
    told.end(card)
    return Trained(
        folder,
        steps=card["steps"],
        best_step=card["best_step"],
        seconds=card["seconds"],
        parameters=card["parameters"],
        valid_nats_per_token=card.get("valid_nats_per_token"),
        valid_nats_per_token_before=card.get("valid_nats_per_token_before"),
        card=card,
        floor=floor,
        task=card.get("task", ""),
        compared=compared,
    )


def _trained(
    plan: Plan,
    named: Source,
    *,
    folder: Path,
    hold: Hold,
    listener: Callbacks,
    resume: bool,
    max_seconds: float | None,
    device: str,
    workers: int | None,
) -> tuple[dict[str, Any], Baseline | None, Figures | None]:
    """Carry out a plan: build the corpus if needed, then train; return the card of the run, the n-gram floor, and the
    figures of the model on the floor's pieces."""
    with ExitStack() as stack:
        beside = stack.enter_context(Beside(folder, parts=plan.replaced)) if plan.replaced else None

        def begun(home: Path) -> Path:
            home = beside.swap() if beside else home
            listener(Saved())
            return home

        home = beside.path if beside else folder
        corpus = plan.corpus
        if corpus is None:
            listener(Warned(f"building a corpus from {named} at {folder / 'corpus'}"))
            # The partial build is kept beside the run, for a new run's hidden folder is lost if this process is killed.
            part = part_of(f"{folder}.corpus")
            corpus = build.build_corpus(
                [named], home / "corpus", tokenizer=plan.tokenizer, listener=listener, cancel=listener.cancel, part=part
            )
        if resume:
            check_corpus(plan.recipe, corpus, named=named)
        start_sha256 = plan.start.sha256 if plan.start else plan.recipe.data.start_sha256 if resume else ""
        data = data_settings(corpus, str(named), teachers=plan.teachers, start_sha256=start_sha256)
        recipe = replace(plan.recipe, data=replace(data, shuffle_notes=plan.recipe.data.shuffle_notes))
        if plan.corpus is None and not resume:
            recipe = plan.task.settled(recipe, corpus, listener=listener)
        fitted = Chosen(recipe)
        if plan.free:
            how: dict[str, Any] = {"max_seconds": max_seconds, "device": plan.device}
            fitted = fitted_to_budget(recipe, corpus, plan.tokenizer, task=plan.task, free=plan.free, **how)
            recipe = fitted.recipe
        info = corpus.info()
        data_in_words = f"{counted(info['pieces'], 'piece')}, {counted(info['tokens'], 'token')}"
        about = f"{data_in_words}; {recipe.model['family']} on {plan.device}"
        about = f"{about}; {fitted.words}" if fitted.words else about
        listener(Began("training", "step", recipe.train.steps, about))
        for line in _doubts(recipe, corpus):
            listener(Warned(line))
        try:
            card = train_model(
                corpus,
                plan.tokenizer,
                recipe=recipe,
                folder=home,
                card=first_card(corpus, str(named), title=folder.name, teachers=plan.teachers, start=plan.start),
                resume=resume,
                max_seconds=max_seconds,
                device=device,
                workers=workers,
                task=plan.task,
                start=plan.start.model if plan.start else None,
                begun=begun,
                listener=listener,
                cancel=listener.cancel,
                hold=hold,
            )
        except Cancelled as error:
            if not listener.cancel.by_callback or error.step is None:
                raise
            card = read_card(folder / "card.json")
        listener(Finished("training"))
        if card.get("valid_nats_per_token") is None:
            return card, None, None
        try:
            most = COMPARED_TOKENS
            # One that was built for this run may have moved with it.
            source = Corpus.open(corpus.folder if is_corpus(corpus.folder) else folder / "corpus")
            floor = evaluate_ngram(source, plan.tokenizer, max_tokens=most, most_counted=FLOOR_TOKENS)
            if not floor.counted_tokens:
                return card, None, None
            best = load_run(folder).model.to(plan.device)
            return card, floor, likelihood.evaluate(best, source, plan.tokenizer, max_tokens=most)
        except KeyboardInterrupt:  # the run is whole: only the comparison is left out
            return card, None, None


def _doubts(recipe: Recipe, corpus: Corpus) -> list[str]:
    """Warnings for settings that are allowed but probably not intended."""
    context, length = recipe.model.get("context", 0), recipe.train.length
    lines = []
    if recipe.model["family"] == "transformer" and length < context and not recipe.task:
        lines.append(f"windows of {length} tokens train only a part of the context of {context}: make them equal")
    if not len(corpus.spans("valid")):
        lines.append("no validation pieces in this corpus: the last weights are kept instead of the best")
    if few := doubt("valid", len(corpus.spans("valid"))):
        lines.append(few)
    return lines
