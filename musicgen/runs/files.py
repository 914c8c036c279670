"""Reading and writing the files of run folders: tensors as safetensors, metadata as JSON, and no pickle."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from musicgen.errors import ResourceError, UsageError
from musicgen.io.bounded import MEGABYTE
from musicgen.io.bounded import read_json as bounded_json

__all__ = ["make_folder", "read_json", "save_tensors", "sha256", "sync"]


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


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of a file, of up to 16 MB. Raises UnreadableError for anything else."""
    return bounded_json(path, most=16 * MEGABYTE)


def sync(path: Path) -> None:
    """Wait until a file or folder has reached the disk (fsync), where the system supports it."""
    with suppress(PermissionError):  # Windows opens no folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
