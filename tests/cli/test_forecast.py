"""Forecasts from the command line: errors beside floors, pictures with their numbers, and what comes next."""

from __future__ import annotations

import csv
import json

import pytest
from click.testing import CliRunner
from forecast_pieces import corpus_of_tunes, tune

from musicgen.cli.main import cli
from musicgen.io import write

TRAIN = ("--task", "forecast", "--model", "gru", "--steps", "4", "--set", "model.width=16", "--set", "task.lags=4")


def run(*arguments: object):
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecasts")
    corpus_of_tunes(folder)
    write(tune([60, 62, 64, 65, 67, 69]), folder / "tune.mid")
    more = ("--set", "task.series=pitch,ioi", "--set", "task.every=quarter", "--set", "task.horizon=4")
    result = run("train", folder / "corpus", "-o", folder / "run", *TRAIN, *more, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "use it: musicgen forecast piece.mid" in result.output
    return folder


def test_evaluate_shows_errors_by_horizon_beside_the_floors(home):
    result = run("evaluate", home / "run", "--device", "cpu")
    assert result.exit_code == 0, result.output
    for line in ("mean absolute error (semitones), by steps ahead", "    gru ", "    a bar ago", "    autoregression"):
        assert line in result.output
    assert "ioi, 4 ahead: a mean error of" in result.output
    table = json.loads(run("evaluate", home / "run", home / "corpus", "--json", "--device", "cpu").output)
    assert {row["series"] for row in table["errors"]} == {"pitch", "ioi"}
    assert len(table["errors"]) == 2 * 4 * 7


def test_options_of_likelihoods_are_refused(home):
    result = run("evaluate", home / "run", "--max-tokens", "99")
    assert result.exit_code == 2
    assert "errors of forecasts are of whole pieces, so --max-tokens is nothing to them; leave it out" in result.output


def test_inspect_draws_and_writes_the_numbers_beside(home):
    result = run("inspect", home / "run", "--pictures", home / "pictures")
    assert result.exit_code == 0, result.output
    assert "a model that forecasts melodies as numbers" in result.output
    names = {path.name for path in (home / "pictures").iterdir()}
    assert names >= {
        "loss.png", "forecast-errors.png", "forecast-errors.csv", "forecast-pitch.png", "forecast-ioi.csv",
        "forecast-grid.png", "forecast-grid.csv",
    }  # fmt: skip
    with open(home / "pictures" / "forecast-pitch.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"step", "came", "observed", "gru 1 ahead", "gru 4 ahead"} <= set(rows[0])
    for name in names - {"forecast-pitch.csv"}:
        (home / "pictures" / name).unlink()
    again = run("inspect", home / "run", "--pictures", home / "pictures")
    assert "forecast-pitch.csv: already exists; pass --overwrite" in again.output
    assert again.exit_code == 2


def test_the_next_numbers_of_a_tune(home):
    result = run("forecast", home / "tune.mid", "-m", home / "run")
    assert result.exit_code == 0, result.output
    head, *rows = result.output.splitlines()
    assert head.split("  ") == ["quarters ahead", "pitch (MIDI)", "since the onset before (quarters)"]
    assert len(rows) == 4
    assert "(near " in rows[0]
    table = json.loads(run("forecast", home / "tune.mid", "-m", home / "run", "--json").output)
    assert [row["horizon"] for row in table["ahead"]] == [1, 2, 3, 4]
    refused = run("forecast", home / "tune.mid", "-m", "default")
    assert "is no model that forecasts melodies as numbers: it predicts notes" in refused.output
