"""Batches for truncated back-propagation through time: each row continues its piece, with the state carried over.

Each row of a batch reads pieces from the beginning, one window per step; when a piece ends, the row begins another one
and is marked in begins_B, so that its state is cleared. No window contains two pieces.

What a row reads at a step is a function of (seed, step). Every piece is read once per epoch, in a random order, and the
pieces are distributed so that the rows finish at about the same time. A row that has finished its epoch is padding.

Shapes: B batch rows, T time steps, F fields of a step.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from musicgen.corpus.store import TokenSource
from musicgen.errors import UnreadableError
from musicgen.models import SequenceModel, State
from musicgen.recipe import AugmentSettings
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch
from musicgen.training.batches import augmented

__all__ = ["Carried", "Streams"]


class _Part(NamedTuple):
    """A window of a piece: the index of the piece, and the position of the window's first input in it."""

    piece: int
    begin: int


class Streams:
    """Draws batch number `step`, whose rows continue those of the previous one, except where begins_B is true."""

    def __init__(
        self, source: TokenSource, tokenizer: Tokenizer, *, length: int, batch: int, seed: int, augment: AugmentSettings
    ) -> None:
        self.tokens, self.tokenizer, self.augment = source.tokens, tokenizer, augment
        self.length, self.batch, self.seed = length, batch, seed
        self.spans = source.spans("train")
        self.spans = self.spans[self.spans[:, 1] > 1]
        if not len(self.spans):
            raise UnreadableError("the corpus has no training pieces", hint="build it from more music")
        self.scoring = Scoring.of(tokenizer)
        self._ends: list[int] = []  # the first step after each epoch planned so far
        self._plan: tuple[int, list[list[_Part]]] = (-1, [])  # an epoch and the windows of its rows
        self._pieces: dict[int, tuple[int, int, np.ndarray]] = {}  # row -> (epoch, piece, its augmented ids)

    def __call__(self, step: int) -> Batch:
        """Batch number `step`, on the CPU."""
        epoch, at = self._epoch_of(step)
        rows = np.full((self.batch, self.length + 1, *self.tokens.shape[1:]), self.scoring.pad, np.int64)
        begins = np.ones(self.batch, bool)
        for row, parts in enumerate(self._rows(epoch)):
            if at < len(parts):
                part = parts[at]
                begins[row] = part.begin == 0
                window = self._piece(row, epoch, part.piece)[part.begin : part.begin + self.length + 1]
                rows[row, : len(window)] = window
        return Batch.of(rows, self.scoring, begins_B=torch.from_numpy(begins))

    def _epoch_of(self, step: int) -> tuple[int, int]:
        """The epoch of a step, and the step within it."""
        while not self._ends or step >= self._ends[-1]:
            length = max(map(len, self._rows(len(self._ends))))
            self._ends.append(length + (self._ends[-1] if self._ends else 0))
        epoch = int(np.searchsorted(self._ends, step, side="right"))
        return epoch, step - (self._ends[epoch - 1] if epoch else 0)

    def _rows(self, epoch: int) -> list[list[_Part]]:
        """For each row of the batch, the windows that it reads in this epoch."""
        if self._plan[0] != epoch:
            order = np.random.default_rng((self.seed, epoch)).permutation(len(self.spans))
            rows: list[list[_Part]] = [[] for _ in range(self.batch)]
            waiting = [(0, row) for row in range(self.batch)]
            for piece in order.tolist():
                _, row = heapq.heappop(waiting)  # the row with the fewest windows so far gets the next piece
                size = int(self.spans[piece, 1])
                rows[row] += [_Part(piece, begin) for begin in range(0, size - 1, self.length)]
                heapq.heappush(waiting, (len(rows[row]), row))
            self._plan = epoch, rows
        return self._plan[1]

    def _piece(self, row: int, epoch: int, piece: int) -> np.ndarray:
        """A piece's ids, augmented once per epoch so that all its windows have the same key; cut to the original length
        if longer."""
        if self._pieces.get(row, (-1, -1, None))[:2] != (epoch, piece):
            offset, size = self.spans[piece].tolist()
            rng = np.random.default_rng((self.seed, epoch, piece))
            ids = augmented(np.asarray(self.tokens[offset : offset + size]), self.tokenizer, self.augment, rng)
            self._pieces[row] = epoch, piece, ids[:size]
        return self._pieces[row][2]


class Carried:
    """The hidden state that is carried from one batch to the next, detached: truncated back-propagation through time.

    There is none before the first batch, and none at all if windows are independent.
    """

    def __init__(self, model: SequenceModel) -> None:
        self._model = model
        self._state: State | None = None
        self._saved: Mapping[str, Tensor] = {}

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the state, to be saved in a checkpoint."""
        return {} if self._state is None else self._state.tensors()

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Restore the state from the `tensors` of a checkpoint."""
        self._saved = saved

    def give(self, batch: Batch) -> Batch:
        """The batch with the carried state, cleared for rows that begin a piece."""
        if batch.begins_B is None:
            return batch
        if self._saved:
            with torch.no_grad():  # only to get a state of the right shape
                _, blank = self._model.read(batch.inputs[:, :1])
            assert blank is not None
            self._state = blank.restored({name: value.to(batch.inputs.device) for name, value in self._saved.items()})
            self._saved = {}
        return batch if self._state is None else replace(batch, state=self._state.cleared(batch.begins_B))

    def take(self, batch: Batch, state: State | None) -> None:
        """Keep the state after a batch, if its rows continue in the next one."""
        if batch.begins_B is not None and state is not None:
            self._state = state.detach()
