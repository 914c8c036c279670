"""A name from a stranger stands in a line, and makes none: line breaks, colours and turned text are written out."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

PATH = Path(__file__).parents[2] / "pipelines" / "torture" / "harms.py"
SPEC = importlib.util.spec_from_file_location("harms", PATH)
harms = importlib.util.module_from_spec(SPEC)
sys.modules["harms"] = harms  # dataclasses look there
SPEC.loader.exec_module(harms)

# Line breaks of every kind, an escape sequence in seven and in eight bits, right to left, a bell, and half a character.
ODD = "a\nb\rc\x1b[31md\x9b2Je\u202ef\u2028g\x85h\x07\U000e0001i"
PLAIN = "plain"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    return result


def changed(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function that makes what the commands are asked for, with a name wherever strangers give one."""

    def make(name: str) -> Path:
        here = tmp_path / ("odd" if name == ODD else "plain")
        here.mkdir()
        monkeypatch.chdir(here)
        notes = notes_array([(480 * k, 480, 60 + k % 12, 80) for k in range(16)])
        write(Piece(480, (Track(name, notes=notes),)), here / "a.mid")
        (here / "a.mid").rename(here / f"{name}.mid")
        harms.make_run(here / name)
        card = {"title": name, "licence": name, "teachers": [{"name": name, "sha256": name}], "family": name}
        changed(here / name / "card.json", **card, data=[{"name": name, name: name}], **{name: name})
        harms.seal(here / name)
        harms.make_corpus(here / "corpus")
        lines = (here / "corpus" / "pieces.jsonl").read_text().splitlines()
        (here / "corpus" / "pieces.jsonl").write_text(
            "".join(json.dumps({**json.loads(line), "licence": name, "source": name}) + "\n" for line in lines)
        )
        rejected = [{"source": name, "reason": name}]
        changed(here / "corpus" / "corpus.json", licences={name: 3}, rejected=rejected)
        return here

    return make


COMMANDS = {
    "inspect a piece": lambda name: ["inspect", f"{name}.mid"],
    "inspect a run": lambda name: ["inspect", name],
    "show a model": lambda name: ["models", "show", name],
    "a corpus": lambda name: ["corpus", "info", "corpus"],
    "render": lambda name: ["render", f"{name}.mid", "-o", f"{name}.wav", "--rate", "8000"],
    "continue": lambda name: [
        "continue",
        f"{name}.mid",
        "-m",
        name,
        "--bars",
        "1",
        "--seed",
        "1",
        "-o",
        f"{name}2.mid",
    ],
    "no such file": lambda name: ["inspect", f"{name}.none"],
    "no such command": lambda name: [name],
    "no such option": lambda name: ["inspect", f"--{name}"],
    "no such choice": lambda name: ["inspect", "x", "--max-notes", name],
    "no such part": lambda name: ["continue", f"{name}.mid", "-m", name, "--tracks", f"x{name}"],
    "no such corpus": lambda name: ["corpus", "fetch", name],
    "too many words": lambda name: ["models", "list", name],
    "a split": lambda name: ["evaluate", name, "corpus", "--split", name, "--device", "cpu"],
}


@pytest.mark.parametrize("what", COMMANDS)
def test_a_name_makes_no_line_of_its_own(folder, what):
    said = {}
    for name in (PLAIN, ODD):
        folder(name)
        done = run(*COMMANDS[what](name))
        said[name] = done.stdout.split("\n"), done.stderr.split("\n"), done.exit_code
    for stream in (0, 1):
        assert len(said[ODD][stream]) == len(said[PLAIN][stream]), said[ODD]
        assert all(line.isprintable() for line in said[ODD][stream]), said[ODD]
    assert said[ODD][2] == said[PLAIN][2]
    assert r"\x1b[31m" in "".join(said[ODD][0] + said[ODD][1])


def texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for each in pair for text in texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("what", ["inspect a piece", "inspect a run", "show a model", "a corpus"])
def test_json_says_the_name_as_it_is(folder, what):
    folder(ODD)
    done = run(*COMMANDS[what](ODD), "--json")
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert ODD in texts(json.loads(done.stdout))


def test_nor_does_the_file_beside_a_take(folder):
    here = folder(ODD)
    assert run(*COMMANDS["continue"](ODD)).exit_code == 0
    (sidecar,) = here.glob("*.json")
    text = sidecar.read_bytes().decode("utf-8")
    assert all(line.isprintable() for line in text.split("\n"))
    facts = json.loads(text)
    assert (facts["source"], facts["licence"]) == (f"{ODD}.mid", ODD)
