"""`musicgen infill`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click

from musicgen.cli.completion import names_and_files, pieces
from musicgen.cli.help import Command
from musicgen.cli.options import (
    device_option,
    json_option,
    limit_options,
    limits_from,
    overwrite_option,
    print_json,
    say,
)
from musicgen.cli.sampling_options import parts_option, sampling_options, study_options
from musicgen.errors import UsageError
from musicgen.resources import piece_path

__all__ = ["bars_between", "command"]

MOST_GAPS = 20  # that are listed


@click.command("infill", cls=Command)
@click.argument("piece", type=click.Path(), shell_complete=names_and_files(pieces))
@click.option("--bars", default=None, metavar="FIRST-LAST", help="Which bars, as in 9-12 or 9; bars count from 1.")
@click.option("--gaps", is_flag=True, help="List bars in which a part rests while others play, and write nothing.")
@sampling_options
@parts_option
@study_options
@device_option
@limit_options
@json_option
@overwrite_option
def command(piece: str, bars: str | None, gaps: bool, **options: Any) -> None:
    """Write bars of PIECE anew, or fill them, knowing what is on both sides.

    PIECE is a MIDI file or a score. Outside these bars, and in parts that aren't named, every event stays as it is.
    Writes PIECE.infilled.mid, with the facts in a .json beside it.

    \b
    musicgen infill song.mid --bars 9-12                     all parts
    musicgen infill song.mid --bars 5-16 --tracks "Lead Vocal" -n 3
    musicgen infill song.mid --gaps                          where something may be missing
    """
    from musicgen.cli.takes import fill_holes, request_from

    path = piece_path(piece)
    if gaps:
        return _list_gaps(path, as_json=options["as_json"], limits=limits_from(options))
    if bars is None:
        raise UsageError("which bars?", hint="name them, as in --bars 9-12, or see --gaps")
    begin, end = bars_between(bars)
    fill_holes(path, "infilled", request=request_from(options, start=begin, until=end), options=options)


def bars_between(text: str) -> tuple[int, int]:
    """(first bar from 0, the bar after the last) of a text such as "9-12" or "9". Raises UsageError for another text.

    >>> bars_between("9-12"), bars_between("3")
    ((8, 12), (2, 3))
    """
    match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:[-–]\s*([0-9]{1,6})\s*)?", text)
    first = int(match.group(1)) if match else 0
    last = int(match.group(2) or first) if match else 0
    if not 1 <= first <= last:
        raise UsageError(f"--bars {text!r} are no bars", hint="give the first and the last, counted from 1, as in 9-12")
    return first - 1, last


def _list_gaps(path: Path, *, as_json: bool, limits: Any) -> None:
    from musicgen.io import read
    from musicgen.sampling.asked import listed
    from musicgen.sampling.gaps import gaps
    from musicgen.words import counted

    piece = read(path, limits=limits)
    found = gaps(piece)
    if as_json:
        rows = [{"part": g.part + 1, "name": piece.tracks[g.part].name, "bars": [g.begin + 1, g.end]} for g in found]
        return print_json(rows)
    for gap in found[:MOST_GAPS]:
        span = f"{gap.begin + 1}-{gap.end}"
        say(f"part {listed(gap.part, piece.tracks[gap.part])} rests in bars {span}")
        say(f"    musicgen infill {shlex.quote(str(path))} --bars {span} --tracks {gap.part + 1}")
    if len(found) > MOST_GAPS:
        say(f"and {counted(len(found) - MOST_GAPS, 'shorter gap')}; --json lists all")
    if not found:
        say("no part rests for two bars while others play")
