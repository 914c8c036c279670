"""`musicgen continue`."""

from __future__ import annotations

from typing import Any

import click

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import device_option, json_option, limit_options, limits_from, overwrite_option
from musicgen.cli.sampling_options import length_options, parts_option, sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import piece_path, run_files

__all__ = ["command"]


@click.command("continue", cls=Command)
@click.argument("piece", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "--from",
    "start",
    default="end",
    show_default=True,
    metavar="end|BAR",
    help="Where new music begins: where the piece ends, or at a bar, as in --from 17.",
)
@length_options
@sampling_options
@parts_option
@study_options
@click.option("--study-whole", is_flag=True, help="With --from: learn from what lies behind the cut, too.")
@device_option
@limit_options
@json_option
@overwrite_option
def command(piece: str, start: str, **options: Any) -> None:
    """Continue PIECE and keep everything before the cut as it is.

    PIECE is a MIDI file or a score (MusicXML, kern, ABC). Writes PIECE.continued.mid into the current folder, with the
    facts in a .json beside it; a second try is PIECE.continued.2.mid.

    \b
    musicgen continue schubert-unfinished    a piece that comes along
    musicgen continue song.mid --bars 16 -f mid,wav
    musicgen continue song.mid --tracks Bass,Drums --from 17 -n 3 -o takes/
    """
    from musicgen.cli.outputs import plan_outputs
    from musicgen.cli.studying import wish_from
    from musicgen.cli.takes import request_from, run_takes, sampling_from

    path = piece_path(piece)
    request, sampling = request_from(options, start=_bar(start), bars=8), sampling_from(options)
    limits = limits_from(options)
    wish = wish_from(options, start=request.start, piece=path, limits=limits)
    outputs = plan_outputs(
        f"{path.stem}.continued",
        output=options["output"],
        formats=options["formats"],
        takes=options["takes"],
        overwrite=options["overwrite"],
        inputs=[path, options["soundfont"], *wish.files, *run_files(options["model"])],
    )
    from musicgen.sampling.source import Source

    source = Source.read(path, limits=limits)
    run_takes(source, outputs, request=request, sampling=sampling, wish=wish, options=options)


def _bar(start: str) -> int | None:
    """The bar of `--from`, counted from 0; None for the end."""
    from musicgen.words import is_number

    if start.lower() == "end":
        return None
    if not is_number(start) or int(start) < 1:
        raise UsageError(f"--from {start!r} is neither 'end' nor a bar", hint="bars count from 1, as in --from 17")
    return int(start) - 1
