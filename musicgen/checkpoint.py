"""The run folder: a trained model with all that is needed to use it, audit it, or go on training.

    recipe.toml  tokenizer.json  model.safetensors  card.json  log.csv  manifest.json
    checkpoints/last/  checkpoints/best/      model, optimiser and state, to resume from

Only safetensors, JSON, TOML and CSV: nothing in a run folder can run code. `manifest.json` holds the sha256 of
the files a user of the model needs and is written after them. A checkpoint folder is written beside its place
and renamed into it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from musicgen.errors import ResourceError, UnreadableError, UsageError
from musicgen.io.atomic import atomic_path, write_text
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.models.registry import blank_model
from musicgen.recipe import Recipe, read_recipe, recipe_toml
from musicgen.resources import bundled_models
from musicgen.tokenizers import load_tokenizer

__all__ = [
    "FORMAT",
    "Run",
    "has_checkpoint",
    "load_carried",
    "load_checkpoint",
    "load_run",
    "model_for",
    "save_checkpoint",
    "save_run",
    "sha256",
]

FORMAT = 1  # of the run folder; a reader refuses what it doesn't know
CARRIED = "carried.safetensors"
PARTS = ("recipe.toml", "tokenizer.json", "model.safetensors", "card.json")


@dataclass(frozen=True)
class Run:
    """A loaded run: the model in float32 and evaluation mode, its tokenizer, recipe and card."""

    model: SequenceModel
    tokenizer: Any
    recipe: Recipe
    card: dict[str, Any]
    name: str
    sha256: str  # of model.safetensors
    folder: Path | None = None  # where it was loaded from


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_run(
    folder: str | Path,
    *,
    model: SequenceModel,
    tokenizer: Any,
    recipe: Recipe,
    card: dict[str, Any],
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Write the four parts and their manifest into `folder`, replacing older ones; return the card as it stands there,
    with the model's sharpness. ResourceError on a full disk."""
    card = {"format": FORMAT, **card, "sharpness": list(model.sharpness)}
    folder = Path(folder)
    _make_folder(folder)
    state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors", overwrite=True) as path:
        _save(state, path)
    write_text(folder / "recipe.toml", recipe_toml(recipe), overwrite=True)
    write_text(folder / "tokenizer.json", _json(tokenizer.spec), overwrite=True)
    write_text(folder / "card.json", _json(card), overwrite=True)
    digests = {part: sha256(folder / part) for part in PARTS}
    write_text(folder / "manifest.json", _json({"format": FORMAT, "sha256": digests}), overwrite=True)
    return card


def load_run(where: str | os.PathLike[str]) -> Run:
    """Load a run folder or, by name, a model that comes with the package.

    Raises UnreadableError when it is missing, incomplete, altered, or of an unknown format.
    """
    bundled = bundled_models()
    path = Path(where)
    if not path.exists() and str(where) in bundled:
        path = bundled[os.fspath(where)]
    if not path.is_dir():
        names = ", ".join(bundled) or "none"
        raise UnreadableError("no such run folder or model", where=where, hint=f"models that come along: {names}")
    for part in (*PARTS, "manifest.json"):
        if not (path / part).is_file():
            raise UnreadableError(
                f"{part} is missing from this run folder",
                where=path,
                hint="train it again, or go on with `musicgen train --resume` where checkpoints are left",
            )
    manifest = _read_json(path / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise UnreadableError(f"unknown run format {manifest.get('format')!r}", where=path, hint="update musicgen")
    for part in PARTS:
        if sha256(path / part) != manifest.get("sha256", {}).get(part):
            raise UnreadableError(
                f"{part} is not the file that its manifest names", where=path, hint="copy the run folder again"
            )
    tokenizer = load_tokenizer(_read_json(path / "tokenizer.json"))
    recipe = read_recipe(path / "recipe.toml")
    model = model_for(recipe, tokenizer)
    weights = _load(path / "model.safetensors")
    try:
        model.load_state_dict({k: v.float() for k, v in weights.items()})
    except RuntimeError:
        raise UnreadableError(
            "the weights don't fit the recipe", where=path, hint="copy the run folder again"
        ) from None
    card = _read_json(path / "card.json")
    try:
        model.sharpen(card.get("sharpness", model.sharpness))
    except (TypeError, ValueError):
        raise UnreadableError("the card's sharpness doesn't fit the model", where=path, hint="copy it again") from None
    digest = manifest["sha256"]["model.safetensors"]
    return Run(model.eval(), tokenizer, recipe, card, path.resolve().name, digest, path.resolve())


def model_for(recipe: Recipe, tokenizer: Any, *, blank: bool = False) -> SequenceModel:
    """A new model of the recipe's shape, initialised from the recipe's seed; a `blank` one has no memory (meta)."""
    fields = [(f.first, f.size) for f in tokenizer.fields] if len(tokenizer.fields) > 1 else []
    of_tokenizer = {
        "vocabulary_size": len(tokenizer.vocabulary),
        "fields": fields,
        "frames": getattr(tokenizer, "layout", None),
        "steps": getattr(tokenizer, "memory", None),
    }
    settings = ModelSettings.from_dict({**recipe.model, **of_tokenizer})
    return blank_model(settings) if blank else build_model(settings, seed=recipe.train.seed)


# ---- checkpoints ---------------------------------------------------------------------------------------


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
    _make_folder(new)
    _save({k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}, new / "model.safetensors")
    if optimizers:
        tensors, plain = {}, {}
        for which, optimizer in enumerate(optimizers):
            for number, values in optimizer.state_dict()["state"].items():
                for key, value in values.items():
                    if isinstance(value, torch.Tensor):
                        tensors[f"{which}.{number}.{key}"] = value.detach().cpu().contiguous()
                    else:
                        plain[f"{which}.{number}.{key}"] = value
        _save(tensors, new / "optimizer.safetensors")
        state = {**state, "optimizer": plain}
    if carried:
        _save({name: value.detach().cpu().contiguous() for name, value in carried.items()}, new / CARRIED)
    write_text(new / "state.json", _json({"format": FORMAT, **state}))
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
    state = _read_json(folder / "state.json")
    model.load_state_dict(_load(folder / "model.safetensors"))
    if optimizers:
        restored: list[dict[int, dict[str, Any]]] = [{} for _ in optimizers]
        flat = {**_load(folder / "optimizer.safetensors"), **state.get("optimizer", {})}
        for name, value in flat.items():
            which, number, key = name.split(".", 2)
            restored[int(which)].setdefault(int(number), {})[key] = value
        for optimizer, values in zip(optimizers, restored, strict=True):
            optimizer.load_state_dict({"state": values, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def has_checkpoint(folder: str | Path) -> bool:
    """Whether a run lies in the folder that training could go on with."""
    names = ("last", "last.old", "best", "best.old")
    return any((Path(folder) / "checkpoints" / name / "state.json").is_file() for name in names)


def load_carried(folder: str | Path) -> dict[str, torch.Tensor]:
    """What a checkpoint's rows remember; empty for a run whose rows begin anew at each step."""
    path = _whole(folder) / CARRIED
    return _load(path) if path.is_file() else {}


def _whole(folder: str | Path) -> Path:
    """The checkpoint folder, or its predecessor after a kill between two renames."""
    folder = Path(folder)
    old = folder.with_name(folder.name + ".old")
    return old if not folder.is_dir() and old.is_dir() else folder


# ---- small things ----------------------------------------------------------------------------------------


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name") from None
    except OSError as error:
        kind = ResourceError if error.errno == 28 else UsageError
        raise kind(f"can't be created ({error.strerror})", where=folder, hint="choose another folder") from None


def _save(tensors: dict[str, torch.Tensor], path: Path) -> None:
    try:
        save_file(tensors, path)
        os.chmod(path, 0o644)  # safetensors makes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise ResourceError(f"can't be written ({error})", where=path, hint="free some space") from None


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"can't be read ({error})", where=path, hint="copy the run folder again") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableError(f"not a JSON file ({error})", where=path, hint="copy the run folder again") from None
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object", where=path, hint="copy the run folder again")
    return value


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
