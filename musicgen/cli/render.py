"""`musicgen render`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import (
    Whole,
    json_option,
    limit_options,
    limits_from,
    overwrite_option,
    print_json,
    say,
    warn,
)
from musicgen.cli.outputs import check_folder, made
from musicgen.errors import UsageError
from musicgen.resources import piece_path
from musicgen.words import sentence

__all__ = ["command"]


@click.command("render", cls=Command)
@click.argument("piece", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    metavar="PATH",
    help="The file to write: .wav, .flac or .ogg; or a folder, with a / at its end, for PIECE.wav.",
)
@click.option(
    "--soundfont",
    type=click.Path(),
    default=None,
    metavar="FILE",
    help="Sounds: a .sf2 file.  [the system's, else the one that pretty_midi carries]",
)
@click.option("--rate", type=Whole(), default=44100, show_default=True, help="Samples a second.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "fluidsynth", "numpy"]),
    default="auto",
    show_default=True,
    help="Which player; auto: FluidSynth where it is installed.",
)
@limit_options
@json_option
@overwrite_option
def command(
    piece: str,
    output: str,
    soundfont: str | None,
    rate: int,
    engine: str,
    as_json: bool,
    overwrite: bool,
    **options: object,
) -> None:
    """Turn PIECE (MIDI, MusicXML, kern or ABC) into audio."""
    from musicgen.io import read
    from musicgen.io.atomic import keep_inputs
    from musicgen.io.audio import FORMATS
    from musicgen.render import render_file

    path = Path(output)
    if output.endswith(("/", os.sep)) or path.is_dir():
        path /= f"{piece_path(piece).stem}.wav"
    if path.suffix.lower() not in FORMATS:
        what = f"can't be written as {path.suffix}" if path.suffix else "doesn't say in which format"
        raise UsageError(what, where=output, hint="end the name in .wav, .flac or .ogg")
    check_folder(path.parent)
    keep_inputs([path], [piece_path(piece), soundfont])
    music = read(piece, limits=limits_from(options))
    for line in music.warnings:
        warn(f"{piece}: {sentence(line)}")
    with made(path.parent):
        seconds = render_file(music, path, soundfont=soundfont, rate=rate, engine=engine, overwrite=overwrite)
    if as_json:
        print_json({"output": str(path), "seconds": round(seconds, 3), "rate": rate, "notes": music.n_notes})
    else:
        say(f"{path}: {seconds:.1f} s of sound")
