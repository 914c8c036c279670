"""The folder of a model of how notes are played: what `musicgen humanise` loads.

    model.safetensors  expression.json  card.json  manifest.json

`expression.json` has, for each network ("drums", "pitched"), the settings of its shape and the habits measured with it.
`manifest.json` holds the digests of the others.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.errors import UnreadableError
from musicgen.expression.examples import OUTPUTS
from musicgen.expression.habits import Habits
from musicgen.io.atomic import json_bytes
from musicgen.models.expression import ExpressionModel, ExpressionSettings
from musicgen.resources import EXPRESSION_FILE, bundled_models
from musicgen.runs.checked import FORMAT, as_unreadable, read_card
from musicgen.runs.files import make_folder, read_json, save_tensors, sha256
from musicgen.runs.weights import load_weights
from musicgen.schemas import COPY, Manifest, check

__all__ = ["ExpressionRun", "Performer", "load_expression", "save_expression"]

PARTS = ("model.safetensors", EXPRESSION_FILE, "card.json")


@dataclass(frozen=True)
class Performer:
    """A network and the habits measured with it."""

    model: ExpressionModel
    habits: Habits


@dataclass(frozen=True)
class ExpressionRun:
    """A loaded folder: its performers by name ("drums", "pitched"), its card, and the digest of its weights."""

    performers: dict[str, Performer]
    card: dict[str, Any]
    name: str
    sha256: str
    folder: Path


def save_expression(folder: str | Path, *, performers: Mapping[str, Performer], card: Mapping[str, Any]) -> None:
    """Write a folder, its weights in float16, the manifest last. Raises ResourceError on a full disk."""
    folder = Path(folder)
    make_folder(folder)
    save_tensors(_half(performers), folder / "model.safetensors")
    said = {name: _said(one) for name, one in performers.items()}
    (folder / EXPRESSION_FILE).write_bytes(json_bytes(said))
    (folder / "card.json").write_bytes(json_bytes({"format": FORMAT, **card}))
    digests = {part: sha256(folder / part) for part in PARTS}
    (folder / "manifest.json").write_bytes(json_bytes({"format": FORMAT, "sha256": digests}))


def _half(performers: Mapping[str, Performer]) -> dict[str, torch.Tensor]:
    module = torch.nn.ModuleDict({name: one.model for name, one in performers.items()})
    return {name: value.detach().to("cpu", torch.float16).contiguous() for name, value in module.state_dict().items()}


def _said(performer: Performer) -> dict[str, Any]:
    return {"settings": asdict(performer.model.settings), "habits": performer.habits.to_dict()}


def load_expression(where: str | os.PathLike[str]) -> ExpressionRun:
    """Load such a folder or, by name, one that comes with the package.

    Raises UnreadableError when it is missing, incomplete, altered, or a model of another kind.
    """
    path = Path(where)
    if not path.exists():
        path = bundled_models().get(os.fspath(where), path)
    for part in (*PARTS, "manifest.json"):
        if not (path / part).is_file():
            what = f"{part} is missing: this is no model of how notes are played"
            raise UnreadableError(what, where=path, hint="leave -m out, or train one: pipelines/train_humanise.py")
    digests = check(Manifest, read_json(path / "manifest.json"), where=path / "manifest.json")["sha256"]
    for part in PARTS:
        if sha256(path / part) != digests.get(part):
            raise UnreadableError(f"{part} is not the file that its manifest names", where=path, hint=COPY)
    said = read_json(path / EXPRESSION_FILE)
    if set(said) != set(OUTPUTS) or not all(set(one) == {"settings", "habits"} for one in said.values()):
        raise UnreadableError("names other networks than drums and pitched", where=path / EXPRESSION_FILE, hint=COPY)
    with as_unreadable(path / EXPRESSION_FILE):
        settings = {name: ExpressionSettings.from_dict(one["settings"]) for name, one in said.items()}
    for name, one in settings.items():
        if one.outputs != tuple(bins.count for bins in OUTPUTS[name].values()):
            raise UnreadableError(
                f"the outputs of {name} are others than ours", where=path / EXPRESSION_FILE, hint=COPY
            )
    module = torch.nn.ModuleDict({name: ExpressionModel(one) for name, one in settings.items()})
    weights = load_weights(path / "model.safetensors", module)
    module.load_state_dict({name: value.float() for name, value in weights.items()})
    performers = {}
    for name, model in module.eval().items():
        assert isinstance(model, ExpressionModel)
        performers[name] = Performer(model, Habits.from_dict(said[name]["habits"], where=path / EXPRESSION_FILE))
    card = read_card(path / "card.json")
    return ExpressionRun(performers, card, path.resolve().name, digests["model.safetensors"], path.resolve())
