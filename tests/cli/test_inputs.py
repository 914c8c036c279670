"""An input is never written over: by any command, in any format, under any name or link, whatever the flags."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from musicgen import Composer, read, render_file
from musicgen.cli.main import cli
from musicgen.composer import Source
from musicgen.errors import UsageError
from musicgen.io.atomic import keep_inputs
from musicgen.models import ModelSettings, build_model
from musicgen.pictures import album as pictures
from musicgen.recipe import Recipe
from musicgen.render.soundfont import find_soundfont
from musicgen.resources import bundled_models, run_files
from musicgen.sampling.request import Request
from musicgen.tokenizers import Notes

EXAMPLE = Path(__file__).parents[2] / "corpora" / "examples" / "schubert-unfinished.mid"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A piece under several names, and a model: its files are small and hold nothing, for nothing is to be read."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, "p.mid")
    os.symlink("p.mid", "link.mid")
    os.link("p.mid", "hard.mid")
    os.symlink("p.mid", "link.wav")
    os.symlink(".", "folder")
    shutil.copy(EXAMPLE, "facts.json")  # a MIDI file all the same
    shutil.copy(EXAMPLE, "sound.wav")
    shutil.copy(EXAMPLE, "text.abc")
    Path("run").mkdir()
    for name in ("recipe.toml", "card.json", "model.safetensors", "log.csv"):
        (Path("run") / name).write_text(name)
    (Path("run") / "checkpoints" / "last").mkdir(parents=True)
    (Path("run") / "checkpoints" / "last" / "state.json").write_text("{}")
    os.symlink("run/model.safetensors", "weights.mid")
    shutil.copy(EXAMPLE, "font.wav")
    return tmp_path


WRITING = [
    ("continue p.mid -o p.mid", "p.mid: is the input p.mid"),
    ("continue p.mid -o ./p.mid", "p.mid: is the input p.mid"),
    ("continue p.mid -o folder/p.mid", "folder/p.mid: is the input p.mid"),
    ("continue p.mid -o p", "p.mid: is the input p.mid"),
    ("continue p.mid -o p.midi", "p.mid: is the input p.mid"),
    ("continue p.mid -o link.mid", "link.mid: is the input p.mid"),
    ("continue link.mid -o p.mid", "p.mid: is the input link.mid"),
    ("continue p.mid -o hard.mid", "hard.mid: is the input p.mid"),
    ("continue p.mid -o link.wav", "link.wav: is the input p.mid"),
    ("continue p.mid -o link -f wav", "link.wav: is the input p.mid"),
    ("continue facts.json -o facts.mid", "facts.json: is the input facts.json"),
    ("continue sound.wav -o sound -f mid,wav", "sound.wav: is the input sound.wav"),
    ("continue text.abc -o text -f abc,mid", "text.abc: is the input text.abc"),
    ("continue p.mid -m run -o run/card.mid", "run/card.json: is the input run/card.json"),
    ("continue p.mid -m run -o weights.mid", "weights.mid: is the input run/model.safetensors"),
    ("continue p.mid -m run -o run/checkpoints/last/state", "run/checkpoints/last/state.json: is the input"),
    ("continue p.mid -o font.wav --soundfont font.wav", "font.wav: is the input font.wav"),
    ("generate -m run -o run/card.mid", "run/card.json: is the input run/card.json"),
    ("generate -m run -o weights.mid", "weights.mid: is the input run/model.safetensors"),
    ("generate -o font -f wav --soundfont folder/font.wav", "font.wav: is the input folder/font.wav"),
    ("render sound.wav -o sound.wav", "sound.wav: is the input sound.wav"),
    ("render p.mid -o link.wav", "link.wav: is the input p.mid"),
    ("render p.mid -o font.wav --soundfont font.wav", "font.wav: is the input font.wav"),
]


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
@pytest.mark.parametrize(("command", "text"), WRITING)
def test_no_command_writes_over_what_it_reads(here, command, text, flags):
    before = content(here)
    result = CliRunner().invoke(cli, [*command.split(), *flags])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"musicgen: {text}")
    assert line.endswith(" itself, which is never written over; choose another name for the output")
    assert content(here) == before


def test_a_file_system_without_case_is_asked_what_is_the_same(here, monkeypatch):
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: stat(str(path).lower(), **options))
    with pytest.raises(UsageError, match=r"^P.MID: is the input p.mid itself"):
        keep_inputs(["P.MID"], ["p.mid", None, "none"])


def test_what_is_no_input_is_written_over(here):
    result = CliRunner().invoke(cli, ["continue", "p.mid", "-o", "sound", "--bars", "1", "-m", "default"])
    assert result.exit_code == 0, result.output
    again = ["continue", "p.mid", "-o", "sound.mid", "--bars", "1", "--overwrite"]
    assert CliRunner().invoke(cli, again).exit_code == 0


def test_pictures_spare_the_piece_and_the_run(here):
    os.symlink("run/log.csv", "loss.png")
    with pytest.raises(UsageError, match=r"loss.png: is the input run/log.csv itself"):
        pictures.refuse_to_replace(".", overwrite=True, inputs=run_files("run"))
    os.replace("hard.mid", "attention.layer1.png")
    os.remove("loss.png")
    with pytest.raises(UsageError, match=r"attention.layer1.png: is the input p.mid itself"):
        pictures.refuse_to_replace(".", overwrite=True, inputs=["p.mid"])


@pytest.mark.parametrize("name", ["p.mid", "link.mid", "hard.mid", "folder/p.mid"])
def test_a_take_is_not_saved_over_its_source(here, name):
    from musicgen.checkpoint import Run

    tokenizer = Notes()
    fields = tuple((field.first, field.size) for field in tokenizer.fields)
    net = build_model(ModelSettings("lstm", len(tokenizer.vocabulary), width=16, layers=1, fields=fields))
    composer = Composer(Run(net.eval(), tokenizer, Recipe(), {}, "run", "0", here / "run"))
    take = next(composer.takes(Source.read("p.mid"), request=Request(bars=1)))
    before = content(here)
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=f"^{name}: is the input .*p.mid itself, which is never written over"):
            take.save(name, overwrite=overwrite)
        with pytest.raises(UsageError, match=r"is the input .*model.safetensors itself"):
            take.save("weights.mid", overwrite=overwrite)
    assert content(here) == before
    take.save("new.mid")
    assert read("new.mid").n_notes >= read("p.mid").n_notes


def test_sound_is_not_written_over_its_soundfont(here):
    font = find_soundfont()
    os.symlink(font, "default.wav")
    with pytest.raises(UsageError, match=f"^default.wav: is the input {font} itself"):
        render_file(read("p.mid"), "default.wav", overwrite=True)


def test_the_files_of_a_run_are_those_that_training_writes(here):
    (here / "run" / "take.mid").write_text("the owner's")
    names = {str(path.relative_to("run")) for path in run_files("run")}
    assert names == {"recipe.toml", "card.json", "model.safetensors", "log.csv", "checkpoints/last/state.json"}
    assert {path.parent for path in run_files("default")} == {bundled_models()["default"]}
    assert run_files("none") == []
