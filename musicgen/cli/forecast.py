"""`musicgen forecast`."""

from __future__ import annotations

from typing import Any

import click

from musicgen.cli.completion import models, names_and_files
from musicgen.cli.help import Command
from musicgen.cli.options import json_option, limit_options, limits_from, print_json, say

__all__ = ["command"]

HEADS = {
    "pitch": "pitch (MIDI)",
    "velocity": "velocity",
    "duration": "duration (quarters)",
    "ioi": "since the onset before (quarters)",
    "tempo": "tempo (quarters a minute)",
}


@click.command("forecast", cls=Command)
@click.argument("piece", type=click.Path())
@click.option(
    "-m",
    "--model",
    "run",
    required=True,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="A run of `musicgen train --task forecast`.",
)
@limit_options
@json_option
def command(piece: str, run: str, as_json: bool, **options: Any) -> None:
    """Foresee the numbers that follow the melody of PIECE: pitches, lengths, loudness or tempo, step by step.

    A number is the model's best single guess, which draws near to the mean the further ahead it is: to make music, use
    `musicgen continue`, which draws notes from distributions.
    """
    from musicgen.checkpoint import load_task_run
    from musicgen.gm import pitch_name
    from musicgen.io import read
    from musicgen.tasks.forecast.using import ahead, forecaster_of

    loaded = load_task_run(run, task="forecast")
    rows = ahead(loaded, read(piece, limits=limits_from(options)))
    _, settings = forecaster_of(loaded)
    if as_json:
        print_json(
            {"piece": piece, "model": run, "model_sha256": loaded.sha256, "every": settings.every, "ahead": rows}
        )
        return
    say(f"{settings.every}s ahead  " + "  ".join(HEADS[name] for name in settings.targets))
    for row in rows:
        cells = []
        for name in settings.targets:
            near = f" (near {pitch_name(min(127, max(0, round(row[name]))))})" if name == "pitch" else ""
            cells.append(f"{row[name]:.2f}{near}".ljust(len(HEADS[name])))
        say(f"{row['horizon']:>{len(settings.every) + 7}}  " + "  ".join(cells).rstrip())
