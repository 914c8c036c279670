"""Checkpoints: all that training needs to go on as if it had never stopped, in a folder of its own.

A checkpoint folder is written beside its place and renamed into it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from musicgen.errors import UnreadableError
from musicgen.io.atomic import write_text
from musicgen.models import SequenceModel
from musicgen.runs.files import json_text, make_folder, read_json, save_tensors
from musicgen.runs.weights import check_optimizer, check_weights, load_tensors, load_weights, read_header
from musicgen.schemas import State, check

__all__ = ["check_checkpoint", "has_checkpoint", "load_carried", "load_checkpoint", "save_checkpoint"]

FORMAT = 1
CARRIED = "carried.safetensors"


def save_checkpoint(
    folder: str | Path,
    *,
    model: SequenceModel,
    optimizers: Sequence[torch.optim.Optimizer] = (),
    state: dict[str, Any],
    carried: Mapping[str, torch.Tensor] | None = None,
) -> None:
    """Write one checkpoint folder whole, replacing the one that was there. `state` is JSON-able.

    `carried` is what the rows of a batch remember from one step to the next.
    """
    folder = Path(folder)
    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    shutil.rmtree(new, ignore_errors=True)
    make_folder(new)
    save_tensors({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, new / "model.safetensors")
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
    write_text(new / "state.json", json_text({"format": FORMAT, **state}))
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(folder, old)
    os.rename(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(
    folder: str | Path, *, model: SequenceModel, optimizers: Sequence[torch.optim.Optimizer] = ()
) -> dict[str, Any]:
    """Fill `model` and `optimizers` from a checkpoint and return its state. UnreadableError when there is none."""
    folder = _whole(folder)
    if not (folder / "state.json").is_file():
        raise UnreadableError("no checkpoint to resume from", where=folder, hint="start without --resume")
    state = check(State, read_json(folder / "state.json"), where=folder / "state.json")
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


def check_checkpoint(folder: str | Path, model: SequenceModel) -> None:
    """Raise UnreadableError unless the last checkpoint's weights are of the model's shape; it may be blank."""
    weights = _whole(Path(folder) / "checkpoints" / "last") / "model.safetensors"
    check_weights(read_header(weights), model, where=weights)


def has_checkpoint(folder: str | Path) -> bool:
    """Whether a run lies in the folder that training could go on with."""
    names = ("last", "last.old", "best", "best.old")
    return any((Path(folder) / "checkpoints" / name / "state.json").is_file() for name in names)


def load_carried(folder: str | Path) -> dict[str, torch.Tensor]:
    """What a checkpoint's rows remember; empty for a run whose rows begin anew at each step."""
    path = _whole(folder) / CARRIED
    return load_tensors(path) if path.is_file() else {}


def _whole(folder: str | Path) -> Path:
    """The checkpoint folder, or its predecessor after a kill between two renames."""
    folder = Path(folder)
    old = folder.with_name(folder.name + ".old")
    return old if not folder.is_dir() and old.is_dir() else folder
