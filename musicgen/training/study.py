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
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from musicgen.errors import UsageError
from musicgen.models.memory.head import Recollection
from musicgen.models.memory.model import MemoryModel
from musicgen.piece import Piece
from musicgen.schemas import in_range, typed

__all__ = ["StudySettings", "Studying", "study", "worth_studying"]

FEWEST_STEPS = 48  # of a piece; a shorter one has nothing to learn that the memory doesn't hold
STEPS_A_UPDATE = 16  # steps of music per update, so that short pieces are not overfitted
FEWEST_UPDATES = 4
PAD = 0


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

    `whole` includes the music after the cut, `also` are further pieces. `on_update(done, of)` reports progress.
    """

    updates: int = StudySettings.updates
    whole: bool = False
    also: tuple[Piece, ...] = ()
    on_update: Callable[[int, int], None] = lambda done, of: None

    def __post_init__(self) -> None:
        typed(self, where="study")


def worth_studying(pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Those of `pieces` (arrays of ids) that have at least FEWEST_STEPS steps."""
    return [ids for ids in pieces if len(ids) >= FEWEST_STEPS]


def study(
    model: MemoryModel,
    pieces: Sequence[np.ndarray],
    *,
    settings: StudySettings,
    seed: int = 0,
    first: float = 0.0,
    on_update: Callable[[], None] = lambda: None,
) -> MemoryModel:
    """A copy of `model`, in evaluation mode, fine-tuned on `pieces`: the ids of each from its beginning.

    Each update draws a window in proportion to its length. A share `first` of the updates draws from the first piece
    only, so that many other pieces don't outweigh it. `on_update` is called after each update. Returns the model itself
    if there is too little to learn from.
    """
    pieces = worth_studying(pieces)
    updates = settings.updates_for(sum(len(ids) for ids in pieces))
    if not updates:
        return model
    rng = np.random.default_rng(seed)
    learner = copy.deepcopy(model).eval()
    for parameter in learner.parameters():
        parameter.requires_grad_(False)
    moved = [parameter.requires_grad_(True) for parameter in learner.step_head.parameters()]
    before = [parameter.detach().clone() for parameter in moved]
    optimizer = torch.optim.AdamW(moved, lr=settings.rate, weight_decay=0.0)
    with torch.inference_mode(False), torch.enable_grad():
        own = [_read(learner, *window) for window in _windows(pieces[0], settings.windows, settings, rng)]
        others = [_read(learner, *window) for window in _drawn(pieces[1:], 3 * settings.windows, settings, rng)]
        for update in range(updates):
            shelf = own if first and rng.random() < first else own + others
            sizes = np.cumsum([targets_BTF.shape[1] for _, targets_BTF in shelf])
            reading, targets_BTF = shelf[int(np.searchsorted(sizes, rng.integers(sizes[-1]), side="right"))]
            places = torch.from_numpy(rng.integers(targets_BTF.shape[1], size=settings.rows)).to(targets_BTF.device)
            targets_BTF = targets_BTF[:, places]
            nats = learner.step_head.nats(reading.at(places), targets_BTF, pad=PAD)
            optimizer.zero_grad(set_to_none=True)
            (nats.sum() / (targets_BTF != PAD).sum().clamp(min=1)).backward()
            torch.nn.utils.clip_grad_norm_(moved, 1.0)
            for group in optimizer.param_groups:
                group["lr"] = settings.rate * (1 - update / updates)
            optimizer.step()
            on_update()
        with torch.no_grad():
            torch._foreach_lerp_(moved, before, 1 - settings.kept)
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
def _read(model: MemoryModel, past: np.ndarray, window: np.ndarray) -> tuple[Recollection, Tensor]:
    ids = torch.from_numpy(window.astype(np.int64))[None].to(next(model.parameters()).device)
    state = model.recalling([torch.from_numpy(past.astype(np.int64))])
    reading, _ = model.head_inputs(ids[:, :-1], state, targets=ids[:, 1:])
    return reading, ids[:, 1:]
