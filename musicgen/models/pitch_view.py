"""What each pitch of the keyboard is told of the frames so far, and where ids stand in them; nothing here is learned.

Ranks and layouts are those of `frame_view.py`. Only the keyboard's ranks have lines: A0 to C8, in order.

Shapes: B batch, T time (ids), F frames of these ids, I channels, K ranks of the keyboard.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from musicgen.models.frame_view import NONE, FrameLayout, Memory, Q, ages, places

__all__ = ["CHANNELS", "KEYS", "OUTSIDE", "LineView", "Lines"]

LOWEST, KEYS = 21, 88
OUTSIDE = Q - KEYS  # pitches that no piano has
CHANNELS = 5


@dataclasses.dataclass(frozen=True)
class Lines:
    """What is known after the ids of a batch. Frame 0 is the one that they begin in or with.

    `told_BFIK`, with F one more than the frames that these ids complete: what each line is told before each frame, in
    CHANNELS: whether it sounded in the last one, whether it began there, whether it sounded in the one before that,
    the logarithm of how long it has sounded, and how lately it did, 1 / (1 + frames since). `number_BF` counts frames
    from the piece's beginning. `done_BT` says to which of these frames the next id belongs.
    """

    told_BFIK: Tensor
    number_BF: Tensor
    done_BT: Tensor
    rank_BT: Tensor  # of each id, NONE where it is no pitch
    begun_BQ: Tensor  # what frame 0 had said before these ids
    memory: Memory


class LineView:
    """What lines see of sets of pitches. Memory: `now_BQ`, the frame begun; the last two frames; ages; the number."""

    def __init__(self, layout: FrameLayout) -> None:
        self.layout = layout
        self.first = Q - LOWEST - KEYS if layout.descending else LOWEST  # rank

    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""
        nought_B = torch.zeros(rows, dtype=torch.int64, device=device)
        empty_BQ = torch.zeros(rows, Q, device=device)
        long_BQ = torch.full_like(empty_BQ, 1e6)
        return Memory({
            "now": empty_BQ, "last": empty_BQ, "before": empty_BQ, "age": empty_BQ, "rest": long_BQ, "number": nought_B,
        })  # fmt: skip

    def see(self, ids_BT: Tensor, memory: Memory) -> Lines:
        """What is known before each frame and after each id."""
        past = memory.tensors
        rank_BT = self.layout.ranks(ids_BT)
        closes_BT = ids_BT == self.layout.mark
        done_BT = closes_BT.long().cumsum(1)
        at_BF, there_BF = places(closes_BT)
        count = at_BF.shape[1]
        # Every id adds its rank to the frame that it belongs to; the last frame may be unfinished.
        frames_BFQ = self.rolls(rank_BT, done_BT, past["now"], frames=count + 1)
        now_BQ = frames_BFQ.gather(1, _wide(done_BT[:, -1:]))[:, 0]
        whole_BFQ = frames_BFQ[:, :count] * there_BF[..., None]
        line = torch.cat([past["before"][:, None], past["last"][:, None], whole_BFQ], dim=1)
        last, before = line[:, 1:], line[:, :-1]
        age = ages(whole_BFQ, past["age"])
        rest = ages(1 - whole_BFQ, past["rest"])
        channels = (last, last * (1 - before), before, (1 + age).log2() / 3, last + (1 - last) / (1 + rest))
        keys = slice(self.first, self.first + KEYS)
        number_BF = past["number"][:, None] + torch.arange(count + 1, device=ids_BT.device)
        end_B1 = done_BT[:, -1:]
        kept = {"last": last, "before": before, "age": age, "rest": rest}
        return Lines(
            told_BFIK=torch.stack(channels, dim=2)[..., keys],
            number_BF=number_BF,
            done_BT=done_BT,
            rank_BT=rank_BT,
            begun_BQ=past["now"],
            memory=Memory({
                "now": now_BQ,
                "number": past["number"] + end_B1[:, 0],
                **{name: rolls.gather(1, _wide(end_B1))[:, 0] for name, rolls in kept.items()},
            }),
        )  # fmt: skip

    def rolls(self, rank_BT: Tensor, frame_BT: Tensor, begun_BQ: Tensor, *, frames: int) -> Tensor:
        """(B, frames, Q): 1 at each rank that its frame says, the first of them beside what it had said before."""
        cell_BT = frame_BT * (Q + 1) + rank_BT
        flat = begun_BQ.new_zeros(len(rank_BT), frames * (Q + 1)).scatter(1, cell_BT, 1.0)
        rolls_BFQ = flat.view(-1, frames, Q + 1)[..., :NONE]
        return torch.cat([(rolls_BFQ[:, :1] + begun_BQ[:, None]).clamp(max=1), rolls_BFQ[:, 1:]], dim=1)


def _wide(at_BN: Tensor) -> Tensor:
    return at_BN[..., None].expand(-1, -1, Q)
