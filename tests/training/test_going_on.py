"""A run that is stopped or killed and resumed equals one that was left alone: weights, card, log, gradients."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import go, listing, outcome, resumed, stopped_half
from training_tunes import MODELS, Tunes, log, on_steps, on_warnings

from musicgen.checkpoint import load_run
from musicgen.errors import ResourceError, UsageError
from musicgen.io.locks import Hold
from musicgen.models import SequenceModel
from musicgen.models.ladder.transformer import Block
from musicgen.recipe import read_recipe
from musicgen.runs import checkpoints
from musicgen.runs.checkpoints import find_checkpoint
from musicgen.runs.recipes import resumed_recipe
from musicgen.stopping import Interrupted
from musicgen.training import keeping
from musicgen.training.next_note import NextNoteLearner


class Untested(Tunes):
    """Without any piece to validate on."""

    def spans(self, split: str) -> np.ndarray:
        return super().spans(split) if split == "train" else np.zeros((0, 2), np.int64)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Any]:
    """What runs come to that are left alone, by their kind."""
    root = tmp_path_factory.mktemp("whole")
    start = load_run_of(root / "start")
    made = {}
    for kind, options in kinds(start).items():
        go(root / kind, **options)
        made[kind] = outcome(root / kind)
    return {"start": start, **made}


def load_run_of(folder: Path) -> SequenceModel:
    go(folder, changes={"seed": 1})
    return load_run(folder).model


def kinds(start: SequenceModel) -> dict[str, dict[str, Any]]:
    return {
        **{family: {"family": family} for family in MODELS},
        "carry": {"changes": {"carry": True}},
        "tuned": {"start": start},
        "untested": {"source": Untested()},
        "adamw": {"changes": {"optimizer": "adamw", "calibrate": False}},
    }


KINDS = ("lstm", "transformer", "carry", "tuned", "untested", "adamw")


@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_after_any_step_changes_nothing(whole, tmp_path, kind):
    """As a kill leaves the folder: a copy of it at that time."""
    options = kinds(whole["start"])[kind]

    def copy(progress: Any) -> None:
        if progress.done in (1, 4, 5, 8):
            shutil.copytree(tmp_path / "run", tmp_path / f"at {progress.done}")

    go(tmp_path / "run", listener=on_steps(copy), **options)
    for step in (1, 4, 5, 8):
        folder = tmp_path / f"at {step}"
        assert resumed(folder, options) == whole[kind], step
        assert listing(folder) == listing(tmp_path / "run")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1, 4, 6, 8])
def test_a_stop_after_any_step_changes_nothing(whole, tmp_path, kind, step):
    options = kinds(whole["start"])[kind]

    def stop(progress: Any) -> None:
        if progress.done == step:
            signal.raise_signal(signal.SIGTERM)

    folder = tmp_path / "run"
    if step == 8 and kind in ("untested", "adamw"):
        go(folder, listener=on_steps(stop), **options)  # nothing is left to be measured
    else:
        with pytest.raises(Interrupted) as caught:
            go(folder, listener=on_steps(stop), **options)
        assert (caught.value.number, caught.value.step) == (signal.SIGTERM, step)
    assert load_run(folder).card["steps"] == step
    assert resumed(folder, options) == whole[kind]


def when(patched: pytest.MonkeyPatch, target: object, name: str, call: int, act: Callable[[], None]) -> None:
    """Do something within the n-th call of a method."""
    real, count = getattr(target, name), 0

    def acting(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == call:
            act()
        return real(*arguments, **options)

    patched.setattr(target, name, acting)


PLACES = {
    "making the second batch": (NextNoteLearner, "made", 2),
    "the forward pass": (SequenceModel, "nats_ahead", 6),
    "the gradient": (torch.Tensor, "backward", 3),
    "the optimiser's step": (torch.optim.AdamW, "step", 7),
    "measuring, in the middle": (SequenceModel, "nats_at", 1),
    "measuring for the last time": (SequenceModel, "nats_at", 2),
    "saving the best": (keeping, "save_checkpoint", 6),
    "saving the last": (checkpoints, "sha256", 30),
    "putting the parts in place": (keeping, "save_run", 1),
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", PLACES)
def test_a_signal_anywhere_leaves_no_half_step(whole, tmp_path, monkeypatch, place, number):
    target, name, call = PLACES[place]
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        when(patched, target, name, call, lambda: signal.raise_signal(number))
        with pytest.raises(Interrupted) as caught:
            go(folder)
    assert caught.value.number == number
    assert caught.value.step == json.loads((folder / "checkpoints" / "last" / "state.json").read_text())["step"]
    load_run(folder)
    assert resumed(folder, {}) == whole["lstm"]


@pytest.mark.parametrize("number", [1, 2, 3, 4])  # of two blocks, forward and back
def test_a_stop_is_heard_within_a_step(whole, tmp_path, number):
    """Between one layer and the next, for a step may be long; it is given up then."""
    calls: list[str] = []

    def note(what: str) -> None:
        calls.append(what)
        if len(calls) == 4 + number:  # in the second step
            signal.raise_signal(signal.SIGTERM)

    def block(self: Block, *arguments: Any, **options: Any) -> Any:
        note("forward")
        output = forward(self, *arguments, **options)
        first = output[0] if isinstance(output, tuple) else output
        if first.requires_grad:
            first.register_hook(lambda gradient: note("back"))
        return output

    forward = Block.forward
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Block, "forward", block)
        with pytest.raises(Interrupted) as caught:
            go(tmp_path / "run", family="transformer")
    assert calls == (2 * ["forward", "forward", "back", "back"])[: 4 + number]
    assert caught.value.step == 1
    assert resumed(tmp_path / "run", {"family": "transformer"}) == whole["transformer"]


def test_an_evaluation_that_was_broken_off_is_made_up_for(whole, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        when(patched, SequenceModel, "nats_at", 1, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted) as caught:
            go(tmp_path / "run", changes={"batch": 1})
    assert caught.value.step == 4
    state = json.loads((tmp_path / "run" / "checkpoints" / "last" / "state.json").read_text())
    assert (state["loss_count"], state["best"]) == (4, None)
    assert set(state["owed"]) == {"rate", "norm", "layers"}
    assert log(tmp_path / "run") == []
    resumed(tmp_path / "run", {"changes": {"batch": 1}})
    assert [row["step"] for row in log(tmp_path / "run")] == ["4", "8"]
    go(tmp_path / "other", changes={"batch": 1})
    assert outcome(tmp_path / "run") == outcome(tmp_path / "other")


def test_a_stop_before_the_first_checkpoint_leaves_nothing(tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        when(patched, keeping.Learner, "__init__", 1, lambda: signal.raise_signal(signal.SIGINT))
        with pytest.raises(Interrupted) as caught:
            go(tmp_path / "run")
    assert caught.value.step is None
    assert os.listdir(tmp_path) == []


def test_a_second_ctrl_c_ends_it_at_once_and_the_checkpoint_stays(whole, tmp_path, monkeypatch):
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    told: list[str] = []
    with monkeypatch.context() as patched:
        when(patched, torch.optim.AdamW, "step", 3, twice)
        with pytest.raises(KeyboardInterrupt) as caught:
            go(tmp_path / "run", listener=on_warnings(told.append))
    assert not isinstance(caught.value, Interrupted), "nothing was saved"
    assert told == ["stopping; Ctrl-C again ends it at once, without saving"]
    assert resumed(tmp_path / "run", {}) == whole["lstm"]


def test_a_second_sigterm_is_the_same_again(whole, tmp_path):
    def twice(progress: Any) -> None:
        if progress.done == 3:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        go(tmp_path / "run", listener=on_steps(twice))
    assert caught.value.step == 3
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "whoever called gets its own back"


def test_what_cannot_be_saved_is_not_said_to_be(tmp_path, monkeypatch):
    def stop(progress: Any) -> None:
        if progress.done == 3:
            monkeypatch.setattr(checkpoints, "sync", full)
            raise KeyboardInterrupt

    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ResourceError, match="last: no space left on device"):
        go(tmp_path / "run", listener=on_steps(stop))


@pytest.fixture
def half(tmp_path) -> Path:
    return stopped_half(tmp_path / "half")


# ---- who, and with what ------------------------------------------------------------------------------------


def test_one_trainer_a_folder(tmp_path, half):
    with Hold(half), pytest.raises(UsageError, match=r"half: another process writes here \(process \d+ on "):
        resumed(half, {})
    seen: list[str] = []

    def again(progress: Any) -> None:
        with pytest.raises(UsageError, match="another process writes here"):
            go(tmp_path / "run")
        seen.append("refused")

    go(tmp_path / "run", listener=on_steps(again), changes={"steps": 1})
    assert seen == ["refused"]
    assert sorted(os.listdir(tmp_path)) == ["half", "run"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"learning_rate": 0.1}, "[train] learning_rate was 0.005 when the run was saved, and is 0.1 now"),
        ({"optimizer": "adamw"}, "[train] optimizer was 'muon' when the run was saved, and is 'adamw' now"),
        ({"carry": True}, "[train] carry was False when the run was saved, and is True now"),
    ],
)
def test_another_recipe_is_told_by_its_key(half, change, what):
    with pytest.raises(UsageError) as caught:
        resumed(half, {"changes": change})
    assert str(caught.value) == f"{half}: {what}; put it back, or train anew with `recipe`"
    assert resumed(half, {"changes": {"steps": 9}})["card"]["steps"] == 9, "more steps may be asked for"


@pytest.mark.parametrize(
    "at", [1, 5]
)  # before there are parts to use, whose manifest would know recipe.toml, and after
def test_a_kill_after_more_steps_were_asked_for_is_no_edit(whole, tmp_path, at):
    def copy(name: str, step: int) -> Callable[[Any], None]:
        return lambda p: shutil.copytree(tmp_path / "run", tmp_path / name) if p.done == step else None

    go(tmp_path / "run", listener=on_steps(copy("first", at)))
    shutil.move(tmp_path / "run", tmp_path / "whole")
    shutil.move(tmp_path / "first", tmp_path / "run")
    go(tmp_path / "run", resume=True, changes={"steps": 12}, listener=on_steps(copy("second", at + 1)))
    killed = tmp_path / "second"
    assert read_recipe(killed / "recipe.toml").train.steps == 8
    assert resumed_recipe(find_checkpoint(killed / "checkpoints" / "last"), killed).train.steps == 12
    (killed / "recipe.toml").write_text((killed / "recipe.toml").read_text().replace("steps = 8", "steps = 9"))
    with pytest.raises(UsageError, match=r"\[train\] steps was 12 when the run was saved, and is 9 now"):
        resumed_recipe(find_checkpoint(killed / "checkpoints" / "last"), killed)
