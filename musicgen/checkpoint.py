"""The run folder: a trained model with all that is needed to use it, audit it, or go on training.

    recipe.toml  tokenizer.json  model.safetensors  card.json  log.csv  gradients.csv  manifest.json
    checkpoints/last/  checkpoints/last.old/  checkpoints/best/      model, optimiser and state, to resume from

Only safetensors, JSON, TOML and CSV: nothing in a run folder can run code. `manifest.json` holds the sha256 of
the files a user of the model needs (`runs/exports.py`). Checkpoints: `runs/checkpoints.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.atomic import json_bytes
from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.models.registry import blank_model
from musicgen.models.tasks.base import Model, TaskModel
from musicgen.models.tasks.registry import blank_task_model, build_task_model, named
from musicgen.plugins import FAMILIES, TOKENIZERS, providers
from musicgen.recipe import Recipe, read_recipe, recipe_toml
from musicgen.resources import EXPRESSION_FILE, known_models
from musicgen.runs.checked import FORMAT, as_unreadable, checked_parts
from musicgen.runs.exports import replace_parts, stamp, whole_parts
from musicgen.runs.files import save_tensors, sha256
from musicgen.runs.weights import check_weights, fits_header, load_weights, read_header
from musicgen.tokenizers import Tokenizer

__all__ = [
    "FORMAT",
    "AnyRun",
    "Run",
    "TaskRun",
    "load_any_run",
    "load_run",
    "load_task_run",
    "model_for",
    "named_task",
    "save_run",
]


@dataclass(frozen=True)
class Run:
    """A loaded run: the model in float32 and evaluation mode, its tokenizer, recipe and card."""

    model: SequenceModel
    tokenizer: Tokenizer
    recipe: Recipe
    card: dict[str, Any]
    name: str
    sha256: str  # of model.safetensors
    folder: Path | None = None  # where it was loaded from


@dataclass(frozen=True)
class TaskRun:
    """A loaded run of a task beside next-note prediction, whose name is `task`; else as a `Run`."""

    model: TaskModel
    tokenizer: Tokenizer
    recipe: Recipe
    card: dict[str, Any]
    name: str
    sha256: str
    folder: Path | None = None

    @property
    def task(self) -> str:
        name: str = self.recipe.task["name"]
        return name


AnyRun = Run | TaskRun


def save_run(
    folder: str | Path,
    *,
    model: Model,
    tokenizer: Tokenizer,
    recipe: Recipe,
    card: dict[str, Any],
    dtype: torch.dtype = torch.float32,
) -> dict[str, Any]:
    """Write the four parts and their manifest into `folder`, replacing older ones; return the card as written,
    with the model's inverse temperatures (`sharpness`). The folder can be loaded at any time during the write. Raises
    ResourceError on a full disk."""
    card = {"format": FORMAT, **card, "sharpness": list(model.inverse_temperature)}
    if used := providers({FAMILIES: model.settings.family, TOKENIZERS: tokenizer.name}):
        card["plugins"] = used

    def write(new: Path) -> None:
        state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in model.state_dict().items()}
        save_tensors(state, new / "model.safetensors")
        (new / "recipe.toml").write_bytes(recipe_toml(recipe).encode("utf-8"))
        (new / "tokenizer.json").write_bytes(json_bytes(tokenizer.spec))
        (new / "card.json").write_bytes(json_bytes(card))

    replace_parts(folder, write)
    return card


def load_run(where: str | os.PathLike[str]) -> Run:
    """Load a run folder or, by name, a model that comes with the package or was fetched.

    Raises UnreadableError when it is missing, incomplete, altered, of an unknown format, or of another task than
    next-note prediction.
    """
    run = load_any_run(where)
    if isinstance(run, TaskRun):
        does, command = named(run.task).does, named(run.task).command
        raise UnreadableError(f"is a model that {does}, and continues nothing", where=where, hint=f"use `{command}`")
    return run


def load_task_run(where: str | os.PathLike[str], *, task: str) -> TaskRun:
    """Load a run of a task, such as "classify". Raises UnreadableError as `load_run`, and for a run that has learned
    something else."""
    run, wanted = load_any_run(where), named(task)
    if isinstance(run, Run):
        hint = f"give a run of `musicgen train --task {task}`"
        raise UnreadableError(f"is no model that {wanted.does}: it predicts notes", where=where, hint=hint)
    if run.task != task:
        found = named(run.task)
        what = f"is no model that {wanted.does}, but one that {found.does}"
        raise UnreadableError(what, where=where, hint=f"use `{found.command}`")
    return run


def named_task(where: str | os.PathLike[str]) -> str:
    """The task of a run, by its recipe alone; "" for next-note prediction and for what is no run that can be read."""
    path = Path(where) if Path(where).exists() else known_models().get(os.fspath(where), Path(where))
    try:
        name = read_recipe(whole_parts(path) / "recipe.toml").task.get("name", "")
    except MusicgenError:  # told when it is loaded
        return ""
    return name if isinstance(name, str) else ""


def load_any_run(where: str | os.PathLike[str]) -> AnyRun:
    """Load a run of whatever task; otherwise as `load_run`."""
    known = known_models()
    path = Path(where)
    if not path.exists() and str(where) in known:
        path = known[os.fspath(where)]
    if not path.is_dir():
        names = ", ".join(known) or "none"
        raise UnreadableError("no such run folder or model", where=where, hint=f"known models: {names}")
    if (path / EXPRESSION_FILE).is_file():
        what = "is a model of how notes are played, and continues nothing"
        raise UnreadableError(what, where=where, hint="use it with `musicgen humanise`")
    before = stamp(path)
    try:
        return _load(whole_parts(path), path)
    except UnreadableError:
        if stamp(path) == before:
            raise
        return _load(whole_parts(path), path)  # a training in progress has replaced the parts meanwhile


def _load(home: Path, path: Path) -> AnyRun:
    """The run in the folder `path`, whose parts are in `home`."""
    parts = checked_parts(home)
    weights = home / "model.safetensors"
    header = read_header(weights)
    with as_unreadable(path):
        fits_header(parts.recipe.model, header, where=weights)
        check_weights(header, model_for(parts.recipe, parts.tokenizer, blank=True), where=weights)
        if sha256(weights) != parts.digest:
            what = "model.safetensors is not the file that its manifest names"
            raise UnreadableError(what, where=path, hint="copy the run folder again")
        model = model_for(parts.recipe, parts.tokenizer)
    model.load_state_dict({k: v.float() for k, v in load_weights(weights, model).items()})
    try:
        model.set_inverse_temperature(parts.card.get("sharpness", model.inverse_temperature))
    except ValueError:
        raise UnreadableError("the card's sharpness doesn't fit the model", where=path, hint="copy it again") from None
    run_name, folder = path.resolve().name, path.resolve()
    rest: Any = parts.tokenizer, parts.recipe, parts.card, run_name, parts.digest, folder
    return TaskRun(model.eval(), *rest) if isinstance(model, TaskModel) else Run(model.eval(), *rest)


def model_for(recipe: Recipe, tokenizer: Tokenizer, *, blank: bool = False) -> Model:
    """A new model of the recipe's shape and task, initialised from the recipe's seed; a `blank` one is on the meta
    device. Raises UsageError for settings that can't be."""
    fields = [(f.first, f.size) for f in tokenizer.fields] if len(tokenizer.fields) > 1 else []
    of_tokenizer = {
        "vocabulary_size": len(tokenizer.vocabulary),
        "fields": fields,
        "frames": tokenizer.layout,
        "steps": tokenizer.memory,
    }
    settings = ModelSettings.from_dict({**recipe.model, **of_tokenizer})
    if recipe.task:
        seed, table = recipe.train.seed, recipe.task
        return blank_task_model(settings, table) if blank else build_task_model(settings, table, seed=seed)
    return blank_model(settings) if blank else build_model(settings, seed=recipe.train.seed)
