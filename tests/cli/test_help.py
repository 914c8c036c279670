"""What commands say of themselves, and of a call that is none."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from songs import song

from musicgen.cli.help import GROUPS
from musicgen.cli.main import cli
from musicgen.io import write


def commands(group: click.Group, path: tuple[str, ...] = ()):
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


EVERY = list(commands(cli))


@pytest.mark.parametrize(
    ("path", "command"), EVERY, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_help_tells_every_option_once_and_in_words(path, command):
    told = CliRunner().invoke(cli, [*path, "--help"]).stdout
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.opts
            lines = [line for line in told.splitlines() if line.strip().startswith("-")]
            assert len([line for line in lines if max(option.opts, key=len) in line.split()]) == 1, option.opts
    for code in ("RANGE", "None", "<=", "INTEGER", "FLOAT", "BOOLEAN"):
        assert code not in told
    assert max(len(line) for line in told.splitlines()) <= 100
    assert "..." not in re.sub(r"ARGS\]\.\.\.|SOURCES\.\.\.|FILES\.\.\.|PATH\.\.\.", "", told), "a text that was cut"


def test_groups_of_options_name_options_that_there_are():
    there = {flag for _, command in EVERY for option in command.params for flag in option.opts}
    assert {flag for flags in GROUPS.values() for flag in flags} <= there


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("continue", "Missing argument 'PIECE'; see musicgen continue --help"),
        ("render song.mid", "Missing option '-o' / '--output'; see musicgen render --help"),
        (
            "render song.mid --overwrit",
            "No such option '--overwrit'. Did you mean '--overwrite'? See musicgen render --help",
        ),
        ("continue a.mid b.mid", "Got unexpected extra argument (b.mid); see musicgen continue --help"),
        (
            "continue song.mid --bars 0",
            "'--bars': 0 is not in the range: give 1 to 1,000; see musicgen continue --help",
        ),
        ("continue song.mid --bars two", "'--bars': 'two' is not a whole number; see musicgen continue --help"),
        ("continue song.mid --seconds 0", "'--seconds': 0 is not in the range: give above 0; see"),
        ("continue song.mid --seed -1", "'--seed': -1 is not in the range: give 0 or more; see"),
        (
            "continue song.mid --seed 4611686018427387904",
            "'--seed': 4611686018427387904 is too large: give at most 2,147,483,647",
        ),
        ("continue song.mid -t hot", "'hot' is not a number; see"),
        ("generate --tempo 3000", "'--tempo': 3000 is not in the range: give 4 to 1,000; see"),
        ("contine song.mid", "no command 'contine'. Did you mean 'continue'?"),
        ("help", "no command 'help'. Commands are continue, infill, accompany, generate, harmonise, humanise,"),
        ("song.mid", "no command 'song.mid'. To go on with it: musicgen continue song.mid"),
        ("corpus lst", "No such command 'lst'"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(tmp_path: Path, monkeypatch, call, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.mid").touch()
    result = CliRunner().invoke(cli, call.split(), prog_name="musicgen")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("musicgen: ")
    assert said in line


@pytest.mark.parametrize("call", ["", "corpus", "models"])
def test_a_group_alone_tells_its_commands(call):
    told = CliRunner().invoke(cli, call.split(), prog_name="musicgen").output
    assert told.startswith(f"Usage: musicgen {call}".rstrip())
    assert "Commands:" in told
    assert len(told.splitlines()) > 5


def test_errors_of_the_library_name_options(tmp_path):
    write(song(), tmp_path / "song.mid")
    out = tmp_path / "out.mid"
    cases = {
        ("--keep-rest",): "give --from BAR and whole --bars, or leave --keep-rest out",
        ("--max-notes", "3"): "has 156 notes, the limit is 3; raise the limit with --max-notes",
        ("--rhythm-from", "99"): "--rhythm-from: there is no bar 99",
        ("--soundfont", "no.sf2", "-f", "wav"): "check the path after --soundfont",
        ("--from", "9", "--range", "Flute=C3-C4"): "--range: 'Flute' gets no new notes",
    }
    for arguments, text in cases.items():
        result = CliRunner().invoke(cli, ["continue", str(tmp_path / "song.mid"), "-o", str(out), *arguments])
        assert result.exit_code in (2, 3), result.output
        assert text in result.stderr
        assert "`" not in result.stderr
