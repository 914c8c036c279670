"""The library's front: typed results, the same bytes as the commands, and one-line errors before anything is written."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import musicgen
from musicgen.cli.main import cli
from musicgen.errors import UnreadableError, UsageError
from musicgen.events import Began, Event, Finished, Progress, Saved, Step, Warned
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import Recipe, read_recipe
from musicgen.stopping import Interrupted
from musicgen.tokenizers import Parts

SMALL = {"model.width": 16, "model.layers": 1, "train.batch": 2, "train.length": 32, "train.evaluate_every": 2}
ASKED: dict[str, Any] = {"model": "lstm", "preset": "tiny", "changes": SMALL, "steps": 4, "device": "cpu"}


def command(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def content(folder: str) -> dict[str, bytes]:
    """The files of a folder, but for what tells seconds."""
    timed = ("log.csv", "card.json", "manifest.json")
    files = {p.relative_to(folder): p for p in sorted(Path(folder).rglob("*")) if p.is_file()}
    return {str(name): p.read_bytes() for name, p in files.items() if name.parts[0] not in ("checkpoints", *timed)}


class Heard:
    """A listener that writes down what it hears."""

    def __init__(self, stop_at: int = 0) -> None:
        self.events: list[Event] = []
        self.stop_at = stop_at

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Step) and event.done == self.stop_at:
            raise KeyboardInterrupt

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if type(event) in kinds]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """`tunes`, a `corpus` of them, and a `run` by the command."""
    root = tmp_path_factory.mktemp("made")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / f"{n}.mid")
    command("corpus", "build", root / "tunes", "-o", root / "corpus", "--valid", 0.3, "--test", 0.2, "--licence", "CC0")
    sets = [f"--set={key}={value}" for key, value in SMALL.items()]
    chosen = ["--model", "lstm", "--preset", "tiny", *sets, "--steps", 4, "--device", "cpu"]
    home = Path.cwd()
    os.chdir(root)  # a recipe names its corpus as it was asked for
    try:
        command("train", "corpus", "-o", "run", *chosen)
    finally:
        os.chdir(home)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_corpus_is_the_one_of_the_command(here):
    heard = Heard()
    corpus = musicgen.build_corpus("tunes", "again", valid=0.3, test=0.2, licence="CC0", jobs=1, listener=heard)
    assert isinstance(corpus, musicgen.Corpus)
    assert corpus.info()["pieces"] == 6
    assert content("again") == content("corpus")
    assert heard.of(Began, Finished) == [Began("corpus", "file", 6), Finished("corpus")]
    assert [(event.done, event.of) for event in heard.of(Progress)] == [(n, 6) for n in range(1, 7)]
    as_parts = musicgen.build_corpus([Path("tunes")], Path("parts"), tokenizer="parts", jobs=1)
    assert as_parts.spec == Parts().spec


def test_a_run_is_the_one_of_the_command(here):
    heard = Heard()
    trained = musicgen.train("corpus", output="again", listener=heard, **ASKED)
    assert content("again") == content("run")
    about = f"6 pieces, {musicgen.Corpus.open('corpus').info()['tokens']:,} tokens; lstm on cpu"
    assert heard.of(Began, Saved, Finished) == [Began("training", "step", 4, about), Saved(), Finished("training")]
    assert [(step.done, step.of) for step in heard.of(Step)] == [(n, 4) for n in range(1, 5)]
    card = json.loads(Path("again/card.json").read_text())
    assert trained.card == card
    assert trained.folder == Path("again")
    for name in ("steps", "best_step", "seconds", "parameters", "valid_nats_per_token"):
        assert getattr(trained, name) == card[name], name
    assert trained.valid_nats_per_token_before is None


def test_music_is_built_into_the_run_and_kept(here):
    heard = Heard()
    musicgen.train("tunes", output="new", listener=heard, **ASKED)
    assert heard.of(Warned)[0] == Warned(f"building a corpus from tunes at {Path('new', 'corpus')}")
    assert [event.what for event in heard.of(Began, Finished)] == ["corpus", "corpus", "training", "training"]
    assert musicgen.Corpus.open("new/corpus").info()["pieces"] == 6


def test_a_recipe_may_be_a_file_or_the_thing_itself(here):
    recipe = read_recipe("run/recipe.toml")
    for name, given in (("file", "run/recipe.toml"), ("thing", recipe)):
        musicgen.train("corpus", output=name, recipe=given, device="cpu")
        assert content(name) == content("run")


def test_a_run_that_is_stopped_is_saved_and_goes_on(here):
    heard = Heard(stop_at=2)
    with pytest.raises(Interrupted) as caught:
        musicgen.train("corpus", output="new", listener=heard, **ASKED)
    assert caught.value.step == 2
    trained = musicgen.train("corpus", output="new", resume=True, device="cpu")
    assert trained.steps == 4
    assert content("new") == content("run")


def test_fine_tuning_tells_what_it_began_from(here):
    tuned = musicgen.train("corpus", output="tuned", start="run", steps=1, device="cpu")
    assert tuned.valid_nats_per_token_before == pytest.approx(
        json.loads(Path("run/card.json").read_text())["valid_nats_per_token"]
    )
    assert tuned.card["started_from"]["name"] == "run"


def test_a_run_of_the_fused_layer_goes_on_by_the_loop(here):
    trained = musicgen.train("corpus", output="by-hand", start="run", changes={"model.recurrence": "loop"}, steps=1)
    assert read_recipe("by-hand/recipe.toml").model["recurrence"] == "loop"
    with open("by-hand/recipe.toml", encoding="utf-8") as file:
        text = file.read()
    assert trained.valid_nats_per_token_before == pytest.approx(
        musicgen.evaluate("run", "corpus").figures.nats_per_token, rel=0.05
    )
    assert "positions" not in text  # what isn't asked for isn't written


def test_figures_are_those_of_the_command(here):
    heard = Heard()
    result = musicgen.evaluate("run", split="valid", baseline=True, device="cpu", listener=heard)
    assert result.to_dict() == json.loads(command("evaluate", "run", "--json", "--baseline", "--device", "cpu"))
    assert result.corpus == Path("corpus")
    assert heard.of(Began, Finished) == [Began("evaluation", "piece"), Finished("evaluation")]
    assert heard.of(Progress)[-1] == Progress(result.figures.pieces, result.figures.pieces, "piece")
    assert result.baseline is not None
    assert result.baseline.figures.tokens == result.figures.tokens
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.figures.tokens = 0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("asked", "kind", "text"),
    [
        ({"preset": "tinny"}, UsageError, "did you mean 'tiny'?"),
        ({"changes": {"model.widht": 3}}, UsageError, "there is no setting 'widht'; did you mean 'width'?"),
        ({"changes": {"width": 3}}, UsageError, "`changes`: 'width' is not a setting; write it like model.width=256"),
        ({"changes": {"model.width": "wide"}}, UsageError, "width is 'wide'"),
        ({"recipe": Recipe()}, UsageError, "recipe: [model] has no family"),
        ({"recipe": "run/recipe.toml", "model": "gru"}, UsageError, "`recipe` says model and size already"),
        ({"tokenizer": "remmi"}, UsageError, "did you mean 'remi'?"),
        ({"tokenizer": "remi"}, UsageError, "corpus: is built with the tokenizer notes already"),
        ({"teachers": ["none"]}, UnreadableError, "none: no such run folder or model"),
        ({"max_seconds": 0.0}, UsageError, "max_seconds is 0.0; give seconds above 0, or None for no limit"),
        ({"workers": -1}, UsageError, "workers is -1; give 0 or more"),
        ({"resume": True}, UnreadableError, "no checkpoint to resume from"),
    ],
    ids=str,
)  # fmt: skip
def test_a_slip_is_one_line_and_writes_nothing(here, asked, kind, text):
    with pytest.raises(kind) as caught:
        musicgen.train("corpus", output="new", device="cpu", **asked)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(here)) == ["corpus", "run", "tunes"]


def test_slips_of_the_others(here):
    with pytest.raises(UsageError, match="works_by is 'song'; give 'file' or 'folder'"):
        musicgen.build_corpus("tunes", "new", works_by="song")  # type: ignore[arg-type]
    musicgen.build_corpus("tunes", "parts", tokenizer="parts", jobs=1)
    with pytest.raises(UsageError, match="parts: this corpus was built with the tokenizer parts"):
        musicgen.evaluate("run", "parts")
    with pytest.raises(UsageError, match="no split 'tset'; splits are train, valid, test"):
        musicgen.evaluate("run", split="tset")
