"""`musicgen accompany`."""

from __future__ import annotations

from typing import Any

import click
from click.core import ParameterSource

from musicgen.cli.completion import instruments, names_and_files, pieces, several_of
from musicgen.cli.help import Command
from musicgen.cli.infill import bars_between
from musicgen.cli.options import device_option, json_option, limit_options, overwrite_option
from musicgen.cli.sampling_options import sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import piece_path

__all__ = ["command"]


@click.command("accompany", cls=Command)
@click.argument("piece", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "--add",
    default=None,
    metavar="NAMES",
    shell_complete=several_of(instruments),
    help="Instruments to add, by commas, such as bass,drums,strings.",
)
@click.option(
    "--rewrite",
    "tracks",
    default=None,
    metavar="PARTS",
    help="Parts that are there and are written anew: numbers or names as `musicgen inspect` tells them.",
)
@click.option("--bars", default=None, metavar="FIRST-LAST", help="Only in these bars, as in 9-24.  [all]")
@sampling_options
@study_options
@device_option
@limit_options
@json_option
@overwrite_option
def command(piece: str, add: str | None, bars: str | None, **options: Any) -> None:
    """Add parts to PIECE, or write some of its parts anew, to go with all others.

    PIECE is a MIDI file or a score, such as a melody. What is there stays as it is, but for the parts to be rewritten.
    Parts that are added are drawn at a temperature of 0.85 unless you say otherwise. Drums can't be added to drums:
    write these anew.

    Writes PIECE.accompanied.mid, with the facts in a .json beside it.

    \b
    musicgen accompany tune.abc --add piano,bass,drums
    musicgen accompany song.mid --rewrite Bass -n 3
    """
    from musicgen.cli.takes import fill_holes, request_from
    from musicgen.sampling.request import ADDED_TEMPERATURE

    path = piece_path(piece)
    if not (add or "").strip(" ,") and not (options["tracks"] or "").strip(" ,"):
        raise UsageError("no part is named", hint="add some, as in --add bass,drums, or name parts to --rewrite")
    begin, end = (0, None) if bars is None else bars_between(bars)
    asked = click.get_current_context().get_parameter_source("temperature") is not ParameterSource.DEFAULT
    if add and not asked:
        options["temperature"] = ADDED_TEMPERATURE
    request = request_from(options, start=begin, until=end, add=add or "", everywhere=bars is None)
    fill_holes(path, "accompanied", request=request, options=options)
