"""Training: data and noise are functions of (seed, step), a resumed run equals an uninterrupted one."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import torch
from training_tunes import AUGMENT, MODELS, REMI, Tunes, log, on_steps, recipe, weights

from musicgen.checkpoint import load_run
from musicgen.errors import CheckError, UnreadableError, UsageError
from musicgen.recipe import read_recipe, recipe_toml
from musicgen.training.batches import Batches, validation_windows
from musicgen.training.loop import train
from musicgen.training.schedule import learning_rate


def batches(seed: int = 0) -> Batches:
    return Batches(Tunes(), REMI, length=48, batch=4, seed=seed, augment=AUGMENT)


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = batches(), batches()
    other(3)
    assert torch.equal(one(7).inputs, other(7).inputs)
    assert not torch.equal(one(7).inputs, one(8).inputs)
    assert not torch.equal(one(7).inputs, batches(seed=1)(7).inputs)


def test_targets_are_one_ahead_and_windows_begin_at_bars():
    bar, bos = REMI.vocabulary.id("bar"), REMI.vocabulary.id("bos")
    for step in range(10):
        batch = batches()(step)
        assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
        assert set(batch.inputs[:, 0].tolist()) <= {bar, bos}


def test_windows_never_cross_into_another_piece():
    bos = REMI.vocabulary.id("bos")
    for step in range(20):
        assert not (batches()(step).inputs[:, 1:] == bos).any()


def test_validation_windows_cover_the_split_once_and_unaltered():
    tunes = Tunes()
    windows = validation_windows(tunes, REMI, split="valid", length=48, batch=2, max_tokens=10**6)
    seen = torch.cat([window.targets.flatten() for window in windows])
    offset, size = tunes.spans("valid")[0]
    assert seen[seen != 0].tolist() == tunes.tokens[offset + 1 : offset + size].tolist()


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_equals_an_uninterrupted_one(family, optimizer, tmp_path):
    tunes, settings = Tunes(), recipe(family, optimizer=optimizer)
    train(tunes, REMI, recipe=settings, folder=tmp_path / "whole", device="cpu")

    def interrupt(progress):
        if progress.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tunes, REMI, recipe=settings, folder=tmp_path / "parts", device="cpu", listener=on_steps(interrupt))
    load_run(tmp_path / "parts")  # usable as it is
    train(tunes, REMI, recipe=settings, folder=tmp_path / "parts", device="cpu", resume=True)
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert (
        load_run(tmp_path / "whole").model.inverse_temperature
        == load_run(tmp_path / "parts").model.inverse_temperature
        != (1.0,)
    )
    steps = [row["step"] for row in log(tmp_path / "parts")]
    assert steps == ["4", "8"]


def test_the_global_random_state_is_left_alone(tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_the_loss_falls_and_the_best_weights_are_kept(tmp_path):
    card = train(
        Tunes(), REMI, recipe=recipe("transformer", steps=60, evaluate_every=20), folder=tmp_path / "run", device="cpu"
    )
    rows = log(tmp_path / "run")
    valid = [float(row["valid_nats_per_token"]) for row in rows]
    assert valid[-1] < valid[0]
    assert 0.9 * min(valid) < card["valid_nats_per_token"] <= min(valid) + 1e-5


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    with pytest.raises(UsageError, match="already holds a run; pass `resume`"):
        train(Tunes(), REMI, recipe=recipe("lstm"), folder=tmp_path / "run", device="cpu")


def test_max_seconds_stops_and_leaves_a_whole_run(tmp_path):
    card = train(
        Tunes(), REMI, recipe=recipe("lstm", steps=10**6), folder=tmp_path / "run", device="cpu", max_seconds=0.5
    )
    assert 0 < card["steps"] < 10**6
    assert load_run(tmp_path / "run").card["steps"] == card["steps"]


def test_resume_without_a_checkpoint_says_so(tmp_path):
    with pytest.raises(UnreadableError, match="no checkpoint to resume from; start without `resume`"):
        train(Tunes(), REMI, recipe=recipe("lstm"), folder=tmp_path / "none", device="cpu", resume=True)


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(CheckError, match=r"the loss is (nan|inf) at step \d+; lower learning_rate"):
        train(Tunes(), REMI, recipe=recipe("lstm", steps=50, learning_rate=1e38), folder=tmp_path / "run", device="cpu")


@pytest.mark.parametrize("part", ["recipe.toml", "tokenizer.json", "model.safetensors", "card.json", "manifest.json"])
def test_a_run_folder_with_a_missing_file_names_it(part, tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    (tmp_path / "run" / part).unlink()
    with pytest.raises(UnreadableError, match=f"{part} is missing from this run folder; train it again"):
        load_run(tmp_path / "run")


def test_an_altered_file_is_found(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    path = tmp_path / "run" / "card.json"
    path.write_text(path.read_text().replace("}", " }"))
    with pytest.raises(UnreadableError, match=r"card.json is not the file that its manifest names"):
        load_run(tmp_path / "run")


def test_nothing_in_a_run_folder_is_a_pickle(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    kinds = {p.suffix for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert kinds == {".toml", ".json", ".safetensors", ".csv"}
    json.loads((tmp_path / "run" / "card.json").read_text())


def test_the_schedule_warms_up_and_falls():
    rates = [learning_rate(p / 100, peak=1.0, warmup=0.1) for p in range(101)]
    assert rates[10] == max(rates) == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.01)
    assert all(a <= b for a, b in zip(rates[:10], rates[1:11], strict=True))
    assert all(a >= b for a, b in zip(rates[10:-1], rates[11:], strict=True))


def test_a_recipe_survives_its_file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_toml(recipe("transformer")))
    assert read_recipe(path) == recipe("transformer")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nstep = 3\n", "[train] has no 'step'; did you mean 'steps'?"),
        ("[trian]\nsteps = 3\n", "there is no table [trian]; did you mean 'train'?"),
        ("[train]\nsteps = 'many'\n", "[train] steps is 'many'; give a whole number"),
        ("[train]\nsteps = 0\n", "[train] steps is 0; give at least 1"),
        ("[train]\noptimizer = 'adam'\n", "[train] optimizer is 'adam'; choose from muon, adamw"),
    ],
)
def test_a_wrong_recipe_offers_the_nearest(text, message, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert str(caught.value).endswith(message)


def test_presets_train_the_whole_context():
    from musicgen.models.presets import PRESETS
    from musicgen.training.presets import TRAIN_PRESETS

    for size, settings in PRESETS["transformer"].items():
        assert TRAIN_PRESETS[size]["length"] == settings["context"], size


@pytest.mark.parametrize("family", MODELS)
def test_the_gradients_norm_is_logged_by_layer(family, tmp_path):
    train(Tunes(), REMI, recipe=recipe(family), folder=tmp_path / "run", device="cpu")
    with open(tmp_path / "run" / "gradients.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    layers = {"lstm": ["embedding", "recurrence.0", "recurrence.1"]}
    layers["transformer"] = ["embedding", "blocks.0", "blocks.1", "norm"]
    assert [row["layer"] for row in rows if row["step"] == "4"] == layers[family]
    whole = {row["step"]: float(row["gradient_norm"]) for row in log(tmp_path / "run")}
    for step, norm in whole.items():
        parts = [float(row["norm"]) for row in rows if row["step"] == step]
        assert np.sqrt(np.square(parts).sum()) == pytest.approx(norm, rel=1e-2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model.width", "'model.width' is not a setting; write it like model.width=256"),
        ("train.step=3", "[train] has no 'step'; did you mean 'steps'?"),
        ("train.carry=3", "[train] carry is 3; give true or false"),
        ("trian.steps=3", "there is no table [trian]; did you mean 'train'?"),
    ],
)
def test_a_change_that_is_none_says_so(text, message):
    with pytest.raises(UsageError) as caught:
        recipe("lstm").with_change(text)
    assert str(caught.value).endswith(message)


def test_a_change_is_read_as_toml_or_as_a_word():
    changed = recipe("lstm").with_change("model.width=24").with_change("train.optimizer=adamw")
    changed = changed.with_change("train.carry=true").with_change("train.learning_rate=1e-2")
    assert changed.model["width"] == 24
    assert (changed.train.optimizer, changed.train.carry, changed.train.learning_rate) == ("adamw", True, 0.01)
