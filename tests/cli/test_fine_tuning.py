"""`train --from RUN`: what comes from that run, what its card says, and that it can't end worse than it began."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from musicgen.checkpoint import load_run, model_for, save_run
from musicgen.cli.main import cli
from musicgen.corpus.store import Corpus
from musicgen.errors import UsageError
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings
from musicgen.tokenizers.bars.parts import Parts
from musicgen.training.loop import train
from musicgen.training.presets import FINE_TUNING
from musicgen.training.recipes import UNTIL_TIME

SHAPE = {"family": "transformer", "width": 16, "layers": 1, "heads": 2, "context": 32, "dropout": 0.0}
HOW = TrainSettings(steps=77, batch=2, length=32, learning_rate=5e-3, seed=3, evaluate_tokens=64, calibrate=False)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def works(*arguments: object) -> Result:
    result = run("train", *arguments, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return result


def fails(code: int, *arguments: object) -> str:
    result = run("train", *arguments)
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.strip()]
    return line


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """`tunes`, corpora of them with two tokenizers, and an untrained run `base` over `parts`."""
    root = tmp_path_factory.mktemp("made")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / f"{n}.mid")
    for name in ("parts", "notes"):
        place, licence = root / f"as-{name}", ["--licence", "CC0", "--valid", 0.2, "--test", 0]
        assert run("corpus", "build", root / "tunes", "-o", place, "--tokenizer", name, *licence).exit_code == 0
    recipe = Recipe(SHAPE, HOW, AugmentSettings(transpose_low=-2, transpose_high=3, infill=0.2))
    card = {"licence": "CC BY 4.0 and MIT", "data": [{"name": "old songs"}]}
    model = model_for(recipe, Parts())
    model.set_inverse_temperature([0.9] * len(model.inverse_temperature))
    save_run(root / "base", model=model, tokenizer=Parts(), recipe=recipe, card=card)
    return root


@pytest.fixture
def here(made, tmp_path, monkeypatch) -> Path:
    shutil.copytree(made, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def card_of(folder: str) -> dict:
    return json.loads(Path(folder, "card.json").read_text())


def test_all_but_the_training_comes_from_the_run(here):
    told = works("tunes", "-o", "mine", "--from", "base", "--steps", 1)
    base, mine = load_run("base"), load_run("mine")
    assert mine.tokenizer.spec == base.tokenizer.spec
    assert (mine.recipe.model, mine.recipe.augment) == (base.recipe.model, base.recipe.augment)
    assert mine.recipe.train == replace(HOW, **{**FINE_TUNING, "steps": 1})
    assert mine.recipe.data.start_sha256 == base.sha256
    assert mine.card["started_from"] == {"name": "base", "sha256": base.sha256}
    assert mine.card["licence"] == "CC BY 4.0 and MIT and unknown"
    assert [entry.get("name") or entry["corpus"] for entry in mine.card["data"]] == ["tunes", "old songs"]
    assert f"; {mine.card['valid_nats_per_token_before']:.4f} before)" in told.stdout


def test_options_of_training_apply(here):
    more = ["--set", "train.learning_rate=0.002", "--set", "model.dropout=0.1", "--set", "augment.infill=0"]
    works("as-parts", "-o", "mine", "--from", "base", "--max-time", "0.01s", "--seed", 8, *more)
    mine = load_run("mine").recipe
    assert (mine.train.steps, mine.train.seed) == (UNTIL_TIME, 8)
    assert (mine.train.learning_rate, mine.model["dropout"], mine.augment.infill) == (0.002, 0.1, 0)
    assert card_of("mine")["licence"] == "CC BY 4.0 and CC0 and MIT"


def test_a_run_goes_on_without_the_one_it_came_from(here):
    works("as-parts", "-o", "mine", "--from", "base", "--steps", 1)
    begun = card_of("mine")
    shutil.rmtree("base")
    works("as-parts", "-o", "mine", "--resume", "--steps", 2)
    resumed = card_of("mine")
    assert (begun["steps"], resumed["steps"]) == (1, 2)
    for name in ("started_from", "licence", "data", "valid_nats_per_token_before"):
        assert resumed[name] == begun[name], name
    assert load_run("mine").recipe.data.start_sha256 == begun["started_from"]["sha256"]


SLIPS = [
    (["--model", "lstm"], "--model is said by the run of --from already; leave --model out"),
    (["--preset", "tiny"], "--preset is said by the run of --from already; leave --preset out"),
    (["--recipe", "r.toml"], "--recipe is said by the run of --from already; leave --recipe out"),
    (["--embedding", "one-hot"], "--embedding is said by the run of --from already; leave --embedding out"),
    (
        ["--tokenizer", "remi"],
        "base: the run of --from was trained with another tokenizer, parts; leave the tokenizer's options out",
    ),
    (
        ["--set", "model.width=32"],
        "--set: model.width can't change in a run that starts from another's weights; leave it out, or leave --from out",
    ),
    (["--set", "model.horizon=2"], "--set: model.horizon can't change in a run that starts from another's weights"),
]


@pytest.mark.parametrize(("options", "text"), SLIPS, ids=lambda value: str(value)[:30])
def test_what_the_run_says_cannot_be_said_again(here, options, text):
    assert text in fails(2, "tunes", "-o", "mine", "--from", "base", *options)
    assert not Path("mine").exists()


def test_other_slips_are_one_line_too(here):
    line = fails(2, "as-notes", "-o", "mine", "--from", "base")
    assert line == (
        "musicgen: as-notes: is built with another tokenizer than the run of --from, notes and not parts; "
        "give the music itself, or build the corpus again"
    )
    assert "none: no such run folder or model" in fails(3, "tunes", "-o", "mine", "--from", "none")
    line = fails(2, "tunes", "-o", "base", "--from", "base", "--overwrite")
    assert "base: is the run to start from, and lies in the run that would be replaced" in line
    works("as-parts", "-o", "mine", "--from", "base", "--steps", 1)
    line = fails(2, "as-parts", "-o", "mine", "--from", "base", "--resume")
    assert "--from can't change in a run that is resumed; leave --from out" in line


def test_it_never_ends_worse_than_it_began(here):
    base = load_run("base")
    recipe = base.recipe.with_train(steps=2, learning_rate=50.0)
    source = Corpus.open("as-parts")
    card = train(source, Parts(), recipe=recipe, folder="mine", start=base.model, device="cpu")
    assert card["best_step"] == 0
    assert card["valid_nats_per_token"] == card["valid_nats_per_token_before"]
    mine = load_run("mine")
    assert mine.model.inverse_temperature == base.model.inverse_temperature
    for name, value in base.model.state_dict().items():
        assert torch.equal(mine.model.state_dict()[name], value), name


def test_weights_of_another_shape_are_refused(here):
    wider = Recipe({**SHAPE, "width": 32}, HOW)
    with pytest.raises(UsageError, match="the weights to start from don't fit the recipe; take "):
        train(Corpus.open("as-parts"), Parts(), recipe=wider, folder="mine", start=load_run("base").model, device="cpu")
    assert not Path("mine").exists()
