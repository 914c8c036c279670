"""Callbacks: told of steps and evaluations in order, able to stop a run that is then whole, and refused by what they lack."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import musicgen
from musicgen.callbacks import Callback, Callbacks, EarlyStopping, ProgressBar
from musicgen.errors import UsageError
from musicgen.events import Began, Event, Step, Warned, ignore
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array
from musicgen.stopping import Cancel, Cancelled

SMALL = {"model.width": 8, "model.layers": 1, "train.batch": 2, "train.length": 32, "train.evaluate_every": 2}
ASKED: dict[str, Any] = {"model": "gru", "preset": "tiny", "changes": SMALL, "steps": 6, "device": "cpu"}


def step(done: int, valid: float | None = None, of: int = 6) -> Step:
    return Step(
        done, of, "step", loss=2.0, valid=valid, best=valid, tokens_per_second=9.0, seconds=done, seconds_left=61
    )


class Noted(Callback):
    """A callback that writes down what it is told, and stops where it is asked to."""

    def __init__(self, stop_at: int = 0) -> None:
        self.told: list[Any] = []
        self.stop_at = stop_at

    def on_begin(self, began: Began) -> None:
        self.told.append(("begin", began.of))

    def on_step(self, step: Step) -> None:
        self.told.append(("step", step.done))
        if step.done == self.stop_at:
            self.stop()

    def on_evaluation(self, step: Step) -> None:
        assert step.valid is not None
        self.told.append(("evaluation", step.done))

    def on_end(self, card: Any) -> None:
        self.told.append(("end", card["steps"]))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("callbacks")
    (root / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), root / "tunes" / f"{n}.mid")
    musicgen.build_corpus(root / "tunes", root / "corpus", valid=0.3, test=0.2, jobs=1)
    return root / "corpus"


def test_a_callback_is_told_of_everything_in_order(corpus, tmp_path):
    noted = Noted()
    musicgen.train(corpus, output=tmp_path / "run", callbacks=[noted], **ASKED)
    kinds = [(n, kind) for n in range(1, 7) for kind in ("step", "evaluation") if kind == "step" or n % 2 == 0]
    assert noted.told == [("begin", 6), *((kind, n) for n, kind in kinds), ("end", 6)]


def test_a_run_that_a_callback_stops_is_whole_and_goes_on(corpus, tmp_path):
    whole = musicgen.train(corpus, output=tmp_path / "whole", **ASKED)
    noted = Noted(stop_at=4)
    stopped = musicgen.train(corpus, output=tmp_path / "run", callbacks=[noted], **ASKED)
    assert (stopped.steps, noted.told[-1]) == (4, ("end", 4))
    assert stopped.valid_nats_per_token is not None
    assert stopped.floor == whole.floor is not None
    assert musicgen.evaluate(tmp_path / "run", corpus).figures.nats_per_token == pytest.approx(
        stopped.valid_nats_per_token, abs=1e-3
    )
    resumed = musicgen.train(corpus, output=tmp_path / "run", resume=True, callbacks=[Callback()], device="cpu")
    assert resumed.valid_nats_per_token == whole.valid_nats_per_token
    names = ("model.safetensors", "gradients.csv")
    assert all((tmp_path / "run" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)


def test_a_cancel_still_cancels_where_there_are_callbacks_and_stays_as_it_is_where_one_stops(corpus, tmp_path):
    cancel, noted = Cancel(), Noted()
    cancel.ask()
    with pytest.raises(Cancelled):
        musicgen.train(corpus, output=tmp_path / "run", callbacks=[noted], cancel=cancel, **ASKED)
    assert ("end", 0) not in noted.told
    spared = Cancel()
    told = Callbacks([Noted(stop_at=1)], ignore, spared)
    told(step(1))
    assert told.cancel.asked
    assert told.cancel.by_callback
    assert not spared.asked


def test_a_callback_that_stopped_one_run_does_not_stop_the_next():
    noted = Noted(stop_at=1)
    Callbacks([noted], ignore)(step(1))
    assert noted.stopped
    assert not Callbacks([noted], ignore).cancel.asked
    assert not noted.stopped


def test_the_listener_hears_each_event_first():
    heard: list[Event] = []

    class Last(Callback):
        def on_step(self, step: Step) -> None:
            assert heard == [step]

    Callbacks([Last()], heard.append)(step(1))


def test_warnings_are_lines_of_the_progress_bar(capsys):
    Callbacks([ProgressBar()], ignore)(Warned("no validation pieces\x1b[2J"))
    assert capsys.readouterr().err == "no validation pieces\\x1b[2J\n"


def test_what_is_no_callback_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match=r"`callbacks`: 'function' is no callback; derive its class from musicgen"):
        musicgen.train("nowhere", output=tmp_path / "run", callbacks=[lambda event: None])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("losses", "least", "stops_at"),
    [
        ([3, 2, 1, 1.5, 1.2, 1.1], 0.0, 5),
        ([3, 2.95, 2.92], 0.1, 3),
        ([3, 2, 1, 0.5], 0.0, None),
        ([2, math.nan, 1.9, 2], 0.0, None),
    ],
)
def test_training_stops_early_when_nothing_gets_better(losses, least, stops_at):
    early = EarlyStopping(patience=2, least=least)
    told = Callbacks([early], ignore)
    told(Began("training", "step", 6))
    found = None
    for number, loss in enumerate(losses, 1):
        told(step(number, loss))
        found = found or (number if told.cancel.asked else None)
    assert found == stops_at


def test_a_patience_of_nothing_is_refused():
    with pytest.raises(UsageError, match=r"patience is 0; give at least 1"):
        EarlyStopping(patience=0)


def test_the_progress_bar_is_a_line_outside_of_notebooks(capsys):
    told = Callbacks([ProgressBar(every_s=5.0)], ignore)
    told(Began("training", "step", 12))
    for number in range(1, 13):
        told(step(number, 1.5 if number == 4 else None, of=12))
    told.end({})
    lines = capsys.readouterr().err.strip().split("\r")
    assert [line.split("  ")[0] for line in lines] == ["step 1 of 12", "step 4 of 12", "step 9 of 12", "step 12 of 12"]
    assert lines[-1].startswith("step 12 of 12  loss 2.000  valid 1.500  1:01 left")
