"""How a performance is played, note by note: inter-onset time, velocity and length, as mixtures or in bins.

The keys are given, each with the notes before it; of every note the three values are foreseen, by the chain rule: the
time since the note before it, then the velocity given that, then the length given both. A body of any family reads the
notes so far as vectors. Its hidden state and the note's own key give the numbers of three distributions
(`heads/densities.py`), so mixture and bins differ in the last layer alone.

Nats are of integers, milliseconds and velocities, under both heads, and can be compared.

Shapes: B batch, T time (notes), F the fields key, inter-onset time, velocity, length; C width, P numbers of a
distribution.

Sources: Graves 2013, section 4 (arXiv:1308.0850), a recurrent network with mixture outputs, for handwriting; Bishop
1994, "Mixture density networks" (NCRG/94/004).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models.heads.densities import HEADS, Density, density_of
from musicgen.models.layers.linear import Linear
from musicgen.models.settings import ModelSettings, nearest
from musicgen.models.state import State
from musicgen.models.tasks.base import TaskModel, body_of_vectors
from musicgen.schemas import in_range, typed

__all__ = ["VALUES", "PerformSettings", "Performer"]

VALUES = ("ioi", "velocity", "length")
IS_TIME = {"ioi": True, "velocity": False, "length": True}
BUMPS = 12  # smooth indicators of where a value is in its range
REACH = 24  # keys: the largest interval from the last note that is told
FIELDS = 1 + len(VALUES)
FIRST_KEY = 3  # the id of the lowest key, behind those of padding, beginning and end; drums follow 128 keys later


@dataclass(frozen=True)
class PerformSettings:
    """The table `[task]` of a run that learns how notes are played.

    `head` is "mixture", with as many `components` a value, or "binned", with at most as many `bins` a value; a head
    reads one of the two numbers.
    """

    name: str = "perform"
    head: str = "mixture"
    components: int = 8
    bins: int = 64

    def __post_init__(self) -> None:
        typed(self, where="recipe")
        if self.head not in HEADS:
            raise UsageError(f"[task] head is {self.head!r}", where="recipe", hint=nearest(self.head, HEADS))
        in_range(self, {"components": (1, 256), "bins": (2, 4096)}, where="recipe", prefix="[task] ")


class Performer(TaskModel):
    """A body over notes, and a head with three distributions."""

    task_settings: ClassVar[type[Any]] = PerformSettings
    recalls: ClassVar[bool] = False
    first_key: ClassVar[int] = FIRST_KEY
    task: PerformSettings

    def __init__(self, settings: ModelSettings, task: PerformSettings) -> None:
        super().__init__(settings, task)
        if len(settings.fields) != FIELDS:
            what = (
                "how notes are played is learned from their exact times and velocities, which these tokens don't have"
            )
            raise UsageError(what, where="recipe", hint="use the tokenizer exact")
        C, keys = settings.width, sum(settings.fields[0])
        self.firsts = tuple(first for first, _ in settings.fields)
        self.mosts = tuple(size - 1 for _, size in settings.fields)
        self.key_inputs = nn.Embedding(keys, C)
        self.interval_inputs = nn.Embedding(2 * REACH + 1, C)
        self.value_inputs = Linear(sum(_code_size(name) for name in VALUES), C)
        self.input_norm = nn.LayerNorm(C, bias=False)
        self.body = body_of_vectors(settings, inputs=C)
        self.body.embedding = nn.Identity()  # type: ignore[assignment]  # vectors of the body's own width
        for part in (self.key_inputs, self.interval_inputs):
            nn.init.normal_(part.weight, std=1.0)
        nn.init.normal_(self.value_inputs.weight, std=0.5)
        # Last, so that all before it has the same first weights whatever the head.
        self.head = PerformHead(task, mosts=self.mosts[1:], width=C, dropout=settings.dropout)

    @property
    def context(self) -> int | None:
        """How many past notes a note is foreseen from; None where there is no such limit."""
        return self.body.context

    def read(self, ids_BTF: Tensor, state: State | None = None) -> tuple[Tensor, State | None]:
        """hidden_BTC after each note, and the state after the last one."""
        key_BT = ids_BTF[..., 0]
        codes = [_code(name, value) for name, value in zip(VALUES, self.values(ids_BTF), strict=True)]
        known_BT1 = (ids_BTF[..., 1] > 0)[..., None]  # what begins a piece has no values
        told_BTC = self.value_inputs(torch.cat(codes, dim=-1) * known_BT1)
        return self.body.read(self.input_norm(self.key_inputs(key_BT) + told_BTC), state)

    def values(self, ids_BTF: Tensor) -> list[Tensor]:
        """(B, T) integers: milliseconds since the note before, velocity, milliseconds of length; 0 for padding."""
        return [(ids_BTF[..., n] - self.firsts[n]).clamp(0, self.mosts[n]) for n in range(1, FIELDS)]

    def numbers(
        self, ids_BTF: Tensor, targets_BTF: Tensor, state: State | None = None
    ) -> tuple[list[Tensor], State | None]:
        """numbers_BTP of the distributions of VALUES for the notes `targets_BTF`, which follow `ids_BTF` one note
        ahead, and the state. Of the targets each value sees the key, and the values before it."""
        hidden_BTC, state = self.read(ids_BTF, state)
        key_BT = targets_BTF[..., 0]
        interval_BT = (key_BT - ids_BTF[..., 0]).clamp(-REACH, REACH) + REACH
        told_BTC = self.key_inputs(key_BT) + self.interval_inputs(interval_BT)
        codes = [_code(name, value) for name, value in zip(VALUES, self.values(targets_BTF), strict=True)]
        return self.head(hidden_BTC, told_BTC, codes[:-1]), state

    def nats(
        self,
        ids_BTF: Tensor,
        targets_BTF: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
    ) -> tuple[Tensor, State | None]:
        """nats_BTF of each field of the targets, in nats of milliseconds and velocities, and the state. 0 for keys,
        which are given, and for `pad`. `following_VV` is unused."""
        numbers, state = self.numbers(ids_BTF, targets_BTF, state)
        found = [torch.zeros_like(targets_BTF[..., 0], dtype=torch.float32)]
        for density, given, value in zip(self.head.each(), numbers, self.values(targets_BTF), strict=True):
            found.append(-density.log_chances(given, value))
        return torch.stack(found, dim=-1).masked_fill(targets_BTF == pad, 0), state


class PerformHead(nn.Module):
    """A residual perceptron a value, of the hidden state, the note's key and the values before it, as in `FieldHead`;
    a linear layer; a distribution."""

    def __init__(self, task: PerformSettings, *, mosts: Sequence[int], width: int, dropout: float) -> None:
        super().__init__()
        C = width
        asked: dict[str, Any] = {"components": task.components, "bins": task.bins}
        self.densities = nn.ModuleList(
            density_of(task.head, low=int(not IS_TIME[name]), most=most, is_time=IS_TIME[name], **asked)
            for name, most in zip(VALUES, mosts, strict=True)
        )
        self.from_hidden = nn.ModuleList(Linear(C, C) for _ in VALUES)
        self.from_key = nn.ModuleList(Linear(C, C) for _ in VALUES)
        seen = [sum(_code_size(name) for name in VALUES[:n]) for n in range(len(VALUES))]
        self.from_values = nn.ModuleList(Linear(size, C) for size in seen[1:])
        self.residual = nn.ModuleList(Linear(C, C) for _ in VALUES)
        self.norms = nn.ModuleList(nn.LayerNorm(C, bias=False) for _ in VALUES)
        self.outputs = nn.ModuleList(nn.Linear(C, density.n_numbers) for density in self.each())
        self.dropout = nn.Dropout(dropout)
        for part in (*self.from_hidden.parameters(), *self.from_key.parameters(), *self.residual.parameters()):
            nn.init.normal_(part, std=C**-0.5)
        for part in self.from_values.parameters():
            nn.init.normal_(part, std=0.5)
        for layer, density in zip(self.outputs, self.each(), strict=True):
            nn.init.normal_(layer.get_parameter("weight"), std=0.02)
            with torch.no_grad():
                layer.get_parameter("bias").copy_(density.first_numbers())

    def each(self) -> list[Density]:
        """The distributions, in the order of VALUES."""
        return [density for density in self.densities if isinstance(density, Density)]

    def forward(self, hidden_BTC: Tensor, told_BTC: Tensor, codes: Sequence[Tensor]) -> list[Tensor]:
        """numbers_BTP of each value: `told_BTC` tells the note's key, `codes` its values but the last."""
        found = []
        for n in range(len(VALUES)):
            x_BTC = self.from_hidden[n](hidden_BTC) + self.from_key[n](told_BTC)
            if n:
                x_BTC = x_BTC + self.from_values[n - 1](torch.cat(list(codes[:n]), dim=-1))
            x_BTC = self.residual[n](self.dropout(F.gelu(x_BTC)))
            found.append(self.outputs[n](self.norms[n](hidden_BTC + x_BTC)).float())
        return found


def _code_size(name: str) -> int:
    return BUMPS + 2 if IS_TIME[name] else BUMPS + 1


def _code(name: str, value: Tensor) -> Tensor:
    """(..., numbers): a value as a network can read it: where it is in its range, times by their logarithm, as a number
    and as smooth indicators; of times also whether it is 0."""
    value = value.float()
    place = torch.log1p(value) / math.log(16_000) if IS_TIME[name] else value / 127
    centres = torch.linspace(0, 1, BUMPS, device=value.device)
    bumps = torch.exp(-(((place[..., None] - centres) * BUMPS) ** 2))
    parts = [bumps, place[..., None]]
    if IS_TIME[name]:
        parts.append((value < 0.5).float()[..., None])
    return torch.cat(parts, dim=-1)
