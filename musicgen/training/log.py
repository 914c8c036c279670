"""A run's logs: log.csv with losses and rates, and gradients.csv with the gradient norm of each layer.

Vanishing or exploding gradients show in the norms of the lower layers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicgen.errors import explained
from musicgen.io.atomic import write_text

__all__ = ["GRADIENT_COLUMNS", "Log", "Owed", "layer_norms", "layer_of", "log_columns"]

GRADIENT_COLUMNS = ("step", "layer", "norm")
LOG, GRADIENTS = "log.csv", "gradients.csv"


def log_columns(unit: str) -> tuple[str, ...]:
    """The columns of log.csv; `unit` is that of the task's losses, such as "nats_per_token"."""
    return ("step", "seconds", f"train_{unit}", f"valid_{unit}", "learning_rate", "gradient_norm")


def layer_of(parameter: str) -> str:
    """The layer that a parameter belongs to, by its name.

    >>> layer_of("blocks.3.attention.project.weight"), layer_of("recurrence.fused.weight_ih_l1")
    ('blocks.3', 'recurrence.1')
    >>> layer_of("trunk.blocks.0.widen.weight")  # of a model that reads by frame
    'trunk.blocks.0'
    """
    if parameter.startswith("trunk."):
        return "trunk." + layer_of(parameter.removeprefix("trunk."))
    if match := re.fullmatch(r"(\w+)\.fused\.(?:weight|bias)_[ih]h_l(\d+)", parameter):
        return f"{match[1]}.{match[2]}"
    if match := re.match(r"\w+\.\d+", parameter):
        return match[0]
    return parameter.partition(".")[0]


def layer_norms(model: torch.nn.Module) -> dict[str, float]:
    """The norm of the current gradient of each layer, in the order from input to output."""
    squares: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            square = parameter.grad.float().square().sum()
            layer = layer_of(name)
            squares[layer] = squares[layer] + square if layer in squares else square
    values = torch.stack(list(squares.values())).sqrt().tolist() if squares else []
    return dict(zip(squares, values, strict=True))


@dataclass(frozen=True)
class Owed:
    """What the log row of a step needs once its evaluation is finished: the learning rate, and the gradient norm before
    clipping, total and by layer. Norms are texts because JSON has no infinite numbers."""

    rate: float
    norm: str
    layers: dict[str, str]

    @classmethod
    def of(cls, rate: float, norm: float, layers: Mapping[str, float]) -> Owed:
        """Format the norms as they are written to the logs."""
        return cls(rate, f"{norm:.3f}", {layer: f"{value:.4e}" for layer, value in layers.items()})


class Log:
    """Writes log.csv, one row per evaluation, and gradients.csv, one row per evaluation and layer.

    Losses are in `unit`.
    `texts` are the contents of both files in the checkpoint resumed from; later rows are discarded. For older
    checkpoints, which have no such contents, rows after step `resume_at` are dropped from the files. `mended` names the
    files that did not begin with the checkpoint's contents, because they were damaged or altered.
    """

    def __init__(
        self, folder: Path, unit: str, *, texts: Mapping[str, str] | None = None, resume_at: int | None = None
    ) -> None:
        self.folder = folder
        self.texts: dict[str, str] = {}
        self.mended: list[str] = []
        for name, columns in {LOG: log_columns(unit), GRADIENTS: GRADIENT_COLUMNS}.items():
            text = None if texts is None else texts.get(name)
            if text is None:
                text = _rows([columns, *(_until(folder / name, resume_at) if resume_at is not None else ())])
            elif not _begins_with(folder / name, text):
                self.mended.append(name)
            self.texts[name] = text
            write_text(folder / name, text, overwrite=True)

    def write(self, step: int, seconds: float, loss: float, valid: float | None, owed: Owed) -> None:
        """Append the rows of the evaluation after `step`."""
        valid_text = "" if valid is None else f"{valid:.5f}"
        self._append(LOG, _rows([[step, f"{seconds:.1f}", f"{loss:.5f}", valid_text, f"{owed.rate:.3e}", owed.norm]]))
        self._append(GRADIENTS, _rows([[step, layer, norm] for layer, norm in owed.layers.items()]))

    def _append(self, name: str, text: str) -> None:
        self.texts[name] += text
        path = self.folder / name
        try:
            with open(path, "ab") as file:
                file.write(text.encode("utf-8"))
        except OSError as error:
            raise explained(error, path, ours=True) from error


def _begins_with(path: Path, text: str) -> bool:
    """Whether a file begins with `text`; rows written after the checkpoint may follow."""
    data = text.encode("utf-8")
    try:
        with open(path, "rb") as file:
            return file.read(len(data)) == data
    except OSError:
        return False


def _rows(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _until(path: Path, step: int) -> list[list[str]]:
    """The rows of a log up to a step, without an incomplete last line, in which 12000 could be cut to 12."""
    if not path.is_file():
        return []
    whole = path.read_bytes().decode("utf-8", "replace").rpartition("\n")[0]
    return [row for row in csv.reader(whole.splitlines()) if row and row[0].isdigit() and int(row[0]) <= step]
