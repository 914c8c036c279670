"""What each pitch of the keyboard is told of the frames so far, and where ids stand in them; nothing here is learned.

Ranks and layouts are those of `view.py`. Only the keyboard's ranks have lines: A0 to C8, in order.

Shapes: B batch, T time (ids), F frames of these ids, I channels, K ranks of the keyboard.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen.models.frames import recall
from musicgen.models.frames.view import BLANK, NONE, Memory, Q, ages, parallel, places, ranks_of
from musicgen.models.layouts import FrameLayout

__all__ = ["KEYS", "OUTSIDE", "LineView", "Lines", "SetLineView", "SetLines", "VoiceLineView", "VoiceLines"]

LOWEST, KEYS = 21, 88
OUTSIDE = Q - KEYS  # pitches that no piano has
LONG = 1e6  # frames


@dataclasses.dataclass(frozen=True)
class Lines:
    """What is known after the ids of a batch. Frame 0 is the one that they begin in or with.

    `told_BFIK`, with F one more than the frames that these ids complete: what each line is told before each frame, in
    channels, of which the first says whether it sounded in the last one. `sure_BFR` says how sure the recalled frames
    among them are. `number_BF` counts frames from the piece's beginning. `done_BT` says to which of these frames the
    next id belongs.
    """

    told_BFIK: Tensor
    sure_BFR: Tensor
    number_BF: Tensor
    done_BT: Tensor
    memory: Memory


@dataclasses.dataclass(frozen=True)
class SetLines(Lines):
    """Of sets: the rank of each id, NONE where it is no pitch, and what frame 0 had said before these ids."""

    rank_BT: Tensor
    begun_BQ: Tensor


@dataclasses.dataclass(frozen=True)
class VoiceLines(Lines):
    """Of voices: where each id stands, for the one whose turn is next; see `VoiceLineView.places`."""

    turn_BT: Tensor
    held_BT: Tensor
    rested_BT: Tensor
    moves_BT: Tensor
    from_BTR: Tensor


class LineView(ABC):
    """What lines see of frames."""

    channels: int  # I

    def __init__(self, layout: FrameLayout) -> None:
        self.layout = layout
        self.first = Q - LOWEST - KEYS if layout.descending else LOWEST  # rank

    @abstractmethod
    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""

    @abstractmethod
    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> Lines:
        """What is known before each frame and after each id; what `skims`, the first ids of one piece, leaves out is
        what is recalled."""

    @abstractmethod
    def places(self, lines: Any, part: slice) -> Memory:
        """Where some of the ids stand in their frames, by name: what a head is to know of that."""


class SetLineView(LineView):
    """What lines see of sets of pitches.

    They are told whether they sounded in the last frame, whether they began there, whether they sounded in the one
    before that, the logarithm of how long they have sounded, how lately they did, 1 / (1 + frames since), and what is
    recalled.
    """

    channels = 5 + recall.PLACES

    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""
        nought_B = torch.zeros(rows, dtype=torch.int64, device=device)
        empty_BQ = torch.zeros(rows, Q, device=device)
        long_BQ = torch.full_like(empty_BQ, LONG)
        return Memory({
            "now": empty_BQ, "last": empty_BQ, "before": empty_BQ, "age": empty_BQ, "rest": long_BQ, "number": nought_B,
            **recall.begin(rows, 1, KEYS, device),
        })  # fmt: skip

    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> SetLines:
        """What is known before each frame and after each id."""
        past = memory.tensors
        rank_BT = ranks_of(self.layout, ids_BT)
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
        recalled_BFIK, sure_BFR, recalled = recall.recall(whole_BFQ[:, :, None, keys], past, skims=skims)
        told_BFIK = torch.cat([torch.stack(channels, dim=2)[..., keys], recalled_BFIK], dim=2)
        number_BF = past["number"][:, None] + torch.arange(count + 1, device=ids_BT.device)
        end_B1 = done_BT[:, -1:]
        kept = {"last": last, "before": before, "age": age, "rest": rest}
        return SetLines(
            told_BFIK=told_BFIK,
            sure_BFR=sure_BFR,
            number_BF=number_BF,
            done_BT=done_BT,
            rank_BT=rank_BT,
            begun_BQ=past["now"],
            memory=Memory({
                "now": now_BQ,
                "number": past["number"] + end_B1[:, 0],
                **{name: rolls.gather(1, _wide(end_B1))[:, 0] for name, rolls in kept.items()},
                **recalled,
            }),
        )  # fmt: skip

    def places(self, lines: SetLines, part: slice) -> Memory:
        """Where some of the ids stand: `rank` (B, T), NONE where an id is no pitch; the keys that its frame has `said`
        so far (B, T, K), and those that sounded in the `last` one.
        """
        rank_BT, done_BT = lines.rank_BT[:, part], lines.done_BT[:, part]
        row_B1 = torch.arange(len(rank_BT), device=rank_BT.device)[:, None]
        roll_BFQ = self.rolls(lines.rank_BT, lines.done_BT, lines.begun_BQ, frames=lines.told_BFIK.shape[1])
        behind_BTQ = torch.arange(Q, device=rank_BT.device) > torch.where(rank_BT < Q, rank_BT, -1)[..., None]
        keys = slice(self.first, self.first + KEYS)
        said_BTK = (roll_BFQ[row_B1, done_BT] * ~behind_BTQ)[..., keys]
        return Memory({"rank": rank_BT, "said": said_BTK, "last": lines.told_BFIK[row_B1, done_BT, 0]})

    def rolls(self, rank_BT: Tensor, frame_BT: Tensor, begun_BQ: Tensor, *, frames: int) -> Tensor:
        """(B, frames, Q): 1 at each rank that its frame says, the first of them beside what it had said before."""
        cell_BT = frame_BT * (Q + 1) + rank_BT
        flat = begun_BQ.new_zeros(len(rank_BT), frames * (Q + 1)).scatter(1, cell_BT, 1.0)
        rolls_BFQ = flat.view(-1, frames, Q + 1)[..., :NONE]
        return torch.cat([(rolls_BFQ[:, :1] + begun_BQ[:, None]).clamp(max=1), rolls_BFQ[:, 1:]], dim=1)


class VoiceLineView(LineView):
    """What lines see of a fixed number of voices.

    They are told whether they sounded in the last frame, how lately they did, the logarithm of how long, of each voice
    whether it was there and whether it came there in that frame, and what is recalled.
    """

    def __init__(self, layout: FrameLayout) -> None:
        super().__init__(layout)
        self.voices = layout.voices
        self.channels = 3 + 2 * self.voices + recall.PLACES * self.voices
        # Of places: own, own before, others' of either way, and where each would be run parallel with.
        self.kinds = 3 * self.voices - 1

    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""
        nought_B = torch.zeros(rows, dtype=torch.int64, device=device)
        blank_BS = nought_B[:, None].expand(-1, self.voices) + BLANK
        return Memory({
            "tail": torch.cat([blank_BS, blank_BS], dim=1),
            "frame": blank_BS,
            "melody": blank_BS,
            "held": torch.zeros_like(blank_BS),
            "rest": torch.full((rows, Q), LONG, device=device),
            "said": nought_B,
            "number": nought_B,
            **recall.begin(rows, self.voices, KEYS, device),
        })  # fmt: skip

    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> VoiceLines:
        """What is known before each frame and after each id."""
        S, T, past = self.voices, ids_BT.shape[1], memory.tensors
        is_voice_BT = (ids_BT >= self.layout.pitch) & (ids_BT < self.layout.pitch + Q) | (ids_BT == self.layout.mark)
        rank_BT = torch.where(is_voice_BT, ranks_of(self.layout, ids_BT), BLANK)
        line = torch.cat([past["tail"], rank_BT], dim=1)  # of each row, from 2 S ids before
        said_BT = past["said"][:, None] + is_voice_BT.long().cumsum(1)
        turn_BT, done_BT = said_BT % S, said_BT // S
        at_BF, there_BF = places(is_voice_BT & (turn_BT == 0))
        frames_BFS = line.gather(
            1, (at_BF[..., None] + 2 * S - torch.arange(S - 1, -1, -1, device=line.device)).flatten(1)
        )
        frames_BFS = frames_BFS.view(len(line), -1, S)
        # After 0, 1, ... F of these frames: what voices say, since when, and what they said before that.
        frame_BFS = torch.cat([past["frame"][:, None], frames_BFS], dim=1)
        number = torch.arange(frame_BFS.shape[1], device=line.device)[:, None]
        moved_BFS = F.pad(frame_BFS[:, 1:] != frame_BFS[:, :-1], (0, 0, 1, 0))
        since_BFS = torch.where(moved_BFS, number, 0).cummax(1).values
        before_BFS = frame_BFS.gather(1, (since_BFS - 1).clamp(min=0))
        melody_BFS = torch.where(since_BFS > 0, before_BFS, past["melody"][:, None])
        held_BFS = number - since_BFS + torch.where(since_BFS > 0, 0, past["held"][:, None])

        keys = slice(self.first, self.first + KEYS)
        on_BFSQ = F.one_hot(frame_BFS, BLANK + 1)[..., :Q].float()
        new_BFSQ = on_BFSQ[:, 1:] * there_BF[..., None, None]
        recalled_BFIK, sure_BFR, recalled = recall.recall(new_BFSQ[..., keys], past, skims=skims)
        any_BFQ = on_BFSQ.amax(2)
        rest_BFQ = ages(1 - any_BFQ[:, 1:] * there_BF[..., None], past["rest"])
        long_BFQ = (on_BFSQ * ((1 + held_BFS).log2() / 4)[..., None]).amax(2)
        came_BFSQ = on_BFSQ * (held_BFS == 0)[..., None]
        alone = torch.stack([any_BFQ, any_BFQ + (1 - any_BFQ) / (1 + rest_BFQ), long_BFQ], dim=2)

        row_B1 = torch.arange(len(line), device=line.device)[:, None]
        own_BT, own_before_BT = frame_BFS[row_B1, done_BT, turn_BT], melody_BFS[row_B1, done_BT, turn_BT]
        from_ = [self._place(turn_BT, 0, own_BT), self._place(turn_BT, 1, own_before_BT)]
        moves_BT = torch.zeros_like(turn_BT)
        for lag in range(1, S):  # of the voice that many ids ago, in this frame or the last
            back, was = (line[:, 2 * S + 1 - n : 2 * S + 1 - n + T] for n in (lag, lag + S))
            moved = (turn_BT >= lag) & (back != was)
            from_.append(self._place(turn_BT, 2 * lag + moved.long(), back))
            beside_BT = torch.where(turn_BT >= lag, parallel(own_BT, was, back), NONE)
            from_.append(self._place(turn_BT, 2 * S + lag - 1, beside_BT))
            if lag <= 3:
                moves_BT = moves_BT + moved.long() * 2 ** (lag - 1)
        end_B = done_BT[:, -1]
        rows_B = row_B1[:, 0]
        return VoiceLines(
            told_BFIK=torch.cat([torch.cat([alone, on_BFSQ, came_BFSQ], dim=2)[..., keys], recalled_BFIK], dim=2),
            sure_BFR=sure_BFR,
            number_BF=past["number"][:, None] + number[:, 0],
            done_BT=done_BT,
            turn_BT=turn_BT,
            held_BT=held_BFS[row_B1, done_BT, turn_BT],
            rested_BT=(own_BT >= NONE).long(),
            moves_BT=moves_BT,
            from_BTR=torch.stack(from_, dim=2),
            memory=Memory({
                "tail": line[:, -2 * S :],
                "frame": frame_BFS[rows_B, end_B],
                "melody": melody_BFS[rows_B, end_B],
                "held": held_BFS[rows_B, end_B],
                "rest": rest_BFQ[rows_B, end_B],
                "said": turn_BT[:, -1],
                "number": past["number"] + end_B,
                **recalled,
            }),
        )  # fmt: skip

    def places(self, lines: VoiceLines, part: slice) -> Memory:
        """Where some of the ids stand, of the voice whose turn is next after each.

        `turn` is its number, `held` for how many frames it has kept its rank, `rested` whether that is a rest, and
        `moves` which of the three voices before it in this frame have moved, a bit each; (B, T) all of them. `from`
        (B, T, R) are ranks that count from: the one it had, the one before that, those of the other voices, in this
        frame or the last, and for each that has moved in this one the rank to which the same move would bring this
        voice: where it would run in parallel, which in fifths and octaves is what chorales avoid. The number is
        (turn * kinds + kind) * (KEYS + 1) + key, where the last key is none.
        """
        return Memory({
            "turn": lines.turn_BT[:, part],
            "held": lines.held_BT[:, part],
            "rested": lines.rested_BT[:, part],
            "moves": lines.moves_BT[:, part],
            "from": lines.from_BTR[:, part],
        })  # fmt: skip

    def _place(self, turn_BT: Tensor, kind: Tensor | int, rank_BT: Tensor) -> Tensor:
        """The number of a rank as a place of this kind."""
        key_BT = rank_BT - self.first
        there = (key_BT >= 0) & (key_BT < KEYS) & (rank_BT < NONE)
        return (turn_BT * self.kinds + kind) * (KEYS + 1) + torch.where(there, key_BT, KEYS)


def _wide(at_BN: Tensor) -> Tensor:
    return at_BN[..., None].expand(-1, -1, Q)
