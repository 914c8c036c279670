"""What commands share that make takes of a whole piece, one after another: `humanise` and `harmonise`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from musicgen.cli.completion import names_and_files
from musicgen.cli.options import Whole, all_options, limits_from, print_json, say, warn
from musicgen.errors import UsageError
from musicgen.seeds import MOST_SEED
from musicgen.words import sentence

if TYPE_CHECKING:
    from musicgen.sampling.source import Source
    from musicgen.sampling.take import Take

__all__ = ["make_takes", "making_options", "seed_option"]

making_options = all_options(
    click.option(
        "-o",
        "--output",
        default=None,
        metavar="PATH",
        help="The file to write, such as take.mid or take.wav; or a folder, with a / at its end.",
        shell_complete=names_and_files(list),
    ),
    click.option("-n", "--takes", type=Whole(1, 10_000), default=1, show_default=True, help="How many takes."),
    click.option("--soundfont", type=click.Path(), default=None, metavar="FILE", help="Sounds for audio: a .sf2 file."),
)
seed_option = click.option(
    "--seed",
    type=Whole(0, MOST_SEED),
    default=None,
    help="Makes drawn takes repeatable; take K has seed N + K - 1.  [drawn, and printed]",
)


def make_takes(
    path: Path,
    *,
    name: str,
    options: dict[str, Any],
    begin: Callable[[Source], tuple[Sequence[str], Callable[[int], Take]]],
    told: Callable[[dict[str, Any]], str],
) -> None:
    """Make the takes that `options` ask for, write each with its facts, and print a line or the facts.

    Files are called `name` where nothing else is asked for. `begin` gives warnings and a function from a seed to its
    take; it is called once all that may be wrong with outputs and inputs has been found. `told` puts a take's facts in
    words.
    """
    from musicgen.cli.outputs import made, plan_outputs
    from musicgen.render import check_soundfont
    from musicgen.resources import run_files
    from musicgen.sampling.source import Source
    from musicgen.seeds import checked_seed

    takes, overwrite, soundfont = options["takes"], options["overwrite"], options["soundfont"]
    seed = secrets.randbelow(MOST_SEED + 2 - takes) if options["seed"] is None else options["seed"]
    checked_seed(seed, count=takes)
    outputs = plan_outputs(
        name,
        output=options["output"],
        formats=options["formats"],
        takes=takes,
        overwrite=overwrite,
        inputs=[path, soundfont, *run_files(options["model"])],
    )
    if "html" in outputs.formats and takes > 1:
        raise UsageError("a page holds one take here", where="--formats", hint="use `musicgen page` for several")
    source = Source.read(path, limits=limits_from(options))
    if soundfont or set(outputs.formats) & {"wav", "flac", "ogg"}:
        check_soundfont(soundfont)
    warnings, take = begin(source)
    for line in warnings:
        warn(f"{source.name}: {sentence(line)}")
    printed = []
    for number in range(takes):
        outputs = outputs.settled(overwrite=overwrite, begin=number)
        first, *_ = paths = list(outputs.files[number].values())
        with made(outputs.folder):
            facts = take(seed + number).save(
                first, formats=outputs.formats[1:], soundfont=soundfont, overwrite=overwrite
            )
        printed.append(facts)
        if not options["as_json"]:
            say(f"{', '.join(map(str, paths))}: {told(facts)}")
    if options["as_json"]:
        print_json(printed)
