"""Checkpoints: two of them, with digests; damage is told, and a kill at any time leaves one that is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from musicgen.errors import ResourceError, UnreadableError
from musicgen.io.atomic import json_bytes
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.runs import checkpoints
from musicgen.runs.checkpoints import (
    adopt,
    clear,
    find_checkpoint,
    has_checkpoint,
    load_carried,
    load_checkpoint,
    save_checkpoint,
)

SETTINGS = {"family": "lstm", "width": 4, "layers": 1, "context": 8, "vocabulary_size": 5}
NAMES = (
    "model.safetensors",
    "optimizer.safetensors",
    "carried.safetensors",
    "state.json",
    "log.csv",
    "manifest.json",
)


def parts(seed: int) -> tuple[SequenceModel, torch.optim.AdamW]:
    """A model of a seed and an optimiser that has taken a step."""
    model = build_model(ModelSettings.from_dict(SETTINGS), seed=seed)
    optimizer = torch.optim.AdamW(model.parameters())
    sum(parameter.sum() for parameter in model.parameters()).backward()
    optimizer.step()
    return model, optimizer


def save(folder: Path, step: int) -> SequenceModel:
    model, optimizer = parts(step)
    carried = {"hidden": torch.full((2, 3), float(step))}
    texts = {"log.csv": f"step\r\n{step}\r\n"}
    save_checkpoint(folder, model=model, optimizers=[optimizer], state={"step": step}, carried=carried, texts=texts)
    return model


@pytest.fixture
def last(tmp_path) -> Path:
    """Where checkpoints of step 1 and 2 lie, one behind the other."""
    folder = tmp_path / "run" / "checkpoints" / "last"
    for step in (1, 2):
        save(folder, step)
    return folder


def step_of(folder: Path) -> int:
    """The step of the checkpoint that is found, all of which can be loaded."""
    found = find_checkpoint(folder)
    model, optimizer = parts(99)
    state = load_checkpoint(found, model=model, optimizers=[optimizer])
    step = state["step"]
    expected, _ = parts(step)
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), expected.state_dict().values(), strict=True)
    )
    assert load_carried(found)["hidden"][0, 0] == step
    assert found.text("log.csv") == f"step\r\n{step}\r\n"
    assert optimizer.state_dict()["state"][0]["step"] == 1
    return step


def test_the_last_two_are_kept(last):
    assert sorted(os.listdir(last.parent)) == ["last", "last.old"]
    assert sorted(os.listdir(last)) == sorted(NAMES)
    assert step_of(last) == 2
    save(last, 3)
    assert sorted(os.listdir(last.parent)) == ["last", "last.old"]
    assert (step_of(last), json.loads((last.parent / "last.old" / "state.json").read_text())["step"]) == (3, 2)
    assert find_checkpoint(last).passed is None


def test_the_best_is_kept_alone(tmp_path):
    for seed in (1, 2):
        save_checkpoint(tmp_path / "best", model=parts(seed)[0], state={"step": seed}, keep=False)
    assert os.listdir(tmp_path) == ["best"]
    assert find_checkpoint(tmp_path / "best").state["step"] == 2


def flipped(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bit", [0, 77, 1003, 5006, 70_001])
def test_a_flipped_bit_is_told_and_the_one_before_is_taken(last, name, bit):
    flipped(last / name, bit)
    assert step_of(last) == 1
    passed = find_checkpoint(last).passed
    if name == "manifest.json":  # of a digest or a name in it nobody can say which of the two is damaged
        assert passed.startswith("last: ")
    else:
        assert passed == f"last: {name} is damaged"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_what_is_cut_short_is_told(last, name, share):
    whole = (last / name).read_bytes()
    (last / name).write_bytes(whole[: int(len(whole) * share)])
    assert step_of(last) == 1
    assert find_checkpoint(last).passed == f"last: {name} is damaged"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_told(last, name):
    (last / name).unlink()
    assert step_of(last) == 1
    assert find_checkpoint(last).passed == f"last: {name} is missing"


def test_an_edited_step_is_told(last):
    state = json.loads((last / "state.json").read_text())
    (last / "state.json").write_bytes(json_bytes({**state, "step": 20}))
    assert step_of(last) == 1


def test_two_damaged_ones_are_one_line(last):
    flipped(last / "model.safetensors", 3)
    flipped(last.parent / "last.old" / "state.json", 3)
    with pytest.raises(UnreadableError) as caught:
        find_checkpoint(last)
    assert str(caught.value) == (
        f"{last.parent}: no checkpoint is whole (last: model.safetensors is damaged; last.old: state.json is damaged); "
        "copy the run again, or replace it with `overwrite`"
    )


def test_none_is_one_line(tmp_path):
    with pytest.raises(UnreadableError) as caught:
        find_checkpoint(tmp_path / "run" / "checkpoints" / "last")
    assert str(caught.value) == f"{tmp_path / 'run'}: no checkpoint to resume from; start without `resume`"
    assert not has_checkpoint(tmp_path / "run")


def test_damage_to_the_older_one_is_nobodys_business(last):
    flipped(last.parent / "last.old" / "model.safetensors", 9)
    assert (step_of(last), find_checkpoint(last).passed) == (2, None)


def test_the_one_that_was_taken_is_not_driven_out_by_the_damaged_one(last):
    flipped(last / "model.safetensors", 3)
    found = adopt(find_checkpoint(last))
    assert found.folder == last
    assert sorted(os.listdir(last.parent)) == ["last"]
    save(last, 5)
    flipped(last / "model.safetensors", 3)
    assert step_of(last) == 1


def test_one_without_digests_is_still_read(last):
    (last / "manifest.json").unlink()
    state = json.loads((last / "state.json").read_text())
    (last / "state.json").write_bytes(json_bytes({**state, "format": 1}))
    assert step_of(last) == 2


def test_another_model_is_one_line(last):
    other = build_model(ModelSettings.from_dict({**SETTINGS, "width": 8}), seed=0)
    with pytest.raises(
        UnreadableError, match=r"the tensor .* is 5 x 4, and the recipe asks for 5 x 8; copy the folder"
    ):
        load_checkpoint(find_checkpoint(last), model=other)


@pytest.mark.parametrize("when", range(1, 6))
def test_a_full_disk_leaves_the_older_ones(last, monkeypatch, when):
    calls: list[Path] = []

    def full(path: Path) -> None:
        calls.append(path)
        if len(calls) == when:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "sync", full)
        with pytest.raises(ResourceError, match="last: no space left on device; free some space"):
            save(last, 3)
    assert sorted(os.listdir(last.parent)) == ["last", "last.old"]
    assert step_of(last) == 2


def killed(work: Callable[[], object], when: int) -> bool:
    """Do it in a child that dies before its n-th rename, removal or fsync; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def dying(function: Callable[..., object]) -> Callable[..., object]:
            def call(*arguments: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == when:
                    os._exit(9)
                return function(*arguments, **options)

            return call

        for module, name in ((os, "rename"), (os, "fsync"), (os, "mkdir"), (shutil, "rmtree"), (os, "unlink")):
            setattr(module, name, dying(getattr(module, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_a_kill_at_any_time_of_a_save_leaves_a_whole_one(last, tmp_path):
    steps, when = set(), 1
    while True:
        folder = tmp_path / str(when) / "checkpoints" / "last"
        shutil.copytree(last.parent, folder.parent)
        died = killed(lambda folder=folder: save(folder, 3), when)
        steps.add(step_of(folder))
        assert find_checkpoint(folder).passed is None
        save(folder, 4)
        assert step_of(folder) == 4
        assert {"last", "last.old"} == set(os.listdir(folder.parent))
        if not died:
            break
        when += 1
    assert when > 10
    assert steps == {2, 3}


def test_leftovers_are_cleared(last):
    for mark in (".new", ".gone"):
        shutil.copytree(last, last.with_name(last.name + mark))
    clear(last)
    assert sorted(os.listdir(last.parent)) == ["last", "last.old"]
