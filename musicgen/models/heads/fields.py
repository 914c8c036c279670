"""The head of steps with fields, which predicts one field after another.

A step is scored by the chain rule: field f from the trunk's hidden state and the fields before it,
p(step) = prod_f p(field f | hidden, fields < f). The trunk runs once per step, this head once per field.

Shapes: B batch, T time, F fields, V vocabulary, C width, K the values of one field.

Sources: the chain over the fields of a note from Ryu et al. 2024, "Nested Music Transformer" (arXiv:2408.01180),
with a residual perceptron per field in place of their small Transformer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.heads.head import Head, Reading
from musicgen.models.layers.linear import Linear

__all__ = ["FieldHead", "FieldScores"]


class FieldHead(Head):
    """A residual perceptron for each field, of the hidden state and the summed embeddings of the values chosen before.

    `fields` are (first id, number of ids) each.
    """

    name = "field_head"

    def __init__(self, fields: Sequence[tuple[int, int]], *, vocabulary_size: int, width: int, dropout: float) -> None:
        super().__init__(len(fields))
        C, count = width, len(fields)
        self.fields = tuple(fields)
        self.embedding = nn.Embedding(vocabulary_size, C)
        self.project = Linear(C, count * C)  # of the hidden state, for all fields at once
        self.from_fields = nn.ModuleList(Linear(C, C) for _ in range(count - 1))  # from the fields chosen before
        self.residual = nn.ModuleList(Linear(C, C) for _ in range(count))
        # The hidden state skips the perceptron to the output: without this residual path, learning is slow.
        self.norms = nn.ModuleList(nn.LayerNorm(C, bias=False) for _ in range(count))
        self.outputs = nn.ModuleList(Linear(C, size) for _, size in fields)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=1.0)
        nn.init.normal_(self.project.weight, std=C**-0.5)
        for part in (*self.from_fields.parameters(), *self.residual.parameters()):
            nn.init.normal_(part, std=C**-0.5)
        for part in self.outputs.parameters():
            nn.init.normal_(part, std=0.02)

    def choices(self, reading: Reading, targets: Tensor, *, following_VV: Tensor | None = None) -> list[Tensor]:
        """Logits (B, T, K) of each field's values given the targets_BTF before it; `following_VV` is unused."""
        hidden_BTC = reading.hidden_BTC
        projected = self.project(hidden_BTC).unflatten(-1, (len(self.fields), -1))  # (B, T, F, C)
        embedded_BTC: Tensor | None = None
        choices = []
        for f in range(len(self.fields)):
            x_BTC = projected[:, :, f]
            if embedded_BTC is not None:
                x_BTC = x_BTC + self.from_fields[f - 1](embedded_BTC)
            choices.append(self.output(f, hidden_BTC, x_BTC).float())
            chosen_BTC = self.embedding(targets[:, :, f])
            embedded_BTC = chosen_BTC if embedded_BTC is None else embedded_BTC + chosen_BTC
        return choices

    def nats(self, reading: Reading, targets: Tensor, *, pad: int, following_VV: Tensor | None = None) -> Tensor:
        """nats_BTF of each field given the ones before it; 0 where the target is `pad`."""
        nats = []
        for logits, target_BT, (first, size) in zip(
            self.choices(reading, targets), targets.unbind(-1), self.fields, strict=True
        ):
            inside_BT = torch.where(target_BT == pad, -100, target_BT - first)
            nats.append(
                F.cross_entropy(logits.view(-1, size), inside_BT.flatten(), reduction="none").view_as(target_BT)
            )
        return torch.stack(nats, dim=-1)

    def scores(self, hidden_BC: Tensor, state: Any) -> FieldScores:
        return FieldScores(self, hidden_BC)

    def output(self, field: int, hidden: Tensor, x: Tensor) -> Tensor:
        """Logits (..., K) of a field from the hidden state and from the input x of its perceptron."""
        x = self.residual[field](self.dropout(F.gelu(x)))
        logits = self.outputs[field](self.norms[field](hidden + x))
        return (
            logits
            if self.training or self.inverse_temperature[field] == 1
            else logits * self.inverse_temperature[field]
        )


class FieldScores:
    """The chain over the fields of the next step of each row."""

    def __init__(self, head: FieldHead, hidden_BC: Tensor) -> None:
        self.head, self._hidden_BC = head, hidden_BC
        projected = head.project(hidden_BC)
        # Contiguous, as the activation rounds differently on strided rows.
        x_FBC = projected.unflatten(-1, (len(head.fields), -1)).transpose(0, 1).contiguous()
        self._x_FBC = list(x_FBC.unbind(0))

    def logits_BK(self, field: int) -> Tensor:
        return self.head.output(field, self._hidden_BC, self._x_FBC[field]).float()

    def take(self, field: int, ids_B: Tensor) -> None:
        for later, added_BC in enumerate(self.contributions(field, ids_B), start=field + 1):
            self._x_FBC[later] = self._x_FBC[later] + added_BC

    def contributions(self, field: int, ids_B: Tensor) -> list[Tensor]:
        """The contribution of the values chosen for a field to each later field's input, (B, C) each."""
        chosen_BC = self.head.embedding(ids_B)
        return [layer(chosen_BC) for layer in self.head.from_fields[field:]]
