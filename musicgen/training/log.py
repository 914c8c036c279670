"""What a run writes down as it goes: log.csv, and gradients.csv, the norm of each layer's gradient.

Where gradients vanish or explode on their way down, the norms of the lower layers say so.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import torch

__all__ = ["GRADIENT_COLUMNS", "LOG_COLUMNS", "Log", "layer_norms", "layer_of"]

LOG_COLUMNS = ("step", "seconds", "train_nats_per_token", "valid_nats_per_token", "learning_rate", "gradient_norm")
GRADIENT_COLUMNS = ("step", "layer", "norm")


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
    """The norm of the gradient in hand by layer, from the input to the output."""
    squares: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            square = parameter.grad.float().square().sum()
            layer = layer_of(name)
            squares[layer] = squares[layer] + square if layer in squares else square
    values = torch.stack(list(squares.values())).sqrt().tolist() if squares else []
    return dict(zip(squares, values, strict=True))


class Log:
    """log.csv, a row an evaluation, and gradients.csv, a row a layer; rows past the step resumed at are dropped."""

    def __init__(self, folder: Path, *, resume_at: int | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.gradients = folder / "log.csv", folder / "gradients.csv"
        for path, columns in ((self.path, LOG_COLUMNS), (self.gradients, GRADIENT_COLUMNS)):
            rows: list[list[str]] = []
            if resume_at is not None and path.is_file():
                with open(path, newline="", encoding="utf-8") as file:
                    rows = [row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= resume_at]
            with open(path, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([columns, *rows])

    def write(
        self,
        step: int,
        seconds: float,
        loss: float,
        valid: float | None,
        rate: float,
        norm: float,
        layers: dict[str, float],
    ) -> None:
        """A row for the evaluation after `step`; `layers` are the norms of that step's gradient before clipping."""
        told = "" if valid is None else f"{valid:.5f}"
        self._append(self.path, [[step, f"{seconds:.1f}", f"{loss:.5f}", told, f"{rate:.3e}", f"{norm:.3f}"]])
        self._append(self.gradients, [[step, layer, f"{value:.4e}"] for layer, value in layers.items()])

    @staticmethod
    def _append(path: Path, rows: list[list[Any]]) -> None:
        with open(path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
