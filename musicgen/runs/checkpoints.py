"""Checkpoints: all that training needs to continue exactly as if it had never stopped, in a folder of its own.

    last/  model.safetensors  optimizer.safetensors  carried.safetensors  state.json  log.csv  gradients.csv
           manifest.json      the sha256 of each of the others, written last
    last.old/                 the one before it

A checkpoint is written as `last.new` and synced to disk before it is renamed to `last` and the oldest is removed. So a
kill or a power cut at any time leaves a usable checkpoint, and so does damage to one of the two, which the digests
reveal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.errors import UnreadableError, explained
from musicgen.io.atomic import json_bytes
from musicgen.models.tasks.base import Model
from musicgen.runs.files import make_folder, read_json, save_tensors, sha256, sync
from musicgen.runs.weights import check_optimizer, check_weights, load_tensors, load_weights, read_header
from musicgen.schemas import Owed, State, check

__all__ = [
    "Checkpoint",
    "adopt",
    "check_checkpoint",
    "clear",
    "find_checkpoint",
    "has_checkpoint",
    "load_carried",
    "load_checkpoint",
    "save_checkpoint",
]

FORMAT = 2
BEFORE_DIGESTS = 1  # a format without a manifest
CARRIED, MANIFEST = "carried.safetensors", "manifest.json"
NEW, OLD, GONE = ".new", ".old", ".gone"


@dataclass(frozen=True)
class Checkpoint:
    """An undamaged checkpoint: its folder and state. `passed` says what is wrong with a newer one that was skipped, and
    `spare` what is wrong with the older one kept as a backup; None where nothing is."""

    folder: Path
    state: dict[str, Any]
    passed: str | None = None
    spare: str | None = None

    def text(self, name: str) -> str | None:
        """A text file saved with the checkpoint; None where there is none."""
        path = self.folder / name
        return path.read_bytes().decode("utf-8") if path.is_file() else None


def save_checkpoint(
    folder: str | Path,
    *,
    model: Model,
    optimizers: Sequence[torch.optim.Optimizer] = (),
    state: dict[str, Any],
    carried: Mapping[str, torch.Tensor] | None = None,
    texts: Mapping[str, str] | None = None,
    keep: bool = True,
) -> None:
    """Write a checkpoint folder atomically; the previous one becomes FOLDER.old if `keep` is set.

    `state` is JSON-able; `carried` has the tensors of the model's state; `texts` are text files to store, by name.
    Raises ResourceError on a full disk, with the older ones as they were.
    """
    folder = Path(folder)
    new, old, gone = (_beside(folder, mark) for mark in (NEW, OLD, GONE))
    clear(folder)
    with _made(new):
        save_tensors(
            {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, new / "model.safetensors"
        )
        if optimizers:
            tensors, plain = {}, {}
            for which, optimizer in enumerate(optimizers):
                for number, values in optimizer.state_dict()["state"].items():
                    for key, value in values.items():
                        if isinstance(value, torch.Tensor):
                            tensors[f"{which}.{number}.{key}"] = value.detach().cpu().contiguous()
                        else:
                            plain[f"{which}.{number}.{key}"] = value
            save_tensors(tensors, new / "optimizer.safetensors")
            state = {**state, "optimizer": plain}
        if carried:
            save_tensors({name: value.detach().cpu().contiguous() for name, value in carried.items()}, new / CARRIED)
        for name, text in (texts or {}).items():
            (new / name).write_bytes(text.encode("utf-8"))
        (new / "state.json").write_bytes(json_bytes({"format": FORMAT, **state}))
        digests = {path.name: sha256(path) for path in sorted(new.iterdir())}
        (new / MANIFEST).write_bytes(json_bytes({"format": FORMAT, "sha256": digests}))
        for path in new.iterdir():
            sync(path)
        sync(new)
        if folder.exists():
            if old.exists():
                os.rename(old, gone)
            os.rename(folder, old)
        os.rename(new, folder)
        sync(folder.parent)
    if old.exists() and not keep:
        shutil.rmtree(gone, ignore_errors=True)
        os.rename(old, gone)
    shutil.rmtree(gone, ignore_errors=True)


def find_checkpoint(folder: str | Path) -> Checkpoint:
    """The newest undamaged checkpoint: that in `folder`, or the one before it.

    Raises UnreadableError where there is none, or only damaged ones.
    """
    folder = Path(folder)
    there = [path for path in (folder, _beside(folder, OLD)) if path.is_dir()]
    if not there:
        raise UnreadableError("no checkpoint to resume from", where=folder.parent.parent, hint="start without `resume`")
    wrong: list[str] = []
    for place, path in enumerate(there):
        try:
            state = _verified(path)
        except UnreadableError as error:
            wrong.append(f"{path.name}: {error.what}")
        else:
            where = path / "state.json"
            check(State, state, where=where)
            if state.get("owed") is not None:
                check(Owed, state["owed"], where=where, prefix="owed.")
            if state.get("best_state") is not None:
                check(State, state["best_state"], where=where, prefix="best_state.")
            spare = [damage for other in there[place + 1 :] if (damage := _damage(other))]
            return Checkpoint(path, state, wrong[0] if wrong else None, spare[0] if spare else None)
    what = f"no checkpoint is whole ({'; '.join(wrong)})"
    raise UnreadableError(what, where=folder.parent, hint="copy the run again, or replace it with `overwrite`")


def adopt(found: Checkpoint) -> Checkpoint:
    """Rename a backup to replace the damaged checkpoint, so that the next save doesn't delete it; return it there."""
    if not found.folder.name.endswith(OLD):
        return found
    place = found.folder.with_name(found.folder.name.removesuffix(OLD))
    clear(place)
    if place.exists():
        os.rename(place, _beside(place, GONE))
    os.rename(found.folder, place)
    clear(place)
    return Checkpoint(place, found.state, found.passed)


def load_checkpoint(
    found: Checkpoint, *, model: Model, optimizers: Sequence[torch.optim.Optimizer] = ()
) -> dict[str, Any]:
    """Fill `model` and `optimizers` from a checkpoint and return its state. UnreadableError where they don't fit."""
    folder, state = found.folder, found.state
    model.load_state_dict(load_weights(folder / "model.safetensors", model))
    if optimizers:
        restored: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
        flat = {**load_tensors(folder / "optimizer.safetensors"), **(state.get("optimizer") or {})}
        check_optimizer(flat, optimizers, where=folder)
        for name, value in flat.items():
            which, number, key = name.split(".", 2)
            restored[int(which)].setdefault(int(number), {})[key] = value
        for optimizer, values in zip(optimizers, restored, strict=True):
            optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def check_checkpoint(found: Checkpoint, model: Model) -> None:
    """Raise UnreadableError unless a checkpoint's weights fit the model, which may be blank."""
    weights = found.folder / "model.safetensors"
    check_weights(read_header(weights), model, where=weights)


def has_checkpoint(run: str | Path) -> bool:
    """Whether the folder holds a run that training could resume."""
    return any((Path(run) / "checkpoints" / name / "state.json").is_file() for name in ("last", f"last{OLD}"))


def load_carried(found: Checkpoint) -> dict[str, torch.Tensor]:
    """The carried model states of a checkpoint; empty for a run that carries none between steps."""
    path = found.folder / CARRIED
    return load_tensors(path) if path.is_file() else {}


def clear(folder: str | Path) -> None:
    """Remove what a kill left beside a checkpoint folder: a partly written or partly removed checkpoint."""
    for mark in (NEW, GONE):
        shutil.rmtree(_beside(Path(folder), mark), ignore_errors=True)


def _verified(folder: Path) -> dict[str, Any]:
    """The state in a checkpoint folder, once all files match its manifest. Raises UnreadableError."""

    def damaged(name: str, what: str = "is damaged") -> UnreadableError:
        return UnreadableError(f"{name} {what}", where=folder)

    if not (folder / MANIFEST).exists():
        with suppress(UnreadableError):
            if (state := read_json(folder / "state.json")).get("format") == BEFORE_DIGESTS:
                return state
        raise damaged(MANIFEST, "is missing")
    name = MANIFEST
    try:
        manifest, data = read_json(folder / MANIFEST), (folder / MANIFEST).read_bytes()
        digests = manifest.get("sha256")
        if manifest.get("format") != FORMAT or not isinstance(digests, dict) or data != json_bytes(manifest):
            raise damaged(MANIFEST)
        for name in sorted({"model.safetensors", "state.json", *digests}):
            if Path(name).name != name:  # no paths to other folders
                raise damaged(MANIFEST)
            if not (folder / name).is_file():
                raise damaged(name, "is missing")
            if sha256(folder / name) != digests.get(name):
                raise damaged(name)
    except OSError as error:
        raise damaged(name, f"can't be read ({error.strerror})") from None
    except UnreadableError as error:
        raise error if error.where == folder else damaged(name) from None
    return read_json(folder / "state.json")


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint folder; None where nothing is."""
    try:
        _verified(folder)
    except UnreadableError as error:
        return error.what
    return None


def _beside(folder: Path, mark: str) -> Path:
    return folder.with_name(folder.name + mark)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder, and remove it on any error. Raises as `explained` says for an OSError."""
    make_folder(folder)
    try:
        yield
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise explained(error, folder.with_suffix(""), ours=True) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
