"""The options of the commands that write music: the request, the outputs, sampling and study."""

from __future__ import annotations

import click

from musicgen.cli.completion import instruments, models, names_and_files, several_of
from musicgen.cli.keeping_options import keeping_options
from musicgen.cli.options import Number, Whole, all_options
from musicgen.seeds import MOST_SEED

__all__ = [
    "continuing_options",
    "instruments_option",
    "length_options",
    "parts_option",
    "sampling_options",
    "study_options",
]

study_options = all_options(
    click.option(
        "--study",
        type=Whole(0, 1000),
        default=None,
        help="Learn from the music first, in at most N small steps; 0: not at all.  [40]",
    ),
    click.option(
        "--study-also",
        multiple=True,
        type=click.Path(),
        metavar="PATH",
        help="Learn from this file or folder, too, such as songs of the same artist; repeatable.",
    ),
)

# --tracks has two meanings: parts of a piece, or instruments for a new one.
parts_option = click.option(
    "--tracks",
    default=None,
    metavar="PARTS",
    help="Parts that play on, by commas: numbers or names as `musicgen inspect` tells them, or instruments.",
)
instruments_option = click.option(
    "--tracks",
    default=None,
    metavar="NAMES",
    shell_complete=several_of(instruments),
    help="Instruments, by commas, such as violin,cello.  [piano]",
)

length_options = all_options(
    click.option("--bars", type=Whole(1, 1000), default=None, help="How many new bars; up to 1000.  [8]"),
    click.option(
        "--seconds", type=Number(min=0, min_open=True), default=None, help="How much new music, in place of --bars."
    ),
    click.option("--end", is_flag=True, help="Come to a close: a cadence, and a last chord in the last bar."),
)

model_option = click.option(
    "-m",
    "--model",
    default="default",
    show_default=True,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="A model that comes along, or the folder of a run of yours.",
)
picked_model_option = click.option(
    "-m",
    "--model",
    default="auto",
    show_default=True,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="A model that comes along, or the folder of a run of yours; auto: the one that the piece is for.",
)

_drawing = all_options(
    keeping_options,
    click.option(
        "-o",
        "--output",
        default=None,
        metavar="PATH",
        help="The file to write, such as take.mid or take.wav; or a folder, with a / at its end.",
        shell_complete=names_and_files(list),
    ),
    click.option(
        "-n", "--takes", type=Whole(1, 10_000), default=1, show_default=True, help="How many takes, each another try."
    ),
    click.option(
        "--seed",
        type=Whole(0, MOST_SEED),
        default=None,
        help="Makes takes repeatable; take K has seed N + K - 1.  [drawn, and printed]",
    ),
    click.option(
        "-f",
        "--formats",
        default=None,
        metavar="NAMES",
        shell_complete=several_of(lambda: ("mid", "wav", "flac", "ogg", "html", "abc")),
        help="mid, wav, flac, ogg, html (a page to hear takes by); abc, where the model writes it.  [mid]",
    ),
    click.option("--soundfont", type=click.Path(), default=None, metavar="FILE", help="Sounds for audio: a .sf2 file."),
    click.option("--only-new", is_flag=True, help="Write the new music alone."),
    click.option(
        "--max-copy",
        type=Number(min=0, min_open=True),
        default=None,
        metavar="BARS",
        help="Draw again what has more bars in a row from the training data.",
    ),
    click.option(
        "--played",
        type=click.Choice(["auto", "yes", "no"]),
        default="auto",
        show_default=True,
        help="Whether hands play, off the grid, or it is a score; auto: as the piece is.",
    ),
    click.option(
        "-t",
        "--temperature",
        type=Number(),
        default=0.7,
        show_default=True,
        help="Below 1 is safer, above 1 bolder; 0 always takes the likeliest.",
    ),
    click.option(
        "--field-temperature",
        "field_temperatures",
        multiple=True,
        metavar="FIELD=X",
        help="The same for one side of a note alone, as in pitch=1.2; repeatable.",
    ),
    click.option(
        "--top-k", type=int, default=0, show_default=True, metavar="N", help="Choose among the N likeliest; 0: all."
    ),
    click.option(
        "--top-p",
        type=Number(),
        default=0.95,
        show_default=True,
        help="Choose among the likeliest that are X of all together.",
    ),
    click.option(
        "--min-p",
        type=Number(),
        default=0.0,
        show_default=True,
        help="Leave out what is less likely than X times the likeliest.",
    ),
    click.option(
        "--repetition-penalty",
        type=Number(),
        default=1.0,
        show_default=True,
        help="Above 1 makes pitches that were just played less likely.",
    ),
    click.option(
        "--typical-p",
        type=Number(),
        default=1.0,
        show_default=True,
        help="Choose among those as surprising as is usual here that are X of all together.",
    ),
    click.option(
        "--figure-penalty",
        type=Number(),
        default=1.0,
        show_default=True,
        help="Above 1 makes figures of earlier new bars, at the same place of a bar, less likely.",
    ),
    click.option("--int8", is_flag=True, help="Weights of 8 bits: a large model draws faster on a CPU."),
)
sampling_options = all_options(model_option, _drawing)
continuing_options = all_options(picked_model_option, _drawing)  # of `continue`, whose model follows from the piece
