"""A folder from a stranger is used or refused: one line that names file, key and what was expected, and exit code 3."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io.atomic import json_bytes

PATH = Path(__file__).parents[2] / "pipelines" / "torture" / "harms.py"
SPEC = importlib.util.spec_from_file_location("harms", PATH)
harms = importlib.util.module_from_spec(SPEC)
sys.modules["harms"] = harms  # dataclasses look there
SPEC.loader.exec_module(harms)


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    harms.make_run(folder / "run")
    harms.make_corpus(folder / "corpus")
    return folder


def asked(kind: str, good: Path, folder: Path) -> Result:
    """What a command says of the folder."""
    commands = {
        harms.RUN: ["inspect", str(folder)],
        harms.CORPUS: ["corpus", "info", str(folder)],
        harms.TOKENS: ["evaluate", str(good / "run"), str(folder), "--device", "cpu"],
    }
    return CliRunner().invoke(cli, commands[kind])


@pytest.mark.parametrize("kind", [harms.RUN, harms.CORPUS, harms.TOKENS])
def test_what_is_whole_is_used(good, kind):
    done = asked(kind, good, good / ("run" if kind == harms.RUN else "corpus"))
    few = "valid has 2 pieces: figures may be chance\n" if kind == harms.TOKENS else ""
    assert (done.exit_code, done.stderr) == (0, few)


@pytest.mark.parametrize("harm", harms.HARMS, ids=lambda harm: f"{harm.kind}: {harm.name}")
def test_what_is_harmed_is_refused_in_one_line(good, tmp_path, harm):
    folder = tmp_path / "folder"
    shutil.copytree(good / ("run" if harm.kind == harms.RUN else "corpus"), folder)
    harm.do(folder)
    done = asked(harm.kind, good, folder)
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    assert done.exit_code == 3, done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"musicgen: {folder}")
    assert harm.text in line
    assert len(line) < 400 + len(str(folder))


@pytest.fixture(scope="module")
def trained(good, tmp_path_factory) -> Path:
    """A run that can be resumed."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    shape = ["--model", "lstm", "--set", "model.width=16", "--set", "train.length=32", "--set", "train.batch=2"]
    done = CliRunner().invoke(
        cli, ["train", str(good / "corpus"), "-o", str(folder), "--steps", "1", "--device", "cpu", *shape]
    )
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.parametrize(
    ("table", "key", "value", "text"),
    [
        ("model", "width", 1048576, "width is 1048576; give a whole number up to 65,536"),
        ("model", "width", 32, "the tensor 'embedding.weight' is"),
        ("model", "layers", 400, "lacks the tensor"),
        ("model", "horizon", "x", "horizon is 'x'; give a whole number"),
        ("train", "batch", 10**9, "[train] batch is 1000000000; give a whole number up to 65,536"),
        ("train", "carry", 1, "[train] carry is 1; give true or false"),
        ("train", "seed", 2**62, "[train] seed is 4611686018427387904"),
    ],
)
def test_a_checkpoint_whose_recipe_its_weights_do_not_fit_is_refused(good, trained, tmp_path, table, key, value, text):
    """It says so itself, and its digests agree; the run's own recipe is gone."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    (folder / "recipe.toml").unlink()
    for last in (folder / "checkpoints").glob("last*"):
        state = json.loads((last / "state.json").read_text())
        state["recipe"][table][key] = value
        (last / "state.json").write_bytes(json_bytes(state))
        manifest = json.loads((last / "manifest.json").read_text())
        manifest["sha256"]["state.json"] = hashlib.sha256((last / "state.json").read_bytes()).hexdigest()
        (last / "manifest.json").write_bytes(json_bytes(manifest))
    done = CliRunner().invoke(
        cli, ["train", str(good / "corpus"), "-o", str(folder), "--resume", "--steps", "2", "--device", "cpu"]
    )
    assert done.exit_code == 3, done.output
    (line,) = done.stderr.splitlines()
    assert text in line


def test_tokens_that_are_not_what_they_were_are_not_trained_on(good, tmp_path):
    for harm in (harm for harm in harms.HARMS if harm.kind == harms.TOKENS):
        shutil.rmtree(tmp_path / "corpus", ignore_errors=True)
        shutil.copytree(good / "corpus", tmp_path / "corpus")
        harm.do(tmp_path / "corpus")
        done = CliRunner().invoke(
            cli, ["train", str(tmp_path / "corpus"), "-o", str(tmp_path / "run"), "--device", "cpu"]
        )
        assert done.exit_code == 3, done.output
        assert harm.text in done.stderr.splitlines()[-1]
        assert not (tmp_path / "run" / "checkpoints").exists(), "nothing was begun"
