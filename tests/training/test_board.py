"""TensorBoard's event files: read back they are the CSV logs, also after a run was killed and resumed."""

from __future__ import annotations

import csv
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from training_runs import go, stopped_half
from training_tunes import log

from musicgen.callbacks import Callbacks
from musicgen.errors import UsageError
from musicgen.events import ignore
from musicgen.training.board import Board, chosen_logs


def installed() -> bool:
    try:
        version("tensorboard")
    except PackageNotFoundError:
        return False
    return True


needs_tensorboard = pytest.mark.skipif(not installed(), reason="the extra tensorboard is not installed")


def points(run: Path) -> dict[str, list[tuple[int, float]]]:
    """{tag: (step, value) of each point} of all event files of a run, nothing purged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, list[tuple[int, float]]] = {}
    for path in (run / "tensorboard").iterdir():
        events = EventAccumulator(str(path), purge_orphaned_data=False).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, []).extend((event.step, event.value) for event in events.Scalars(tag))
    return found


def logged(run: Path) -> dict[str, list[tuple[int, float]]]:
    """The same from the CSV logs."""
    found: dict[str, list[tuple[int, float]]] = {}
    names = {"train_nats_per_token": "nats_per_token/train", "valid_nats_per_token": "nats_per_token/valid",
             "learning_rate": "optimizer/learning_rate", "gradient_norm": "optimizer/gradient_norm"}  # fmt: skip
    for row in log(run):
        for column, tag in names.items():
            found.setdefault(tag, []).append((int(row["step"]), float(row[column])))
    with open(run / "gradients.csv", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(f"gradient_norm/{row['layer']}", []).append((int(row["step"]), float(row["norm"])))
    return found


def same(run: Path) -> bool:
    one, other = points(run), logged(run)
    return one.keys() == other.keys() and all(
        [step for step, _ in one[tag]] == [step for step, _ in other[tag]]
        and [value for _, value in one[tag]] == pytest.approx([value for _, value in other[tag]], rel=1e-6)
        for tag in one
    )


@needs_tensorboard
def test_the_event_file_says_what_the_csv_logs_say(tmp_path):
    told = Callbacks([Board(tmp_path / "run")], ignore)
    told.end(go(tmp_path / "run", listener=told))
    assert len(points(tmp_path / "run")["nats_per_token/valid"]) == 2
    assert same(tmp_path / "run")


@needs_tensorboard
def test_a_resumed_run_has_every_point_once(tmp_path):
    run = stopped_half(tmp_path / "run")
    # A process that was killed after its last checkpoint has left points of later steps.
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run / "tensorboard")) as writer:
        for step in (4, 7):
            writer.add_scalar("nats_per_token/train", 9.0, step)
    (run / "tensorboard" / "notes.txt").write_text("mine")
    go(run, resume=True, listener=Callbacks([Board(run)], ignore))
    assert (run / "tensorboard" / "notes.txt").read_text() == "mine"
    (run / "tensorboard" / "notes.txt").unlink()
    assert [step for step, _ in points(run)["nats_per_token/train"]] == [4, 8]
    assert same(run)


def test_csv_is_always_among_the_logs_and_an_unknown_one_is_refused():
    assert chosen_logs("csv") == chosen_logs(()) == ("csv",)
    with pytest.raises(UsageError, match=r"`log`: there is no log 'wandb'; choose from csv, tensorboard"):
        chosen_logs("csv,wandb")


def test_without_the_package_it_says_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match=r"needs the package tensorboard; install the extra: pip install 'musicgen-sy"):
        chosen_logs("tensorboard")


@needs_tensorboard
def test_the_names_may_be_written_with_commas_and_spaces():
    assert chosen_logs("tensorboard, csv") == chosen_logs(["tensorboard"]) == ("csv", "tensorboard")
