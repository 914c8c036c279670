"""Features of each id: the last frames, the current one so far, and the place of the id in it.

A model that reads a frame at a time predicts the next one id by id. The features that its head needs for that, beside
the trunk's hidden state, are computed here from the ids alone; nothing in this file is learned.

Pitches are counted by rank: 127 - pitch in descending frames and the pitch itself in ascending ones, so that the
ranks of a frame ascend. Rank 128 stands for no pitch: the end of a frame, a rest, or nothing there.

Shapes: B batch, T time (ids), F frames, Q = 128 ranks, S voices, X numbers that describe a frame.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen.models.frames import recall
from musicgen.models.layouts import FrameLayout

__all__ = ["Memory", "Seen", "Sight", "View", "ages", "confidences", "from_ranks", "parallel", "places", "ranks_of"]

Q = 128
NONE = 128
BLANK = 129  # no id there yet
BEAT = 16  # frames are counted modulo this
MOST_CONFIDENT = (
    8  # the highest level of confidence in a recalled frame: level n is for matches of about 2^(n-1) changes
)


def ranks_of(layout: FrameLayout, ids: Tensor) -> Tensor:
    """The rank of each id; NONE for ids that are not pitches."""
    pitch = ids - layout.pitch
    rank = Q - 1 - pitch if layout.descending else pitch
    return torch.where((pitch >= 0) & (pitch < Q), rank, NONE)


def from_ranks(layout: FrameLayout, scores: Tensor, size: int) -> Tensor:
    """Scores (..., Q + 1) of the ranks and the mark as scores (..., V) of all ids; -10,000 for all others."""
    result = scores.new_full((*scores.shape[:-1], size), -1e4)
    pitches = scores[..., :Q].flip(-1) if layout.descending else scores[..., :Q]
    result[..., layout.pitch : layout.pitch + Q] = pitches
    result[..., layout.mark] = scores[..., Q]
    return result


@dataclasses.dataclass(frozen=True)
class Memory:
    """What a view needs of the earlier ids to see the next ones: tensors (B, ...) by name, one row per piece."""

    tensors: dict[str, Tensor]

    @classmethod
    def of_rows(cls, rows: Sequence[Self]) -> Self:
        """The memory of a batch from its rows'. Tensors with one column per frame are padded with 0 in front."""
        tensors = {}
        for name in rows[0].tensors:
            parts = [row.tensors[name] for row in rows]
            most = max(part.shape[1] for part in parts) if parts[0].ndim > 1 else 0
            tensors[name] = torch.cat([
                F.pad(part, (0, 0) * (part.ndim - 2) + (most - part.shape[1], 0)) if part.ndim > 1 else part
                for part in parts
            ])  # fmt: skip
        return cls(tensors)

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(self, tensors={k: v[rows_B.to(v.device)] for k, v in self.tensors.items()})


@dataclasses.dataclass(frozen=True)
class Sight:
    """A view's features after each id of a batch.

    `categories` are integers (B, T) below `View.categories[name]`; `windows` are piano rolls (B, T, Q), each with the
    rank (B, T) on which the head centres it; `references` are ranks (B, T) from which the head counts intervals.
    """

    ids_BT: Tensor
    categories: dict[str, Tensor]
    windows: dict[str, tuple[Tensor, Tensor]]
    references: dict[str, Tensor]

    def map(self, change: Callable[[Tensor], Tensor]) -> Sight:
        """A copy with `change` applied to every tensor."""
        return Sight(
            change(self.ids_BT),
            {name: change(x) for name, x in self.categories.items()},
            {name: (change(roll), change(rank)) for name, (roll, rank) in self.windows.items()},
            {name: change(x) for name, x in self.references.items()},
        )

    def select(self, rows_B: Tensor) -> Sight:
        return self.map(lambda x: x[rows_B.to(x.device)])


@dataclasses.dataclass(frozen=True)
class Seen(Sight):
    """A `Sight`, the frames that the ids complete, and the memory after them."""

    frames_BFX: Tensor  # the frames that these ids complete, as the trunk's inputs; shorter rows end in 0
    done_BT: Tensor  # how many of these frames are complete after each id
    memory: Memory


class View(ABC):
    """Computes features of the ids of one encoding of frames. `categories` are the sizes of those in `Sight`."""

    categories: dict[str, int]
    windows: tuple[str, ...]
    references: tuple[str, ...]
    width: int  # X

    def __init__(self, layout: FrameLayout) -> None:
        self.layout = layout
        self.recalled = tuple(f"recalled{place}" for place in range(recall.PLACES))
        self.of_recalled = dict.fromkeys(self.recalled, Q + 1) | {
            f"confidence{k}": MOST_CONFIDENT + 1 for k in range(recall.PLACES)
        }

    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""
        nought_B = torch.zeros(rows, dtype=torch.int64, device=device)
        recalled = recall.begin(rows, self.layout.voices or 1, Q, device)
        return Memory(self._begin(nought_B) | recalled)

    def opening(self, rows: int, device: torch.device) -> Tensor:
        """begin_B1X, the trunk's input that marks the beginning of a piece."""
        begin_B1X = torch.zeros(rows, 1, self.width, device=device)
        begin_B1X[..., -1] = 1
        return begin_B1X

    @abstractmethod
    def _begin(self, nought_B: Tensor) -> dict[str, Tensor]: ...

    @abstractmethod
    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> Seen:
        """The features after each id. `skims`, for the first ids of a piece, leaves recalled frames empty."""

    def _frame_vectors(self, parts_BFX: Tensor, number_BF: Tensor) -> Tensor:
        """(B, F, X): the notes of frames, their place in the beat, and a column of 0 (1 in `opening`)."""
        beat = F.one_hot(number_BF % BEAT, BEAT).float()
        return F.pad(torch.cat([parts_BFX, beat], dim=-1), (0, 1))


def confidences(confidence_BFR: Tensor, done_BT: Tensor) -> dict[str, Tensor]:
    """The confidence in each recalled frame after each id, as a category up to SUREST."""
    level_BFR = (4 * confidence_BFR).round().long().clamp(max=MOST_CONFIDENT)
    return {f"confidence{k}": level_BFR[..., k].gather(1, done_BT) for k in range(recall.PLACES)}


def ages(frames_BFQ: Tensor, before_BQ: Tensor) -> Tensor:
    """(B, 1 + F, Q): for how many frames each rank has sounded without a break, before these frames and after each."""
    number = torch.arange(1, frames_BFQ.shape[1] + 1, device=before_BQ.device)[:, None]
    broken = torch.where(frames_BFQ > 0, 0, number).cummax(1).values if frames_BFQ.shape[1] else frames_BFQ
    ages = number - broken + torch.where(broken == 0, before_BQ[:, None], 0)
    return torch.cat([before_BQ[:, None], ages], dim=1)


def parallel(own_BT: Tensor, was_BT: Tensor, now_BT: Tensor) -> Tensor:
    """The rank that a voice would reach in parallel motion: its own rank shifted by another voice's last interval.

    NONE where the other voice hasn't moved, either voice rests, or the result is outside the range of ranks.
    """
    beside_BT = own_BT + now_BT - was_BT
    both = torch.stack([own_BT, was_BT, now_BT]).amax(0) < NONE
    there = both & (now_BT != was_BT) & (beside_BT >= 0) & (beside_BT < Q)
    return torch.where(there, beside_BT, NONE)


def places(ends_BT: Tensor) -> tuple[Tensor, Tensor]:
    """at_BF, the indices at which the frames of each row end, and there_BF, which of them are valid."""
    count_B = ends_BT.sum(1)
    most = int(count_B.max())
    at_BF = torch.argsort((~ends_BT).to(torch.uint8), dim=1, stable=True)[:, :most]
    return at_BF, torch.arange(most, device=at_BF.device) < count_B[:, None]
