"""`musicgen generate`."""

from __future__ import annotations

from typing import Any

import click

from musicgen.cli.help import Command
from musicgen.cli.options import Number, device_option, json_option, overwrite_option
from musicgen.cli.sampling_options import instruments_option, length_options, sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import run_files

__all__ = ["command"]


@click.command("generate", cls=Command)
@click.option("--tempo", type=Number(4, 1000), default=None, help="Quarter notes a minute, 4 to 1000.  [120]")
@click.option("--meter", default=None, metavar="N/N", help="Such as 3/4 or 6/8.  [4/4]")
@length_options
@sampling_options
@instruments_option
@study_options
@device_option
@json_option
@overwrite_option
def command(tempo: float | None, meter: str | None, **options: Any) -> None:
    """Make new music from nothing.

    Writes generated.mid into the current folder, with the facts in a .json beside it; a second try is generated.2.mid.

    \b
    musicgen generate --tracks violin,cello --meter 3/4 --tempo 90 --key Dm
    """
    from musicgen.cli.outputs import plan_outputs
    from musicgen.cli.studying import wish_from
    from musicgen.cli.takes import request_from, run_takes, sampling_from
    from musicgen.sampling.source import Source
    from musicgen.words import is_number

    source = Source.nothing(tempo=tempo, meter=meter)
    request, sampling = request_from(options, start=None, bars=None), sampling_from(options)
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
    run_takes(source, outputs, request=request, sampling=sampling, wish=wish, options=options)
