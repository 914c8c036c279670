"""Reads the logs of training: the columns of log.csv and gradients.csv."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.bounded import MEGABYTE, read_small

__all__ = ["read_columns", "read_gradients"]

MOST_LOGGED = 16 * MEGABYTE
MOST_LAYERS = 1000
AGAIN = "train the run again"


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """The columns of log.csv as float arrays, NaN for empty cells. Raises UnreadableError for an invalid file."""
    return {name: np.array([_number(cell, path) for cell in cells]) for name, cells in _columns(path).items()}


def read_gradients(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(steps, norms) of each layer in gradients.csv, in its order. Raises UnreadableError for an invalid file."""
    columns = _columns(path)
    if missing := {"step", "layer", "norm"} - set(columns):
        raise UnreadableError(f"has no column {min(missing)!r}", where=path, hint=AGAIN)
    if (count := len(set(columns["layer"]))) > MOST_LAYERS:
        raise UnreadableError(f"names {count:,} layers, more than any model has", where=path, hint=AGAIN)
    steps = np.array([_number(cell, path) for cell in columns["step"]])
    norms = np.array([_number(cell, path) for cell in columns["norm"]])
    layers = np.array(columns["layer"])
    return {name: (steps[layers == name], norms[layers == name]) for name in dict.fromkeys(columns["layer"])}


def _columns(path: Path) -> dict[str, list[str]]:
    try:
        text = read_small(path, most=MOST_LOGGED, hint=AGAIN).decode("utf-8")
        header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
    except (ValueError, csv.Error) as error:
        raise UnreadableError(f"can't be read ({error})", where=path, hint=AGAIN) from None
    # The last line may be incomplete if the run was killed.
    rows = [row for row in rows if len(row) == len(header)]
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def _number(cell: str, path: Path) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        raise UnreadableError(f"{cell!r} is not a number", where=path, hint=AGAIN) from None
