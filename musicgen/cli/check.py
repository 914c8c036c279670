"""`musicgen check`."""

from __future__ import annotations

from typing import Any

import click

from musicgen.cli.completion import names_and_files
from musicgen.cli.help import Command
from musicgen.cli.options import json_option, limit_options, limits_from, print_json, say
from musicgen.errors import CheckError
from musicgen.resources import piece_path

__all__ = ["command"]

SAID = {True: "good", False: "FAILED", None: "-"}


@click.command("check", cls=Command)
@click.argument("take", type=click.Path(), shell_complete=names_and_files(list))
@click.option("--source", type=click.Path(), default=None, metavar="FILE", help="The piece that was continued.")
@limit_options
@json_option
def command(take: str, source: str | None, as_json: bool, **options: Any) -> None:
    """Check TAKE, a MIDI file that was made here, by the .json beside it.

    Tells whether it can be read without a warning, how the new music joins on (in a hole at both ends, and whether it
    goes with what is given), whether all else is as in the source, what it has in common with the training data, and
    its settings, seed and licence. Exit code 4 if a test fails. Without its .json it is only read.
    """
    from musicgen.checking import check

    report = check(take, source=None if source is None else piece_path(source), limits=limits_from(options))
    if as_json:
        print_json(report.to_dict())
    else:
        for finding in report.findings:
            say(f"{finding.name:<13}{SAID[finding.passed]:<7}{finding.said}")
    failed = [finding.name for finding in report.findings if finding.passed is False]
    if failed:
        raise CheckError(f"failed: {', '.join(failed)}", where=take)
