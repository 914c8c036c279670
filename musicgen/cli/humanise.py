"""`musicgen humanise`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from musicgen.cli.completion import names_and_files, pieces, several_of
from musicgen.cli.help import Command
from musicgen.cli.making import make_takes, making_options, seed_option
from musicgen.cli.options import Number, json_option, limit_options, overwrite_option
from musicgen.resources import piece_path
from musicgen.words import counted

if TYPE_CHECKING:
    from musicgen.sampling.source import Source
    from musicgen.sampling.take import Take

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
@making_options
@seed_option
@click.option(
    "-f",
    "--formats",
    default=None,
    metavar="NAMES",
    shell_complete=several_of(lambda: ("mid", "wav", "flac", "ogg", "html")),
    help="mid, wav, flac or ogg, by commas; html, a page, of one take.  [mid]",
)
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

    from musicgen.humanising import Humaniser
    from musicgen.runs.expression import load_expression
    from musicgen.sampling.request import part_names

    torch.set_num_threads(1)
    path = piece_path(piece)

    def begin(source: Source) -> tuple[Sequence[str], Callable[[int], Take]]:
        humaniser = Humaniser(
            load_expression(options["model"]),
            source,
            strength=options["strength"],
            tracks=part_names(options["tracks"] or ""),
            pedal=not options["no_pedal"],
            rubato=options["rubato"],
        )
        return humaniser.warnings, humaniser.take

    make_takes(path, name=f"{path.stem}.humanised", options=options, begin=begin, told=_told)


def _told(facts: dict[str, Any]) -> str:
    of, pedal = counted(facts["notes_kept"], "note"), counted(facts["pedal_changes"], "pedal event")
    more = f", {pedal} added" if facts["pedal_changes"] else ""
    return f"{facts['notes_changed']:,} of {of} changed{more}, seed {facts['seed']}"
