"""`musicgen harmonise`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from musicgen.cli.completion import models, names_and_files, one_of, pieces, several_of
from musicgen.cli.help import Command
from musicgen.cli.making import make_takes, making_options, seed_option
from musicgen.cli.options import Number, Whole, json_option, limit_options, overwrite_option
from musicgen.errors import UsageError
from musicgen.resources import piece_path
from musicgen.words import counted

if TYPE_CHECKING:
    from musicgen.sampling.source import Source
    from musicgen.sampling.take import Take

__all__ = ["command"]

SEARCHES = ("beam", "greedy", "sample")  # a copy of those of tasks/translate/decoding.py; a test compares them


@click.command("harmonise", cls=Command)
@click.argument("melody", metavar="MELODY", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "-m",
    "--model",
    default=None,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="A run of `musicgen train --task translate`: its pair says whether it writes chords or voices.",
)
@click.option(
    "--part", default="", metavar="PART", help="The melody's part, by number, name or instrument.  [the only one]"
)
@making_options
@seed_option
@click.option(
    "--search",
    type=click.Choice(SEARCHES),
    default=None,
    shell_complete=one_of(*SEARCHES),
    help="How steps are chosen: the likeliest by a beam, or one by one, or drawn.  [beam; with -n or --seed: sample]",
)
@click.option("--beam", type=Whole(1, 64), default=4, show_default=True, help="Hypotheses that a beam keeps.")
@click.option("-t", "--temperature", type=Number(0, 10), default=0.8, show_default=True, help="Of drawn takes.")
@click.option("--top-p", type=Number(0, 1), default=0.9, show_default=True, help="Of drawn takes.")
@click.option("--crossing", is_flag=True, help="Let voices be above the one over them.")
@click.option("--parallels", is_flag=True, help="Let voices move in parallel fifths and octaves.")
@click.option(
    "-f",
    "--formats",
    default=None,
    metavar="NAMES",
    shell_complete=several_of(lambda: ("mid", "abc", "wav", "flac", "ogg", "html")),
    help="mid, wav, flac or ogg, by commas; abc, with chord symbols; html, a page, of one take.  [mid]",
)
@limit_options
@json_option
@overwrite_option
def command(melody: str, **options: Any) -> None:
    """Write chords under MELODY, or alto, tenor and bass.

    MELODY is a MIDI file or a score. It stays as it is; the chords, or the voices, are new parts beside it. Writes
    MELODY.harmonised.mid, with the facts in a .json beside it.

    \b
    musicgen train nottingham --task translate --tokenizer parts -o runs/chords
    musicgen harmonise tune.mid -m runs/chords
    musicgen harmonise tune.mid -m runs/chords -n 3 --seed 1 -f mid,abc -o takes/
    """
    if options["model"] is None:
        hint = "train one with `musicgen train CORPUS --task translate -o RUN`, and give -m RUN"
        raise UsageError("needs a model that harmonises", where="--model", hint=hint)
    import torch

    from musicgen.checkpoint import load_task_run
    from musicgen.harmonising import Harmoniser
    from musicgen.sampling.filters import SamplingSettings
    from musicgen.tasks.translate.decoding import Search

    torch.set_num_threads(1)
    path, takes = piece_path(melody), options["takes"]
    draws = options["seed"] is not None or takes > 1
    sampling = SamplingSettings(temperature=options["temperature"], top_p=options["top_p"])
    kind = options["search"] or ("sample" if draws else "beam")
    if kind != "sample" and takes > 1:
        raise UsageError(f"a {kind} search finds one take", where="--takes", hint="leave --search out, or ask for one")
    search = Search(kind, options["beam"], sampling, options["crossing"], options["parallels"])

    def begin(source: Source) -> tuple[Sequence[str], Callable[[int], Take]]:
        harmoniser = Harmoniser(load_task_run(options["model"], task="translate"), source, melody=options["part"])
        return harmoniser.warnings, partial(harmoniser.take, search=search)

    make_takes(path, name=f"{path.stem}.harmonised", options=options, begin=begin, told=_told)


def _told(facts: dict[str, Any]) -> str:
    what = counted(len(facts["chords"]), "chord") if "chords" in facts else counted(facts["notes_added"], "note")
    drawn = f", seed {facts['seed']}" if facts["settings"]["search"] == "sample" else ""
    return f"{what}, in {', '.join(facts['parts_written'])}{drawn}"
