"""What training measures itself by: nats a token on fixed windows of the validation split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from musicgen.models.heads.following import scored_targets
from musicgen.tokenizers import Tokenizer
from musicgen.training.batches import TokenSource, validation_windows
from musicgen.training.step import Learner, count_steps, recalled

__all__ = ["Validation"]


class Validation:
    """The windows of a corpus's validation split, made once; `tokens` are so many steps of them as are scored.

    `check` is called between one batch and the next, while they are made and measured, and may raise.
    """

    def __init__(self, source: TokenSource, tokenizer: Tokenizer, learn: Learner, *, check: Callable[[], None]) -> None:
        self.learn, self._check = learn, check
        settings, pad = learn.settings, learn.pad
        tell = learn.model.foretelling()
        self.windows: list[tuple[Any, ...]] = []
        for inputs, targets, pasts in validation_windows(
            source,
            split="valid",
            length=settings.length,
            batch=settings.batch,
            max_tokens=settings.evaluate_tokens,
            pad=pad,
            period=tokenizer.period,
        ):
            check()
            told = tell(inputs, targets, pasts) if tell else None
            self.windows.append((inputs, scored_targets(targets, learn.following_VV, pad=pad), pasts, told))
        self.tokens = sum(count_steps(targets != pad) for _, targets, *_ in self.windows)

    @torch.no_grad()
    def __call__(self, sharpness: list[tuple[float, ...]]) -> torch.Tensor | None:
        """Mean nats a token at each sharpness, nats_SF by field; None without any windows."""
        learn = self.learn
        model, device, pad = learn.model, learn.device, learn.pad
        model.eval()
        total_SF = torch.zeros(len(sharpness), len(model.sharpness), dtype=torch.float64)
        for inputs_BT, targets_BT, pasts, told in self.windows:
            self._check()
            with learn.autocast():
                state = recalled(model, pasts, device) if told is None else told.to(device)
                nats = model.nats_at(
                    inputs_BT.to(device),
                    targets_BT.to(device),
                    state,
                    pad=pad,
                    following_VV=learn.following_VV,
                    sharpness=sharpness,
                )
            total_SF += torch.stack([part.flatten(0, 1).view(-1, total_SF.shape[1]).sum(0) for part in nats]).cpu()
        return total_SF / self.tokens if self.tokens else None
