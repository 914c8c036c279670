"""Shell completion of option values and arguments: known names, and files.

Nothing here imports torch, numpy or music21, for a shell calls it at every press of the Tab key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from click import Context, Parameter
from click.shell_completion import CompletionItem

from musicgen.plugins import BUILT_IN, FAMILIES, TOKENIZERS, installed

__all__ = [
    "DEVICES",
    "LOGS",
    "SIZES",
    "TASKS",
    "catalogue_names",
    "families",
    "instruments",
    "models",
    "names_and_files",
    "one_of",
    "pieces",
    "several_of",
    "tokenizers",
]

Complete = Callable[[Context, Parameter, str], list[Any]]

# Copies of names in models/presets.py and training/, which import torch or numpy; a test compares them.
SIZES = ("tiny", "small", "medium", "large")
TASKS = ("classify", "forecast", "perform", "translate")
LOGS = ("csv", "tensorboard")
DEVICES = ("auto", "cpu", "cuda", "mps")


def one_of(*names: str) -> Complete:
    """Complete one of `names`."""
    return lambda context, parameter, incomplete: [name for name in names if name.startswith(incomplete)]


def families(context: Context, parameter: Parameter, incomplete: str) -> list[Any]:
    """Complete a model family, of musicgen or of a plug-in."""
    return one_of(*BUILT_IN[FAMILIES], *installed(FAMILIES))(context, parameter, incomplete)


def tokenizers(context: Context, parameter: Parameter, incomplete: str) -> list[Any]:
    """Complete a tokenizer, of musicgen or of a plug-in."""
    return one_of(*BUILT_IN[TOKENIZERS], *installed(TOKENIZERS))(context, parameter, incomplete)


def several_of(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete the last item of a list separated by commas with one of `names`."""

    def complete(context: Context, parameter: Parameter, incomplete: str) -> list[Any]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in names() if name.startswith(last.lower())]

    return complete


def names_and_files(names: Callable[[], Iterable[str]]) -> Complete:
    """Complete `names` and files in the current folder; if no name matches, files only, completed by the shell."""

    def complete(context: Context, parameter: Parameter, incomplete: str) -> list[Any]:
        known = [name for name in names() if name.startswith(incomplete)]
        return [*known, *_here(incomplete)] if known else [CompletionItem(incomplete, type="file")]

    return complete


def _here(incomplete: str) -> list[str]:
    try:
        entries = sorted(os.scandir(), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        entry.name + (os.sep if entry.is_dir() else "")
        for entry in entries
        if entry.name.startswith(incomplete) and entry.name.isprintable() and not entry.name.startswith(".")
    ]


def models() -> list[str]:
    """The known models, and the run folders in the current folder."""
    from musicgen.resources import known_models

    runs = sorted(path.parent.name for path in Path().glob("*/recipe.toml"))
    return [*known_models(), *(name for name in runs if name.isprintable())]


def pieces() -> list[str]:
    """The bundled pieces."""
    from musicgen.resources import bundled_pieces

    return list(bundled_pieces())


def catalogue_names() -> list[str]:
    """The corpora in the catalogue, by their files' names, so that no file has to be read."""
    from musicgen.resources import resource

    return sorted(path.stem for path in resource("corpora").glob("*.toml"))


def instruments() -> list[str]:
    """Instruments that are offered for `--tracks` of `generate`."""
    return ["piano", "violin", "viola", "cello", "guitar", "bass", "strings", "choir", "flute", "clarinet", "trumpet",
            "horn", "organ", "harpsichord", "harp", "drums"]  # fmt: skip
