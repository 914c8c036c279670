"""`musicgen humanise`."""

from __future__ import annotations

import secrets
from typing import Any

import click

from musicgen.cli.completion import names_and_files, pieces, several_of
from musicgen.cli.help import Command
from musicgen.cli.options import (
    Number,
    Whole,
    json_option,
    limit_options,
    limits_from,
    overwrite_option,
    print_json,
    say,
    warn,
)
from musicgen.errors import UsageError
from musicgen.resources import piece_path
from musicgen.seeds import MOST_SEED
from musicgen.words import counted, sentence

__all__ = ["command"]


@click.command("humanise", cls=Command)
@click.argument("piece", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "--strength",
    type=Number(0, 1),
    default=0.7,
    show_default=True,
    help="How far it goes: 0 leaves the notes as they are, 1 is as far as performers go.",
)
@click.option(
    "--tracks",
    default=None,
    metavar="PARTS",
    help="The parts to change, by commas: numbers, names or instruments.  [those without loudness or timing]",
)
@click.option(
    "--rubato",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="Bend the tempo, beat by beat: 1 is as far as pianists do. Bars stay on their ticks.",
)
@click.option("--no-pedal", is_flag=True, help="Add no sustain pedal to a piano that has none.")
@click.option(
    "-o",
    "--output",
    default=None,
    metavar="PATH",
    help="The file to write, such as take.mid or take.wav; or a folder, with a / at its end.",
    shell_complete=names_and_files(list),
)
@click.option("-n", "--takes", type=Whole(1, 10_000), default=1, show_default=True, help="How many takes.")
@click.option(
    "--seed",
    type=Whole(0, MOST_SEED),
    default=None,
    help="Makes takes repeatable; take K has seed N + K - 1.  [drawn, and printed]",
)
@click.option(
    "-f",
    "--formats",
    default=None,
    metavar="NAMES",
    shell_complete=several_of(lambda: ("mid", "wav", "flac", "ogg", "html")),
    help="mid, wav, flac or ogg, by commas; html, a page, of one take.  [mid]",
)
@click.option("--soundfont", type=click.Path(), default=None, metavar="FILE", help="Sounds for audio: a .sf2 file.")
@click.option("-m", "--model", default="humanise", show_default=True, metavar="DIR", help="A model of playing.")
@limit_options
@json_option
@overwrite_option
def command(piece: str, **options: Any) -> None:
    """Give the notes of PIECE loudness and timing as performers would, and a piano its pedal.

    PIECE is a MIDI file or a score. Pitches and the order of notes stay, and every other event; the beat stays where it
    is, unless --rubato bends the tempo. Writes PIECE.humanised.mid, with the facts in a .json beside it.

    \b
    musicgen humanise song.mid
    musicgen humanise song.mid --strength 0.4 --tracks Drums,Bass
    musicgen humanise sonata.mxl --rubato 0.5 -n 3 -f mid,wav -o takes/
    """
    import torch

    from musicgen.cli.outputs import made, plan_outputs
    from musicgen.humanising import Humaniser
    from musicgen.render import check_soundfont
    from musicgen.resources import run_files
    from musicgen.runs.expression import load_expression
    from musicgen.sampling.request import part_names
    from musicgen.sampling.source import Source
    from musicgen.seeds import checked_seed

    torch.set_num_threads(1)
    path = piece_path(piece)
    takes, overwrite = options["takes"], options["overwrite"]
    seed = secrets.randbelow(MOST_SEED + 2 - takes) if options["seed"] is None else options["seed"]
    checked_seed(seed, count=takes)
    outputs = plan_outputs(
        f"{path.stem}.humanised",
        output=options["output"],
        formats=options["formats"],
        takes=takes,
        overwrite=overwrite,
        inputs=[path, options["soundfont"], *run_files(options["model"])],
    )
    if "html" in outputs.formats and takes > 1:
        raise UsageError("a page holds one take here", where="--formats", hint="use `musicgen page` for several")
    source = Source.read(path, limits=limits_from(options))
    if options["soundfont"] or set(outputs.formats) & {"wav", "flac", "ogg"}:
        check_soundfont(options["soundfont"])
    humaniser = Humaniser(
        load_expression(options["model"]),
        source,
        strength=options["strength"],
        tracks=part_names(options["tracks"] or ""),
        pedal=not options["no_pedal"],
        rubato=options["rubato"],
    )
    for line in humaniser.warnings:
        warn(f"{source.name}: {sentence(line)}")
    printed = []
    for number in range(takes):
        outputs = outputs.settled(overwrite=overwrite, begin=number)
        first, *_ = paths = list(outputs.files[number].values())
        with made(outputs.folder):
            facts = humaniser.take(seed + number).save(
                first, formats=outputs.formats[1:], soundfont=options["soundfont"], overwrite=overwrite
            )
        printed.append(facts)
        if not options["as_json"]:
            names, of = ", ".join(map(str, paths)), counted(facts["notes_kept"], "note")
            pedal = counted(facts["pedal_changes"], "pedal event")
            more = f", {pedal} added" if facts["pedal_changes"] else ""
            say(f"{names}: {facts['notes_changed']:,} of {of} changed{more}, seed {facts['seed']}")
    if options["as_json"]:
        print_json(printed)
