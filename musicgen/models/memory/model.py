"""Any family, told of what the piece did when it last stood so.

The trunk reads a vector a step: the step itself without its velocity, who plays next, and what is recalled of what
comes next (`inputs.py`). The head mixes what the trunk thinks with what is recalled (`head.py`). The whole past of the
piece counts, not only what the trunk reads.

Shapes: B batch, T time, I columns, F fields, C width.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.errors import UsageError
from musicgen.models.body import SequenceModel
from musicgen.models.heads.token import Scores
from musicgen.models.layouts import (
    DURATION,
    FIELDS,
    ONSET,
    PART,
    PITCH,
    PROGRAM,
    VELOCITY,
    MemoryLayout,
)
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.head import Hints, PointerHead, Seen
from musicgen.models.memory.inputs import column_sizes, columns, told_last
from musicgen.models.memory.scores import MemoryScores, Packed
from musicgen.models.memory.sources import recall
from musicgen.models.memory.traces import Remembered
from musicgen.models.memory.window import Foretold, foretold
from musicgen.models.settings import ModelSettings
from musicgen.models.state import State

__all__ = ["MemoryModel", "MemoryState"]


@dataclasses.dataclass
class MemoryState(State):
    """The steps of every row so far, and what the trunk keeps of those that it has read; None where of none.

    `memories`, for steps one by one, belong to one state: the next one takes them along, and where that has happened
    they are made anew. `whole` are those of pasts as they stand, which all takes of a prompt copy: to remember a long
    piece row by row takes longer than to draw a few bars.
    """

    pasts: tuple[np.ndarray | Remembered, ...]  # (N, 6) each
    trunk: State | None
    position: int
    memories: tuple[Memory, ...] = ()
    shared: bool = False  # whether rows have one memory between them
    whole: dict[int, tuple[object, Memory]] = dataclasses.field(
        default_factory=dict
    )  # by id of the past, and that past

    @property
    def rows(self) -> int:
        return len(self.pasts)

    def select(self, rows_B: Tensor) -> Self:
        rows = rows_B.tolist()
        trunk = None if self.trunk is None else self.trunk.select(rows_B)
        memories = tuple(self.memories[row] for row in rows) if self.memories else ()
        shared = self.shared or len(set(rows)) < len(rows)
        return dataclasses.replace(
            self, pasts=tuple(self.pasts[row] for row in rows), trunk=trunk, memories=memories, shared=shared
        )

    def own_memories(self, layout: MemoryLayout) -> list[Memory]:
        """Memories of the pasts that may grow."""
        found = []
        for row, past in enumerate(self.pasts):
            memory = self.memories[row] if self.memories else None
            if memory is None or len(memory.rows) != len(past):
                if id(past) not in self.whole:
                    self.whole[id(past)] = past, Memory(layout, np.asarray(past).tolist())
                memory = self.whole[id(past)][1].copy()
            elif self.shared:
                memory = memory.copy()
            found.append(memory)
        return found


class MemoryModel(SequenceModel):
    """A trunk of any family with a memory of the piece. In training mode the state is None."""

    carries = False
    recalls = True
    teaches = False
    forgets = False  # whether likelihoods are to be those with nothing recalled, to measure what memory is worth

    def __init__(self, settings: ModelSettings, family: type[SequenceModel]) -> None:
        super().__init__(settings)
        assert settings.steps is not None
        C = settings.width
        self.layout = settings.steps
        sizes = column_sizes(self.layout)
        self.told = nn.Embedding(sum(sizes), C)
        self.register_buffer("begins", torch.tensor([0, *itertools.accumulate(sizes[:-1])]), persistent=False)
        self.begins: Tensor
        self.trunk = family(dataclasses.replace(
            settings, vocabulary_size=C, fields=((0, C),), steps=None, horizon=1
        ))  # fmt: skip
        self.trunk.field_head, self.trunk.head = None, None
        self.trunk.embedding = nn.Identity()  # type: ignore[assignment]
        self.embedding, self.head, self.field_head, self.ahead = None, None, None, nn.ModuleList()
        self.pointer_head = PointerHead(self.layout, width=C, dropout=settings.dropout)
        own = sum(sizes[:5])
        nn.init.normal_(self.told.weight[:own], std=1.0)
        nn.init.normal_(self.told.weight[own:], std=0.3)

    @property
    def context(self) -> int | None:
        return self.trunk.context

    def foretelling(self) -> Callable[[Tensor, Tensor, Sequence[np.ndarray]], State] | None:
        """See `SequenceModel.foretelling`."""
        return functools.partial(foretold, self.layout)

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
        told = []
        for rows, past in zip(pasts, state.pasts, strict=True):
            open_end = np.concatenate([rows, self._some_next(rows)])
            told.append(columns(open_end, recall(open_end, self.layout), self.layout, len(past)))
        hidden_BTC, trunk = self._hidden(self._on_device(told), state.trunk)
        if trunk is None:
            return hidden_BTC, None
        return hidden_BTC, MemoryState(pasts, trunk, state.position + ids.shape[1])

    def _step(self, new: np.ndarray, state: MemoryState) -> tuple[Tensor, MemoryState | None]:
        """`read` of one step a row, at a cost that doesn't grow with the piece."""
        memories = state.own_memories(self.layout)
        for memory, rows in zip(memories, new.tolist(), strict=True):
            memory.append(rows[0])
        told = [np.array([told_last(memory)]) for memory in memories]
        hidden_B1C, trunk = self._hidden(self._on_device(told), state.trunk)
        pasts = tuple(Remembered(memory.rows) for memory in memories)
        return hidden_B1C, MemoryState(pasts, trunk, state.position + 1, tuple(memories))

    def scores(self, hidden_BC: Tensor, state: State | None = None) -> Scores:
        """See `SequenceModel.scores`; the state is that which came with the hidden state."""
        if not isinstance(state, MemoryState):
            raise TypeError("a model with a memory needs the state to score the next step")
        if len(state.memories) != state.rows or any(
            len(memory.rows) != len(past) for memory, past in zip(state.memories, state.pasts, strict=True)
        ):
            state.memories, state.shared = tuple(state.own_memories(self.layout)), False
        return MemoryScores(self.pointer_head, hidden_BC, state.memories)

    def _state(self, ids: Tensor, state: State | None) -> MemoryState:
        if state is None:
            return self.recalling([ids.new_zeros(0, FIELDS)] * len(ids))
        if not isinstance(state, MemoryState):
            raise TypeError(f"a model with a memory can't go on from a {type(state).__name__}")
        return state

    def _some_next(self, rows: np.ndarray) -> np.ndarray:
        """(1, 6) a step that could come next, so that what is recalled before it is known: a note, if one is due."""
        layout, step = self.layout, np.zeros((1, FIELDS), np.int64)
        part = rows[-1, PART] - layout.part
        if part >= 0 and rows[-1, ONSET] >= layout.position:
            programs = rows[rows[:, ONSET] == layout.enter, PROGRAM] - layout.program
            drums = part < len(programs) and programs[part] == 128
            step[0, PITCH] = layout.drum if drums else layout.pitch
            step[0, DURATION], step[0, VELOCITY] = layout.duration, layout.velocity
        return step

    def _on_device(self, told: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(told)).to(self.told.weight.device)

    def _hidden(self, told_BTI: Tensor, trunk: State | None) -> tuple[Tensor, State | None]:
        at = told_BTI + self.begins
        B, T, _ = at.shape
        x_BTC = F.embedding_bag(at.flatten(0, 1), self.told.weight, mode="sum").view(B, T, -1)
        return self.trunk.read(x_BTC, trunk)

    def _nats_of(self, hidden_BTC: Tensor, targets: Tensor, hints: Hints, *, pad: int) -> Tensor:
        return self.pointer_head.nats(hidden_BTC, targets, hints, pad=pad)

    def _read_with_targets(
        self, ids: Tensor, targets: Tensor, state: State | None
    ) -> tuple[Tensor, MemoryState | None, Hints]:
        """hidden_BTC, the state, and what is recalled before each target, for which the targets before count, too.

        Of a state that is `Foretold` all stands there already.
        """
        if isinstance(state, Foretold):
            told_BTI, hints = state.unpacked()
            hidden_BTC, _ = self._hidden(told_BTI, None)
            return hidden_BTC, None, hints
        self.check_ids(ids)
        state = self._state(ids, state)
        pasts = [np.asarray(past) for past in state.pasts]
        seen = foretold(self.layout, ids, targets, pasts, forgets=self.forgets)
        told_BTI, hints = seen.to(self.told.weight.device).unpacked()
        hidden_BTC, trunk = self._hidden(told_BTI, state.trunk)
        if trunk is None:
            return hidden_BTC, None, hints
        new = ids.cpu().numpy().astype(np.int64)
        after = tuple(np.concatenate([past, rows]) for past, rows in zip(pasts, new, strict=True))
        return hidden_BTC, MemoryState(after, trunk, state.position + ids.shape[1]), hints

    def nats(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[Tensor, State | None]:
        hidden_BTC, after, hints = self._read_with_targets(ids, targets, state)
        return self._nats_of(hidden_BTC, targets, hints, pad=pad), after

    def seen(self, ids: Tensor, targets: Tensor, state: State | None = None) -> Seen:
        """What the head hears of these steps, for `nats_of`: while only the head learns, the trunk reads once."""
        hidden_BTC, _, hints = self._read_with_targets(ids, targets, state)
        return Seen(hidden_BTC, targets, hints)

    def nats_of(self, seen: Seen, *, pad: int) -> Tensor:
        """nats_BTF of the steps that were seen."""
        return self._nats_of(seen.hidden_BTC, seen.targets_BTF, seen.hints, pad=pad)

    def nats_ahead(
        self, ids: Tensor, targets: Tensor, state: State | None = None, *, pad: int, following_VV: Tensor | None = None
    ) -> tuple[list[Tensor], State | None]:
        nats_BTF, after = self.nats(ids, targets, state, pad=pad)
        return [nats_BTF], after

    def nats_at(
        self,
        ids: Tensor,
        targets: Tensor,
        state: State | None = None,
        *,
        pad: int,
        following_VV: Tensor | None = None,
        sharpness: Sequence[tuple[float, ...]],
    ) -> list[Tensor]:
        hidden_BTC, _, hints = self._read_with_targets(ids, targets, state)
        own, result = self.sharpness, []
        try:
            for values in sharpness:
                self.sharpen(values)
                result.append(self._nats_of(hidden_BTC, targets, hints, pad=pad))
        finally:  # a run may be interrupted here, and saved
            self.sharpen(own)
        return result

    def choices(self, hidden_BTC: Tensor, targets: Tensor, ids: Tensor, *, following_VV: Tensor | None = None) -> Any:
        raise UsageError("a model with a memory neither teaches nor is taught", hint="leave --teacher out")

    def sharpen(self, values: Sequence[float]) -> None:
        super().sharpen(values)
        self.pointer_head.sharpness = self.sharpness

    def head_parameters(self) -> Iterable[nn.Parameter]:
        return self.pointer_head.parameters()

    def faster(self, *, int8: bool = False) -> Self:
        super().faster(int8=int8)
        self.trunk.faster(int8=int8)
        return self

    def _pack_head(self) -> None:
        self.pointer_head.packed = Packed(self.pointer_head)

    def train(self, mode: bool = True) -> Self:
        if mode:
            self.pointer_head.packed = None
        return super().train(mode)
