"""Learning from models as well as from music: what teachers together say of each step is what the student is to say.

A mixture of models predicts better than any of them, and costs as much as all. A student that learns the mixture's
chances rather than the one step that came has more to learn from every step, and learns less by heart: chances say what
else might have come.

Shapes: B batch, T time, F fields, K the values of one choice, V vocabulary.

Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network" (arXiv:1503.02531).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from musicgen.models import SequenceModel, State

__all__ = ["Teachers"]


class Teachers:
    """Models of the student's vocabulary, all as loud. `share` of the student's loss is theirs, the rest the music's.

    They read each window by itself, and one step ahead: a student of theirs carries no state and has no horizon.
    """

    def __init__(self, models: Sequence[SequenceModel], student: SequenceModel, *, share: float) -> None:
        device = next(student.parameters()).device
        self.models, self.share = [model.to(device).eval() for model in models], share

    @torch.no_grad()
    def chances(
        self, ids: Tensor, targets: Tensor, pasts: Sequence[Tensor] | None, *, following_VV: Tensor | None
    ) -> list[Tensor]:
        """The mean of what they say, (B, T, K) for each choice that a step is. `pasts` as in `SequenceModel.recalling`,
        None where neither they nor the student are told of any."""
        said = []
        for model in self.models:
            state = model.recalling(pasts) if model.recalls and pasts is not None else None
            choices = model.choices(ids, targets, state, following_VV=following_VV)
            said.append([logits.softmax(-1) for logits in choices])
        return [torch.stack(parts).mean(0) for parts in zip(*said, strict=True)]

    def nats(
        self,
        student: SequenceModel,
        ids: Tensor,
        targets: Tensor,
        state: State | None,
        pasts: Sequence[Tensor] | None,
        *,
        pad: int,
        following_VV: Tensor | None,
    ) -> Tensor:
        """nats_BT or nats_BTF of the student, expected over what teachers and the music say comes next."""
        chances = self.chances(ids, targets, pasts, following_VV=following_VV)
        choices = student.choices(ids, targets, state, following_VV=following_VV)
        fields = student.settings.fields
        by_field = targets.unbind(-1) if fields else (targets,)
        firsts = [first for first, _ in fields] or [0]
        parts = []
        for logits, told, target_BT, first in zip(choices, chances, by_field, firsts, strict=True):
            came_BT1 = (target_BT - first).clamp(0, told.shape[-1] - 1)[..., None]
            told = (self.share * told).scatter_add(2, came_BT1, told.new_full(came_BT1.shape, 1 - self.share))
            logs = logits.log_softmax(-1).masked_fill(told == 0, 0)
            parts.append(-(told * logs).sum(-1))
        nats = torch.stack(parts, dim=-1) if fields else parts[0]
        return nats.masked_fill(targets == pad, 0)
