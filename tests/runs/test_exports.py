"""The parts of a run folder are replaced all at once, as far as anybody who loads it can see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_tunes import REMI, recipe

from musicgen.checkpoint import Run, load_run, model_for, save_run
from musicgen.errors import ResourceError, UnreadableError
from musicgen.runs import exports
from musicgen.runs.exports import settle_parts


def save(folder: Path, seed: int) -> None:
    settings = recipe("lstm", seed=seed)
    save_run(folder, model=model_for(settings, REMI), tokenizer=REMI, recipe=settings, card={"title": f"run {seed}"})


def seed_of(run: Run) -> int:
    """The seed that all parts of a run agree on."""
    seed = run.recipe.train.seed
    assert run.card["title"] == f"run {seed}"
    expected = model_for(run.recipe, REMI).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in run.model.state_dict().items())
    return seed


class Killed(BaseException):
    """As if the process were no more: nothing is cleared up."""


class Death:
    """Counts links, renames and fsyncs, and comes before the one numbered `when`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.when = 0, 0
        for module, name in ((os, "link"), (os, "replace"), (exports, "sync")):
            monkeypatch.setattr(module, name, self.counting(getattr(module, name)))
        rmtree = shutil.rmtree  # the dead have no `finally`
        monkeypatch.setattr(shutil, "rmtree", lambda *a, **k: None if self.count == self.when else rmtree(*a, **k))

    def counting(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            self.count += 1
            if self.count == self.when:
                raise Killed
            return function(*arguments, **options)

        return call


OF_A_SAVE = 17  # six fsyncs, five links and five renames, an fsync


@pytest.mark.parametrize("when", range(1, OF_A_SAVE + 1))
def test_a_kill_at_any_time_leaves_a_folder_that_loads(tmp_path, monkeypatch, when):
    death = Death(monkeypatch)
    save(tmp_path / "run", 1)
    assert death.count == OF_A_SAVE
    death.when = OF_A_SAVE + when
    with pytest.raises(Killed):
        save(tmp_path / "run", 2)
    death.when = 0
    assert (tmp_path / "run" / ".export").is_dir()
    seed = 1 if when <= 8 else 2  # the first rename is the eighth
    assert seed_of(load_run(tmp_path / "run")) == seed
    settle_parts(tmp_path / "run")
    assert seed_of(load_run(tmp_path / "run")) == seed
    assert sorted(os.listdir(tmp_path / "run")) == [
        "card.json",
        "manifest.json",
        "model.safetensors",
        "recipe.toml",
        "tokenizer.json",
    ]
    save(tmp_path / "run", 3)
    assert seed_of(load_run(tmp_path / "run")) == 3


def test_without_hard_links(tmp_path, monkeypatch):
    def none(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)
    for seed in (1, 2):
        save(tmp_path / "run", seed)
        assert seed_of(load_run(tmp_path / "run")) == seed


def test_a_full_disk_leaves_the_old_parts(tmp_path, monkeypatch):
    save(tmp_path / "run", 1)
    before = sorted(os.listdir(tmp_path / "run"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(exports, "sync", full)
        with pytest.raises(ResourceError, match="no space left on device"):
            save(tmp_path / "run", 2)
    assert sorted(os.listdir(tmp_path / "run")) == before
    assert seed_of(load_run(tmp_path / "run")) == 1


@pytest.mark.parametrize("part", exports.PARTS)
def test_damage_that_nothing_new_mends_is_told(tmp_path, part):
    save(tmp_path / "run", 1)
    shutil.copytree(tmp_path / "run", tmp_path / "run" / ".export")
    for folder in (tmp_path / "run", tmp_path / "run" / ".export"):
        data = bytearray((folder / part).read_bytes())
        data[len(data) // 2] ^= 4
        (folder / part).write_bytes(data)
    with pytest.raises(UnreadableError) as caught:
        load_run(tmp_path / "run")
    assert part in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'run'}")
