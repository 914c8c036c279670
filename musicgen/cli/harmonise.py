"""`musicgen harmonise`."""

from __future__ import annotations

import secrets
from typing import Any

import click

from musicgen.cli.completion import models, names_and_files, one_of, pieces, several_of
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
@click.option(
    "-o",
    "--output",
    default=None,
    metavar="PATH",
    help="The file to write, such as take.mid or take.abc; or a folder, with a / at its end.",
    shell_complete=names_and_files(list),
)
@click.option("-n", "--takes", type=Whole(1, 10_000), default=1, show_default=True, help="How many takes.")
@click.option(
    "--seed",
    type=Whole(0, MOST_SEED),
    default=None,
    help="Makes drawn takes repeatable; take K has seed N + K - 1.  [drawn, and printed]",
)
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
@click.option("--soundfont", type=click.Path(), default=None, metavar="FILE", help="Sounds for audio: a .sf2 file.")
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
    from musicgen.cli.outputs import made, plan_outputs
    from musicgen.harmonising import Harmoniser
    from musicgen.render import check_soundfont
    from musicgen.resources import run_files
    from musicgen.sampling.filters import SamplingSettings
    from musicgen.sampling.source import Source
    from musicgen.seeds import checked_seed
    from musicgen.tasks.translate.decoding import Search

    torch.set_num_threads(1)
    path = piece_path(melody)
    takes, overwrite = options["takes"], options["overwrite"]
    draws = options["seed"] is not None or takes > 1
    sampling = SamplingSettings(temperature=options["temperature"], top_p=options["top_p"])
    kind = options["search"] or ("sample" if draws else "beam")
    if kind != "sample" and takes > 1:
        raise UsageError(f"a {kind} search finds one take", where="--takes", hint="leave --search out, or ask for one")
    search = Search(kind, options["beam"], sampling, options["crossing"], options["parallels"])
    seed = secrets.randbelow(MOST_SEED + 2 - takes) if options["seed"] is None else options["seed"]
    checked_seed(seed, count=takes)
    outputs = plan_outputs(
        f"{path.stem}.harmonised",
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
    harmoniser = Harmoniser(load_task_run(options["model"], task="translate"), source, melody=options["part"])
    for line in harmoniser.warnings:
        warn(f"{source.name}: {sentence(line)}")
    printed = []
    for number in range(takes):
        outputs = outputs.settled(overwrite=overwrite, begin=number)
        first, *_ = paths = list(outputs.files[number].values())
        take = harmoniser.take(seed + number, search=search)
        with made(outputs.folder):
            facts = take.save(first, formats=outputs.formats[1:], soundfont=options["soundfont"], overwrite=overwrite)
        printed.append(facts)
        if not options["as_json"]:
            names = ", ".join(map(str, paths))
            what = (
                counted(len(facts["chords"]), "chord") if "chords" in facts else counted(facts["notes_added"], "note")
            )
            drawn = f", seed {facts['seed']}" if kind == "sample" else ""
            say(f"{names}: {what}, in {', '.join(facts['parts_written'])}{drawn}")
    if options["as_json"]:
        print_json(printed)
