"""Small models with a memory, something for them to read, and what they say of one step."""

from __future__ import annotations

import numpy as np
import torch
from part_pieces import PARTS, tune_rows

from musicgen.models import ModelSettings, SequenceModel, build_model
from musicgen.models.layouts import FIELDS

FIRST = [field.first for field in PARTS.fields]
SHAPE = {"width": 16, "layers": 1, "heads": 2, "context": 24}
TWO = ("lstm", "transformer")


def build(family: str, *, train: bool = False, **changes):
    fields = tuple((field.first, field.size) for field in PARTS.fields)
    given = {"vocabulary_size": len(PARTS.vocabulary), "fields": fields, "steps": PARTS.memory, **SHAPE, **changes}
    model = build_model(ModelSettings(family, **given), seed=1)
    if train:
        return model
    with torch.no_grad():  # gates and scores that differ clearly
        generator = torch.Generator().manual_seed(2)
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model.eval()


def music(*seeds: int, steps: int = 70) -> torch.Tensor:
    """ids_BTF: the beginnings of tunes."""
    return torch.from_numpy(np.stack([tune_rows(seed)[:steps] for seed in seeds]))


def score(model: SequenceModel, hidden_BC: torch.Tensor, state, step_BF: torch.Tensor) -> list[torch.Tensor]:
    """logits_BK of every field of the next step, which is `step_BF`."""
    scores, found = model.scores(hidden_BC, state), []
    for field in range(FIELDS):
        found.append(scores.logits_BK(field))
        scores.take(field, step_BF[:, field])
    return found
