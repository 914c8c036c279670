"""Features of frames that are sets, encoded in strict order, after each id."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen.models.frames import recall
from musicgen.models.frames.view import BEAT, NONE, Memory, Q, Seen, View, ages, confidences, places, ranks_of
from musicgen.models.layouts import FrameLayout

__all__ = ["SetView"]

MOST = 15  # counts of pitches are clipped to this
LAGS = (1, 2, 4, 8)  # earlier frames among the features
TRACES = (0.7, 0.95)  # decay per frame of the running means


class SetView(View):
    """Frames as sets in strict order, each closed by `end`.

    Categories after each id: the `next` rank in the last frame above the one just emitted, and the one `after` that;
    how many ranks this frame has so far (`emitted`), how many the `last` one has, and how many more this one has than
    the last up to the same rank (`ahead`); and the `beat`. Windows, centred on the rank just emitted, or at the
    beginning of a frame on the first of the last frame: this frame so far, the frames at LAGS up to `look_back` and,
    where that is more than 1, for how long each rank has sounded and running means of the past (TRACES). A longer look
    back helps on large corpora; on a few hundred short pieces it leads to overfitting.
    """

    width = 2 * Q + BEAT + 1

    def __init__(self, layout: FrameLayout, look_back: int) -> None:
        super().__init__(layout)
        self.categories = {
            "next": Q + 1,
            "after": Q + 1,
            "emitted": MOST + 1,
            "last": MOST + 1,
            "ahead": 16,
            "beat": BEAT,
            **self.of_recalled,
        }
        self.references = ("next", "emitted", *self.recalled)
        self.lags = tuple(lag for lag in LAGS if lag <= look_back)
        self.far = ("age", *(f"trace{n}" for n in range(len(TRACES)))) if look_back > 1 else ()
        self.windows = ("now", *(f"lag{lag}" for lag in self.lags), *self.far, *self.recalled)

    def _begin(self, nought_B: Tensor) -> dict[str, Tensor]:
        empty_BQ = torch.zeros(len(nought_B), Q, device=nought_B.device)
        many = empty_BQ[:, None].expand(-1, max(self.lags), -1)
        return {"now": empty_BQ, "frames": many, "number": nought_B, **dict.fromkeys(self.far, empty_BQ)}

    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> Seen:
        past = memory.tensors
        rank_BT = ranks_of(self.layout, ids_BT)
        closes_BT = ids_BT == self.layout.mark
        done_BT = closes_BT.long().cumsum(1)
        at_BF, there_BF = places(closes_BT)
        # The current frame is the running sum over ids, with the unfinished frame first, less that at the last close.
        sums = torch.cat([past["now"][:, None], F.one_hot(rank_BT, Q + 1)[..., :Q].float()], dim=1).cumsum(1)
        till = F.pad(sums.gather(1, _wide(at_BF + 1)) * there_BF[..., None], (0, 0, 1, 0))
        now = sums[:, 1:] - till.gather(1, _wide(done_BT))
        frames_BFQ = till.diff(dim=1) * there_BF[..., None]
        line = torch.cat([past["frames"], frames_BFQ], dim=1)
        after = self._after(line, frames_BFQ, past)
        windows = {"now": now, **{name: rolls.gather(1, _wide(done_BT)) for name, rolls in after.items()}}
        if "age" in windows:
            windows["age"] = (1 + windows["age"]).log2() / 3

        recalled_BFIQ, confidence_BFR, recalled = recall.recall(
            frames_BFQ[:, :, None], past, count_B=done_BT[:, -1], skims=skims
        )
        windows |= {name: recalled_BFIQ[:, :, k].gather(1, _wide(done_BT)) for k, name in enumerate(self.recalled)}

        last = windows["lag1"]
        behind_BT = torch.where(rank_BT < NONE, rank_BT, -1)
        next_BT = _first(last, behind_BT)
        emitted_count, last_count = now.sum(-1).long(), last.sum(-1).long()
        ranks = torch.arange(Q, device=ids_BT.device)
        passed = (last * (ranks <= behind_BT[..., None])).sum(-1).long()
        here_BT = torch.where(rank_BT < NONE, rank_BT, next_BT)  # or the last frame's first
        number_BT = past["number"][:, None] + done_BT
        # The trunk reads the frames themselves: the ranks that are new and those that are held over.
        was_BFQ = after["lag1"][:, :-1]
        parts = torch.cat([frames_BFQ * (1 - was_BFQ), frames_BFQ * was_BFQ], dim=-1)
        number_BF = past["number"][:, None] + torch.arange(at_BF.shape[1], device=ids_BT.device)
        # Each row's memory is taken after its own last frame; rows differ in their number of frames.
        end_B1 = done_BT[:, -1:]
        recent = end_B1 + torch.arange(max(self.lags), device=ids_BT.device)
        tensors = {"now": now[:, -1], "frames": line.gather(1, _wide(recent)), "number": number_BT[:, -1]}
        recalled_ranks = {name: _first(windows[name], behind_BT) for name in self.recalled}
        return Seen(
            ids_BT=ids_BT,
            categories={
                **recalled_ranks,
                **confidences(confidence_BFR, done_BT),
                "next": next_BT,
                "after": _first(last, next_BT),
                "emitted": emitted_count.clamp(max=MOST),
                "last": last_count.clamp(max=MOST),
                "ahead": (emitted_count - passed).clamp(-8, 7) + 8,
                "beat": number_BT % BEAT,
            },
            windows={name: (windows[name], here_BT) for name in self.windows},
            references={"next": next_BT, "emitted": rank_BT, **recalled_ranks},
            frames_BFX=self._frame_vectors(parts, number_BF) * there_BF[..., None],
            done_BT=done_BT,
            memory=Memory(
                {**tensors, **recalled, **{name: after[name].gather(1, _wide(end_B1))[:, 0] for name in self.far}}
            ),
        )

    def _after(self, line: Tensor, frames_BFQ: Tensor, past: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rolls of the windows after 0, 1, ... F of these frames, (B, 1 + F, Q) each; `line` has older ones too."""
        older, count = max(self.lags), frames_BFQ.shape[1] + 1
        result = {f"lag{lag}": line[:, older - lag : older - lag + count] for lag in self.lags}
        if self.far:
            result["age"] = ages(frames_BFQ, past["age"])
            for n, keep in enumerate(TRACES):
                result[f"trace{n}"] = _trace(frames_BFQ, past[f"trace{n}"], keep)
        return result


def _wide(at_BN: Tensor) -> Tensor:
    """Time indices (B, N) expanded to (B, N, Q), to gather rolls."""
    return at_BN[..., None].expand(-1, -1, Q)


def _trace(frames_BFQ: Tensor, before_BQ: Tensor, keep: float) -> Tensor:
    """(B, 1 + F, Q): exponential moving averages of the frames, with decay `keep` per frame."""
    number = torch.arange(frames_BFQ.shape[1] + 1, device=before_BQ.device)
    apart = number[:, None] - number[None, 1:]
    weights = torch.where(apart >= 0, (1 - keep) * keep ** apart.clamp(min=0).float(), 0.0)
    return weights @ frames_BFQ + (keep ** number.float())[:, None] * before_BQ[:, None]


def _first(roll_BTQ: Tensor, behind_BT: Tensor) -> Tensor:
    """The first rank of each roll above `behind_BT`, which is -1 for all ranks; NONE where there is none."""
    ranks = torch.arange(Q, device=roll_BTQ.device)
    return torch.where((roll_BTQ > 0) & (ranks > behind_BT[..., None]), ranks, NONE).amin(-1)
