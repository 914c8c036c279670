"""Training windows whose notes are in random order: the same notes and onsets, validation as it is, refusals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from part_pieces import PARTS, random_piece
from training_tunes import AUGMENT, MODELS, Tunes

import musicgen
from musicgen.errors import UsageError
from musicgen.planning import _check_shuffled
from musicgen.recipe import AugmentSettings, DataSettings, Recipe, TrainSettings, read_recipe, recipe_toml
from musicgen.tokenizers import Notes, Remi
from musicgen.training.batches import Batches

NOTES = Notes()


def said(tokenizer, rows: np.ndarray) -> Counter:
    """How often each note (player, pitch, velocity, length) is said."""
    found = tokenizer.notes(rows)
    return Counter(zip(*(column.tolist() for column in found[3:]), strict=True))


@pytest.mark.parametrize("tokenizer", [NOTES, PARTS], ids=["notes", "parts"])
def test_the_notes_are_dealt_anew_to_the_onsets(tokenizer):
    rows = tokenizer.encode(random_piece(0))
    shuffled = tokenizer.with_notes_shuffled(rows, np.random.default_rng(1))
    before, after = tokenizer.notes(rows), tokenizer.notes(shuffled)
    assert said(tokenizer, shuffled) == said(tokenizer, rows)
    assert np.array_equal(after.at, before.at)
    assert np.array_equal(shuffled[:, 3], rows[:, 3])  # bars and onsets
    assert (after.pitch != before.pitch).mean() > 0.8
    again = tokenizer.with_notes_shuffled(rows, np.random.default_rng(1))
    assert np.array_equal(again, shuffled)


def test_a_window_may_begin_within_a_note_or_have_none():
    rows = NOTES.encode(random_piece(0))
    window = rows[int(np.flatnonzero(rows[:, 1])[0]) :][:20]
    assert np.array_equal(NOTES.with_notes_shuffled(window, np.random.default_rng(0))[0, :3], window[0, :3])
    assert np.array_equal(NOTES.with_notes_shuffled(rows[:1], np.random.default_rng(0)), rows[:1])


def test_training_windows_are_those_of_the_run_that_reads_in_order():
    how = {"length": 24, "batch": 3, "seed": 0, "augment": AugmentSettings(0, 0, 0)}
    plain, shuffled = (Batches(Tunes(NOTES), NOTES, shuffle_notes=shuffle, **how)(5) for shuffle in (False, True))
    assert np.array_equal(plain.inputs[..., 3], shuffled.inputs[..., 3])
    assert not np.array_equal(plain.inputs[..., 0], shuffled.inputs[..., 0])
    for a, b in zip(plain.inputs.numpy(), shuffled.inputs.numpy(), strict=True):
        assert sum((said(NOTES, a) - said(NOTES, b)).values()) <= 1  # a window's last row is a target alone


def test_only_recipes_that_shuffle_say_so(tmp_path):
    assert "shuffle_notes" not in recipe_toml(Recipe())
    recipe = Recipe(data=DataSettings(shuffle_notes=True))
    (tmp_path / "recipe.toml").write_text(recipe_toml(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_a_run_says_in_its_recipe_that_its_notes_were_shuffled(tmp_path):
    from musicgen.io import write

    (tmp_path / "tunes").mkdir()
    for n in range(4):
        write(random_piece(n), tmp_path / "tunes" / f"{n}.mid")
    changes = {"model.width": 16, "model.layers": 1, "train.batch": 1, "train.length": 16, "data.shuffle_notes": True}
    musicgen.train(tmp_path / "tunes", output=tmp_path / "run", model="lstm", changes=changes, steps=1, device="cpu")
    assert read_recipe(tmp_path / "run" / "recipe.toml").data.shuffle_notes


@pytest.mark.parametrize(
    ("tokenizer", "carry", "text"),
    [
        (Remi(), False, "[data] shuffle_notes needs a step for each note, which the tokenizer remi doesn't have; use "),
        (NOTES, True, "[data] shuffle_notes and carry, which reads pieces in order, don't go together; leave one of"),
    ],
)
def test_what_has_no_notes_to_shuffle_is_refused(tokenizer, carry, text):
    recipe = Recipe(MODELS["lstm"], TrainSettings(carry=carry), AUGMENT, DataSettings(shuffle_notes=True))
    with pytest.raises(UsageError) as refused:
        _check_shuffled(recipe, tokenizer)
    assert text in str(refused.value)
    with pytest.raises(UsageError, match="shuffle_notes is 'yes'"):
        Recipe().with_changes({"data.shuffle_notes": "yes"})
