"""`musicgen classify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import models, names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import Whole, device_option, json_option, limit_options, limits_from, print_json, say, warn
from musicgen.errors import UsageError
from musicgen.resources import piece_path

__all__ = ["command"]


@click.command("classify", cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(), shell_complete=names_and_files(pieces))
@click.option(
    "-m",
    "--model",
    required=True,
    metavar="RUN",
    shell_complete=names_and_files(models),
    help="A run of `musicgen train --task classify`.",
)
@click.option("--top", type=Whole(min=1), default=5, show_default=True, help="Classes to print of each piece.")
@limit_options
@device_option
@json_option
def command(files: tuple[str, ...], model: str, top: int, device: str, as_json: bool, **options: Any) -> None:
    """Tell which class each piece in FILES is of, with probabilities. A folder stands for all music in it.

    What the classes are the run says: composers, dances, major and minor. A piece's windows are averaged. Files that
    can't be read are told and passed over, with exit code 1; 3 if none could be read.
    """
    from musicgen.classifying import classify

    paths = _files(files)
    found = classify(paths, model=model, limits=limits_from(options), device=device)
    failed = [each for each in found if each.error is not None]
    for each in failed:
        warn(f"musicgen: {each.error}")
    if as_json:
        print_json({"model": model, "pieces": [each.to_dict(top=top) for each in found]})
    else:
        wide = max((len(each.piece) for each in found), default=0)
        for each in found:
            if each.error is None:
                few = list(each.probabilities.items())[:top]
                say(f"{each.piece:<{wide}}  " + "  ".join(f"{name} {chance:.3f}" for name, chance in few))
    if failed:
        sys.exit(3 if len(failed) == len(found) else 1)


def _files(named: tuple[str, ...]) -> list[Path]:
    """The files that are meant, in order. Raises UsageError for a folder without music."""
    from musicgen.corpus.scan import find_files

    paths: list[Path] = []
    for name in named:
        if Path(name).is_dir():
            inside = [file.path for file in find_files([name])]
            if not inside:
                raise UsageError("holds no music files", where=name, hint="name a file, or another folder")
            paths += inside
        else:
            paths.append(piece_path(name))
    return paths
