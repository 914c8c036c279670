"""`musicgen continue`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import Whole, device_option, json_option, limit_options, limits_from, overwrite_option
from musicgen.cli.sampling_options import continuing_options, length_options, parts_option, study_options
from musicgen.errors import UsageError
from musicgen.resources import piece_path

__all__ = ["command"]


@click.command("continue", cls=Command)
@click.argument("piece", type=click.Path(), required=False, shell_complete=names_and_files(pieces))
@click.option(
    "--from",
    "start",
    default="end",
    show_default=True,
    metavar="end|BAR",
    help="Where new music begins: where the piece ends, or at a bar, as in --from 17.",
)
@click.option("--keep-rest", is_flag=True, help="With --from: what lies behind the cut follows the new music.")
@click.option("--best", type=Whole(1, 10_000), default=None, help="With -n: keep the best N takes, numbered by rank.")
@click.option("--replay", type=click.Path(), metavar="SIDECAR", help="Make the take of this .json again.")
@click.option("--vary", type=click.Path(), metavar="SIDECAR", help="Keep this take up to its new bar --from; draw on.")
@length_options
@continuing_options
@parts_option
@study_options
@click.option("--study-whole", is_flag=True, help="With --from: learn from what lies behind the cut, too.")
@device_option
@limit_options
@json_option
@overwrite_option
def command(piece: str | None, start: str, replay: str | None, vary: str | None, **options: Any) -> None:
    """Continue PIECE and keep everything before the cut as it is.

    PIECE is a MIDI file or a score (MusicXML, kern, ABC). Writes PIECE.continued.mid into the current folder, with the
    facts in a .json beside it; a second try is PIECE.continued.2.mid.

    \b
    musicgen continue schubert-unfinished    a piece that comes along
    musicgen continue song.mid --bars 16 -f mid,wav
    musicgen continue song.mid --tracks Bass,Drums --from 17 -n 3 -o takes/
    """
    from musicgen.cli.choosing import asked_for, chosen, files_of_models
    from musicgen.cli.outputs import plan_outputs
    from musicgen.cli.studying import wish_from
    from musicgen.cli.takes import request_from, run_takes, sampling_from
    from musicgen.replaying import recalled, varied
    from musicgen.words import counted

    if replay and vary:
        raise UsageError("--replay makes a take again, and --vary another one", hint="leave one of them out")
    if options["best"] and options["best"] > options["takes"]:
        hint = f"draw more, as in -n {2 * options['best']}"
        raise UsageError(f"--best {options['best']} of {counted(options['takes'], 'take')}", hint=hint)
    told = recalled(replay or vary or "") if replay or vary else None
    if piece is None and told is None:
        raise click.MissingParameter(ctx=click.get_current_context(), param_hint="'PIECE'", param_type="argument")
    limits = limits_from(options)
    from musicgen.sampling.source import Source

    nothing, path = told.nothing if told and replay else None, Path()
    if nothing is None:
        path = told.music if vary and told else piece_path(piece or told.facts["source"])  # type: ignore[union-attr]
        if replay and piece is None and not path.exists():
            hint = f"name it where it is now: musicgen continue PIECE --replay {replay}"
            raise UsageError(f"{path}, which this take goes on from, isn't here", where=replay, hint=hint)
    if told is None:
        request, sampling = request_from(options, start=_bar(start), bars=8), sampling_from(options)
    elif vary:
        bar = _bar(start)
        if bar is None:
            raise UsageError("--vary needs the bar to vary from", hint="count the take's new bars, as in --from 5")
        (request, finish), sampling = varied(told, Source.read(path, limits=limits).piece, bar=bar), told.sampling
        options |= {"end": finish.end, "redrawn": finish.redrawn, "int8": options["int8"] or told.int8}
    else:
        request, sampling = told.request, told.sampling
        options |= {"int8": told.int8, **asdict(told.finish)}
        options |= {
            "seed": told.seed,
            "takes": 1,
            "best": None,
            "study": told.updates or None,
            "study_whole": told.whole,
        }
    wish = wish_from(options, start=request.start, piece=None if nothing else path, limits=limits)
    if replay and told:
        wish = replace(wish, updates=told.updates)
    outputs = plan_outputs(
        "generated" if nothing else path.stem if vary else f"{path.stem}.continued",
        output=options["output"],
        formats=options["formats"],
        takes=options["best"] or options["takes"],
        overwrite=options["overwrite"],
        inputs=[None if nothing else path, options["soundfont"], *wish.files, *files_of_models(options["model"])],
    )
    source = nothing or Source.read(path, limits=limits)
    asked = asked_for(request, options, sampling=sampling, studies=wish.is_explicit)
    options["model"] = chosen(source, options, asked=asked, told=told)
    run_takes(
        source,
        outputs,
        request=request,
        sampling=sampling,
        wish=wish,
        options=options,
        told=told if replay else None,
    )


def _bar(start: str) -> int | None:
    """The bar of `--from`, counted from 0; None for the end."""
    from musicgen.words import is_number

    if start.lower() == "end":
        return None
    if not is_number(start) or int(start) < 1:
        raise UsageError(f"--from {start!r} is neither 'end' nor a bar", hint="bars count from 1, as in --from 17")
    return int(start) - 1
