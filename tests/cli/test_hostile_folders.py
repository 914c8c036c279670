"""A folder from a stranger is used or refused: one line that names file, key and what was expected, and exit code 3."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli

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
    assert (done.exit_code, done.stderr) == (0, "")


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
