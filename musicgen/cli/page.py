"""`musicgen page`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import json_option, limit_options, limits_from, overwrite_option, print_json, say, warn
from musicgen.cli.outputs import check_folder, made
from musicgen.errors import UsageError
from musicgen.resources import piece_path
from musicgen.words import counted, sentence

__all__ = ["command"]


@click.command("page", cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "-o",
    "--output",
    default=None,
    type=click.Path(),
    metavar="PATH",
    help="The page to write, such as takes.html; or a folder, with a / at its end.  [the first file's name]",
)
@click.option("--title", default=None, metavar="TEXT", help="The page's title.  [what was done with the piece]")
@click.option("--no-sound", is_flag=True, help="A small page without sound.")
@click.option("--soundfont", type=click.Path(), default=None, metavar="FILE", help="Sounds: a .sf2 file.")
@limit_options
@json_option
@overwrite_option
def command(
    files: tuple[str, ...],
    output: str | None,
    title: str | None,
    no_sound: bool,
    soundfont: str | None,
    as_json: bool,
    overwrite: bool,
    **options: Any,
) -> None:
    """Make one HTML file to hear and compare FILES by: takes of a piece, or any pieces.

    FILES are MIDI files or scores, at most 32. The page shows each as a piano roll, plays it, tells what the .json
    beside it says, and has its MIDI file to save. It asks nothing of any network.

    \b
    musicgen page song.continued.*.mid
    musicgen page mine.mid yours.mid -o both.html
    """
    from musicgen.io.atomic import keep_inputs
    from musicgen.page import read_heard, write_page

    inputs = [piece_path(file) for file in files]
    path = Path(output or "")
    if output is None or output.endswith(("/", os.sep)) or path.is_dir():
        path /= f"{inputs[0].stem}.html"
    elif path.suffix.lower() not in (".html", ".htm"):
        raise UsageError("a page is HTML", where=output, hint="end the name in .html")
    check_folder(path.parent)
    keep_inputs([path], [*inputs, soundfont])
    if os.path.lexists(path) and not overwrite:  # before the pieces are rendered
        raise UsageError("already exists", where=path, hint="pass --overwrite to replace it")
    limits = limits_from(options)
    heard = [read_heard(file, limits=limits) for file in inputs]
    for each in heard:
        for line in each.piece.warnings:
            warn(f"{each.name}: {sentence(line)}")
    with made(path.parent):
        page = write_page(heard, path, title=title, sound=not no_sound, soundfont=soundfont, overwrite=overwrite)
    for line in page.warnings:
        warn(f"{path}: {sentence(line)}")
    size = path.stat().st_size
    if as_json:
        warnings = [*(line for each in heard for line in each.piece.warnings), *page.warnings]
        print_json({"output": str(path), "pieces": len(heard), "bytes": size, "warnings": warnings})
    else:
        say(f"{path}: {counted(len(heard), 'piece')} to hear, {size / 1e6:.1f} MB")
