"""A model of ABC text through the commands: new tunes and continued ones, as text and as MIDI."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from training_tunes import SMALL

from musicgen.cli.main import cli
from musicgen.io import read

HEAD = "M:C|\nL:1/8\nK:D Major\n"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def tune(number: int) -> str:
    letters = "".join("ABcdefga"[(i * (number + 1) + i // 3) % 8] for i in range(64))
    return f"X:{number}\nT:Tune {number}\n{HEAD}" + "|".join(letters[i : i + 8] for i in range(0, 64, 8)) + "|\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("abc")
    # The last is a copy of the first under another number.
    texts = [tune(n) for n in range(12)] + [tune(0).replace("X:0", "X:99")]
    (folder / "tunes.abc").write_text("\n".join(texts))
    made = run("corpus", "build", folder / "tunes.abc", "-o", folder / "corpus", "--tokenizer", "abc", "--jobs", 1)
    assert made.exit_code == 0, made.output
    assert "12 pieces" in made.stdout
    assert "1 duplicate left out" in made.stdout
    made = run("train", folder / "corpus", "-o", folder / "run", "--model", "lstm", "--steps", 1, *SMALL)
    assert made.exit_code == 0, made.output
    return folder / "run"


def test_a_new_tune_as_text_and_as_midi(model, tmp_path):
    ask = ("generate", "-m", model, "--seed", 3, "--bars", 4, "--meter", "6/8", "--tempo", 90)
    made = run(*ask, "-o", tmp_path / "tune.abc", "-f", "abc,mid")
    assert made.exit_code == 0, made.output
    text = (tmp_path / "tune.abc").read_text()
    assert text.startswith("X:")
    assert "Q:1/4=90\nK:" in text
    assert read(tmp_path / "tune.mid").n_notes == read(tmp_path / "tune.abc").n_notes
    facts = json.loads((tmp_path / "tune.json").read_text())
    assert facts["bars_added"] == 4
    assert facts["notes_kept"] == 0
    assert facts["notes_added"] == read(tmp_path / "tune.abc").n_notes


def test_a_tune_goes_on_with_its_text_as_it_was(model, tmp_path):
    source = tmp_path / "mine.abc"
    source.write_text(tune(5) + "\n")
    made = run("continue", source, "-m", model, "-o", tmp_path / "more.abc", "--bars", 3, "--seed", 1)
    assert made.exit_code == 0, made.output
    text = (tmp_path / "more.abc").read_text()
    assert text.startswith(tune(5))
    facts = json.loads((tmp_path / "more.json").read_text())
    assert facts["bars_added"] == 3
    assert facts["notes_kept"] == 64
    assert facts["notes_added"] > 0
    again = run("continue", source, "-m", model, "-o", tmp_path / "take.abc", "--bars", 3, "--seed", 0, "-n", 2)
    assert again.exit_code == 0
    assert (tmp_path / "take.2.abc").read_text() == text, "a take is the same alone or among others"


def test_what_text_cannot_do_is_said(model, tmp_path):
    refused = run("generate", "-o", tmp_path / "a.abc", "--seed", 1)
    assert refused.exit_code == 2
    assert "not ABC text" in refused.stderr
    refused = run("generate", "-m", model, "-o", tmp_path / "a.abc", "--key", "G")
    assert refused.exit_code == 2
    assert "can't be held to --key" in refused.stderr
    assert not list(tmp_path.iterdir())
