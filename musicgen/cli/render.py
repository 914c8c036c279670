"""`musicgen render`."""

from __future__ import annotations

import click

from musicgen.cli.options import json_option, limit_options, limits_from, overwrite_option, print_json, say, warn

__all__ = ["command"]


@click.command("render")
@click.argument("piece", type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(), help="OUT.wav, OUT.flac or OUT.ogg.")
@click.option(
    "--soundfont",
    type=click.Path(),
    default=None,
    help="SoundFont (.sf2); default: the system's, else the one that pretty_midi carries.",
)
@click.option("--rate", type=int, default=44100, show_default=True, help="Samples a second.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "fluidsynth", "numpy"]),
    default="auto",
    show_default=True,
    help="Which player.",
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
    from musicgen.render import render_file

    keep_inputs([output], [piece, soundfont])
    music = read(piece, limits=limits_from(options))
    for line in music.warnings:
        warn(f"{piece}: {line}")
    seconds = render_file(music, output, soundfont=soundfont, rate=rate, engine=engine, overwrite=overwrite)
    if as_json:
        print_json({"output": output, "seconds": round(seconds, 3), "rate": rate, "notes": music.n_notes})
    else:
        say(f"{output}: {seconds:.1f} s of sound")
