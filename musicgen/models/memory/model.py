"""A model of any family, extended by a memory of what followed similar passages earlier in the piece.

The trunk reads one vector per step: the step itself without its velocity, the part that plays next, and the memory's
guesses of the next step (`inputs.py`). The head mixes the trunk's predictions with those guesses (`head.py`). The
memory covers the whole past of the piece, not only the trunk's context.

Shapes: B batch, T time, I columns, F fields, C width.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.body import SequenceModel
from musicgen.models.ladder.trunk import make_trunk
from musicgen.models.layouts import (
    DURATION,
    FIELDS,
    ONSET,
    PART,
    PITCH,
    PROGRAM,
    VELOCITY,
)
from musicgen.models.memory.head import Recollection
from musicgen.models.memory.inputs import column_sizes, columns, last_columns
from musicgen.models.memory.sources import recall
from musicgen.models.memory.state import MemoryState
from musicgen.models.memory.traces import Remembered
from musicgen.models.memory.window import Precomputed, precompute
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["MemoryModel"]


class MemoryModel(SequenceModel):
    """A trunk of any family with a memory of the piece. In training mode the state is None."""

    carries = False
    recalls = True
    forgets = False  # whether `head_inputs` leaves all guesses empty, to measure what the memory contributes

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.steps is not None
        C = settings.width
        self.layout = settings.steps
        sizes = column_sizes(self.layout)
        self.input_table = nn.Embedding(sum(sizes), C)
        self.register_buffer("begins", torch.tensor([0, *itertools.accumulate(sizes[:-1])]), persistent=False)
        self.begins: Tensor
        self.trunk = make_trunk(family, settings, inputs=C)
        self.trunk.embedding = nn.Identity()  # type: ignore[assignment]
        self.embedding = None

    def first_weights(self) -> None:
        own = sum(column_sizes(self.layout)[:5])
        nn.init.normal_(self.input_table.weight[:own], std=1.0)
        nn.init.normal_(self.input_table.weight[own:], std=0.3)

    @property
    def context(self) -> int | None:
        return self.trunk.context

    def precomputing(self) -> Callable[[Tensor, Tensor, Sequence[np.ndarray]], State] | None:
        """See `SequenceModel.precomputing`."""
        return functools.partial(precompute, self.layout)

    def recalling(self, pasts: Sequence[Tensor]) -> MemoryState:
        """See `SequenceModel.recalling`."""
        return MemoryState(tuple(past.cpu().numpy().astype(np.int64).reshape(-1, FIELDS) for past in pasts), None, 0)

    def read(self, ids: Tensor, state: State | None = None) -> tuple[Tensor, MemoryState | None]:
        """hidden_BTC after each step, and the state; see `SequenceModel.read`."""
        self.check_ids(ids)
        state = self._state(ids, state)
        new = ids.cpu().numpy().astype(np.int64)
        if ids.shape[1] == 1 and not self.training and state.trunk is not None:
            return self._step(new, state)
        pasts = tuple(np.concatenate([past, rows]) for past, rows in zip(state.pasts, new, strict=True))
        windows = []
        for rows, past in zip(pasts, state.pasts, strict=True):
            open_end = np.concatenate([rows, self._some_next(rows)])
            windows.append(columns(open_end, recall(open_end, self.layout), self.layout, len(past)))
        hidden_BTC, trunk = self._hidden(self._on_device(windows), state.trunk)
        if trunk is None:
            return hidden_BTC, None
        return hidden_BTC, MemoryState(pasts, trunk, state.position + ids.shape[1])

    def _step(self, new: np.ndarray, state: MemoryState) -> tuple[Tensor, MemoryState | None]:
        """`read` for one step per row, at a cost that doesn't grow with the length of the piece."""
        memories = state.own_memories(self.layout)
        for memory, rows in zip(memories, new.tolist(), strict=True):
            memory.append(rows[0])
        steps = [np.array([last_columns(memory)]) for memory in memories]
        hidden_B1C, trunk = self._hidden(self._on_device(steps), state.trunk)
        pasts = tuple(Remembered(memory.rows) for memory in memories)
        return hidden_B1C, MemoryState(pasts, trunk, state.position + 1, tuple(memories))

    def _state(self, ids: Tensor, state: State | None) -> MemoryState:
        if state is None:
            return self.recalling([ids.new_zeros(0, FIELDS)] * len(ids))
        if not isinstance(state, MemoryState):
            raise TypeError(f"a model with a memory can't go on from a {type(state).__name__}")
        return state

    def _some_next(self, rows: np.ndarray) -> np.ndarray:
        """A placeholder (1, 6) for the next step, so that `recall` returns guesses for it: a note where one is due."""
        layout, step = self.layout, np.zeros((1, FIELDS), np.int64)
        part = rows[-1, PART] - layout.part
        if part >= 0 and rows[-1, ONSET] >= layout.position:
            programs = rows[rows[:, ONSET] == layout.enter, PROGRAM] - layout.program
            drums = part < len(programs) and programs[part] == 128
            step[0, PITCH] = layout.drum if drums else layout.pitch
            step[0, DURATION], step[0, VELOCITY] = layout.duration, layout.velocity
        return step

    def _on_device(self, rows: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(rows)).to(self.input_table.weight.device)

    def _hidden(self, columns_BTI: Tensor, trunk: State | None) -> tuple[Tensor, State | None]:
        at = columns_BTI + self.begins
        B, T, _ = at.shape
        x_BTC = F.embedding_bag(at.flatten(0, 1), self.input_table.weight, mode="sum").view(B, T, -1)
        return self.trunk.read(x_BTC, trunk)

    def head_inputs(
        self, ids: Tensor, state: State | None = None, *, targets: Tensor | None = None
    ) -> tuple[Recollection, MemoryState | None]:
        """hidden_BTC with the memory's guesses of each target, made from the past and the targets before it.

        Where the state is a `Precomputed`, inputs and guesses are taken from it instead of being computed.
        """
        assert targets is not None, "what is recalled of a step depends on it"
        if isinstance(state, Precomputed):
            columns_BTI, hints = state.unpacked()
            hidden_BTC, _ = self._hidden(columns_BTI, None)
            return Recollection(hidden_BTC, hints), None
        self.check_ids(ids)
        state = self._state(ids, state)
        pasts = [np.asarray(past) for past in state.pasts]
        seen = precompute(self.layout, ids, targets, pasts, forgets=self.forgets)
        columns_BTI, hints = seen.to(self.input_table.weight.device).unpacked()
        hidden_BTC, trunk = self._hidden(columns_BTI, state.trunk)
        if trunk is None:
            return Recollection(hidden_BTC, hints), None
        new = ids.cpu().numpy().astype(np.int64)
        after = tuple(np.concatenate([past, rows]) for past, rows in zip(pasts, new, strict=True))
        return Recollection(hidden_BTC, hints), MemoryState(after, trunk, state.position + ids.shape[1])
