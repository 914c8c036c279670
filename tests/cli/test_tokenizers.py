"""Every tokenizer and every model family through the commands: build, train, evaluate, continue."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import mido
import pytest
from click.testing import CliRunner, Result
from training_tunes import SMALL

from musicgen.cli.main import cli
from musicgen.io import write
from musicgen.models.presets import PRESETS
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import TOKENIZERS


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def tunes(tmp_path_factory) -> Path:
    """Ten duets of flute and piano."""
    folder = tmp_path_factory.mktemp("tunes")
    for n in range(10):
        flute = [(i * 240, 240, 72 + (i * n + i // 5) % 12, 80) for i in range(64 + n)]
        piano = [(i * 960, 960, 48 + (i * n) % 7, 64) for i in range(16)]
        tracks = (Track("", 73, notes=notes_array(flute)), Track("", 0, notes=notes_array(piano)))
        write(Piece(480, tracks), folder / f"tune{n}.mid")
    return folder


@pytest.fixture(scope="module")
def corpora(tunes, tmp_path_factory) -> Callable[[str], Path]:
    """The corpus of a tokenizer, built when it is first asked for."""

    @functools.cache
    def corpus(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "corpus"
        made = run("corpus", "build", tunes, "-o", folder, "--jobs", 1, "--tokenizer", name)
        assert made.exit_code == 0, made.output
        assert f"tokenizer {name} (" in made.stdout
        return folder

    return corpus


@pytest.fixture(params=sorted(TOKENIZERS))
def corpus(request, corpora) -> Path:
    return corpora(request.param)


# Every family and every tokenizer at least once. That each family goes with each tokenizer's steps is tested where it
# costs less: it samples them in sampling/test_loop.py and learns steps with fields in models/test_fields.py.
FAMILIES, NAMES = sorted(PRESETS), sorted(TOKENIZERS)
PAIRS = [(FAMILIES[n % len(FAMILIES)], NAMES[n % len(NAMES)]) for n in range(max(len(FAMILIES), len(NAMES)))]


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_from_a_folder_of_music_to_a_longer_piece(family, name, corpora, tunes, tmp_path):
    corpus = corpora(name)
    made = run("train", corpus, "-o", tmp_path / "run", "--model", family, "--steps", 2, *SMALL)
    assert made.exit_code == 0, made.output
    figures = json.loads(run("evaluate", tmp_path / "run", corpus, "--json", "--baseline").stdout)
    for scored in (figures, figures["baseline"]):
        assert scored["nats_per_note"] > 0
        assert scored["notes"] > 0
        assert scored["nats_per_note"] == pytest.approx(scored["nats_per_token"] * scored["tokens"] / scored["notes"])
    out = tmp_path / "more.mid"
    source = tunes / "tune3.mid"
    result = run("continue", source, "-m", tmp_path / "run", "-o", out, "--bars", 2, "--seed", 1)
    assert result.exit_code in (0, 4), result.output  # an untrained model may write silence, and says so
    facts = json.loads((tmp_path / "more.json").read_text())
    assert facts["notes_kept"] == 67 + 16
    before, after = mido.MidiFile(source), mido.MidiFile(out)
    assert len(after.tracks) == len(before.tracks), "new notes go to the parts that are there"
    for old, new in zip(before.tracks, after.tracks, strict=True):
        kept = [m for m in old if m.type == "note_on" and m.velocity]
        assert [m for m in new if m.type == "note_on" and m.velocity][: len(kept)] == kept


def test_the_default_is_one_step_a_note(tunes, tmp_path):
    made = run("train", tunes, "-o", tmp_path / "run", "--steps", 1, "--device", "cpu")
    assert made.exit_code == 0, made.output
    spec = json.loads((tmp_path / "run" / "tokenizer.json").read_text())
    assert spec == {"name": "notes", "positions_per_quarter": 24}


def test_a_field_has_a_temperature(corpus, tunes, tmp_path):
    run("train", corpus, "-o", tmp_path / "run", "--model", "lstm", "--steps", 1, *SMALL)
    name = json.loads((tmp_path / "run" / "tokenizer.json").read_text())["name"]
    ask = ("continue", tunes / "tune1.mid", "-m", tmp_path / "run", "-o", tmp_path / "a.mid", "--bars", 1, "--seed", 1)
    refused = run(*ask, "--field-temperature", "pitch:1.2")
    assert refused.exit_code == 2
    assert "'pitch:1.2' is not a field's temperature; write it like pitch=1.2" in refused.stderr
    result = run(*ask, "--field-temperature", "pitch=0.5", "--field-temperature", "velocity=0")
    if name in ("notes", "parts"):
        assert result.exit_code in (0, 4), result.output
        settings = json.loads((tmp_path / "a.json").read_text())["settings"]
        assert settings["field_temperatures"] == [["pitch", 0.5], ["velocity", 0.0]]
    else:
        assert result.exit_code == 2
        assert "this model's steps have no field 'pitch'; fields are token" in result.stderr


def test_another_tokenizer_than_the_corpus_has_is_refused(corpus, tmp_path):
    name = json.loads((corpus / "corpus.json").read_text())["tokenizer"]["name"]
    other = "remi" if name != "remi" else "notes"
    refused = run("train", corpus, "-o", tmp_path / "run", "--tokenizer", other)
    assert refused.exit_code == 2
    assert f"is built with the tokenizer {name} already; leave the tokenizer's options out" in refused.stderr
    assert run("train", corpus, "-o", tmp_path / "run", "--tokenizer", name, "--steps", 1, *SMALL).exit_code == 0


def test_a_setting_of_another_tokenizer_is_refused(tunes, tmp_path):
    refused = run("corpus", "build", tunes, "-o", tmp_path / "c", "--tokenizer", "performance", "--positions", 24)
    assert refused.exit_code == 2
    assert "the tokenizer performance has no setting 'positions_per_quarter'" in refused.stderr
    assert not (tmp_path / "c").exists()


def test_a_teacher_that_is_not_there_is_refused(tunes, tmp_path):
    refused = run("train", tunes, "-o", tmp_path / "run", "--teacher", tmp_path / "nobody")
    assert refused.exit_code == 3
    assert "nobody: no such run folder or model" in refused.stderr
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_inspect_tells_how_sure_a_run_is_made(tunes, tmp_path):
    trained = run("train", tunes, "-o", tmp_path / "run", "--model", "gru", "--steps", 2, *SMALL, "--json")
    fitted = json.loads(trained.stdout)["sharpness"]
    assert set(fitted) != {1.0}
    assert f"inverse temperature {fitted[0]:.2f}, " in run("inspect", tmp_path / "run").stdout
