"""`musicgen generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import Number, device_option, json_option, overwrite_option
from musicgen.cli.sampling_options import instruments_option, length_options, sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import run_files

if TYPE_CHECKING:
    from musicgen.picking import Picked

__all__ = ["command"]


@click.command("generate", cls=Command)
@click.option(
    "--kind",
    type=click.Choice(["folk", "piano", "band", "choir", "orchestra"]),
    default=None,
    help="Parts, tempo and meter as usual for it, where you don't give them.",
)
@click.option(
    "--like",
    type=click.Path(),
    default=None,
    metavar="PIECE",
    help="The parts, tempo and meter of a piece, where you don't give them; it is learned from first.",
    shell_complete=names_and_files(pieces),
)
@click.option("--tempo", type=Number(4, 1000), default=None, help="Quarter notes a minute, 4 to 1000.  [120]")
@click.option("--meter", default=None, metavar="N/N", help="Such as 3/4 or 6/8.  [4/4]")
@length_options
@sampling_options
@instruments_option
@study_options
@device_option
@json_option
@overwrite_option
def command(kind: str | None, like: str | None, **options: Any) -> None:
    """Make new music from nothing.

    Writes generated.mid into the current folder, with the facts in a .json beside it; a second try is generated.2.mid.

    \b
    musicgen generate --tracks violin,cello --meter 3/4 --tempo 90 --key Dm
    musicgen generate --kind band -n 3
    musicgen generate --like song.mid --bars 16
    """
    from musicgen.cli.choosing import usual_formats
    from musicgen.cli.outputs import plan_outputs
    from musicgen.cli.studying import wish_from
    from musicgen.cli.takes import request_from, run_takes, sampling_from
    from musicgen.sampling.source import Source
    from musicgen.words import is_number

    if like is not None:
        from musicgen.cli.kinds import settle_like

        if kind is not None:
            raise UsageError(
                "--like is to be like a piece, and --kind like any of a kind", hint="leave one of them out"
            )
        options = settle_like(like, options)
    pick = _pick(kind, options)
    if kind is not None:
        options = _of_kind(kind, options, model=pick.model)
    options["model"] = pick
    source = Source.nothing(tempo=options.pop("tempo"), meter=options.pop("meter"))
    request, sampling = request_from(options, start=None, bars=None), sampling_from(options)
    if any(is_number(name) for name in request.tracks):
        raise UsageError("there are no parts to number yet", hint="name instruments, as in --tracks piano,violin")
    wish = wish_from(options, start=None, piece=None)
    outputs = plan_outputs(
        "generated",
        output=options["output"],
        formats=options["formats"],
        usual=usual_formats(pick),
        takes=options["takes"],
        overwrite=options["overwrite"],
        inputs=[options["soundfont"], *wish.files, *run_files(pick.model)],
    )
    run_takes(source, outputs, request=request, sampling=sampling, wish=wish, options=options)


def _pick(kind: str | None, options: dict[str, Any]) -> Picked:
    """The model: one that is named, that of the kind if it is here and can do all that is asked, or the default."""
    from musicgen.cli.choosing import asked_for
    from musicgen.cli.kinds import KINDS
    from musicgen.cli.takes import request_from, sampling_from
    from musicgen.picking import ANY_MUSIC, DEFAULT, HONOURED, NAMED, Picked
    from musicgen.resources import known_models

    if click.get_current_context().get_parameter_source("model") is not ParameterSource.DEFAULT:
        return Picked(options["model"], NAMED)
    model = KINDS[kind].model if kind else DEFAULT
    if model == DEFAULT or model not in known_models():
        return Picked(DEFAULT, ANY_MUSIC)
    studies = bool(options["study"] or options["study_also"])
    request, sampling = request_from(options, start=None), sampling_from(options)
    asked = asked_for(request, options, sampling=sampling, studies=studies)
    beyond = [option for option in asked if option not in HONOURED[model]]
    if beyond:
        return Picked(DEFAULT, f"--kind {kind}, but {beyond[0]} is asked for, which its model can't honour")
    return Picked(model, f"--kind {kind}")


def _of_kind(kind: str, options: dict[str, Any], *, model: str) -> dict[str, Any]:
    """The options with what a kind says; a seed is drawn here if none is given, as tempo and meter follow from it."""
    import secrets

    from musicgen.cli.kinds import settle
    from musicgen.seeds import MOST_SEED

    seed = secrets.randbelow(MOST_SEED + 2 - options["takes"]) if options["seed"] is None else options["seed"]
    return settle(kind, {**options, "seed": seed}, seed=seed, model=model)
