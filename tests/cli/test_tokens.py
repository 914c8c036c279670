"""`musicgen inspect PIECE --tokens` and `--windows`: tables that fit a screen, JSON, and one line for what can't be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.cli.tokens import USUAL, WIDTH
from musicgen.io import read
from musicgen.tokenizers import TOKENIZERS, load_tokenizer, windows

EXAMPLE = "schubert-unfinished"
PIECE = read(EXAMPLE)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["inspect", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def facts(*arguments: object) -> dict:
    return json.loads(run(EXAMPLE, *arguments, "--json").stdout)


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
def test_every_tokenizer_is_shown_within_a_screen(name):
    form = load_tokenizer({"name": name})
    ids = form.encode(PIECE)
    told = run(EXAMPLE, "--tokens", "--windows", 4, "--tokenizer", name, "--rows", 0)
    assert told.exit_code == 0, told.output
    lines = told.stdout.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert f"a vocabulary of {len(form.vocabulary):,}" in lines[0]
    first, second = (n for n, line in enumerate(lines) if line.lstrip().startswith("index"))
    rows = lines[first + 1 : second - 1]
    assert len(rows) == len(ids)
    for row, step in zip(rows, ids.reshape(len(ids), -1), strict=True):
        strip = row.split()[-1]
        used = step[step > 0]
        assert sum(map(int, strip)) == len(used)
        edges = [len(form.vocabulary) * n // len(strip) for n in range(1, len(strip))]
        marked = [n for n, digit in enumerate(strip) for _ in range(int(digit))]
        assert marked == np.searchsorted(edges, np.sort(used), side="right").tolist()


def test_a_line_has_index_id_name_and_meaning():
    told = run(EXAMPLE, "--tokens").stdout.splitlines()
    assert ["6", "890", "pitch_67", "pitch", "G4"] in [line.split()[:5] for line in told]
    assert told[2].startswith(f"  {USUAL}, as it has one id a token; --tokenizer notes, ")


def test_steps_have_a_column_for_each_field():
    told = run(EXAMPLE, "--tokens", "--tokenizer", "notes").stdout
    assert told.splitlines()[3].split() == ["index", "pitch", "duration", "velocity", "onset", "part", "one-hot"]
    assert re.search(r" 11  68 G4 +268 1/2 +349 82 +363 bar +573 meter 3/4 +[0-2]+\n", told)


def test_rows_are_limited_unless_all_are_asked_for():
    total = len(load_tokenizer({"name": USUAL}).encode(PIECE))
    usual = run(EXAMPLE, "--tokens").stdout.splitlines()
    assert usual[-1] == f"  … {total - 64} rows more; --rows 0 prints all"
    assert len(run(EXAMPLE, "--tokens", "--rows", 0).stdout.splitlines()) == len(usual) - 1 + total - 64
    assert len(facts("--tokens")["ids"]) == total
    assert len(facts("--tokens", "--rows", 5)["ids"]) == 5


def test_the_table_of_windows_is_that_of_the_library():
    form = load_tokenizer({"name": USUAL})
    X, y = windows(form.encode(PIECE), lags=3, horizon=2)
    told = run(EXAMPLE, "--windows", 3, "--rows", 0).stdout.splitlines()
    assert f"  inputs X {X.shape}: 3 lags a row; targets y {y.shape}: the next 2 tokens" in told
    at = next(n for n, line in enumerate(told) if line.split() == ["index", "t-2", "t-1", "t", "|", "t+1", "t+2"])
    rows = [[int(cell) for cell in line.split() if cell != "|"] for line in told[at + 1 : -1]]
    assert rows == [[n, *X[n], *y[n]] for n in range(len(X))]
    assert told[-1].startswith("  the first row: beginning, bar, meter 3/4 -> position 0, tempo 107")
    found = facts("--windows", 3)
    assert (found["X"], found["y"]) == (X.tolist(), y.tolist())
    assert (found["X_shape"], found["y_shape"]) == (list(X.shape), list(y.shape))
    assert "ids" not in found


def test_wide_windows_leave_the_middle_out():
    lines = run(EXAMPLE, "--windows", 60, "--horizon", 30, "--rows", 1).stdout.splitlines()
    head = next(line.split() for line in lines if line.startswith("index"))
    assert head.count("…") == 2
    assert {"t-59", "t", "t+1", "t+30"} <= set(head)
    assert max(map(len, lines)) <= WIDTH


def test_bars_are_those_of_the_piece():
    whole = facts("--tokens")["ids"]
    some = facts("--tokens", "--from", 3, "--bars", 2)
    assert some["ids"] == whole[some["first"] : some["first"] + len(some["ids"])]
    assert some["meanings"].count("bar") == 2
    assert facts("--tokens", "--bars", 2)["ids"] + some["ids"] == whole[: some["first"] + len(some["ids"])]
    assert facts("--tokens", "--from", 9, "--bars", 50)["meanings"][-1] == "end"


def test_names_and_meanings_have_the_shape_of_ids():
    found = facts("--tokens", "--tokenizer", "parts")
    shapes = {np.shape(found[key]) for key in ("ids", "names", "meanings")}
    assert shapes == {(found["steps"], len(found["fields"]))}


def test_an_abc_file_is_shown_as_it_is_written(tmp_path):
    text = "X:1\nT:Rue\nM:4/4\nL:1/4\nK:G\nGABc|d2B2|\n"
    (tmp_path / "tune.abc").write_text(text)
    told = run(tmp_path / "tune.abc", "--tokens", "--tokenizer", "abc", "--json")
    said = json.loads(told.stdout)["meanings"][1:-1]
    assert "".join("\n" if each == "line break" else each.removeprefix("character ") for each in said) == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((EXAMPLE, "--windows", 40, "--bars", 1), "40 lags and a horizon of 2 take 42 tokens, and here are 17; give fewer"),
        ((EXAMPLE, "--tokens", "--tokenizer", "rmi"), "no tokenizer 'rmi'; did you mean 'remi'?"),
        ((EXAMPLE, "--tokens", "--from", 99), "there is no bar 99; the tokens have 10 bars, counted from 1"),
        ((EXAMPLE, "--tokens", "--tokenizer", "abc", "--bars", 2), "the tokens of abc don't tell where bars begin"),
        ((EXAMPLE, "--rows", 3), "--rows is for the tokens of a piece; add --tokens or --windows N"),
        ((EXAMPLE, "--tokens", "--horizon", 2), "--horizon says what follows a window; add --windows N"),
        (("default", "--tokens"), "--tokens shows a piece, and this is a folder or a model; name a MIDI file"),
        ((Path(__file__).parent, "--windows", 3), "--windows shows a piece, and this is a folder or a model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_line(arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert said in line
    assert result.stdout == ""
