"""What looks like a number to Python, and is none to a musician."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from musicgen.cli.main import cli
from musicgen.cli.options import Number

EXAMPLE = Path(__file__).parents[2] / "corpora" / "examples" / "schubert-unfinished.mid"


def fails(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 2
    return result.stderr


def commands(group: click.Group, path: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


FRACTIONS = [
    (path, option.opts[-1])
    for path, command in commands(cli)
    for option in command.params
    if isinstance(option, click.Option) and isinstance(option.type, (click.types.FloatParamType, click.FloatRange))
]


@pytest.mark.parametrize(("path", "flag"), FRACTIONS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_option_takes_what_is_no_number_or_has_no_end(path, flag, value):
    assert "Invalid value" in fails(*path, "x", flag, value)


def test_there_are_such_options():
    assert {"--tempo", "--temperature", "--max-hours"} <= {flag for _, flag in FRACTIONS}
    assert Number(0, 1).convert("0.5", None, None) == 0.5


def test_digits_of_other_scripts_and_raised_ones_are_no_numbers(tmp_path):
    out = tmp_path / "out.mid"
    assert "neither 'end' nor a bar" in fails("continue", EXAMPLE, "-o", out, "--from", "²")
    assert "no instrument" in fails("continue", EXAMPLE, "-o", out, "--tracks", "²")
    assert "no instrument" in fails("generate", "-o", out, "--tracks", "٣")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["continue", EXAMPLE, "--from", "9" * 5000], "is neither 'end' nor a bar"),
        (["continue", EXAMPLE, "--tracks", "9" * 5000], "no part and no instrument"),
        (["continue", EXAMPLE, "--pitch-range", f"{'9' * 5000}-60"], "is not a pitch range"),
        (["continue", EXAMPLE, "--bars", "9" * 5000], "is not a whole number"),
        (["continue", EXAMPLE, "--field-temperature", "pitch=nan"], "temperature of pitch is nan; give a number"),
        (["train", "corpus", "-o", "run", "--max-time", "9" * 5000], "the duration has no end; write it like 90s"),
        (["train", "corpus", "-o", "run", "--max-time", "nan"], "'nan' is not a duration"),
        (["train", "corpus", "-o", "run", "--set", "train.steps=" + "[" * 5000], "[train] steps is '[["),
        (["train", "corpus", "-o", "run", "--set", "train.clip=inf"], "[train] clip is inf; give a finite number"),
    ],
)
def test_what_is_written_as_no_number_is_refused_in_one_line(arguments, text):
    (line,) = fails(*arguments).splitlines()
    assert text in line
