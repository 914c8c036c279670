"""`musicgen train`."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import FAMILIES, SIZES, catalogue_names, models, names_and_files, one_of
from musicgen.cli.help import Command
from musicgen.cli.options import (
    Whole,
    device_option,
    duration,
    json_option,
    overwrite_option,
    print_json,
    say,
    tokenizer_options,
    warn,
)
from musicgen.errors import printable
from musicgen.seeds import MOST_SEED
from musicgen.words import counted

__all__ = ["command"]


@click.command("train", cls=Command)
@click.argument("corpus", type=click.Path(), shell_complete=names_and_files(catalogue_names))
@click.option("-o", "--output", "run", required=True, type=click.Path(), metavar="RUN", help="The run folder to write.")
@click.option(
    "--model",
    "family",
    default=None,
    metavar="NAME",
    shell_complete=one_of(*FAMILIES),
    help="window, cnn, rnn, gru, lstm, cnn-lstm or transformer.  [transformer]",
)
@click.option(
    "--preset",
    "size",
    default=None,
    metavar="SIZE",
    shell_complete=one_of(*SIZES),
    help="tiny, small, medium or large.  [tiny]",
)
@click.option(
    "--recipe", "recipe_file", type=click.Path(), default=None, metavar="FILE", help="A recipe.toml with all settings."
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Change one setting of the recipe, such as model.horizon=4 or train.carry=true.",
)
@click.option(
    "--embedding",
    type=click.Choice(["learned", "one-hot"]),
    default=None,
    help="How tokens enter the model.  [learned]",
)
@click.option(
    "--teacher",
    "teachers",
    multiple=True,
    type=click.Path(),
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="Learn what this run says of each next step, instead of only which one came; repeatable.",
)
@click.option(
    "--from",
    "start",
    default=None,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="Fine-tune: start from the weights of a run, or of a model that comes along.",
)
@tokenizer_options
@click.option("--steps", type=Whole(min=1), default=None, help="Optimiser steps.  [by the preset; 300 with --from]")
@click.option(
    "--max-time",
    default=None,
    metavar="TIME",
    help="Stop after this long, such as 10m; the learning rate plans for it.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in the output folder.")
@click.option("--seed", type=Whole(0, MOST_SEED), default=None, help="Weights, data order and dropout.  [0]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default=None,
    help="What numbers are kept in; auto: bfloat16 where it helps.  [auto]",
)
@device_option
@click.option(
    "--workers",
    type=Whole(0, 64),
    default=None,
    help="Processes that prepare batches.  [none for a CPU, one a core for a GPU]",
)
@json_option
@overwrite_option
def command(
    corpus: str,
    run: str,
    resume: bool,
    max_time: str | None,
    device: str,
    workers: int | None,
    as_json: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Train a next-note model on CORPUS: a built corpus folder, a folder of music, or a catalogue name.

    Ctrl-C and SIGTERM save; `--resume` goes on. The best weights so far are always in RUN/model.safetensors. With
    --overwrite a run that lies there is replaced once the new one has begun; what else lies in the folder stays.

    With --from the tokenizer, the model's shape and the augmentation are those of that run.
    """
    from musicgen.io.locks import Hold
    from musicgen.stopping import Interrupted

    seconds, folder = duration(max_time), Path(run)
    job: _Job | None = None
    try:
        with Hold(folder) as hold:
            if hold.note:
                warn(hold.note)
            job = _Job(corpus, folder, options, hold, device, resume=resume, overwrite=overwrite, seconds=seconds)
            card = job.run(workers=workers, quiet=as_json)
    except KeyboardInterrupt as error:
        number, step = getattr(error, "number", signal.SIGINT), getattr(error, "step", None)
        # Nothing must be said to be saved that isn't: only where training ended in good order it is.
        if isinstance(error, Interrupted) and step is not None:
            said = f"saved; go on with `{_again(corpus, run, options)}`"
        elif job is not None and job.moved:
            said = f"not saved; go on from the last checkpoint with `{_again(corpus, run, options)}`"
        elif job is not None and job.building:
            said = "no step was taken; the same command goes on building the corpus"
        else:
            said = "nothing was begun; what lay there is as it was"
        warn(f"interrupted: {said}")
        sys.exit(128 + number)
    if as_json:
        print_json({"run": str(folder), **card})
        return
    valid = card["valid_nats_per_token"]
    say(f"{folder}: {counted(card['steps'], 'step')}, {card['seconds']:.0f} s, {card['parameters']:,} parameters")
    if valid is not None:
        was = card.get("valid_nats_per_token_before")
        before = "" if was is None else f"; {was:.4f} before"
        say(f"validation loss {valid:.4f} nats a token (best, at step {card['best_step']}{before})")
    say(f"use it: musicgen continue piece.mid -m {folder}")


class _Job:
    """One run of the command: plan, corpus, training. `moved` is set once a run that can be resumed lies in its folder,
    `building` while the corpus is built."""

    def __init__(
        self,
        corpus: str,
        folder: Path,
        options: dict[str, Any],
        hold: Any,
        device: str,
        *,
        resume: bool,
        overwrite: bool,
        seconds: float | None,
    ) -> None:
        self.corpus, self.folder, self.options, self.hold, self.device = corpus, folder, options, hold, device
        self.resume, self.overwrite, self.seconds = resume, overwrite, seconds
        self.moved, self.building = False, False

    def run(self, *, workers: int | None, quiet: bool) -> dict[str, Any]:
        """Do it; the card of the run."""
        from dataclasses import replace

        from musicgen.cli.corpus import build_at
        from musicgen.cli.train_plan import check_corpus, plan_run
        from musicgen.corpus.journal import part_of
        from musicgen.io.beside import Beside
        from musicgen.recipe import DataSettings
        from musicgen.training.loop import train

        corpus, folder, resume = self.corpus, self.folder, self.resume
        plan = plan_run(
            corpus,
            folder,
            self.options,
            device=self.device,
            resume=resume,
            overwrite=self.overwrite,
            timed=self.seconds is not None,
        )
        self.moved = resume
        with contextlib.ExitStack() as stack:
            beside = stack.enter_context(Beside(folder, parts=plan.replaced)) if plan.replaced else None

            def begun(home: Path) -> Path:
                home, self.moved = beside.swap() if beside else home, True
                return home

            home = beside.path if beside else folder
            source = plan.source
            if source is None:
                warn(f"building a corpus from {corpus} at {folder / 'corpus'}")
                self.building = True
                # Beside the run: a new run's hidden folder goes when this is killed.
                source = build_at(home / "corpus", corpus, tokenizer=plan.tokenizer, part=part_of(f"{folder}.corpus"))
                self.building = False
            if resume:
                check_corpus(plan.recipe, source, corpus)
            digests = " ".join(teacher.sha256 for teacher in plan.teachers)
            begun_with = plan.start.sha256 if plan.start else plan.recipe.data.start_sha256 if resume else ""
            recipe = replace(plan.recipe, data=DataSettings(str(corpus), source.sha256, digests, begun_with))
            if not quiet:
                _announce(recipe, source, plan.device)
            _warn_of(recipe, source)
            with _Bar(recipe.train.steps) as bar:
                return train(
                    source,
                    plan.tokenizer,
                    recipe=recipe,
                    folder=home,
                    card=_card(folder.name, source, corpus, plan.teachers, plan.start),
                    resume=resume,
                    max_seconds=self.seconds,
                    device=self.device,
                    workers=workers,
                    teachers=[teacher.model for teacher in plan.teachers],
                    start=plan.start.model if plan.start else None,
                    report=bar.report,
                    begun=begun,
                    told=_warn_at_once,
                    hold=self.hold,
                )


def _warn_at_once(text: str) -> None:
    """`warn` from within a signal's handler, which may have come in the middle of another line."""
    try:
        os.write(sys.stderr.fileno(), f"{printable(text)}\n".encode())
    except (OSError, ValueError):  # no real stream
        warn(text)


def _again(corpus: str, run: str, options: dict[str, Any]) -> str:
    """The command that goes on with the run."""
    teachers = [word for name in options["teachers"] for word in ("--teacher", name)]
    return shlex.join(["musicgen", "train", corpus, "-o", run, *teachers, "--resume"])


def _announce(recipe: Any, source: Any, device: Any) -> None:
    info = source.info()
    music = f"{counted(info['pieces'], 'piece')}, {counted(info['tokens'], 'token')}"
    warn(f"{music}; {recipe.model['family']} on {device}; Ctrl-C saves")


def _warn_of(recipe: Any, source: Any) -> None:
    """Tell what is allowed, but hardly meant."""
    context, length = recipe.model.get("context", 0), recipe.train.length
    if recipe.model["family"] == "transformer" and length < context:
        warn(f"windows of {length} tokens train only a part of the context of {context}: make them equal")
    if not len(source.spans("valid")):
        warn("no validation pieces in this corpus: the last weights are kept instead of the best")


def _card(title: str, source: Any, corpus: str, teachers: list[Any], start: Any) -> dict[str, Any]:
    """What is known of a run before it is trained: what teachers and the run that it starts from learned from has gone
    into it, too."""
    info = source.info()
    own = {
        "corpus": str(corpus),
        "pieces": info["pieces"],
        "notes": info["notes"],
        "sha256": source.sha256,
        "licences": info["licences"],
    }
    data, licences = [own], set(info["licences"])
    for other in (*teachers, *filter(None, [start])):
        data += [entry for entry in other.card.get("data", []) if entry not in data]
        licences |= set(filter(None, other.card.get("licence", "").split(" and ")))
    card: dict[str, Any] = {"title": title, "licence": " and ".join(sorted(licences)), "data": data}
    if teachers:
        card["teachers"] = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in teachers]
    if start:
        card["started_from"] = {"name": start.name, "sha256": start.sha256}
    return card


class _Bar:
    """The training line: loss, validation loss, tokens a second, time left; off a terminal, a line an evaluation."""

    def __init__(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.live = sys.stderr.isatty()
        self.progress = Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[line]}"),
            console=Console(stderr=True),
            disable=not self.live,
        )
        self.task = self.progress.add_task("train", total=steps, line="")
        self.valid: float | None = None

    def __enter__(self) -> _Bar:
        self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.progress.stop()

    def report(self, p: Any) -> None:
        self.valid = p.valid if p.valid is not None else self.valid
        valid = "-" if self.valid is None else f"{self.valid:.3f}"
        left = f"{int(p.seconds_left) // 60}:{int(p.seconds_left) % 60:02d}"
        line = f"loss {p.loss:.3f}  valid {valid}  {p.tokens_per_second:,.0f} tokens/s  {left} left"
        self.progress.update(self.task, completed=p.step, line=line)
        if not self.live and p.valid is not None:
            warn(f"step {p.step}/{p.steps}  {line}")
