"""What a run chooses by itself: one size for all families, batches and validations that fit the budget, in one line."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_tunes import Tunes

import musicgen
from musicgen.checkpoint import model_for
from musicgen.events import Began
from musicgen.io import write
from musicgen.models.presets import PRESETS, TINY_PARAMETERS
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import Recipe, TrainSettings, read_recipe
from musicgen.tokenizers import load_tokenizer
from musicgen.training import budget
from musicgen.training.budget import fitted_to_budget, with_equal_size
from musicgen.training.next_note import NextNote
from musicgen.training.presets import TRAIN_PRESETS
from musicgen.training.recipes import FITTED, Asked, free_settings, is_sized

SPECS = [{"name": "notes"}, {"name": "parts"}, {"name": "remi"}, {"name": "performance"}, {"name": "abc"},
         {"name": "frames"}, {"name": "frames", "voices": 4}]  # fmt: skip
FREE = frozenset(FITTED)


def tiny(family: str) -> Recipe:
    return Recipe({"family": family, **PRESETS[family]["tiny"]}, TrainSettings(**TRAIN_PRESETS["tiny"]))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def test_tiny_is_one_size_in_all_families(spec):
    tokenizer = load_tokenizer(spec)
    for family in PRESETS:
        recipe = tiny(family)
        recipe = replace(recipe, model={**recipe.model, "by_frame": tokenizer.layout is not None})
        count = model_for(with_equal_size(recipe, tokenizer), tokenizer, blank=True).n_parameters
        assert abs(count / TINY_PARAMETERS - 1) < 0.1, family


class Long:
    """A corpus of which only the lengths of the pieces matter: pieces of 100 to 2,000 tokens."""

    def __init__(self, *sizes: int) -> None:
        self._spans = np.array([(0, size) for size in sizes])

    def spans(self, split: str) -> np.ndarray:
        return self._spans


def chosen(monkeypatch, *, seconds: float | None, a_token: float, free=FREE, sizes=(2000,), family="lstm", **train):
    """The recipe of a budget on a machine that takes so long for a token, and what is said of it."""

    def pace(recipe, *_args, **_how):
        return a_token * recipe.train.batch * recipe.train.length

    monkeypatch.setattr(budget, "_seconds_a_step", pace)
    recipe = tiny(family).with_train(**train)
    return fitted_to_budget(
        recipe, Long(*sizes), None, task=NextNote(), free=free, max_seconds=seconds, device=torch.device("cpu")
    )


@pytest.mark.parametrize(("seconds", "a_token"), [*itertools.product([10, 60, 600, 6000], [1e-5, 1e-4, 1e-3])])
def test_a_time_limit_leaves_steps_and_points(monkeypatch, seconds, a_token):
    found = chosen(monkeypatch, seconds=seconds, a_token=a_token)
    train = found.recipe.train
    steps = min(train.steps, seconds / (a_token * train.batch * train.length))
    assert steps >= budget.STEPS or (train.batch, train.length) == (budget.LEAST_BATCH, budget.LEAST_LENGTH)
    assert steps / train.evaluate_every > 10
    assert train.batch <= 8
    assert train.length <= 512
    validating = steps / train.evaluate_every * train.evaluate_tokens * budget.FORWARD
    assert validating < 0.2 * steps * train.batch * train.length or train.evaluate_tokens == budget.LEAST_VALIDATED
    assert f"batches of {train.batch} windows of {train.length} tokens, validated every" in found.words


def test_where_there_is_time_a_run_is_as_the_preset_has_it(monkeypatch):
    found = chosen(monkeypatch, seconds=36_000, a_token=1e-5)
    assert found.recipe.train == replace(tiny("lstm").train, evaluate_every=found.recipe.train.evaluate_every)
    assert chosen(monkeypatch, seconds=None, a_token=1.0).words == ""
    assert chosen(monkeypatch, seconds=None, a_token=1.0).recipe == tiny("lstm")


def test_few_steps_are_validated_often(monkeypatch):
    train = chosen(monkeypatch, seconds=None, a_token=1.0, steps=30).recipe.train
    assert 30 / train.evaluate_every >= 10
    assert (train.batch, train.length) == (8, 512)
    assert chosen(monkeypatch, seconds=None, a_token=1.0, steps=1).recipe.train.evaluate_every == 1


def test_windows_are_no_longer_than_pieces_need(monkeypatch):
    assert chosen(monkeypatch, seconds=6000, a_token=1e-5, sizes=(150, 160, 250)).recipe.train.length == 256


def test_the_context_of_a_transformer_is_that_of_its_windows(monkeypatch):
    recipe = chosen(monkeypatch, seconds=60, a_token=1e-3, family="transformer").recipe
    assert recipe.model["context"] == recipe.train.length == 128
    asked = chosen(monkeypatch, seconds=60, a_token=1e-3, family="transformer", free=FREE - {"model.context"}).recipe
    assert asked.model["context"] == 512


def test_what_was_asked_for_stays(monkeypatch):
    for name in ("train.batch", "train.length", "train.evaluate_every", "train.evaluate_tokens"):
        train = chosen(monkeypatch, seconds=60, a_token=1e-3, free=FREE - {name}).recipe.train
        key = name.removeprefix("train.")
        assert getattr(train, key) == getattr(tiny("lstm").train, key)
    assert free_settings(Asked(changes={"train.batch": 8})) == FREE - {"train.batch"}
    assert free_settings(Asked(recipe="recipe.toml")) == free_settings(Asked(start="default")) == frozenset()


@pytest.mark.parametrize(
    ("asked", "sized"),
    [
        (Asked(), True),
        (Asked(preset="tiny", changes={"model.dropout": 0.2}), True),
        (Asked(preset="small"), False),
        (Asked(changes={"model.width": 32}), False),
        (Asked(changes={"model.by_pitch": True}), False),
        (Asked(recipe="recipe.toml"), False),
        (Asked(start="default"), False),
    ],
)
def test_only_a_tiny_model_of_no_shape_in_particular_is_sized(asked, sized):
    assert is_sized(asked) == sized


def test_a_run_says_what_was_chosen_keeps_it_and_goes_on_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(budget, "_seconds_a_step", lambda recipe, *_args, **_how: 1.0 * recipe.train.batch)
    (tmp_path / "tunes").mkdir()
    for n in range(8):
        notes = [(i * 240, 240, 40 + (i * (n + 3) + i // 5) % 24, 80) for i in range(40)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), tmp_path / "tunes" / f"{n}.mid")
    heard: list[Began] = []

    def listener(event: object) -> None:
        if isinstance(event, Began) and event.what == "training":
            heard.append(event)

    how = {"output": tmp_path / "run", "device": "cpu", "listener": listener}
    changes = {"model.width": 16, "model.layers": 1}
    musicgen.train(tmp_path / "tunes", model="lstm", changes=changes, max_seconds=1.0, **how)
    first = read_recipe(tmp_path / "run" / "recipe.toml")
    assert (first.train.batch, first.train.length) < (8, 512)
    assert f"batches of {first.train.batch} windows of {first.train.length} tokens, validated every " in heard[0].about
    musicgen.train(tmp_path / "tunes", resume=True, max_seconds=0.2, **how)
    assert read_recipe(tmp_path / "run" / "recipe.toml") == first
    assert "batches of" not in heard[1].about


def test_the_steps_that_are_timed_change_nothing():
    corpus = Tunes(load_tokenizer({"name": "remi"}))
    recipe = Recipe({"family": "rnn", "width": 16, "layers": 1}, TrainSettings(batch=2, length=32))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    how = {"device": torch.device("cpu"), "task": NextNote(), "clock": iter([1.0, 1.5]).__next__}
    assert budget._seconds_a_step(recipe, corpus, load_tokenizer({"name": "remi"}), **how) == 0.5
    assert torch.equal(torch.random.get_rng_state(), before)
