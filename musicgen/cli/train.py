"""`musicgen train`."""

from __future__ import annotations

import shlex
import signal
import sys
from typing import Any

import click

from musicgen.cli.completion import LOGS, SIZES, catalogue_names, families, models, names_and_files, one_of, several_of
from musicgen.cli.help import Command, Plugged
from musicgen.cli.listening import TrainingShown
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
from musicgen.cli.task_options import task_from, task_options, task_outcome
from musicgen.licences import shipping_of
from musicgen.plugins import FAMILIES
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
    cls=Plugged,
    group=FAMILIES,
    shell_complete=families,
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
@task_options
@click.option("--steps", type=Whole(min=1), default=None, help="Optimiser steps.  [by the preset; 300 with --from]")
@click.option(
    "--max-time",
    default=None,
    metavar="TIME",
    help="Stop after this long, such as 10m; learning rate, batches and validation plan for it.",
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
@click.option(
    "--log",
    default="csv",
    metavar="NAMES",
    shell_complete=several_of(lambda: LOGS),
    help="Logs in RUN: csv, always, and tensorboard (the extra of that name).  [csv]",
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
    """Train a model on CORPUS: a built corpus folder, a folder of music, or a catalogue name.

    It learns to predict the next note or, with --task, something else.

    Ctrl-C and SIGTERM save; `--resume` goes on. The best weights so far are always in RUN/model.safetensors. With
    --overwrite a run that lies there is replaced once the new one has begun; what else lies in the folder stays.

    With --from the tokenizer, the model's shape and the augmentation are those of that run.
    """
    from musicgen.api import train
    from musicgen.cli.options import asked_tokenizer, tokenizer_from
    from musicgen.evaluation.ngram import standing
    from musicgen.recipe import change_from
    from musicgen.stopping import Interrupted

    seconds = duration(max_time)
    tokenizer = tokenizer_from(options) if asked_tokenizer(options) else None
    task = task_from(options)
    with TrainingShown(quiet=as_json) as shown:
        try:
            trained = train(
                corpus,
                output=run,
                model=options["family"],
                preset=options["size"],
                recipe=options["recipe_file"],
                changes=dict(map(change_from, options["changes"])),
                embedding=options["embedding"],
                tokenizer=tokenizer,
                task=task,
                teachers=options["teachers"],
                start=options["start"],
                steps=options["steps"],
                max_seconds=seconds,
                seed=options["seed"],
                precision=options["precision"],
                device=device,
                workers=workers,
                resume=resume,
                overwrite=overwrite,
                log=options["log"],
                listener=shown,
            )
        except KeyboardInterrupt as error:
            shown.close()
            number, step = getattr(error, "number", signal.SIGINT), getattr(error, "step", None)
            # Report "saved" only if training stopped in good order.
            if isinstance(error, Interrupted) and step is not None:
                outcome = f"saved; go on with `{_again(corpus, run, options)}`"
            elif shown.saved:
                outcome = f"not saved; go on from the last checkpoint with `{_again(corpus, run, options)}`"
            elif shown.building:
                outcome = "no step was taken; the same command goes on building the corpus"
            else:
                outcome = "nothing was begun; what lay there is as it was"
            warn(f"interrupted: {outcome}")
            sys.exit(128 + number)
    if as_json:
        floor = {} if trained.floor is None else {"floor": trained.floor.to_dict()}
        own = {} if trained.compared is None else {"compared": trained.compared.to_dict()}
        print_json({"run": run, **trained.card, **floor, **own})
        return
    say(f"{run}: {counted(trained.steps, 'step')}, {trained.seconds:.0f} s, {trained.parameters:,} parameters")
    if trained.task:
        for line in task_outcome(trained.card):
            say(line)
    valid, was = trained.valid_nats_per_token, trained.valid_nats_per_token_before
    if valid is not None:
        before = "" if was is None else f"; {was:.4f} before"
        say(f"validation loss {valid:.4f} nats a token (best, at step {trained.best_step}{before})")
    if trained.floor is not None and (compared := trained.compared) is not None:
        here = f"{compared.nats_per_token:.4f} on the same {counted(compared.pieces, 'validation piece')}"
        say(f"{here}: {standing(compared.nats_per_token, trained.floor.figures.nats_per_token)}")
    may = shipping_of(trained.card)
    allowed = {True: "may be passed on", False: "may not be passed on", None: "may be passed on if the data allow it"}
    said = f"; {'; '.join(may.reasons)}" if may.reasons else ""
    say(f"licence of the data: {trained.card['licence']}: the weights {allowed[may.may_ship]}{said}")
    say(f"use it: {_use(trained.task, run)}")


def _use(task: str, run: Any) -> str:
    """The command that uses a run of a task."""
    from musicgen.models.tasks.registry import TASK_MODELS

    command = TASK_MODELS[task].command if task else "musicgen continue"
    return command.replace("RUN", str(run)) if "RUN" in command else f"{command} piece.mid -m {run}"


def _again(corpus: str, run: str, options: dict[str, Any]) -> str:
    """The command that resumes the run."""
    teachers = [word for name in options["teachers"] for word in ("--teacher", name)]
    logs = [] if options["log"] == "csv" else ["--log", options["log"]]
    return shlex.join(["musicgen", "train", corpus, "-o", run, *teachers, *logs, "--resume"])
