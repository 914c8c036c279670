"""`--overwrite` replaces a run or a corpus when the new one stands, and never what it was asked to read."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from musicgen.checkpoint import load_run
from musicgen.cli.main import cli
from musicgen.corpus.store import Corpus
from musicgen.io import write
from musicgen.models import hardware
from musicgen.piece import Piece, Track, notes_array
from musicgen.training import keeping, loop
from musicgen.training.step import Learner

SMALL = ["--model", "lstm", "--set", "model.width=16", "--set", "model.layers=1", "--set", "train.length=32"]
QUICK = ["--steps", 2, "--device", "cpu"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def fails(code: int, *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    return line


def works(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `tunes`, and a `run` trained on them, with a take and notes of its owner in it."""
    root = tmp_path_factory.mktemp("made")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / f"{n}.mid")
    works("train", root / "tunes", "-o", root / "run", *SMALL, *QUICK)
    (root / "run" / "notes.txt").write_text("the second theme is too loud")
    (root / "run" / "takes").mkdir()
    shutil.copy(root / "tunes" / "0.mid", root / "run" / "takes")
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


SLIPS = [
    (["--preset", "tinny"], 2, "did you mean 'tiny'?"),
    (["--model", "ltsm"], 2, "did you mean 'lstm'?"),
    (["--set", "model.widht=3"], 2, "there is no setting 'widht'; did you mean 'width'?"),
    (["--set", "train.stesp=3"], 2, "[train] has no 'stesp'; did you mean 'steps'?"),
    (["--set", "train.batch=0"], 2, "[train] batch is 0"),
    (["--set", "model.dropout=2"], 2, "dropout is 2"),
    (["--set", "train.carry=true"], 2, "[train] carry is for models with a state"),
    (["--preset", "small", "--set", "model.heads=5"], 2, "doesn't divide into 5 heads"),
    (["--recipe", "none.toml"], 3, "none.toml: is missing; check the path"),
    (["--recipe", "broken.toml"], 3, "broken.toml: not a TOML file"),
    (["--recipe", "run/notes.txt"], 3, "run/notes.txt: not a TOML file"),
    (["--teacher", "none"], 3, "none: no such run folder or model"),
    (["--teacher", "default", "--tokenizer", "remi"], 2, "this teacher has another tokenizer"),
    (["--teacher", "default", "--tokenizer", "parts"], 2, "a model with a memory neither teaches nor is taught"),
    (["--tokenizer", "parts", "--set", "model.horizon=2"], 2, "a memory and a horizon don't go together"),
    (["--device", "abacus"], 2, "no device 'abacus' on this machine; use --device auto"),
    (["--max-time", "soon"], 2, "'soon' is not a duration"),
    (["--tokenizer", "remmi"], 2, "remmi"),
    (
        ["--precision", "bfloat16"],
        2,
        "transformer can't be trained in bfloat16: this device computes no linear layers in it",
    ),
]


def test_a_horizon_and_teachers_are_refused_together(here):
    before = content(here)
    line = fails(2, "train", "tunes", "-o", "new/run", "--teacher", "run", "--set", "model.horizon=2")
    assert "a horizon and teachers don't go together" in line
    assert content(here) == before


@pytest.mark.parametrize(("options", "code", "text"), SLIPS, ids=lambda value: str(value)[:40])
def test_a_slip_costs_nothing(here, monkeypatch, options, code, text):
    monkeypatch.setattr(hardware, "_trains", lambda kind, device: kind != "linear")
    (here / "broken.toml").write_text("[train\n")
    before = content(here)
    assert text in fails(code, "train", "tunes", "-o", "run", *options, "--overwrite")
    assert text in fails(code, "train", "tunes", "-o", "new/run", *options)
    assert content(here) == before
    assert sorted(os.listdir(here)) == ["broken.toml", "run", "tunes"]


@pytest.mark.parametrize(
    ("corpus", "code", "text"),
    [
        ("bach-chorals", 2, "did you mean 'bach-chorales'?"),
        ("nowhere/tunes", 2, "no such file or folder"),
        ("empty", 3, "no music files in the sources"),
        ("damaged", 3, "is damaged"),
    ],
)
def test_a_corpus_that_is_none_costs_nothing(here, corpus, code, text):
    (here / "empty").mkdir()
    shutil.copytree(here / "run" / "corpus", here / "damaged")
    (here / "damaged" / "tokens.npy").write_bytes(b"junk")
    before = content(here)
    assert text in fails(code, "train", corpus, "-o", "run", "--overwrite")
    assert text in fails(code, "train", corpus, "-o", "new")
    assert content(here) == before
    assert sorted(os.listdir(here)) == ["damaged", "empty", "run", "tunes"]


def owned(folder: Path) -> dict[str, bytes]:
    """What lies in a run folder and isn't the run's."""
    return {name: data for name, data in content(folder).items() if name.startswith(("notes", "takes"))}


def test_a_run_is_replaced_and_what_is_its_owners_stays(here):
    old, mine = load_run("run"), owned(here / "run")
    works("train", "tunes", "-o", "run", *SMALL, *QUICK, "--seed", 1, "--overwrite")
    assert load_run("run").sha256 != old.sha256
    assert owned(here / "run") == mine
    assert len(mine) == 2
    assert sorted(os.listdir(here)) == ["run", "tunes"]
    works("train", "tunes", "-o", "run", "--resume", "--steps", 3, "--device", "cpu")


@pytest.mark.parametrize(
    "corpus", ["run/corpus", "./tunes/../run/corpus/", "link/corpus", "linked", "{here}/run/corpus"]
)
def test_the_corpus_of_the_run_that_is_replaced_comes_along(here, corpus):
    (here / "link").symlink_to("run")
    (here / "linked").symlink_to("run/corpus")
    before = content(here / "run" / "corpus")
    works("train", corpus.format(here=here), "-o", "run", *SMALL, *QUICK, "--seed", 1, "--overwrite")
    assert content(here / "run" / "corpus") == before
    assert load_run("run").recipe.train.seed == 1
    works("train", corpus.format(here=here), "-o", "link", "--resume", "--steps", 3, "--device", "cpu")
    works("evaluate", "run", "--max-tokens", 50)


def test_music_among_what_goes_is_not_trained_on(here):
    shutil.copytree(here / "tunes", here / "run" / "corpus" / "music")
    before = content(here)
    line = fails(2, "train", "run/corpus/music", "-o", "run", *SMALL, "--overwrite")
    assert line == ("musicgen: run/corpus/music: lies in the run that would be replaced; choose another folder with -o")
    assert content(here) == before


def test_music_and_a_corpus_of_the_owner_in_the_run_stay(here):
    works("corpus", "build", "run/takes", "tunes", "-o", "run/own", "--jobs", 1)
    before = content(here / "run" / "own")
    works("train", "run/own", "-o", "run", *SMALL, *QUICK, "--overwrite")
    assert content(here / "run" / "own") == before
    assert not (here / "run" / "corpus").exists(), "the old run's own went with it"
    works("train", "run/takes", "-o", "run", *SMALL, *QUICK, "--overwrite")
    assert (here / "run" / "takes" / "0.mid").exists()
    assert Corpus.open(here / "run" / "corpus").info()["pieces"] == 1


@pytest.mark.parametrize("teacher", ["run", "link", "./tunes/../run"])
def test_a_run_is_not_its_own_teacher(here, teacher):
    (here / "link").symlink_to("run")
    before = content(here)
    line = fails(2, "train", "tunes", "-o", "run", *SMALL, "--teacher", teacher, "--overwrite")
    assert line.endswith(
        f"{teacher}: is a teacher, and lies in the run that would be replaced; choose another folder with -o"
    )
    assert content(here) == before


def test_a_teacher_of_the_owners_in_the_run_stays(here):
    shutil.copytree(here / "run", here / "run" / "teacher")
    common = ("train", "run/corpus", "-o", "run", "--teacher", "run/teacher", "--device", "cpu")
    works(*common, *SMALL, "--steps", 1, "--overwrite")
    works(*common, "--resume", "--steps", 2)


def test_a_recipe_that_lies_in_the_run_is_read_before_it_goes(here):
    before = load_run("run").recipe
    works("train", "tunes", "-o", "run", "--recipe", "run/recipe.toml", "--device", "cpu", "--overwrite")
    after = load_run("run").recipe
    assert (after.model, after.train) == (before.model, before.train)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError(28, "No space left on device")])
@pytest.mark.parametrize("corpus", ["tunes", "run/corpus"])
def test_until_the_first_checkpoint_the_old_run_is_as_it_was(here, monkeypatch, error, corpus):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(keeping, "save_checkpoint", fail)
    before = content(here)
    result = run("train", corpus, "-o", "run", *SMALL, *QUICK, "--overwrite")
    assert result.exit_code == (130 if error is KeyboardInterrupt else 5)
    if error is KeyboardInterrupt:
        assert result.stderr.splitlines()[-1] == "interrupted: nothing was begun; what lay there is as it was"
    assert content(here) == before
    assert sorted(os.listdir(here)) == ["run", "tunes"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_from_the_first_checkpoint_on_the_new_run_is_there_to_go_on_with(here, monkeypatch, number):
    learn = Learner.__call__

    def stop(learner: Any, step: int, **options: object) -> loop.Outcome:
        signal.raise_signal(number)
        return learn(learner, step, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Learner, "__call__", stop)
        result = run("train", "tunes", "-o", "run", *SMALL, *QUICK, "--seed", 1, "--overwrite")
    assert result.exit_code == 128 + number
    assert result.stderr.splitlines()[-1] == ("interrupted: saved; go on with `musicgen train tunes -o run --resume`")
    works("train", "tunes", "-o", "run", "--resume", "--device", "cpu")
    works("train", "tunes", "-o", "whole", *SMALL, *QUICK, "--seed", 1)
    assert load_run("run").sha256 == load_run("whole").sha256


def test_a_run_killed_before_its_first_step_goes_on(here, monkeypatch):
    """As a kill leaves it: the first checkpoint and the recipe, and no model to use yet."""

    def stop(*_: object, **__: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "Log", stop)
        run("train", "tunes", "-o", "new", *SMALL, *QUICK)
    assert "pass --resume to go on, or --overwrite to replace it" in fails(2, "train", "tunes", "-o", "new")
    assert "go on with `musicgen train --resume`" in fails(3, "inspect", "new")
    works("train", "tunes", "-o", "new", "--resume", "--device", "cpu")
    assert load_run("new").sha256 == load_run("run").sha256


def test_what_a_kill_left_of_a_first_checkpoint_is_no_run(here):
    (here / "new" / "checkpoints" / "last.new").mkdir(parents=True)
    works("train", "tunes", "-o", "new", *SMALL, *QUICK)


def test_leftovers_of_a_killed_run_are_cleared_and_its_predecessor_comes_back(here):
    before = content(here / "run")
    os.rename("run", ".run.old-0123abcd")
    shutil.copytree(".run.old-0123abcd", ".run.new-0123abcd")
    assert "already exists; pass --resume to go on" in fails(2, "train", "tunes", "-o", "run")
    assert content(here / "run") == before
    assert sorted(os.listdir(here)) == ["run", "tunes"]


def test_a_folder_of_another_programs_checkpoints_is_no_run(here):
    (here / "theirs" / "checkpoints").mkdir(parents=True)
    (here / "theirs" / "checkpoints" / "epoch1.pt").write_text("theirs")
    (here / "theirs" / "train.py").write_text("theirs")
    before = content(here)
    assert "is not a run folder, so it is not replaced" in fails(2, "train", "tunes", "-o", "theirs", "--overwrite")
    assert content(here) == before


# ---- corpus build and fetch ------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["corpus", "corpus/music", "corpus/music/0.mid", "link"])
def test_a_corpus_is_not_built_over_its_source(here, source):
    works("corpus", "build", "tunes", "-o", "corpus", "--jobs", 1)
    shutil.copytree("tunes", "corpus/music")
    (here / "link").symlink_to("corpus/music")
    before = content(here)
    line = fails(2, "corpus", "build", source, "-o", "corpus", "--overwrite", "--jobs", 1)
    assert line.startswith("musicgen: corpus: holds ")
    assert line.endswith("0.mid, one of the sources, and is not written over; choose another folder")
    assert content(here) == before
    assert "exists and is not a corpus folder" in fails(2, "corpus", "build", "tunes", "-o", "tunes", "--overwrite")
    assert content(here) == before


def test_a_corpus_in_its_source_is_replaced_and_the_source_stays(here):
    before = content(here / "tunes")
    for _ in range(2):
        works("corpus", "build", "tunes", "-o", "tunes/corpus", "--overwrite", "--jobs", 1)
        assert {name: data for name, data in content(here / "tunes").items() if "corpus" not in name} == before


def test_what_else_lies_in_a_corpus_folder_stays(here):
    works("corpus", "build", "tunes", "-o", "corpus", "--jobs", 1)
    works("train", "corpus", "-o", "corpus/run", *SMALL, *QUICK)
    before = content(here / "corpus" / "run")
    works("corpus", "build", "tunes", "-o", "corpus", "--overwrite", "--jobs", 1, "--tokenizer", "remi")
    assert content(here / "corpus" / "run") == before
    assert Corpus.open("corpus").spec["name"] == "remi"


def test_a_corpus_json_of_others_is_no_corpus(here):
    (here / "data").mkdir()
    (here / "data" / "corpus.json").write_text(json.dumps({"train": [], "valid": [], "test": []}))
    (here / "data" / "thesis.txt").write_text("years of work")
    before = content(here)
    assert "exists and is not a corpus folder" in fails(2, "corpus", "build", "tunes", "-o", "data", "--overwrite")
    assert content(here) == before


def test_a_fetch_leaves_what_lies_there(here):
    (here / "data" / "nottingham").mkdir(parents=True)
    (here / "data" / "nottingham" / "mine.txt").write_text("mine")
    before = content(here)
    line = fails(2, "corpus", "fetch", "nottingham", "-o", "data")
    assert line.endswith("nottingham: already exists and is something else; move it or choose another folder")
    assert content(here) == before
