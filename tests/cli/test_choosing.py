"""`continue` picks the model that a piece is for, says so, and -m overrides."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from training_tunes import SMALL

from musicgen.cli.continue_ import command as continue_command
from musicgen.cli.generate import command as generate_command
from musicgen.cli.main import cli

TUNE = "X:1\nT:Reel\nM:4/4\nL:1/8\nK:D\n" + "|".join(f'"D"{"ABcdefga"[k:]}{"ABcdefga"[:k]}' for k in range(8)) + "|\n"
WHY = "one line of melody with chord symbols, to be written as ABC"


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder of fetched models with one of ABC text that says it is for tunes."""
    folder = tmp_path_factory.mktemp("models")
    texts = [TUNE.replace("X:1", f"X:{n}").replace("abc", "abc"[n % 3 :] + "abc"[: n % 3]) for n in range(1, 13)]
    (folder / "tunes.abc").write_text("\n".join(texts))
    run("corpus", "build", folder / "tunes.abc", "-o", folder / "corpus", "--tokenizer", "abc", "--jobs", 1)
    made = run("train", folder / "corpus", "-o", folder / "run", "--model", "lstm", "--steps", 1, *SMALL)
    assert made.exit_code == 0, made.output
    shutil.copytree(folder / "run", folder / "models" / "reels")
    shutil.rmtree(folder / "models" / "reels" / "checkpoints", ignore_errors=True)
    card = json.loads((folder / "run" / "card.json").read_text()) | {"for": "folk"}
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    data = json.dumps(card).encode()
    manifest["sha256"]["card.json"] = hashlib.sha256(data).hexdigest()
    (folder / "models" / "reels" / "card.json").write_bytes(data)
    (folder / "models" / "reels" / "manifest.json").write_text(json.dumps(manifest))
    return folder / "models"


@pytest.fixture
def here(models, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("MUSICGEN_MODELS", str(models))
    monkeypatch.setattr("musicgen.resources.bundled_models", lambda: {})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.abc").write_text(TUNE)
    return tmp_path


def facts_of(path: Path) -> dict:
    return json.loads(path.read_text())


def test_a_tune_goes_on_as_text_with_its_model(here):
    made = run("continue", "mine.abc", "--bars", 2, "--seed", 1, "-f", "mid,abc")
    assert made.exit_code == 0, made.output
    assert made.stderr.splitlines()[0] == f"model reels: {WHY}; -m default overrides"
    facts = facts_of(here / "mine.continued.json")
    assert (facts["model"], facts["model_reason"]) == ("reels", WHY)
    assert facts["files"] == ["mine.continued.mid", "mine.continued.abc"]
    assert (here / "mine.continued.abc").read_text().startswith(TUNE), "chords and all"


def test_the_take_is_made_again_by_its_own_model(here):
    run("continue", "mine.abc", "--bars", 2, "--seed", 1, "-f", "mid,abc", "-o", "first/")
    made = run("continue", "mine.abc", "--replay", "first/mine.continued.json", "-f", "mid,abc", "-o", "again/")
    assert made.exit_code == 0, made.output
    for suffix in ("mid", "abc", "json"):
        name = f"mine.continued.{suffix}"
        assert (here / "again" / name).read_bytes() == (here / "first" / name).read_bytes()


def test_minus_m_overrides(here, models):
    made = run("continue", "mine.abc", "--bars", 2, "--seed", 1, "-m", models / "reels", "-o", "take.mid")
    assert made.exit_code == 0, made.output
    assert "overrides" not in made.stderr
    assert facts_of(here / "take.json")["model_reason"] == "named"


def test_a_tune_that_is_not_to_be_text_is_for_the_default(models, tmp_path, monkeypatch):
    monkeypatch.setattr("musicgen.picking.known_models", lambda: {"reels": models / "reels"})
    (tmp_path / "mine.abc").write_text(TUNE)
    made = run("continue", tmp_path / "mine.abc", "--bars", 1, "--seed", 1, "--study", 0, "-o", tmp_path / "take.mid")
    assert made.exit_code == 0, made.output
    facts = facts_of(tmp_path / "take.json")
    assert (facts["model"], facts["model_reason"]) == ("default", "any music")


def test_what_models_of_tunes_cannot_do_is_left_to_the_default_which_writes_no_text(models, tmp_path, monkeypatch):
    monkeypatch.setattr("musicgen.picking.known_models", lambda: {"reels": models / "reels"})
    (tmp_path / "mine.abc").write_text(TUNE)
    made = run("continue", tmp_path / "mine.abc", "--bars", 1, "--key", "D", "-o", tmp_path / "take.abc")
    assert made.exit_code == 2
    assert "model reels" not in made.stderr
    assert "this model writes parts, not ABC text" in made.stderr


@pytest.fixture
def folk(models, monkeypatch) -> None:
    """A model called folk is here beside the default."""
    from musicgen.resources import bundled_models

    known = {"folk": models / "reels", **bundled_models()}
    for module in ("resources", "picking", "checkpoint"):
        monkeypatch.setattr(f"musicgen.{module}.known_models", lambda: known)


def test_a_kind_brings_its_model_which_writes_text(folk, tmp_path):
    made = run("generate", "--kind", "folk", "--bars", 4, "--seed", 3, "-o", f"{tmp_path}/")
    assert made.exit_code == 0, made.output
    facts = facts_of(tmp_path / "generated.json")
    assert (facts["model_reason"], facts["files"]) == ("--kind folk", ["generated.mid", "generated.abc"])
    assert "\nQ:1/4=" in (tmp_path / "generated.abc").read_text()


def test_a_kind_does_without_its_model_where_that_cannot_do_what_is_asked(folk, tmp_path):
    made = run("generate", "--kind", "folk", "--bars", 1, "--seed", 3, "--key", "G", "-o", f"{tmp_path}/")
    assert made.exit_code == 0, made.output
    facts = facts_of(tmp_path / "generated.json")
    assert (facts["model"], facts["files"]) == ("default", ["generated.mid"])
    assert facts["model_reason"] == "--kind folk, but `key` is asked for, which its model can't honour"


def test_a_line_of_midi_is_written_as_text_where_abc_is_asked_for(here):
    made = run("continue", "schubert-unfinished", "--bars", 2, "--seed", 1, "-f", "abc")
    assert made.exit_code == 0, made.output
    assert made.stderr.startswith("model reels: one line of melody, to be written as ABC; -m default overrides\n")
    assert (here / "schubert-unfinished.continued.abc").read_text().startswith("X:1\n")


def test_only_continue_picks():
    defaults = {
        command.name: next(p.default for p in command.params if p.name == "model")
        for command in (continue_command, generate_command)
    }
    assert defaults == {"continue": "auto", "generate": "default"}
