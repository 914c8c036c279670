"""The one loop trains any task: it is validated, kept, killed, resumed and loaded as next-note prediction is."""

from __future__ import annotations

import json

import pytest
import torch
from classify_tunes import SHAPE, make_corpus
from training_runs import outcome
from training_tunes import on_steps

from musicgen.api import train
from musicgen.checkpoint import load_any_run, load_run, load_task_run
from musicgen.corpus.store import Corpus
from musicgen.errors import UnreadableError, UsageError
from musicgen.models import ModelSettings
from musicgen.models.tasks.registry import blank_task_model
from musicgen.recipe import Recipe, TrainSettings, read_recipe
from musicgen.stopping import Interrupted
from musicgen.tasks.pieces import pieces_of
from musicgen.tasks.registry import task_of

TASK = {"name": "classify", "label": "folder", "least": 2}


SETTLED = blank_task_model(ModelSettings("gru", 9), {"name": "classify", "classes": ["a", "b"]})


def recipe(family: str = "gru", **task) -> Recipe:
    settings = TrainSettings(steps=8, batch=4, length=32, evaluate_every=4, learning_rate=1e-2, precision="float32")
    return Recipe({"family": family, **SHAPE}, settings, task={**TASK, **task})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("tunes"))


def go(corpus: Corpus, output, **options):
    return train(corpus.folder, output=output, **{"recipe": recipe(), "device": "cpu", **options})


def test_a_tasks_run_is_logged_and_carded_in_its_own_unit(corpus, tmp_path):
    trained = go(corpus, tmp_path / "run")
    header, *rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert header == "step,seconds,train_nats_per_piece,valid_nats_per_piece,learning_rate,gradient_norm"
    assert [row.split(",")[0] for row in rows] == ["4", "8"]
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card == trained.card
    assert card["task"] == trained.task == "classify"
    assert card["valid_pieces"] == len(corpus.pieces("valid"))
    assert {"valid_nats_per_piece", "valid_accuracy"} <= set(card)
    assert "valid_nats_per_token" not in card
    assert (trained.valid_nats_per_token, trained.floor) == (None, None)


def test_a_tasks_run_that_is_interrupted_goes_on_as_if_it_had_not_been(corpus, tmp_path):
    def stop(progress) -> None:
        if progress.done == 6:
            raise KeyboardInterrupt

    go(corpus, tmp_path / "whole" / "run")
    with pytest.raises(Interrupted):
        go(corpus, tmp_path / "parts" / "run", listener=on_steps(stop))
    train(corpus.folder, output=tmp_path / "parts" / "run", resume=True, device="cpu")
    assert outcome(tmp_path / "parts" / "run") == outcome(tmp_path / "whole" / "run")


def test_what_the_corpus_says_of_the_task_stands_in_the_recipe(corpus, tmp_path):
    go(corpus, tmp_path / "run")
    assert read_recipe(tmp_path / "run" / "recipe.toml").task == {**TASK, "classes": ["high", "low"]}


def test_each_loader_refuses_the_others_runs_and_says_what_to_use(corpus, tmp_path):
    go(corpus, tmp_path / "run")
    assert load_task_run(tmp_path / "run", task="classify").task == "classify"
    assert load_any_run(tmp_path / "run").recipe.task["label"] == "folder"
    with pytest.raises(UnreadableError, match=r"is a model that classifies pieces, and continues nothing.*classify`"):
        load_run(tmp_path / "run")
    with pytest.raises(UnreadableError, match="is no model that classifies pieces: it predicts notes"):
        load_task_run("default", task="classify")


def test_a_task_refuses_what_only_next_note_prediction_can_use(corpus, tmp_path):
    with pytest.raises(UsageError, match="carry is set, which only next-note prediction can use"):
        go(corpus, tmp_path / "run", changes={"train.carry": True})
    with pytest.raises(UsageError, match="there are teachers, which only"):
        task_of({"name": "classify"}).check_request(SETTLED, recipe(), torch.device("cpu"), taught=True)
    with pytest.raises(UsageError, match="`task` is said by the run of `start` already"):
        go(corpus, tmp_path / "run", recipe=None, task="classify", start="default")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"task.pooling": "men"}, "[task] pooling is 'men'; did you mean 'mean'?"),
        ({"task.pool": "mean"}, "[task] has no 'pool'; did you mean 'pooling'?"),
        ({"task.name": "clasify"}, "there is no task 'clasify'; did you mean 'classify'?"),
    ],
)
def test_a_tasks_settings_are_checked_as_all_others(corpus, tmp_path, changes, told):
    with pytest.raises(UsageError) as error:
        go(corpus, tmp_path / "run", changes=changes)
    assert told in str(error.value)


def test_a_task_learns_from_the_pieces_of_its_split_with_their_records(corpus):
    held_out = list(pieces_of(corpus, "valid"))
    assert [record for record, _ in held_out] == corpus.pieces("valid")
    assert all(piece.n_notes == record.notes == 40 for record, piece in held_out)
    assert not {record.work for record, _ in held_out} & {record.work for record, _ in pieces_of(corpus, "train")}
