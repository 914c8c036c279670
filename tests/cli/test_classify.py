"""`train --task classify`, `classify`, `evaluate` and `inspect` on the run: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from classify_tunes import make_tunes, tune
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.piece import Piece, Track

QUICK = ["--model", "gru", "--steps", "60", "--device", "cpu", "--set", "model.width=16", "--set", "train.length=32"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with tunes, a run that has learned them, and two tunes that it hasn't seen."""
    folder = tmp_path_factory.mktemp("classify")
    make_tunes(folder / "tunes", each=30)
    (folder / "new").mkdir()
    for kind in ("high", "low"):
        write(tune(kind, 99), folder / "new" / f"{kind}.mid")
    write(Piece(480, (Track(),)), folder / "silent.mid")
    told = run("corpus", "build", folder / "tunes", "-o", folder / "corpus", "--valid", 0.2, "--test", 0.2, "--jobs", 1)
    assert told.exit_code == 0
    told = run("train", folder / "corpus", "-o", folder / "run", "--task", "classify", "--label", "folder", *QUICK)
    assert told.exit_code == 0, told.stderr
    assert "nats per piece" in told.stdout
    assert f"use it: musicgen classify piece.mid -m {folder / 'run'}" in told.stdout
    return folder


def test_pieces_are_classified_with_probabilities(here):
    told = run("classify", here / "new", "-m", here / "run", "--json")
    assert told.exit_code == 0
    pieces = json.loads(told.stdout)["pieces"]
    assert [(Path(each["piece"]).stem, each["class"]) for each in pieces] == [("high", "high"), ("low", "low")]
    assert all(abs(sum(each["probabilities"].values()) - 1) < 1e-6 for each in pieces)
    line = run("classify", here / "new" / "low.mid", "-m", here / "run", "--top", 1).stdout
    assert line.split()[1] == "low"
    assert "high " not in line


def test_a_piece_that_cannot_be_classified_is_told_and_the_others_are_not_lost(here):
    told = run("classify", here / "silent.mid", here / "gone.mid", here / "new" / "low.mid", "-m", here / "run")
    assert told.exit_code == 1
    assert len(told.stdout.splitlines()) == 1
    silent, gone = told.stderr.splitlines()
    assert "silent.mid: has no notes that this run's tokenizer reads" in silent
    assert "gone.mid" in gone
    assert run("classify", here / "gone.mid", "-m", here / "run").exit_code == 3
    told = run("classify", here / "new" / "low.mid", "-m", "default")
    assert told.exit_code == 3
    assert "is no model that classifies pieces: it predicts notes" in told.stderr


def test_other_commands_refuse_the_run_in_a_line_that_says_what_to_use(here):
    told = run("continue", here / "new" / "low.mid", "-m", here / "run")
    assert told.exit_code == 3
    assert "is a model that classifies pieces, and continues nothing; use `musicgen classify`" in told.stderr


def test_the_run_is_measured_beside_simple_rules(here):
    figures = json.loads(run("evaluate", here / "run", "--json", "--device", "cpu").stdout)
    assert (figures["task"], figures["accuracy"], figures["label"]) == ("classify", 1.0, "folder")
    assert set(figures["floors"]) == {"majority guess", "nearest neighbours, k 1"}
    assert figures["floors"]["majority guess"]["balanced_accuracy"] == 0.5
    assert sum(map(sum, figures["confusion"])) == figures["pieces"]
    lines = run("evaluate", here / "run", "--device", "cpu").stdout.splitlines()
    assert lines[0] == f"valid: {figures['pieces']} pieces of 2 classes by folder"
    assert [line.split("  ")[1] for line in lines[2:]] == ["this model", "majority guess", "nearest neighbours, k 1"]
    told = run("evaluate", here / "run", here / "corpus", "--split", "nowhere")
    assert told.exit_code == 2
    assert "no split 'nowhere'" in told.stderr


def test_the_confusion_matrix_is_drawn_with_its_numbers_beside(here):
    told = run("inspect", here / "run", "--pictures", here / "pictures")
    assert told.exit_code == 0, told.stderr
    assert {path.name for path in (here / "pictures").iterdir()} == {
        "confusion.csv", "confusion.png", "gradients.png", "loss.png",
    }  # fmt: skip
    header, *rows = csv.reader((here / "pictures" / "confusion.csv").read_text().splitlines())
    assert header[1:] == [row[0] for row in rows]
    assert all(int(row[1 + n]) > 0 for n, row in enumerate(rows))
    assert "a model that classifies pieces" in told.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--label", "folder"], "--label is an option of --task classify, not of next-note prediction"),
        (["--task", "clasify"], "there is no task 'clasify'; did you mean 'classify'?"),
        (["--task", "classify"], "a label to classify by is needed; choose from folder"),
        (["--task", "classify", "--label", "folder", "--least", "99"], "0 classes of 'folder' have 99 training pieces"),
        (["--task", "classify", "--label", "x", "--labels", "gone.csv"], "gone.csv: is missing; check the path"),
    ],
)
def test_what_cannot_be_learned_is_refused_before_anything_is_written(here, options, told):
    result = run("train", here / "corpus", "-o", here / "other", *options, *QUICK)
    assert result.exit_code in (2, 3)
    (line,) = result.stderr.splitlines()
    assert told in line
    assert not (here / "other").exists()


@pytest.mark.parametrize("options", [[], ["--label", "mood"], ["--label", "x", "--labels", "gone.csv"]])
def test_no_corpus_is_built_for_labels_that_cannot_be_had(here, options):
    result = run("train", here / "tunes", "-o", here / "other", "--task", "classify", *options, *QUICK)
    assert result.exit_code in (2, 3)
    assert len(result.stderr.splitlines()) == 1
    assert not (here / "other").exists()
