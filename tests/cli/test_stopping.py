"""Commands that are stopped or killed, edited recipes, and two trainers at once: what is said is so."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.corpus.journal import part_of
from musicgen.io import write
from musicgen.io.locks import Hold
from musicgen.piece import Piece, Track, notes_array
from musicgen.stopping import Interrupted
from musicgen.workers import Pool

TORTURE = Path(__file__).parents[2] / "pipelines" / "torture"
SMALL = ["--model", "lstm", "--set", "model.width=8", "--set", "model.layers=1", "--set", "train.length=32"]
SMALL += ["--set", "train.batch=2", "--set", "train.evaluate_every=4", "--device", "cpu"]


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def works(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def fails(code: int, *arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    return line


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with `tunes`, a `corpus` and a `run` of four steps."""
    root = tmp_path_factory.mktemp("made")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / f"{n}.mid")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        works("corpus", "build", "tunes", "-o", "corpus", "--jobs", 1)
        works("train", "corpus", "-o", "run", *SMALL, "--steps", 4)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


# ---- recipes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("warmup = 0.03", "warmup = 0.1", "[train] warmup was 0.03 when the run was saved, and is 0.1 now"),
        ("width = 8", "width = 16", "[model] width was 8 when the run was saved, and is 16 now"),
        ("tempo_steps = 2", "tempo_steps = 3", "[augment] tempo_steps was 2 when the run was saved, and is 3 now"),
        ("carry = false\n", "carry = true\n", "[train] carry was False when the run was saved, and is True now"),
        ("clip = 1.0\n", "", "[train] clip was 1.0 when the run was saved, and is not there now"),
        ('corpus_sha256 = "', 'corpus_sha256 = "0', "[data] corpus_sha256 was "),
    ],
)
def test_an_edited_recipe_is_told_by_its_key(here, old, new, said):
    path = here / "run" / "recipe.toml"
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    line = fails(2, "train", "corpus", "-o", "run", "--resume")
    assert line.startswith(f"musicgen: run/recipe.toml: {said}")
    assert line.endswith("; put it back, or train anew with --recipe")
    assert "is not the file that its manifest names" in fails(3, "inspect", "run")


def test_edited_steps_are_for_the_option(here):
    path = here / "run" / "recipe.toml"
    path.write_text(path.read_text().replace("steps = 4\n", "steps = 6\n"))
    line = fails(2, "train", "corpus", "-o", "run", "--resume")
    what = "[train] steps was 4 when the run was saved, and is 6 now; put it back, or give --steps 6 instead"
    assert line == f"musicgen: run/recipe.toml: {what}"


def test_a_recipe_with_remarks_is_the_same_and_a_lost_one_comes_back(here):
    path = here / "run" / "recipe.toml"
    text = path.read_text()
    path.write_text("# my best one\n" + text)
    works("train", "corpus", "-o", "run", "--resume")
    assert path.read_text() == text
    path.unlink()
    works("train", "corpus", "-o", "run", "--resume")
    assert path.read_text() == text
    path.write_text("[train\n")
    assert "recipe.toml: not a TOML file" in fails(3, "train", "corpus", "-o", "run", "--resume")


# ---- who holds what ----------------------------------------------------------------------------------------


def test_a_second_trainer_and_a_second_build_are_refused(here):
    with Hold("run"), Hold("new"):
        for arguments in (
            ("train", "corpus", "-o", "run", "--resume"),
            ("train", "corpus", "-o", "run", "--overwrite"),
            ("train", "corpus", "-o", "new", *SMALL),
            ("corpus", "build", "tunes", "-o", "new"),
        ):
            line = fails(2, *arguments)
            assert f": another process writes here (process {os.getpid()} on " in line
            assert line.endswith("; wait until it is done, or choose another folder")
    assert sorted(os.listdir(here)) == ["corpus", "run", "tunes"]
    assert not any(name.endswith(".lock") for name in os.listdir("run"))


# ---- signals -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_while_its_corpus_is_built(here, monkeypatch, number):
    def stop(*_: object, **options: Any) -> Iterator[Any]:
        for count, each in enumerate(real(*_, **options)):
            if count == 5:
                raise Interrupted(number)
            yield each

    real = Pool.stream
    with monkeypatch.context() as patched:
        patched.setattr(Pool, "stream", stop)
        result = run("train", "tunes", "-o", "new", *SMALL, "--steps", 4)
    assert result.exit_code == 128 + number
    said = "interrupted: no step was taken; the same command goes on building the corpus"
    assert result.stderr.splitlines()[-1] == said
    assert sorted(os.listdir(here)) == [".new.corpus.part", "corpus", "run", "tunes"]
    assert "no checkpoint to resume from; start without --resume" in fails(3, "train", "tunes", "-o", "new", "--resume")
    result = works("train", "tunes", "-o", "new", *SMALL, "--steps", 4)
    assert "going on with a build that was broken off: 2 of 6 files are done" in result.stderr
    assert sorted(os.listdir(here)) == ["corpus", "new", "run", "tunes"]
    assert (here / "new" / "corpus" / "tokens.npy").read_bytes() == (here / "corpus" / "tokens.npy").read_bytes()


def test_a_build_that_is_stopped(here, monkeypatch):
    def stop(*_: object, **__: object) -> None:
        raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(Pool, "stream", stop)
        result = run("corpus", "build", "tunes", "-o", "new")
    assert (result.exit_code, result.stderr) == (143, "interrupted: the same command goes on where it was\n")
    assert not part_of("new").exists(), "nothing was done"


def test_a_command_that_is_stopped_says_so_and_nothing_else(here, monkeypatch):
    from musicgen.cli import inspect

    for error, code in ((KeyboardInterrupt(), 130), (Interrupted(signal.SIGTERM), 143)):

        def stop(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(inspect, "_facts", stop)
        result = run("inspect", "tunes/0.mid")
        assert (result.exit_code, result.stderr, result.stdout) == (code, "interrupted\n", "")


# ---- real kills, and real signals ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nursery() -> Iterator[Any]:
    sys.path.insert(0, str(TORTURE))
    try:
        from nursery import Nursery

        with Nursery() as process:
            yield process
    finally:
        sys.path.remove(str(TORTURE))


def timeless(folder: Path) -> dict[str, Any]:
    """What a run comes to, but for seconds and its own name."""
    log = [line.split(",") for line in (folder / "log.csv").read_text().splitlines()]
    card = json.loads((folder / "card.json").read_text())
    names = ("model.safetensors", "gradients.csv", "recipe.toml", "tokenizer.json")
    return {
        "log": [row[:1] + row[2:] for row in log],
        "card": {key: value for key, value in card.items() if key not in ("seconds", "title")},
        **{name: (folder / name).read_bytes() for name in names},
    }


def test_a_killed_training_is_resumed_to_the_same(here, nursery):
    train = ("train", "corpus", "-o", "new", *SMALL, "--steps", 8)
    whole = nursery.run(*train, within=here, save_every=0)
    assert whole.code == 0, whole.err
    os.rename("new", "whole")
    for at in (0.3, 0.8):
        killed = nursery.run(*train, within=here, save_every=0, kill_at=int(whole.touched * at))
        assert killed.code == -signal.SIGKILL
        again = nursery.run("train", "corpus", "-o", "new", "--resume", within=here, save_every=0)
        assert again.code == 0, again.err
        assert timeless(here / "new") == timeless(here / "whole"), at
        assert sorted(os.listdir(here)) == ["corpus", "new", "run", "tunes", "whole"]
        shutil.rmtree("new")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_training_saves_and_its_workers_say_nothing(here, nursery, number):
    train = ("train", "corpus", "-o", "new", *SMALL, "--steps", 100_000, "--workers", 2)
    stopped = nursery.run(*train, within=here, kill_after=2.5, number=number, group=True)
    assert stopped.code == 128 + number, stopped.err
    assert stopped.err.splitlines()[-1] == "interrupted: saved; go on with `musicgen train corpus -o new --resume`"
    assert "stopping; Ctrl-C again ends it at once, without saving" in stopped.err
    assert "Traceback" not in stopped.err
    assert "already exists; pass --resume to go on" in fails(2, "train", "corpus", "-o", "new")
    works("train", "corpus", "-o", "new", "--resume", "--max-time", "1s")


def test_a_killed_build_goes_on_to_the_same(here, nursery):
    command = ("corpus", "build", "tunes", "-o", "new", "--jobs", 2)
    for seconds in (0.3, 0.6):
        ended = nursery.run(*command, within=here, kill_after=seconds)
        assert ended.code in (0, -signal.SIGKILL)
        if (here / "new").exists():  # done before it could be killed
            break
    else:
        assert nursery.run(*command, within=here).code == 0
    for name in ("tokens.npy", "pieces.jsonl", "corpus.json"):
        assert (here / "new" / name).read_bytes() == (here / "corpus" / name).read_bytes()
    assert sorted(os.listdir(here)) == ["corpus", "new", "run", "tunes"]
