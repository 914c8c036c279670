"""What a classifier reads: windows of labelled pieces as batches.

In training a batch's windows are drawn at random, each from a piece of its own. To score a piece, its windows cover it
from beginning to end; where it has too many, some that are spread over it.

Shapes: B batch rows, T time steps, F fields of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus, PieceRecord
from musicgen.errors import UnreadableError
from musicgen.recipe import Recipe
from musicgen.tokenizers import Tokenizer
from musicgen.training.batches import augmented, draw_begin

__all__ = ["Draw", "Windows", "windows_over"]


@dataclass(frozen=True)
class Windows:
    """B windows: ids int64 (B, T) or (B, T, F), of which the first lengths_B count; the class and weight of each."""

    ids: Tensor
    lengths_B: Tensor
    classes_B: Tensor
    weights_B: Tensor

    @classmethod
    def of(
        cls, windows: Sequence[np.ndarray], *, pad: int, classes: Sequence[int] = (), weights: Sequence[float] = ()
    ) -> Windows:
        """Windows of different lengths, padded at the end; without classes all are of class 0."""
        longest = max(map(len, windows))
        ids = np.full((len(windows), longest, *windows[0].shape[1:]), pad, np.int64)
        for row, window in zip(ids, windows, strict=True):
            row[: len(window)] = window
        return cls(
            torch.from_numpy(ids),
            torch.tensor([len(window) for window in windows]),
            torch.tensor(classes or [0] * len(windows)),
            torch.tensor(weights or [1.0] * len(windows)),
        )

    def to(self, device: torch.device) -> Self:
        """The windows on a device."""
        return type(self)(*(part.to(device, non_blocking=True) for part in self._parts))

    def pin_memory(self) -> Self:
        """The windows in pinned (page-locked) memory."""
        return type(self)(*(part.pin_memory() for part in self._parts))

    @property
    def _parts(self) -> tuple[Tensor, ...]:
        return self.ids, self.lengths_B, self.classes_B, self.weights_B


class Draw:
    """Draws batch number `step`, a function of (seed, step): windows of the training pieces, augmented.

    Balanced by sampling, each window's class is drawn first, all being equally likely, and then one of its pieces.
    Balanced by weights, pieces are equally likely, and a window counts in proportion to what its class is short of.
    """

    def __init__(
        self, corpus: Corpus, pieces: Sequence[tuple[PieceRecord, int]], tokenizer: Tokenizer, *, recipe: Recipe
    ) -> None:
        if not pieces:
            raise UnreadableError("no training piece has a label", where=corpus.folder, hint="give other `labels`")
        self.corpus, self.pieces, self.tokenizer, self.recipe = corpus, pieces, tokenizer, recipe
        self.balance = recipe.task.get("balance", "sampling")
        of_class: dict[int, list[int]] = {}
        for place, (_, number) in enumerate(pieces):
            of_class.setdefault(number, []).append(place)
        self.of_class = [of_class[number] for number in sorted(of_class)]
        self.weight = {number: len(pieces) / (len(of_class) * len(places)) for number, places in of_class.items()}

    def __call__(self, step: int) -> Windows:
        settings = self.recipe.train
        rng = np.random.default_rng((settings.seed, step))
        windows, classes = [], []
        for _ in range(settings.batch):
            if self.balance == "sampling":
                places = self.of_class[int(rng.integers(len(self.of_class)))]
                record, number = self.pieces[places[int(rng.integers(len(places)))]]
            else:
                record, number = self.pieces[int(rng.integers(len(self.pieces)))]
            ids = self.corpus.ids(record)
            begin = draw_begin(ids, self.tokenizer, rng, steps=settings.length)
            window = np.asarray(ids[begin : begin + settings.length])
            # A slower tempo may need more steps of time.
            windows.append(augmented(window, self.tokenizer, self.recipe.augment, rng)[: settings.length])
            classes.append(number)
        weights = [self.weight[number] for number in classes] if self.balance == "weights" else ()
        return Windows.of(windows, pad=self.tokenizer.vocabulary.id("pad"), classes=classes, weights=weights)


def windows_over(ids: np.ndarray, *, length: int, most: int) -> list[np.ndarray]:
    """Windows of at most `length` steps that cover a piece, or `most` of them, spread evenly over it."""
    begins = list(range(0, max(1, len(ids)), length))
    if len(begins) > 1:  # the last is as long as the others, and overlaps the one before
        begins[-1] = len(ids) - length
    return [np.asarray(ids[begins[i] : begins[i] + length]) for i in spread(len(begins), most)]
