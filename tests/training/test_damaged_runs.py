"""Run folders that were damaged: whatever file it is in, resuming says so, and gets round it or refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from training_runs import go, outcome, resumed, stopped_half
from training_tunes import on_warnings

from musicgen.errors import UnreadableError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Any]:
    """What the run comes to that is left alone."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    go(folder)
    return outcome(folder)


@pytest.fixture
def half(tmp_path) -> Path:
    return stopped_half(tmp_path / "half")


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "log.csv"])
def test_a_damaged_checkpoint_is_told_and_got_round(whole, half, name):
    damage(half / "checkpoints" / "last" / name)
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    place = half / "checkpoints" / "last"
    assert told == [f"{place}: last: {name} is damaged; going on from the one before it, step 5"]


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
def test_damaged_best_weights_are_made_anew(whole, half, name):
    damage(half / "checkpoints" / "best" / name)
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    (line,) = told
    assert line.startswith(f"{half / 'checkpoints' / 'best'}: no checkpoint is whole (best: ")
    assert line.endswith(f"; made anew from {half / 'model.safetensors'}")


def test_best_weights_that_are_lost_stop_the_run(half):
    for name in ("checkpoints/best/model.safetensors", "model.safetensors"):
        damage(half / name)
    with pytest.raises(UnreadableError) as caught:
        resumed(half, {})
    assert str(caught.value).startswith(
        f"{half}/checkpoints/best: the best weights are lost (no checkpoint is whole (best: "
    )
    assert str(caught.value).endswith(
        "; copy the run folder again, or delete this folder to take the best of what comes"
    )
    shutil.rmtree(half / "checkpoints" / "best")
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append))["card"]["best_step"] == 8
    assert told == [
        f"{half}/model.safetensors: is damaged; it is written anew when training ends",
        f"{half}/checkpoints/best: is gone; the best weights are those of the validations to come",
    ]


def test_the_log_is_the_checkpoints(whole, half):
    (half / "log.csv").write_text("step\n1\n2\n99999")
    (half / "gradients.csv").unlink()
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    kept = half / "checkpoints" / "last"
    assert told == [
        f"{half / name}: isn't as it was written; it is made anew from {kept / name}"
        for name in ("log.csv", "gradients.csv")
    ]


def test_what_was_logged_after_the_checkpoint_is_no_damage(whole, half):
    with open(half / "log.csv", "a", newline="") as file:
        file.write("8,1.0,9,9,9,9\r\n4000")  # and a kill
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    assert told == []


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "gradients.csv"])
def test_damage_to_the_checkpoint_in_reserve_is_told(whole, half, name):
    damage(half / "checkpoints" / "last.old" / name)
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    place = half / "checkpoints" / "last.old"
    assert told == [f"{place}: {name} is damaged; the next save puts another in its place"]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "card.json"])
def test_a_damaged_part_is_told_and_written_anew(whole, half, name):
    damage(half / name)
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    assert told == [f"{half / name}: is damaged; it is written anew when training ends"]


def test_manifests_that_are_cut_short_or_gone_are_told(whole, half):
    old = half / "checkpoints" / "last.old"
    (half / "manifest.json").unlink()
    (old / "manifest.json").write_bytes((old / "manifest.json").read_bytes()[:-1])
    told: list[str] = []
    assert resumed(half, {}, listener=on_warnings(told.append)) == whole
    assert told == [
        f"{old}: manifest.json is damaged; the next save puts another in its place",
        f"{half}/manifest.json: is damaged; it is written anew when training ends",
    ]


def test_older_checkpoints_are_gone_on_with(whole, half):
    """Without digests, recipe, best state and log: their rows are those of log.csv up to their step."""
    for name in ("last", "best"):
        folder = half / "checkpoints" / name
        (folder / "manifest.json").unlink()
        state = json.loads((folder / "state.json").read_text())
        if name == "last":
            state = {
                **{
                    key: state[key]
                    for key in ("step", "seconds", "sharpness", "card", "optimizer", "loss_sum", "loss_count")
                },
                "best": 1.0,
            }
            for text in ("log.csv", "gradients.csv"):
                (folder / text).unlink()
        (folder / "state.json").write_text(json.dumps({**state, "format": 1}))
    with open(half / "log.csv", "a", newline="") as file:
        file.write("8,1.0,9,9,9,9\r\n4000")  # and a kill
    assert resumed(half, {}) == whole
