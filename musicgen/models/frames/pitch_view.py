"""Inputs of the lines along pitches from the frames so far, and the places of ids in frames; nothing here is learned.

Ranks and layouts are those of `view.py`. Only the keyboard's ranks have lines: A0 to C8, in order of rank.

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
OUTSIDE = Q - KEYS  # number of pitches outside the keyboard
LONG = 1e6  # frames since a pitch sounded, where it never has


@dataclasses.dataclass(frozen=True)
class Lines:
    """Features of the ids of a batch. Frame 0 is the one to which the first of these ids belongs.

    `inputs_BFIK`, with F one more than the frames that these ids complete, are the inputs of each line before each
    frame; the first channel is whether it sounded in the last frame. `confidence_BFR` is that in the recalled frames.
    `number_BF` counts frames from the beginning of the piece. `done_BT` is the index of the frame to which the id after
    each belongs.
    """

    inputs_BFIK: Tensor
    confidence_BFR: Tensor
    number_BF: Tensor
    done_BT: Tensor
    memory: Memory


@dataclasses.dataclass(frozen=True)
class SetLines(Lines):
    """For sets: the rank of each id, NONE where it is not a pitch, and the ranks of frame 0 before these ids."""

    rank_BT: Tensor
    begun_BQ: Tensor


@dataclasses.dataclass(frozen=True)
class VoiceLines(Lines):
    """For voices: features after each id of the voice whose turn is next; see `VoiceLineView.places`."""

    turn_BT: Tensor
    held_BT: Tensor
    rested_BT: Tensor
    moves_BT: Tensor
    from_BTR: Tensor


class LineView(ABC):
    """Computes the inputs of lines from ids."""

    channels: int  # I

    def __init__(self, layout: FrameLayout) -> None:
        self.layout = layout
        self.first = Q - LOWEST - KEYS if layout.descending else LOWEST  # lowest rank

    @abstractmethod
    def begin(self, rows: int, device: torch.device) -> Memory:
        """The memory before the first frame."""

    @abstractmethod
    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> Lines:
        """The features before each frame and after each id. `skims`, for the first ids of a piece, leaves recalled
        frames empty, for speed."""

    @abstractmethod
    def places(self, lines: Any, part: slice) -> Memory:
        """The head's features of some of the ids' places in their frames, by name."""


class SetLineView(LineView):
    """The inputs of lines for frames as sets of pitches.

    The channels of a line: whether it sounded in the last frame, whether it began there, whether it sounded in the
    frame before that, log2(1 + frames it has sounded) / 3, how recently it sounded (1 / (1 + frames since)), and the
    recalled frames.
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
        """The features before each frame and after each id."""
        past = memory.tensors
        rank_BT = ranks_of(self.layout, ids_BT)
        closes_BT = ids_BT == self.layout.mark
        done_BT = closes_BT.long().cumsum(1)
        at_BF, there_BF = places(closes_BT)
        count = at_BF.shape[1]
        # Every id adds its rank to its frame; the last frame may be unfinished.
        frames_BFQ = self.rolls(rank_BT, done_BT, past["now"], frames=count + 1)
        now_BQ = frames_BFQ.gather(1, _wide(done_BT[:, -1:]))[:, 0]
        whole_BFQ = frames_BFQ[:, :count] * there_BF[..., None]
        line = torch.cat([past["before"][:, None], past["last"][:, None], whole_BFQ], dim=1)
        last, before = line[:, 1:], line[:, :-1]
        age = ages(whole_BFQ, past["age"])
        rest = ages(1 - whole_BFQ, past["rest"])
        channels = (last, last * (1 - before), before, (1 + age).log2() / 3, last + (1 - last) / (1 + rest))
        keys = slice(self.first, self.first + KEYS)
        recalled_BFIK, confidence_BFR, recalled = recall.recall(whole_BFQ[:, :, None, keys], past, skims=skims)
        inputs_BFIK = torch.cat([torch.stack(channels, dim=2)[..., keys], recalled_BFIK], dim=2)
        number_BF = past["number"][:, None] + torch.arange(count + 1, device=ids_BT.device)
        end_B1 = done_BT[:, -1:]
        kept = {"last": last, "before": before, "age": age, "rest": rest}
        return SetLines(
            inputs_BFIK=inputs_BFIK,
            confidence_BFR=confidence_BFR,
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
        """Features of some of the ids: `rank` (B, T), NONE where an id is no pitch; `emitted` (B, T, K), the keys of
        its frame so far; and `last` (B, T, K), those of the frame before.
        """
        rank_BT, done_BT = lines.rank_BT[:, part], lines.done_BT[:, part]
        row_B1 = torch.arange(len(rank_BT), device=rank_BT.device)[:, None]
        roll_BFQ = self.rolls(lines.rank_BT, lines.done_BT, lines.begun_BQ, frames=lines.inputs_BFIK.shape[1])
        behind_BTQ = torch.arange(Q, device=rank_BT.device) > torch.where(rank_BT < Q, rank_BT, -1)[..., None]
        keys = slice(self.first, self.first + KEYS)
        emitted_BTK = (roll_BFQ[row_B1, done_BT] * ~behind_BTQ)[..., keys]
        return Memory({"rank": rank_BT, "emitted": emitted_BTK, "last": lines.inputs_BFIK[row_B1, done_BT, 0]})

    def rolls(self, rank_BT: Tensor, frame_BT: Tensor, begun_BQ: Tensor, *, frames: int) -> Tensor:
        """(B, frames, Q): 1 at each rank of each frame; the first frame includes its earlier ranks, `begun_BQ`."""
        cell_BT = frame_BT * (Q + 1) + rank_BT
        flat = begun_BQ.new_zeros(len(rank_BT), frames * (Q + 1)).scatter(1, cell_BT, 1.0)
        rolls_BFQ = flat.view(-1, frames, Q + 1)[..., :NONE]
        return torch.cat([(rolls_BFQ[:, :1] + begun_BQ[:, None]).clamp(max=1), rolls_BFQ[:, 1:]], dim=1)


class VoiceLineView(LineView):
    """The inputs of lines for frames of a fixed number of voices.

    The channels of a line: whether it sounded in the last frame, how recently it sounded (1 / (1 + frames since)),
    log2(1 + frames it has sounded) / 4, for each voice whether it was on this pitch and whether it moved there in that
    frame, and the recalled frames.
    """

    def __init__(self, layout: FrameLayout) -> None:
        super().__init__(layout)
        self.voices = layout.voices
        self.channels = 3 + 2 * self.voices + recall.PLACES * self.voices
        # Kinds of reference: own rank, own before that, each other voice's (held or moved), and each one's parallel.
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
            "emitted": nought_B,
            "number": nought_B,
            **recall.begin(rows, self.voices, KEYS, device),
        })  # fmt: skip

    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> VoiceLines:
        """The features before each frame and after each id."""
        S, T, past = self.voices, ids_BT.shape[1], memory.tensors
        is_voice_BT = (ids_BT >= self.layout.pitch) & (ids_BT < self.layout.pitch + Q) | (ids_BT == self.layout.mark)
        rank_BT = torch.where(is_voice_BT, ranks_of(self.layout, ids_BT), BLANK)
        line = torch.cat([past["tail"], rank_BT], dim=1)  # each row's ids, from 2 S before these
        emitted_BT = past["emitted"][:, None] + is_voice_BT.long().cumsum(1)
        turn_BT, done_BT = emitted_BT % S, emitted_BT // S
        at_BF, there_BF = places(is_voice_BT & (turn_BT == 0))
        frames_BFS = line.gather(
            1, (at_BF[..., None] + 2 * S - torch.arange(S - 1, -1, -1, device=line.device)).flatten(1)
        )
        frames_BFS = frames_BFS.view(len(line), -1, S)
        # After 0, 1, ... F of these frames: each voice's rank, since when, and the different rank before that.
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
        recalled_BFIK, confidence_BFR, recalled = recall.recall(new_BFSQ[..., keys], past, skims=skims)
        any_BFQ = on_BFSQ.amax(2)
        rest_BFQ = ages(1 - any_BFQ[:, 1:] * there_BF[..., None], past["rest"])
        long_BFQ = (on_BFSQ * ((1 + held_BFS).log2() / 4)[..., None]).amax(2)
        came_BFSQ = on_BFSQ * (held_BFS == 0)[..., None]
        alone = torch.stack([any_BFQ, any_BFQ + (1 - any_BFQ) / (1 + rest_BFQ), long_BFQ], dim=2)

        row_B1 = torch.arange(len(line), device=line.device)[:, None]
        own_BT, own_before_BT = frame_BFS[row_B1, done_BT, turn_BT], melody_BFS[row_B1, done_BT, turn_BT]
        from_ = [self._place(turn_BT, 0, own_BT), self._place(turn_BT, 1, own_before_BT)]
        moves_BT = torch.zeros_like(turn_BT)
        for lag in range(1, S):  # the voice of that many ids ago, in this frame or the last
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
            inputs_BFIK=torch.cat([torch.cat([alone, on_BFSQ, came_BFSQ], dim=2)[..., keys], recalled_BFIK], dim=2),
            confidence_BFR=confidence_BFR,
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
                "emitted": turn_BT[:, -1],
                "number": past["number"] + end_B,
                **recalled,
            }),
        )  # fmt: skip

    def places(self, lines: VoiceLines, part: slice) -> Memory:
        """Features of some of the ids, about the voice whose turn is next after each.

        `turn` is its number, `held` for how many frames it has held its rank, `rested` whether that is a rest, and
        `moves` which of the three voices before it have moved in this frame, one bit each; all (B, T). `from`
        (B, T, R) are the reference ranks from which intervals are counted: its own, its own before that, those of the
        other voices in this frame or the last, and for each voice that has moved in this frame the rank to which
        parallel motion would lead, which chorales avoid in fifths and octaves. A reference is encoded as
        (turn * kinds + kind) * (KEYS + 1) + key, where the last key stands for none.
        """
        return Memory({
            "turn": lines.turn_BT[:, part],
            "held": lines.held_BT[:, part],
            "rested": lines.rested_BT[:, part],
            "moves": lines.moves_BT[:, part],
            "from": lines.from_BTR[:, part],
        })  # fmt: skip

    def _place(self, turn_BT: Tensor, kind: Tensor | int, rank_BT: Tensor) -> Tensor:
        """The integer that encodes a reference rank of this kind; see `places`."""
        key_BT = rank_BT - self.first
        there = (key_BT >= 0) & (key_BT < KEYS) & (rank_BT < NONE)
        return (turn_BT * self.kinds + kind) * (KEYS + 1) + torch.where(there, key_BT, KEYS)


def _wide(at_BN: Tensor) -> Tensor:
    return at_BN[..., None].expand(-1, -1, Q)
