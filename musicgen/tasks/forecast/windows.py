"""The series of a corpus, and windows of them to learn from.

Shapes: B batch, T steps, F numbers that are read a step, H horizon, K series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from musicgen.corpus.store import Corpus
from musicgen.errors import UnreadableError
from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.tasks.forecast.series import Series, counted, inputs_of, series_of
from musicgen.tasks.pieces import pieces_of

__all__ = ["Batch", "Windows", "series_in"]


def series_in(
    corpus: Corpus, split: str, *, settings: ForecastSettings, check: Callable[[], None] = lambda: None
) -> list[Series]:
    """The series of the pieces of a split that are longer than `lags`.

    Raises UnreadableError where the train split has none.
    """
    found = []
    for record, piece in pieces_of(corpus, split):
        check()
        series = series_of(piece, settings=settings, source=record.source)
        if series is not None and len(series) > settings.lags:
            found.append(series)
    if not found and split == "train":
        what = f"no piece to train on has a melody of more than {settings.lags} steps"
        raise UnreadableError(what, where=corpus.folder, hint="set fewer task.lags, or choose another corpus")
    return found


@dataclass(frozen=True)
class Batch:
    """Windows: what is read x_BTF, what comes after each step y_BTHK in standard deviations, and which of that counts,
    counted_BTHK (bool)."""

    x_BTF: Tensor
    y_BTHK: Tensor
    counted_BTHK: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(each.to(device, non_blocking=True) for each in vars(self).values()))

    def pin_memory(self) -> Self:
        """The batch in pinned memory, for asynchronous transfer to a GPU."""
        return type(self)(*(each.pin_memory() for each in vars(self).values()))


class Windows:
    """Batches of windows from series. `steps` is H: how many steps ahead the network itself foresees."""

    def __init__(
        self, pieces: Sequence[Series], *, settings: ForecastSettings, steps: int, length: int, batch: int, seed: int
    ) -> None:
        K = len(settings.targets)
        mean_K, deviation_K = np.array(settings.scales)[:K].T
        self.steps, self.length, self.batch, self.seed = steps, length, batch, seed
        self._x = [inputs_of(each, settings=settings) for each in pieces]
        self._y = [((each.value_TK[:, :K] - mean_K) / deviation_K).astype(np.float32) for each in pieces]
        self._counted = [counted(each, settings=settings) for each in pieces]
        self._begins = np.cumsum([0, *map(len, self._x)])

    def __call__(self, step: int) -> Batch:
        """Batch number `step`: windows at random, from each place of the data alike; a function of (seed, step)."""
        rng = np.random.default_rng((self.seed, step))
        pieces = np.searchsorted(self._begins, rng.integers(0, self._begins[-1], self.batch), side="right") - 1
        rows = [(p, int(rng.integers(0, max(1, len(self._x[p]) - self.length + 1)))) for p in pieces.tolist()]
        return self.of(rows)

    def in_order(self, most: int) -> list[Batch]:
        """All windows one after another, up to about `most` steps spread over the pieces."""
        rows = [(p, begin) for p, x in enumerate(self._x) for begin in range(0, len(x) - 1, self.length)]
        keep = max(1, most // self.length)
        rows = rows[:: max(1, -(-len(rows) // keep))]
        return [self.of(rows[n : n + self.batch]) for n in range(0, len(rows), self.batch)]

    def of(self, rows: Sequence[tuple[int, int]]) -> Batch:
        """The batch of windows that begin at (piece, step), padded with 0 at the end."""
        B, T, H = len(rows), self.length, self.steps
        K = self._y[0].shape[1]
        x_BTF = np.zeros((B, T, self._x[0].shape[1]), np.float32)
        y_BTHK, counted_BTHK = np.zeros((B, T, H, K), np.float32), np.zeros((B, T, H, K), bool)
        for b, (p, begin) in enumerate(rows):
            x_TF, y_TK, counted_TK = self._x[p], self._y[p], self._counted[p]
            some_TF = x_TF[begin : begin + T]
            x_BTF[b, : len(some_TF)] = some_TF
            for h in range(1, H + 1):
                ahead = slice(begin + h, begin + h + len(some_TF))
                n = len(y_TK[ahead])
                y_BTHK[b, :n, h - 1], counted_BTHK[b, :n, h - 1] = y_TK[ahead], counted_TK[ahead]
        return Batch(torch.from_numpy(x_BTF), torch.from_numpy(y_BTHK), torch.from_numpy(counted_BTHK))
