"""The probabilities of pieces: what a classifier says of their windows, averaged.

Shapes: S inverse temperatures, P pieces, B windows of one batch, K classes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from musicgen.models.tasks.classifier import Classifier
from musicgen.tasks.classify.windows import Windows, windows_over

__all__ = ["Scored", "most_windows"]

BATCH = 32  # windows at once


class Scored:
    """Pieces as windows, made once, whose probabilities can be computed again as the model changes.

    `pieces` are ids, (T,) or (T, F) each; a piece has at most `most` windows of `length` steps. `check` is called
    between batches and may raise.
    """

    def __init__(
        self,
        pieces: Sequence[np.ndarray],
        *,
        length: int,
        pad: int,
        most: int,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._check, self.n_pieces = check, len(pieces)
        parts = [(number, window) for number, ids in enumerate(pieces)
                 for window in windows_over(ids, length=length, most=most)]  # fmt: skip
        parts.sort(key=lambda part: len(part[1]))  # little padding
        self.owners = np.array([number for number, _ in parts], np.int64)
        self.batches = [Windows.of([window for _, window in parts[i : i + BATCH]], pad=pad)
                        for i in range(0, len(parts), BATCH)]  # fmt: skip

    @torch.no_grad()
    def chances(
        self,
        model: Classifier,
        *,
        inverse_temperature: Sequence[tuple[float, ...]] | None = None,
        autocast: Callable[[], Any] = contextlib.nullcontext,
    ) -> np.ndarray:
        """chances_SPK, float64: each piece's mean of its windows' probabilities, at inverse temperatures, by default
        at the model's own."""
        model.eval()
        points = [model.inverse_temperature] if inverse_temperature is None else inverse_temperature
        device = next(model.parameters()).device
        found = []
        for batch in self.batches:
            self._check()
            with autocast():
                logits_BK = (
                    model(batch.ids.to(device), batch.lengths_B.to(device)).float() / model.inverse_temperature[0]
                )
            found.append(torch.stack([(logits_BK * value).softmax(-1) for (value,) in points]).double().cpu().numpy())
        chances_SBK = np.concatenate(found, axis=1)
        total_SPK = np.zeros((len(points), self.n_pieces, chances_SBK.shape[2]))
        for at in range(len(points)):
            np.add.at(total_SPK[at], self.owners, chances_SBK[at])
        mean_SPK: np.ndarray = total_SPK / np.bincount(self.owners, minlength=self.n_pieces)[:, None]
        return mean_SPK


def most_windows(tokens: int, *, length: int, pieces: int) -> int:
    """How many windows of `length` steps each of so many pieces may have, for about `tokens` tokens in all."""
    return max(1, tokens // (length * max(1, pieces)))
