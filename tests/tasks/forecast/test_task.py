"""Training a forecaster: what it learns from, what it leaves in the run folder, and that it resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from forecast_pieces import SCALES, corpus_of_tunes, pitches_of

from musicgen.api import train
from musicgen.checkpoint import load_run, load_task_run
from musicgen.errors import MusicgenError, UsageError
from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.recipe import read_recipe
from musicgen.tasks.forecast.report import in_words
from musicgen.tasks.forecast.using import ahead, report_of_run
from musicgen.tasks.forecast.windows import Windows

SMALL = {"model.width": 16, "model.layers": 1, "train.batch": 8, "train.length": 32, "train.evaluate_every": 4}
TASK = {"name": "forecast", "covariates": "ioi", "lags": 4, "horizon": 3}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return corpus_of_tunes(tmp_path_factory.mktemp("tunes"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(corpus.folder, output=folder, model="gru", task=TASK, changes=SMALL, steps=12, device="cpu")
    return folder


def test_windows_hold_what_comes_after_each_step():
    settings = ForecastSettings(lags=2, horizon=2, scales=SCALES)
    windows = Windows([pitches_of(range(60, 70))], settings=settings, steps=2, length=4, batch=3, seed=0)
    batch = windows.of([(0, 0), (0, 7)])
    assert (batch.x_BTF[0, :, 0] * 4 + 64).tolist() == [60, 61, 62, 63]
    assert (batch.y_BTHK[0, :, :, 0] * 4 + 64).tolist() == [[61, 62], [62, 63], [63, 64], [64, 65]]
    assert batch.counted_BTHK[1, :, :, 0].tolist() == [[True, True], [True, False], [False, False], [False, False]]
    assert batch.x_BTF[1, 3].tolist() == [0, 0]  # padding: without the 1 that every step has
    one, other = windows(5), windows(5)
    assert (one.x_BTF == other.x_BTF).all()
    assert sum(len(each.x_BTF) for each in windows.in_order(1000)) == 3


def test_scales_of_the_training_split_stand_in_the_recipe(trained, corpus):
    recipe = read_recipe(trained / "recipe.toml")
    assert recipe.task["lags"] == 4
    (mean, deviation), (ioi, _) = recipe.task["scales"]
    assert 48 < mean < 84
    assert deviation > 1
    assert -1 < ioi < 0.5


def test_the_card_has_errors_beside_the_best_floors(trained):
    card = json.loads((trained / "card.json").read_text())
    found = card["forecast"]["pitch"]
    assert card["valid_scaled_error"] > 0
    assert found["unit"] == "semitones"
    assert len(found["mae"]) == len(found["floor"]) == 3


def test_a_resumed_run_equals_an_uninterrupted_one(trained, corpus, tmp_path):
    how = {"model": "gru", "task": TASK, "changes": SMALL, "device": "cpu"}
    folder = tmp_path / "run"

    def stop(event) -> None:
        if getattr(event, "loss", None) is not None and event.done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(corpus.folder, output=folder, **how, steps=12, listener=stop)
    train(corpus.folder, output=folder, resume=True, device="cpu")
    assert (folder / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_a_report_names_the_model_first_and_says_how_it_stands(trained, corpus):
    report = report_of_run(load_task_run(trained, task="forecast"), corpus)
    assert report.model == "gru"
    assert {"mean", "last value", "drift", "a bar ago", "autoregression"} < set(report.errors)
    assert len(report.rows()) == 3 * 7
    assert len({int(each.targets[0, 0]) for each in report.errors.values()}) == 1  # all are judged by the same
    first, last, varied = in_words(report)
    assert first.startswith("pitch, 1 ahead: a mean error of ")
    assert last.startswith("pitch, 3 ahead")
    assert "vary" in varied
    with pytest.raises(UsageError, match="the split test has no melody of more than 4 steps; choose another split"):
        report_of_run(load_task_run(trained, task="forecast"), corpus, split="test")


def test_what_comes_after_a_piece_is_in_its_units(trained, corpus):
    from forecast_pieces import tune

    run = load_task_run(trained, task="forecast")
    rows = ahead(run, tune([60, 62, 64, 65, 67]))
    assert [row["horizon"] for row in rows] == [1, 2, 3]
    assert all(40 < row["pitch"] < 90 for row in rows)
    with pytest.raises(UsageError, match="the piece has 3 steps of melody, and the model reads 4; give a longer piece"):
        ahead(run, tune([60, 62, 64]))


def test_what_cannot_be_learned_is_said_before_anything_is_written(corpus, tmp_path):
    for task, line in (
        (
            {"series": "tempo"},
            "tempo is 119.865 throughout the training split; choose a series that varies, or another",
        ),
        ({"lags": 500}, "no piece to train on has a melody of more than 500 steps; set fewer task.lags"),
        ({"horizn": 3}, r"\[task\] has no 'horizn'; did you mean 'horizon'\?"),
    ):
        with pytest.raises(MusicgenError, match=line):
            train(corpus.folder, output=tmp_path / "run", task={"name": "forecast", **task}, device="cpu")
        assert not (tmp_path / "run").exists()


def test_a_forecaster_continues_nothing(trained):
    with pytest.raises(
        MusicgenError, match="forecasts melodies as numbers, and continues nothing; use `musicgen forecast`"
    ):
        load_run(trained)


def test_a_series_is_told_of_its_gaps_only_where_it_may_have_some(corpus, tmp_path):
    for every, missing, numbers in (("note", "indicator", 2), ("quarter", "indicator", 3), ("quarter", "mask", 2)):
        assert ForecastSettings(every=every, missing=missing).n_inputs == numbers
    task = {"name": "forecast", "every": "quarter", "lags": 4, "horizon": 2, "strategy": "recursive"}
    found = train(
        corpus.folder, output=tmp_path / "run", model="window", task=task, changes=SMALL, steps=2, device="cpu"
    )
    assert np.isfinite(found.card["forecast"]["pitch"]["mae"]).all()
