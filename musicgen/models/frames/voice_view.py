"""Features of frames of a fixed number of voices, after each id."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from musicgen.models.frames import recall
from musicgen.models.frames.view import (
    BEAT,
    BLANK,
    NONE,
    Memory,
    Q,
    Seen,
    View,
    confidences,
    parallel,
    places,
    ranks_of,
)
from musicgen.models.layouts import FrameLayout

__all__ = ["VoiceView"]

OLDEST = 31  # frames a voice has held its pitch, and semitones it has moved, are clipped to this
OCTAVE = 12  # semitones


class VoiceView(View):
    """Frames of a fixed number of voices, each with a rank or NONE for a rest.

    After each id, for the voice whose turn is next: its rank in the last frame (`same`), for how many frames it has
    held that (`held`), and the place of this frame in the beat (`turn`); the ranks of all voices in the last two
    frames, by the number of ids back (`back`); how the previous voice moved (`move`), and how many voices have moved in
    this frame (`moves`); and for each voice that did, its former interval from `same` modulo the octave (`apart`) and
    the rank to which parallel motion would lead (`parallel`).
    """

    windows = ("last", "now")

    def __init__(self, layout: FrameLayout) -> None:
        super().__init__(layout)
        S = self.voices = layout.voices
        self.width = S * 2 * (Q + 1) + BEAT + 1
        self.categories = {
            "turn": S * BEAT,
            "held": S * (OLDEST + 1),
            "move": 2 * OLDEST + 2,
            "moves": S * S,
            **{f"apart{lag}": OCTAVE + 1 for lag in range(1, S)},
            **{f"back{lag}": BLANK + 1 for lag in range(2, 2 * S + 1)},
            **self.of_recalled,
        }
        self.references = ("same", "emitted", *(f"parallel{lag}" for lag in range(1, S)), *self.recalled)

    def _begin(self, nought_B: Tensor) -> dict[str, Tensor]:
        nought_BS = nought_B[:, None].expand(-1, self.voices)
        tail = torch.cat([nought_BS, nought_BS], 1) + BLANK
        return {"tail": tail, "age": nought_BS + 1, "emitted": nought_B, "number": nought_B}

    def see(self, ids_BT: Tensor, memory: Memory, *, skims: bool = False) -> Seen:
        S, T, past = self.voices, ids_BT.shape[1], memory.tensors
        is_voice_BT = (ids_BT >= self.layout.pitch) & (ids_BT < self.layout.pitch + Q) | (ids_BT == self.layout.mark)
        rank_BT = torch.where(is_voice_BT, ranks_of(self.layout, ids_BT), BLANK)
        line = torch.cat([past["tail"], rank_BT], dim=1)  # each row's ids, from 2 S before these
        count_BT = past["emitted"][:, None] + is_voice_BT.long().cumsum(1)
        turn_BT, done_BT = count_BT % S, count_BT // S
        number_BT = past["number"][:, None] + done_BT
        back = {lag: line[:, 2 * S + 1 - lag : 2 * S + 1 - lag + T] for lag in range(1, 2 * S + 1)}
        same_BT = back[S]
        # For the voice of the id just read: whether it moved, and for how many frames it has held its rank.
        was_BT = line[:, S : S + T]
        moved_BT = rank_BT != was_BT
        age_BT = self._ages(moved_BT, past["age"])
        ages = torch.cat([past["age"], age_BT], dim=1)
        both = (rank_BT < NONE) & (was_BT < NONE)
        move_BT = torch.where(both, (rank_BT - was_BT).clamp(-OLDEST, OLDEST) + OLDEST + 1, 0)
        moved = (ages[:, 1:] == 0).long()
        moves_BT = sum(moved[:, S - 1 - k : S - 1 - k + T] * (turn_BT > k) for k in range(S - 1))
        apart, beside = {}, {}
        for lag in range(1, S):
            now_other_BT, was_other_BT = back[lag], line[:, S + 1 - lag : S + 1 - lag + T]
            beside_BT = torch.where(turn_BT >= lag, parallel(same_BT, was_other_BT, now_other_BT), NONE)
            beside[f"parallel{lag}"] = beside_BT
            apart[f"apart{lag}"] = torch.where(beside_BT < NONE, (was_other_BT - same_BT) % OCTAVE + 1, 0)
        # The last frame is the S ids before those of this frame.
        now = torch.stack([_roll(back[lag], turn_BT >= lag) for lag in range(1, S)]).sum(0)
        within = {lag: (lag > turn_BT) & (lag <= turn_BT + S) for lag in range(1, 2 * S)}
        last = torch.stack([_roll(back[lag], there) for lag, there in within.items()]).sum(0)
        here_BT = same_BT.clamp(max=NONE)
        emitted_BT = torch.where(turn_BT > 0, rank_BT.clamp(max=NONE), NONE)
        at_BF, there_BF = places(is_voice_BT & (turn_BT == 0))
        number_BF = number_BT.gather(1, at_BF) - 1
        frames_BFX = self._frame_vectors(self._parts(line, at_BF), number_BF) * there_BF[..., None]
        whole = F.one_hot(self._frames(line, at_BF), BLANK + 1)[..., :Q].float() * there_BF[..., None, None]
        recalled_BFIQ, confidence_BFR, recalled = recall.recall(whole, past, count_B=done_BT[:, -1], skims=skims)
        row_B1 = torch.arange(len(line), device=line.device)[:, None]
        ranks = {}
        for place, name in enumerate(self.recalled):
            of_turn = recalled_BFIQ[row_B1, done_BT, place * S + turn_BT]
            ranks[name] = torch.where(of_turn.amax(-1) > 0, of_turn.argmax(-1), NONE)
        return Seen(
            ids_BT=ids_BT,
            categories={
                **ranks,
                **confidences(confidence_BFR, done_BT),
                "turn": turn_BT * BEAT + number_BT % BEAT,
                "held": turn_BT * (OLDEST + 1) + ages[:, 1 : T + 1].clamp(max=OLDEST),
                "move": move_BT,
                "moves": turn_BT * S + moves_BT,
                **apart,
                **{f"back{lag}": back[lag] for lag in range(2, 2 * S + 1)},
            },
            windows={"last": (last, here_BT), "now": (now, here_BT)},
            references={"same": here_BT, "emitted": emitted_BT, **beside, **ranks},
            frames_BFX=frames_BFX,
            done_BT=done_BT,
            memory=Memory({
                "tail": line[:, -2 * S :], "age": ages[:, -S:], "emitted": turn_BT[:, -1], "number": number_BT[:, -1],
                **recalled,
            }),
        )  # fmt: skip

    def _ages(self, moved_BT: Tensor, before_BS: Tensor) -> Tensor:
        """For how many frames each id's voice has held its rank: 0 where it moved, else one more than S ids before."""
        S, T = self.voices, moved_BT.shape[1]
        frames = -(-T // S)
        moved = F.pad(moved_BT, (0, frames * S - T)).view(-1, frames, S)
        frame = torch.arange(frames, device=moved.device)[:, None]
        last = torch.where(moved, frame, -1).cummax(1).values
        ages = torch.where(last >= 0, frame - last, frame + 1 + before_BS[:, None])
        return ages.view(-1, frames * S)[:, :T]

    def _parts(self, line: Tensor, at_BF: Tensor) -> Tensor:
        """(B, F, S * 2 * (Q + 1)): each voice's rank in each frame, one-hot, as newly struck or held over."""
        frame_BFS, was_BFS = self._frames(line, at_BF), self._frames(line, at_BF - self.voices)
        on = F.one_hot(frame_BFS.clamp(max=NONE), Q + 1).float()
        still = (frame_BFS == was_BFS).float()[..., None]
        return torch.cat([on * (1 - still), on * still], dim=-1).flatten(2)

    def _frames(self, line: Tensor, at_BF: Tensor) -> Tensor:
        """The ranks (B, F, S) of the frames whose last ids are at at_BF."""
        lags = torch.arange(self.voices - 1, -1, -1, device=line.device)
        place_BFS = at_BF[..., None] + 2 * self.voices - lags
        return line.gather(1, place_BFS.flatten(1)).view(place_BFS.shape)


def _roll(rank_BT: Tensor, there_BT: Tensor) -> Tensor:
    """(B, T, Q): the rank one-hot where `there_BT`; 0 for NONE and BLANK."""
    return F.one_hot(rank_BT, BLANK + 1)[..., :Q].float() * there_BT[..., None]
