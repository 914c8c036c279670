"""Long work ends on request between two of its steps, leaves nothing half done, and goes on where it can."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from worker_tasks import act

import musicgen
from musicgen import Cancel, Cancelled, Composer, Studying
from musicgen.corpus.reading import read_pieces
from musicgen.events import Began, Event, Finished, Progress, Warned
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array
from musicgen.stopping import cancellable
from musicgen.workers import Pool

EXAMPLE = "schubert-unfinished"
SHAPE = {"model.width": 16, "model.layers": 1, "train.batch": 2, "train.length": 32, "train.evaluate_every": 2}
ASKED: dict[str, Any] = {"model": "lstm", "preset": "tiny", "changes": SHAPE, "steps": 4, "device": "cpu"}


class Asks:
    """A listener that asks for the end at its first event that is `at`, and keeps all events."""

    def __init__(self, at: Event) -> None:
        self.cancel, self.events, self._at = Cancel(), [], at

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if (type(event), event) == (type(self._at), self._at):
            self.cancel.ask()


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A folder with six tunes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tunes").mkdir()
    for n in range(6):
        notes = [(i * 240, 240, 40 + n + (i * (n + 3) + i // 5) % 24, 80) for i in range(40 + n)]
        write(Piece(480, (Track("", 0, notes=notes_array(notes)),)), tmp_path / "tunes" / f"{n}.mid")
    return tmp_path


def test_a_request_stays_and_is_one_line():
    cancel = Cancel()
    cancel.check()
    events: list[Event] = []
    listener = cancellable(events.append, cancel)
    listener(Warned("a"))
    cancel.ask()
    for _ in range(2):
        with pytest.raises(Cancelled, match=r"^cancelled$"):
            listener(Warned("b"))
    assert events == [Warned("a"), Warned("b"), Warned("b")]
    assert str(Cancelled(step=7)) == "cancelled; the run is saved at step 7, resume it to go on"


def test_training_is_saved_and_goes_on_to_the_same(here):
    musicgen.build_corpus("tunes", "corpus", valid=0.3, jobs=1)
    musicgen.train("corpus", output="whole", **ASKED)
    cancel, steps = Cancel(), []

    def ask(event: Event) -> None:
        if isinstance(event, Progress):
            steps.append(event.done)
            if event.done == 3:  # as another thread would
                thread = threading.Thread(target=cancel.ask)
                thread.start()
                thread.join()

    with pytest.raises(Cancelled) as caught:
        musicgen.train("corpus", output="parts", listener=ask, cancel=cancel, **ASKED)
    assert (steps, caught.value.step) == ([1, 2, 3], 3)
    musicgen.train("corpus", output="parts", resume=True, device="cpu")
    for name in ("model.safetensors", "gradients.csv", "recipe.toml"):
        assert Path("parts", name).read_bytes() == Path("whole", name).read_bytes(), name


def test_training_that_is_cancelled_before_it_begins_writes_nothing(here):
    musicgen.build_corpus("tunes", "corpus", valid=0.3, jobs=1)
    cancel = Cancel()
    cancel.ask()
    with pytest.raises(Cancelled) as caught:
        musicgen.train("corpus", output="new", cancel=cancel, **ASKED)
    assert caught.value.step is None
    assert not Path("new").exists()


def test_a_corpus_keeps_what_it_has_read(here):
    asks = Asks(Progress(2, 6, "file", "tunes/1.mid"))
    with pytest.raises(Cancelled):
        musicgen.build_corpus("tunes", "corpus", jobs=1, listener=asks, cancel=asks.cancel)
    assert not Path("corpus").exists()
    events: list[Event] = []
    musicgen.build_corpus("tunes", "corpus", jobs=1, listener=events.append)
    assert events[:2] == [
        Warned("going on with a build that was broken off: 2 of 6 files are done"),
        Began("corpus", "file", 6),
    ]
    musicgen.build_corpus("tunes", "whole", jobs=1)
    for name in ("tokens.npy", "pieces.jsonl", "corpus.json"):
        assert Path("corpus", name).read_bytes() == Path("whole", name).read_bytes(), name


def test_whoever_waits_for_a_process_needs_not_wait_for_its_end():
    cancel = Cancel()
    timer = threading.Timer(1.0, cancel.ask)
    timer.start()
    with pytest.raises(Cancelled):
        list(Pool(wall_s=50, check=cancel.check).each(act, ["sleep"]))
    timer.join()


def test_an_evaluation_ends_between_two_pieces(here):
    musicgen.build_corpus("tunes", "corpus", valid=0.4, jobs=1)
    musicgen.train("corpus", output="run", **ASKED)
    asks = Asks(Progress(1, 3, "piece"))
    with pytest.raises(Cancelled):
        musicgen.evaluate("run", split="train", device="cpu", listener=asks, cancel=asks.cancel)
    assert asks.events[-1] == Progress(1, 3, "piece")


@pytest.mark.parametrize(
    "at", [Progress(2, 4, "update"), Began("take", "bar", 2, "take 1 of 1"), Progress(1, 2, "bar")], ids=str
)
def test_a_continuation_ends_between_two_updates_or_steps(here, at):
    asks = Asks(at)
    composer = Composer.load(device="cpu")
    with pytest.raises(Cancelled):
        composer.continue_(EXAMPLE, bars=2, listener=asks, cancel=asks.cancel, studying=Studying(updates=4))
    assert asks.events[-1] == at
    assert [path.name for path in here.iterdir()] == ["tunes"]


def test_reading_ends_between_two_files(here):
    files = sorted(Path("tunes").iterdir())
    asks = Asks(Progress(2, 6, "file", "1.mid"))
    with pytest.raises(Cancelled):
        read_pieces(files, listener=asks, cancel=asks.cancel)
    events: list[Event] = []
    found = read_pieces(files, listener=events.append)
    assert [piece.n_notes for piece in found.pieces] == [40, 41, 42, 43, 44, 45]
    assert events[0] == Began("reading", "file", 6)
    assert events[-1] == Finished("reading")
