"""The files that run folders are made of: tensors as safetensors, everything else as JSON. No pickle anywhere."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from musicgen.errors import ResourceError, UnreadableError, UsageError

__all__ = ["json_text", "load_tensors", "make_folder", "read_json", "save_tensors", "sha256"]


def sha256(path: str | Path) -> str:
    """Hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it. Raises UsageError where it can't be, ResourceError on a full disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name") from None
    except OSError as error:
        kind = ResourceError if error.errno == 28 else UsageError
        raise kind(f"can't be created ({error.strerror})", where=folder, hint="choose another folder") from None


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors, on the CPU, to a new file. Raises ResourceError."""
    try:
        save_file(tensors, path)
        os.chmod(path, 0o644)  # safetensors makes files that only their owner can read
    except (OSError, SafetensorError) as error:
        raise ResourceError(f"can't be written ({error})", where=path, hint="free some space") from None


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file. Raises UnreadableError."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UnreadableError(f"can't be read ({error})", where=path, hint="copy the run folder again") from None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises UnreadableError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableError(f"not a JSON file ({error})", where=path, hint="copy the run folder again") from None
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object", where=path, hint="copy the run folder again")
    return value


def json_text(value: dict[str, Any]) -> str:
    """A JSON object as the text of a file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
