"""The validation loss during training: nats per token on fixed windows of the validation split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from musicgen.corpus.store import TokenSource
from musicgen.tokenizers import Tokenizer
from musicgen.training.batch import Batch
from musicgen.training.batches import validation_windows
from musicgen.training.task import Validation

if TYPE_CHECKING:
    from musicgen.training.next_note import NextNoteLearner

__all__ = ["NextNoteValidation"]


class NextNoteValidation(Validation):
    """Validation windows of a corpus, made once.

    `check` is called between batches, while they are made and while they are scored, and may raise.
    """

    def __init__(
        self, source: TokenSource, tokenizer: Tokenizer, learner: NextNoteLearner, *, check: Callable[[], None]
    ) -> None:
        self.learner, self._check = learner, check
        settings = learner.settings
        self.windows: list[Batch] = []
        for batch in validation_windows(
            source,
            tokenizer,
            split="valid",
            length=settings.length,
            batch=settings.batch,
            max_tokens=settings.evaluate_tokens,
        ):
            check()
            self.windows.append(learner.precomputed(batch))
        self.counts = {"valid_tokens": sum(batch.n_steps for batch in self.windows)}

    @torch.no_grad()
    def __call__(self, inverse_temperature: list[tuple[float, ...]]) -> torch.Tensor | None:
        """nats_SF: the mean nats per token, by field, at each of S inverse temperatures; None without any windows."""
        learner, model = self.learner, self.learner.model
        model.eval()
        total_SF = torch.zeros(len(inverse_temperature), len(model.inverse_temperature), dtype=torch.float64)
        for window in self.windows:
            self._check()
            with learner.autocast():
                batch = learner.ready(window)
                nats = learner.scoring.nats_at(
                    model, batch.inputs, batch.targets, batch.state, inverse_temperature=inverse_temperature
                )
            total_SF += torch.stack([part.flatten(0, 1).view(-1, total_SF.shape[1]).sum(0) for part in nats]).cpu()
        tokens = self.counts["valid_tokens"]
        return total_SF / tokens if tokens else None
