"""Sequence classification, many to one: a body reads a window, its hidden states are pooled, a linear layer scores.

Shapes: B batch, T time, C width, K classes.

Sources: Yang et al. 2016, "Hierarchical attention networks for document classification" (attention pooling with a
learned query); Lin, Chen and Yan 2014, "Network in network" (the mean over all places as the input of a linear layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models.settings import ModelSettings, nearest
from musicgen.models.tasks.base import TaskModel, body_of_ids
from musicgen.schemas import typed

__all__ = ["BALANCES", "POOLINGS", "Classifier", "ClassifySettings"]

POOLINGS = ("mean", "max", "mean-max", "last", "attention")
BALANCES = ("sampling", "weights", "none")


@dataclass(frozen=True)
class ClassifySettings:
    """The table `[task]` of a run that classifies pieces.

    `label` says what they are told apart by: a kind of label (`tasks/classify/labels.py`), or a column of the index
    file `labels`, whose digest is `labels_sha256`. A class with fewer than `least` training pieces is left out.
    `classes` are those found in the corpus, in the order of the logits. `pooling` is how the hidden states of a window
    become one vector. `balance` is how classes of different sizes come to count the same: windows are drawn class by
    class, or their losses weighted.
    """

    name: str = "classify"
    label: str = ""
    labels: str = ""
    labels_sha256: str = ""
    least: int = 10
    classes: tuple[str, ...] = ()
    pooling: str = "mean-max"
    balance: str = "sampling"

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        for key, kinds in (("pooling", POOLINGS), ("balance", BALANCES)):
            value = getattr(self, key)
            if value not in kinds:
                raise UsageError(f"[task] {key} is {value!r}", where="recipe", hint=nearest(value, kinds))
        if not 1 <= self.least <= 10**6:
            raise UsageError(f"[task] least is {self.least}", where="recipe", hint="give 1 to 1,000,000 pieces")


class Classifier(TaskModel):
    """A body, pooling over the steps of a window, and a linear layer to the logits of the classes."""

    task_settings: ClassVar[type[Any]] = ClassifySettings
    task: ClassifySettings

    def __init__(self, settings: ModelSettings, task: ClassifySettings) -> None:
        super().__init__(settings, task)
        if len(task.classes) < 2:
            raise UsageError(f"[task] has {len(task.classes)} classes", where="recipe", hint="give two or more")
        C = settings.width
        self.body = body_of_ids(settings)
        if task.pooling == "attention":
            self.query = nn.Linear(C, 1)
        features = 2 * C if task.pooling == "mean-max" else C
        self.norm = nn.LayerNorm(features)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(features, len(task.classes))
        nn.init.normal_(self.head.weight, std=0.02)  # nearly uniform first predictions
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, lengths_B: Tensor) -> Tensor:
        """logits_BK of windows ids (B, T) or (B, T, F), of which the first `lengths_B` steps count, at least one."""
        hidden_BTC, _ = self.body.read(ids)
        logits_BK: Tensor = self.head(self.dropout(self.norm(self.pooled(hidden_BTC.float(), lengths_B))))
        return logits_BK if self.training else logits_BK * self.inverse_temperature[0]

    def pooled(self, hidden_BTC: Tensor, lengths_B: Tensor) -> Tensor:
        """One vector a row of the hidden states of its first `lengths_B` steps, (B, C) or (B, 2 C)."""
        kind = self.task.pooling
        if kind == "last":
            return hidden_BTC[torch.arange(len(hidden_BTC), device=hidden_BTC.device), lengths_B - 1]
        inside_BT1 = (torch.arange(hidden_BTC.shape[1], device=hidden_BTC.device) < lengths_B[:, None])[..., None]
        if kind == "attention":
            weight_BT1 = self.query(hidden_BTC).masked_fill(~inside_BT1, -torch.inf).softmax(dim=1)
            return (weight_BT1 * hidden_BTC).sum(dim=1)
        mean_BC = (hidden_BTC * inside_BT1).sum(dim=1) / lengths_B[:, None]
        if kind == "mean":
            return mean_BC
        most_BC = hidden_BTC.masked_fill(~inside_BT1, -torch.inf).amax(dim=1)
        return most_BC if kind == "max" else torch.cat([mean_BC, most_BC], dim=1)
