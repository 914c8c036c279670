"""Study: fine-tunes a copy of a model on the piece to be continued, with a few gradient steps (dynamic evaluation).

Only the head is trained, so the trunk has to read each window only once. With a memory of the piece the trunk has
little to gain, and training all weights at one rate makes the second halves of some pieces less likely. At the end the
head's weights are interpolated between those before and after training: this preserves previous knowledge, and no kind
of music gets worse. The result is a function of the model, the ids and the seed; AdamW's rate falls from its peak to 0.

Sources: Krause et al. 2018, "Dynamic evaluation of neural sequence models" (arXiv:1709.07432); Wortsman et al. 2022,
"Robust fine-tuning of zero-shot models" (arXiv:2109.01903: weights between those before and those after).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.events import Began, Finished, Listener, Progress, ignore
from musicgen.models import SequenceModel
from musicgen.piece import Piece
from musicgen.schemas import in_range, typed
from musicgen.scoring import Scoring
from musicgen.training.batch import Batch
from musicgen.training.objectives import NextSteps

__all__ = ["StudySettings", "Studying", "study", "worth_studying"]

FEWEST_STEPS = 48  # of a piece; a shorter one has nothing to learn that the memory doesn't hold
STEPS_A_UPDATE = 16  # steps of music per update, so that short pieces are not overfitted
FEWEST_UPDATES = 4


@dataclass(frozen=True)
class StudySettings:
    """Settings of study: at most `updates` AdamW updates with learning rate `rate`, falling to 0, on `rows` steps each.

    `windows` windows of up to `length` steps are read of the first piece, and three times as many of the others. `kept`
    is the weight of the trained head in the final interpolation with the original one.
    """

    updates: int = 40
    rate: float = 3e-4
    rows: int = 256
    windows: int = 3
    length: int = 1024
    kept: float = 0.65

    def __post_init__(self) -> None:
        typed(self, where="study")
        if not 0 <= self.updates <= 1000:
            raise UsageError(f"{self.updates} updates of study", hint="give 0 to 1000")
        in_range(self, {"rows": (1, 2**16), "windows": (1, 2**10), "length": (2, 2**16)}, where="study")

    def updates_for(self, steps: int) -> int:
        """The number of updates for music of `steps` steps; 0 if there are fewer than FEWEST_STEPS."""
        return min(self.updates, max(FEWEST_UPDATES, steps // STEPS_A_UPDATE)) if steps >= FEWEST_STEPS else 0


@dataclass(frozen=True)
class Studying:
    """What a model is fine-tuned on before it samples, with at most `updates` updates; 0 disables it.

    `whole` includes the music after the cut, `also` are further pieces.

    >>> Studying(updates=0)
    Studying(updates=0, whole=False, also=())
    """

    updates: int = StudySettings.updates
    whole: bool = False
    also: tuple[Piece, ...] = ()

    def __post_init__(self) -> None:
        typed(self, where="study")


def worth_studying(pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Those of `pieces` (arrays of ids) that have at least FEWEST_STEPS steps."""
    return [ids for ids in pieces if len(ids) >= FEWEST_STEPS]


def study(
    model: SequenceModel,
    pieces: Sequence[np.ndarray],
    *,
    scoring: Scoring,
    settings: StudySettings,
    seed: int = 0,
    first: float = 0.0,
    listener: Listener = ignore,
) -> SequenceModel:
    """A copy of `model`, in evaluation mode, fine-tuned on `pieces`: the ids of each from its beginning.

    `scoring` is that of the model's tokenizer, on the model's device.

    Each update draws a window in proportion to its length. A share `first` of the updates draws from the first piece
    only, so that many other pieces don't outweigh it. `listener` gets an event after each update. Returns the model
    itself if there is too little to learn from.
    """
    pieces = worth_studying(pieces)
    updates = settings.updates_for(sum(len(ids) for ids in pieces))
    if not updates:
        return model
    listener(Began("study", "update", updates))
    rng = np.random.default_rng(seed)
    learner = copy.deepcopy(model).eval()
    for parameter in learner.parameters():
        parameter.requires_grad_(False)
    moved = [parameter.requires_grad_(True) for parameter in learner.step_head.parameters()]
    before = [parameter.detach().clone() for parameter in moved]
    objective = NextSteps(learner, scoring)
    optimizer = torch.optim.AdamW(moved, lr=settings.rate, weight_decay=0.0)
    with torch.inference_mode(False), torch.enable_grad():
        own = [_read(objective, *window) for window in _windows(pieces[0], settings.windows, settings, rng)]
        others = [_read(objective, *window) for window in _drawn(pieces[1:], 3 * settings.windows, settings, rng)]
        for update in range(updates):
            shelf = own if first and rng.random() < first else own + others
            sizes = np.cumsum([window.inputs.shape[1] for window in shelf])
            window = shelf[int(np.searchsorted(sizes, rng.integers(sizes[-1]), side="right"))]
            places = torch.from_numpy(rng.integers(window.inputs.shape[1], size=settings.rows))
            batch = window.at(places.to(window.inputs.device), scoring)
            optimizer.zero_grad(set_to_none=True)
            objective(batch).mean.backward()
            torch.nn.utils.clip_grad_norm_(moved, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * (1 - update / updates)
            optimizer.step()
            listener(Progress(update + 1, updates, "update"))
        with torch.no_grad():
            torch._foreach_lerp_(moved, before, 1 - settings.kept)
    listener(Finished("study"))
    return learner.eval()


def _windows(
    ids: np.ndarray, most: int, settings: StudySettings, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ids before it, window) of up to `most` windows with disjoint targets: the last one, and random others."""
    ends = np.arange(len(ids), 1, -settings.length)
    chosen = ends[:1].tolist() + rng.permutation(ends[1:])[: most - 1].tolist()
    begins = [max(0, end - 1 - settings.length) for end in chosen]
    return [(ids[:begin], ids[begin:end]) for begin, end in zip(begins, chosen, strict=True)]


def _drawn(
    pieces: Sequence[np.ndarray], most: int, settings: StudySettings, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """`most` randomly chosen windows of several pieces, or all if there are fewer."""
    windows = [window for ids in pieces for window in _windows(ids, len(ids), settings, rng)]
    return [windows[n] for n in rng.permutation(len(windows))[:most]]


@torch.no_grad()
def _read(objective: NextSteps, past: np.ndarray, window: np.ndarray) -> Batch:
    """A window that the trunk has read, after the ids before it."""
    model = objective.model
    batch = Batch.of(window.astype(np.int64)[None], objective.scoring, pasts=(past,))
    batch = batch.to(next(model.parameters()).device)
    reading, _ = model.head_inputs(batch.inputs, model.recalling(batch.past_ids()), targets=batch.targets)
    return replace(batch, reading=reading)
