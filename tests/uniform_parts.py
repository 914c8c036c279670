"""A fake model of the tokenizer `parts` with uniform logits, so that only the grammar and the constraints shape music."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch
from part_pieces import PARTS

from musicgen.composer import Composer
from musicgen.models import ModelSettings, SequenceModel


class Uniform(SequenceModel):
    """Every value of a field is as likely as any other, but a bar line likelier, so that bars end."""

    embedding = None

    def __init__(self) -> None:
        super().__init__(ModelSettings("uniform", vocabulary_size=len(PARTS.vocabulary), context=256))
        self.anchor = torch.nn.Parameter(torch.zeros(1))

    def read(self, ids, state=None):
        return torch.zeros(*ids.shape[:2], 1), None

    def scores(self, hidden_BC, state=None):
        def logits_BK(number: int) -> np.ndarray:
            field = PARTS.fields[number]
            logits = torch.zeros(len(hidden_BC), field.size)
            bar = PARTS.vocabulary.id("bar") - field.first
            if 0 <= bar < field.size:
                logits[:, bar] = 2.5
            return logits

        return SimpleNamespace(logits_BK=logits_BK, take=lambda field, ids_B: None)


def composer(tokenizer=PARTS) -> Composer:
    run = SimpleNamespace(
        model=Uniform(), tokenizer=tokenizer, name="fake", sha256="0", folder=None, card={"licence": "none"}
    )
    return Composer(run, device="cpu")
