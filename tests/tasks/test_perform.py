"""The task `perform`, from a folder of performances to figures and a picture."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from performances import SHAPE, make_corpus, make_performances, performance

from musicgen.api import evaluate_task, train
from musicgen.checkpoint import load_run, load_task_run
from musicgen.cli.main import cli
from musicgen.corpus.build import build_corpus
from musicgen.errors import UnreadableError, UsageError
from musicgen.io import write
from musicgen.models.tasks.performer import VALUES
from musicgen.pictures.album import draw_run
from musicgen.recipe import Recipe, TrainSettings
from musicgen.scoring import Scoring
from musicgen.stopping import Interrupted
from musicgen.tasks.perform.figures import note_nats


def recipe(head: str = "mixture", family: str = "gru", **task) -> Recipe:
    settings = TrainSettings(
        steps=30, batch=4, length=64, evaluate_every=10, learning_rate=1e-2, optimizer="adamw", precision="float32"
    )
    return Recipe({"family": family, **SHAPE}, settings, task={"name": "perform", "head": head, **task})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("played"))


@pytest.fixture(scope="module", params=["mixture", "binned"])
def run(request, corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "run"
    train(corpus.folder, output=folder, recipe=recipe(request.param), device="cpu")
    return folder


def test_a_run_says_what_a_note_costs_and_each_of_its_values(run):
    card = json.loads((run / "card.json").read_text())
    assert card["task"] == "perform"
    parts = [card[f"valid_nats_of_{name}"] for name in VALUES]
    assert sum(parts) == pytest.approx(card["valid_nats_per_note"], abs=1e-3)
    assert card["valid_notes"] == 2 * 120
    log = (run / "log.csv").read_text().splitlines()
    assert log[0] == "step,seconds,train_nats_per_note,valid_nats_per_note,learning_rate,gradient_norm"
    losses = [float(row.split(",")[3]) for row in log[1:]]
    assert losses[-1] < losses[0] - 1


def test_evaluation_counts_every_note_once_and_beats_the_floor_where_it_has_learned(run, corpus):
    found = evaluate_task(run, split="test", device="cpu")
    assert (found.pieces, found.notes) == (2, 240)
    assert sum(found.by_value.values()) == pytest.approx(found.nats_per_note)
    loaded = load_task_run(run, task="perform")
    spans = corpus.spans("test").tolist()
    each = [note_nats(loaded.model, corpus.tokens[b : b + n], Scoring.of(loaded.tokenizer)) for b, n in spans]
    assert [len(nats) for nats in each] == [120, 120]
    assert np.concatenate(each).mean(axis=0).sum() == pytest.approx(found.nats_per_note)
    assert found.floor_nats_per_note == pytest.approx(sum(found.floor_by_value.values()))
    assert 0 < found.floor_by_value["length"] < np.log(16_000)
    assert found.lines()[0] == "test: 2 pieces, 240 notes"
    assert set(json.loads(json.dumps(found.to_dict()))) >= {"task", "split", "notes", "nats_per_note", "by_value"}


def test_both_heads_are_measured_in_nats_of_the_same_integers(corpus, tmp_path):
    """As many bins as integers, all alike, are a mixture that knows nothing: the logarithm of their number."""
    folder = tmp_path / "run"
    asked = recipe("binned", bins=4096)
    train(corpus.folder, output=folder, recipe=asked.with_train(steps=1, learning_rate=1e-9), device="cpu")
    found = evaluate_task(folder, split="test", device="cpu")
    assert found.by_value["velocity"] == pytest.approx(np.log(127), abs=0.05)


def test_a_run_that_is_interrupted_goes_on_as_if_it_had_not_been(run, corpus, tmp_path):
    head = load_task_run(run, task="perform").recipe.task["head"]

    def stop(progress) -> None:
        if getattr(progress, "done", 0) == 17:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        train(corpus.folder, output=tmp_path / "run", recipe=recipe(head), device="cpu", listener=stop)
    train(corpus.folder, output=tmp_path / "run", resume=True, device="cpu")
    names = ("model.safetensors", "recipe.toml")
    assert [(tmp_path / "run" / name).read_bytes() for name in names] == [(run / name).read_bytes() for name in names]


def test_music_becomes_a_corpus_of_exact_notes_by_itself(tmp_path):
    played = make_performances(tmp_path / "played", count=4)
    words = ["train", str(played), "--task", "perform", "--model", "window", "--steps", "2", "-o", str(tmp_path / "run"),
             "--head", "binned", "--device", "cpu", "--set", "model.width=16", "--set", "task.bins=20"]  # fmt: skip
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    loaded = load_task_run(tmp_path / "run", task="perform")
    assert (loaded.tokenizer.name, loaded.recipe.task) == ("exact", {"name": "perform", "head": "binned", "bins": 20})
    assert f"use it: musicgen inspect {tmp_path / 'run'} --pictures pictures/\n" in done.output


def test_what_does_not_fit_is_refused_in_a_line(run, corpus, tmp_path):
    grid = build_corpus([make_performances(tmp_path / "played")], tmp_path / "grid", jobs=1)
    with pytest.raises(UsageError) as raised:
        train(grid.folder, output=tmp_path / "run", task="perform")
    assert "is built with the tokenizer notes, which tells no exact times; give the music itself" in str(raised.value)
    with pytest.raises(UsageError, match="exact is for models of how notes are played, and none that writes notes"):
        train(corpus.folder, output=tmp_path / "run")
    with pytest.raises(UnreadableError) as unreadable:
        load_run(run)
    assert "is a model that knows how notes are played, and continues nothing" in str(unreadable.value)
    refused = CliRunner().invoke(cli, ["train", str(corpus.folder), "--head", "binned", "-o", str(tmp_path / "run")])
    assert refused.exit_code == 2
    assert "--head is an option of --task perform, not of next-note prediction" in refused.output


def test_the_picture_and_its_table_are_of_the_same_phrase(run, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr("musicgen.pictures.densities.NOTES", 12)
    loaded = load_task_run(run, task="perform")
    album = draw_run(loaded, run)
    assert set(album.figures) == {"loss.png", "gradients.png", "densities.png"}
    paths = album.save(tmp_path / "pictures")
    assert {path.name for path in paths} == {*album.figures, "densities.csv"}
    rows = list(csv.DictReader((tmp_path / "pictures" / "densities.csv").read_text().splitlines()))
    assert [row["value"] for row in rows[:3]] == list(VALUES)
    held_out = {int(each) for b, n in corpus.spans("test").tolist() for each in corpus.tokens[b : b + n, 2]}
    base = loaded.tokenizer.vocabulary.base["velocity"]
    assert {int(row["played"]) + base for row in rows if row["value"] == "velocity"} <= held_out
    for row in rows:
        assert int(row["q5"]) <= int(row["q50"]) <= int(row["q95"])
    write(performance(99), tmp_path / "other.mid")
    words = ["inspect", str(run), "--pictures", str(tmp_path / "more"), "--piece", str(tmp_path / "other.mid")]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "a model that knows how notes are played" in done.output
    assert (tmp_path / "more" / "densities.csv").read_text() != (tmp_path / "pictures" / "densities.csv").read_text()
