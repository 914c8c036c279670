"""`musicgen generate`."""

from __future__ import annotations

import re
from typing import Any

import click

from musicgen.cli.help import Command
from musicgen.cli.options import Number, device_option, json_option, overwrite_option
from musicgen.cli.sampling_options import instruments_option, sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import run_files

__all__ = ["command"]


@click.command("generate", cls=Command)
@click.option(
    "--tempo", type=Number(4, 1000), default=120, show_default=True, help="Quarter notes a minute, 4 to 1000."
)
@click.option("--meter", default="4/4", show_default=True, metavar="N/N", help="Such as 3/4 or 6/8.")
@sampling_options
@instruments_option
@study_options
@device_option
@json_option
@overwrite_option
def command(tempo: float, meter: str, **options: Any) -> None:
    """Make new music from nothing.

    Writes generated.mid into the current folder, with the facts in a .json beside it; a second try is generated.2.mid.

    \b
    musicgen generate --tracks violin,cello --meter 3/4 --tempo 90 --key Dm
    """
    import numpy as np

    from musicgen.cli.outputs import plan_outputs
    from musicgen.cli.studying import wish_from
    from musicgen.cli.takes import run_takes, split_request
    from musicgen.composer import Source
    from musicgen.io.midi import midi_from_piece
    from musicgen.piece import METER, TEMPO, Piece
    from musicgen.words import is_number

    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", meter)
    numerator, denominator = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= numerator <= 64 or denominator not in (1, 2, 4, 8, 16, 32, 64):
        raise UsageError(f"{meter!r} is not a meter", hint="write it like 4/4, 3/4 or 6/8")
    request, sampling = split_request(options, start=None)
    if any(is_number(name) for name in request.tracks):
        raise UsageError("there are no parts to number yet", hint="name instruments, as in --tracks piano,violin")
    wish = wish_from(options, start=None, piece=None)
    outputs = plan_outputs(
        "generated",
        output=options["output"],
        formats=options["formats"],
        takes=options["takes"],
        overwrite=options["overwrite"],
        inputs=[options["soundfont"], *wish.files, *run_files(options["model"])],
    )
    piece = Piece(480, (), np.array([(0, round(60e6 / tempo))], TEMPO), np.array([(0, numerator, denominator)], METER))
    source = Source(midi_from_piece(piece), piece, "(nothing)", "")
    run_takes(source, outputs, options, request=request, sampling=sampling, wish=wish)
