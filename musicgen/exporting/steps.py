"""One step of a model as a module of plain tensors, which can be exported.

A recurrent model reads one step and its state, and gives the next state; all others read the last steps anew each time.
Where a step has fields, the logits of each depend on the ones chosen before it: `chosen` holds those, and whatever
stands behind them doesn't matter.

Shapes: B batch, T time, F fields, K the values of a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from musicgen.errors import UsageError
from musicgen.models import SequenceModel
from musicgen.models.heads.fields import FieldHead
from musicgen.models.heads.head import Reading
from musicgen.models.heads.token import TokenHead
from musicgen.models.state import State

__all__ = ["Form", "StateStep", "WindowStep", "check_exportable", "form_of"]

MOST_POSITIONS = 4096  # of a Transformer's window: positions beyond are computed outside the graph


@dataclass(frozen=True)
class Form:
    """How an exported model is called.

    `state` maps the names of the state's tensors to their shapes, with 0 where B stands; empty for a model that reads a
    window, of which `longest` is the most steps (None: no limit). The state before the first step is all zeros.
    """

    n_fields: int
    state: dict[str, tuple[int, ...]]
    longest: int | None

    def zeros(self, rows: int) -> dict[str, Tensor]:
        """The state before the first step, for a batch of `rows`."""
        return {name: torch.zeros([n or rows for n in shape]) for name, shape in self.state.items()}


def check_exportable(model: SequenceModel) -> None:
    """Raise UsageError for a model whose step isn't a function of tensors, saying why."""
    hint = None
    if model.recalls and not model.reads_frames:
        what = "looks up in Python, outside of its network, what followed when the piece last stood so (its memory)"
        hint = "train one without: --set model.with_memory=false"
    elif model.reads_frames or model.settings.by_frame:
        what = "reads whole frames and spells each in Python, id by id"
        hint = "train one without: --set model.by_frame=false"
    elif not isinstance(getattr(model, "step_head", None), TokenHead | FieldHead):
        what = f"has a head that isn't exported, {type(getattr(model, 'step_head', None)).__name__}"
    else:
        return
    raise UsageError(f"this {model.settings.family} model {what}", hint=hint)


@torch.no_grad()
def form_of(model: SequenceModel) -> Form:
    """How the model is called once it is exported."""
    n_fields = len(model.settings.fields)
    one = torch.zeros((2, 1, n_fields) if n_fields else (2, 1), dtype=torch.int64)
    window = Form(n_fields, {}, _longest(model))
    if model.context is not None or hasattr(model, "reach"):
        return window
    try:
        two, three = (_state(model, one[:1].expand(rows, *one.shape[1:])).tensors() for rows in (2, 3))
    except TypeError:  # a state that is no set of tensors
        return window
    shapes = {
        name: tuple(0 if n != m else n for n, m in zip(value.shape, three[name].shape, strict=True))
        for name, value in two.items()
    }
    return Form(n_fields, shapes, None)


def _longest(model: SequenceModel) -> int | None:
    return None if model.context is None else min(model.context, MOST_POSITIONS)


def _state(model: SequenceModel, ids: Tensor) -> State:
    _, state = model.read(ids)
    if state is None:
        raise TypeError("this model has no state")
    return state


class _Step(nn.Module):
    """A model whose head gives logits of the step after the last one."""

    def __init__(self, model: SequenceModel) -> None:
        super().__init__()
        self.model = model

    def logits(self, hidden_BTC: Tensor, chosen_BF: Tensor | None) -> list[Tensor]:
        """Logits (B, K) of each field of the next step."""
        head, last_B1C = self.model.step_head, hidden_BTC[:, -1:]
        targets = last_B1C if chosen_BF is None else chosen_BF[:, None]
        return [logits[:, 0] for logits in head.choices(Reading(last_B1C, last_B1C), targets)]


class WindowStep(_Step):
    """ids (B, T) or (B, T, F), and with fields chosen (B, F) -> logits (B, K) of each field."""

    def forward(self, ids: Tensor, chosen: Tensor | None = None) -> tuple[Tensor, ...]:
        hidden_BTC, _ = self.model.read(ids)
        return tuple(self.logits(hidden_BTC, chosen))


class StateStep(_Step):
    """ids (B,) or (B, F), the state's tensors, and with fields chosen (B, F) -> logits of each field, the new state."""

    def __init__(self, model: SequenceModel, names: Sequence[str]) -> None:
        super().__init__(model)
        self.names = tuple(names)
        ids = torch.zeros((1, 1, len(model.settings.fields)) if model.settings.fields else (1, 1), dtype=torch.int64)
        with torch.no_grad():
            self.first: Any = _state(model, ids)  # of which the tensors are replaced

    def forward(self, ids: Tensor, state: list[Tensor], chosen: Tensor | None = None) -> tuple[Tensor, ...]:
        before = self.first.restored(dict(zip(self.names, state, strict=True)))
        hidden_B1C, after = self.model.read(ids[:, None], before)
        assert after is not None
        tensors = after.tensors()
        return (*self.logits(hidden_B1C, chosen), *(tensors[name] for name in self.names))
