"""A model learns the piece at hand: a few gradient steps on a copy of it, on windows of that piece alone.

Only the head moves. With a memory of the piece the trunk has little to learn from it, and all weights at the same rate
make the second halves of pieces less likely; the head alone makes them more likely in every kind of music, in half the
time. The steps are a function of the model, the ids and the seed; AdamW's rate falls from its peak to nothing.

Sources: Krause et al. 2018, "Dynamic evaluation of neural sequence models" (arXiv:1709.07432).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.models import SequenceModel
from musicgen.piece import Piece

__all__ = ["StudySettings", "Studying", "study", "worth_studying"]

FEWEST_STEPS = 48  # of a piece; of less there is nothing to learn that the memory doesn't hold
STEPS_A_UPDATE = 24  # a short piece is seen fewer times, or it would be learned by heart
FEWEST_UPDATES = 4
PAD = 0


@dataclass(frozen=True)
class StudySettings:
    """How pieces are studied: at most `updates` of AdamW at `rate`, falling to 0, on windows of `length` steps."""

    updates: int = 20
    rate: float = 1e-3
    length: int = 512

    def __post_init__(self) -> None:
        if not 0 <= self.updates <= 1000:
            raise UsageError(f"{self.updates} updates of study", hint="give 0 to 1000")

    def updates_for(self, steps: int) -> int:
        """How many updates music of so many steps bears."""
        return min(self.updates, max(FEWEST_UPDATES, steps // STEPS_A_UPDATE)) if steps >= FEWEST_STEPS else 0


@dataclass(frozen=True)
class Studying:
    """What a model studies before it goes on: by at most `updates` steps, 0 for not at all.

    `whole` takes in what lies behind the cut, `also` are other pieces. `on_update` hears how many of how many are done.
    """

    updates: int = StudySettings.updates
    whole: bool = False
    also: tuple[Piece, ...] = ()
    on_update: Callable[[int, int], None] = lambda done, of: None


def worth_studying(pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Those of `pieces`, ids of each, that are long enough to learn from."""
    return [ids for ids in pieces if len(ids) >= FEWEST_STEPS]


def study(
    model: SequenceModel,
    pieces: Sequence[np.ndarray],
    *,
    settings: StudySettings,
    seed: int = 0,
    first: float = 0.0,
    on_update: Callable[[], None] = lambda: None,
) -> SequenceModel:
    """A copy of `model`, in evaluation mode, that has learned from `pieces`: ids of each from its beginning.

    Longer pieces are looked at more often; a share `first` of the looks is the first one's, so that a shelf of songs
    doesn't crowd out the one in hand. The model itself where there is too little to learn from.
    """
    pieces = worth_studying(pieces)
    updates = settings.updates_for(sum(len(ids) for ids in pieces))
    if not updates:
        return model
    learner = copy.deepcopy(model).train()
    for parameter in learner.parameters():
        parameter.requires_grad_(False)
    moved = [parameter.requires_grad_(True) for parameter in learner.head_parameters()]
    optimizer = torch.optim.AdamW(moved, lr=settings.rate, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    ends = np.cumsum([len(ids) for ids in pieces])
    device = next(learner.parameters()).device
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        for update in range(updates):
            own = bool(first) and rng.random() < first
            where = 0 if own else int(rng.integers(ends[-1]))
            piece = pieces[int(np.searchsorted(ends, where, side="right"))]
            begin = int(rng.integers(max(1, len(piece) - settings.length)))
            past, window = piece[:begin], piece[begin : begin + settings.length + 1]
            ids = torch.from_numpy(window.astype(np.int64))[None].to(device)
            state = learner.recalling([torch.from_numpy(past.astype(np.int64))]) if learner.recalls else None
            nats, _ = learner.nats(ids[:, :-1], ids[:, 1:], state, pad=PAD)
            optimizer.zero_grad(set_to_none=True)
            (nats.sum() / (ids[:, 1:] != PAD).sum().clamp(min=1)).backward()
            torch.nn.utils.clip_grad_norm_(moved, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * (1 - update / updates)
            optimizer.step()
            on_update()
    return learner.eval()
