"""Which notes of the source a translator looks at while it writes each step of the target.

Shapes: M target steps, N notes of the source, S = 1 + N source steps, H heads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from musicgen.models.tasks.translator import Translator
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.examples import batch_of
from musicgen.tasks.translate.pairs import Pair, in_c

__all__ = ["Alignment", "align"]


class Alignment(NamedTuple):
    """weights_MS of the mean over heads, before the decoder's body and behind it; column 0 is the beginning.

    `inside` and `even` are shares of the weight behind the body (`inside_before`: before it) that fall on notes that
    sound within their step: as it is, and if all notes weighed the same.
    """

    before_MS: np.ndarray
    behind_MS: np.ndarray
    inside_before: float
    inside: float
    even: float


@torch.no_grad()
def align(model: Translator, pair: Pair) -> Alignment | None:
    """The alignment while the model reads a pair, at most as many bars as it has learned; None for a model without
    attention, or a pair without notes or steps."""
    if not model.task.attention or not len(pair.notes_N3) or not len(pair.steps_M2):
        return None
    device = next(model.parameters()).device
    read, _ = in_c(pair, kind=model.task.pair, moves=model.task.key)
    batch = batch_of([read], Alphabet(model.task.pair, model.task.bars)).to(device)
    model.eval()
    _, _, found = model.decode(batch.inputs, model.encode(batch.source))
    before_MS, behind_MS = (weights_BHTS[0].mean(dim=0).double().cpu().numpy() for weights_BHTS in found)
    sounds_MN = (pair.notes_N3[:, 0] < pair.steps_M2[:, 1:]) & (pair.notes_N3[:, 1] > pair.steps_M2[:, :1])
    inside_before, inside = (float((w[:, 1:] * sounds_MN).sum(axis=1).mean()) for w in (before_MS, behind_MS))
    return Alignment(before_MS, behind_MS, inside_before, inside, float(sounds_MN.mean()))
