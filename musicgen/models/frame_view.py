"""What has been said of the frames so far, seen from each id: the last frames, this one, and where it stands in them.

A model that reads a frame at a time spells the next one id after id. What it has to see for that, beside its memory
of the frames, is worked out here from the ids alone; nothing in this file is learned.

Pitches are counted by rank: 127 - pitch in descending frames and the pitch itself in ascending ones, so that a frame
says its ranks upwards. Rank 128 stands for no pitch: the end of a frame, a rest, or nothing there.

Shapes: B batch, T time (ids), F frames, Q = 128 ranks, S voices, X numbers that describe a frame.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["FrameLayout", "Memory", "Seen", "SetView", "View", "VoiceView", "ages", "places", "view_of"]

Q = 128
NONE = 128
BLANK = 129  # nothing has been said there
BEAT = 16  # frames are counted up to so many, and from 0 again
MOST = 15  # more pitches than that are counted as so many
LAGS = (1, 2, 4, 8)  # frames that are looked back at
TRACES = (0.7, 0.95)  # of what sounded n frames ago so much to the power of n is left
OLDEST = 31  # frames that a voice has held its pitch


@dataclasses.dataclass(frozen=True)
class FrameLayout:
    """How a tokenizer spells frames: see `tokenizers.frames`. `mark` is the id of `end` or `rest`."""

    pitch: int
    mark: int
    voices: int
    descending: bool

    def ranks(self, ids: Tensor) -> Tensor:
        """The rank of each id, NONE for all that are no pitches."""
        pitch = ids - self.pitch
        rank = Q - 1 - pitch if self.descending else pitch
        return torch.where((pitch >= 0) & (pitch < Q), rank, NONE)

    def from_ranks(self, scores: Tensor, size: int) -> Tensor:
        """Scores (..., Q + 1) of the ranks and the mark as scores (..., V) of all ids: the others are out of reach."""
        result = scores.new_full((*scores.shape[:-1], size), -1e4)
        pitches = scores[..., :Q].flip(-1) if self.descending else scores[..., :Q]
        result[..., self.pitch : self.pitch + Q] = pitches
        result[..., self.mark] = scores[..., Q]
        return result


@dataclasses.dataclass(frozen=True)
class Memory:
    """What the view of the next ids needs of those before, a row a piece: tensors (B, ...) by name."""

    tensors: dict[str, Tensor]

    def select(self, rows_B: Tensor) -> Self:
        return dataclasses.replace(self, tensors={k: v[rows_B.to(v.device)] for k, v in self.tensors.items()})


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is seen after each id of a batch.

    `categories` are numbers (B, T) below `View.categories[name]`; `windows` are rolls (B, T, Q) and the rank (B, T)
    that each is looked at from; `references` are ranks (B, T) to which the next one may stand in an interval.
    """

    categories: dict[str, Tensor]
    windows: dict[str, tuple[Tensor, Tensor]]
    references: dict[str, Tensor]
    frames_BFX: Tensor  # the frames that these ids have completed, as the trunk reads them; rows with fewer end in 0
    done_BT: Tensor  # how many of them after each id
    memory: Memory


class View(ABC):
    """A way of spelling frames, and what is seen of it. `categories` are the sizes of what `Seen` names so."""

    categories: dict[str, int]
    windows: tuple[str, ...]
    references: tuple[str, ...]
    width: int  # X

    def __init__(self, layout: FrameLayout) -> None:
        self.layout = layout

    def begin(self, rows: int, device: torch.device) -> tuple[Memory, Tensor]:
        """The memory before the first frame, and begin_B1X, which the trunk reads then."""
        begin_B1X = torch.zeros(rows, 1, self.width, device=device)
        begin_B1X[..., -1] = 1
        return self._begin(torch.zeros(rows, dtype=torch.int64, device=device)), begin_B1X

    @abstractmethod
    def _begin(self, nought_B: Tensor) -> Memory: ...

    @abstractmethod
    def see(self, ids_BT: Tensor, memory: Memory) -> Seen:
        """What is seen after each id."""

    def _frame_vectors(self, parts_BFX: Tensor, number_BF: Tensor) -> Tensor:
        """What sounds in frames, where they stand in the beat, and that no piece begins with them."""
        beat = F.one_hot(number_BF % BEAT, BEAT).float()
        return F.pad(torch.cat([parts_BFX, beat], dim=-1), (0, 1))


class SetView(View):
    """Frames as sets in strict order, each closed by `end`.

    After each id: the `next` rank that the frame before has behind the one just said, and the one after that; how many
    ranks were said, how many the frame before has, and by how many this one is ahead of that; and the beat. What is
    looked at, from the rank just said, or where a frame begins from the first of the frame before: this frame so far,
    the ones at some LAGS within `look_back` and, where that is more than the last, how long each rank of the last one
    has sounded and what has sounded of late (TRACES). To look further helps where there is much to learn from; of a few
    hundred short pieces it lets one recognise each.
    """

    references = ("next", "said")
    width = 2 * Q + BEAT + 1

    def __init__(self, layout: FrameLayout, look_back: int) -> None:
        super().__init__(layout)
        self.categories = {
            "next": Q + 1,
            "after": Q + 1,
            "said": MOST + 1,
            "last": MOST + 1,
            "ahead": 16,
            "beat": BEAT,
        }
        self.lags = tuple(lag for lag in LAGS if lag <= look_back)
        self.far = ("age", *(f"trace{n}" for n in range(len(TRACES)))) if look_back > 1 else ()
        self.windows = ("now", *(f"lag{lag}" for lag in self.lags), *self.far)

    def _begin(self, nought_B: Tensor) -> Memory:
        empty_BQ = torch.zeros(len(nought_B), Q, device=nought_B.device)
        many = empty_BQ[:, None].expand(-1, max(self.lags), -1)
        return Memory({"now": empty_BQ, "frames": many, "number": nought_B, **dict.fromkeys(self.far, empty_BQ)})

    def see(self, ids_BT: Tensor, memory: Memory) -> Seen:
        past = memory.tensors
        said_BT = self.layout.ranks(ids_BT)
        closes_BT = ids_BT == self.layout.mark
        done_BT = closes_BT.long().cumsum(1)
        at_BF, there_BF = places(closes_BT)
        # Sums over the ids, in which the frame that was begun before stands first, less the sums up to the last close.
        sums = torch.cat([past["now"][:, None], F.one_hot(said_BT, Q + 1)[..., :Q].float()], dim=1).cumsum(1)
        till = F.pad(sums.gather(1, _wide(at_BF + 1)) * there_BF[..., None], (0, 0, 1, 0))
        now = sums[:, 1:] - till.gather(1, _wide(done_BT))
        frames_BFQ = till.diff(dim=1) * there_BF[..., None]
        line = torch.cat([past["frames"], frames_BFQ], dim=1)
        after = self._after(line, frames_BFQ, past)
        windows = {"now": now, **{name: rolls.gather(1, _wide(done_BT)) for name, rolls in after.items()}}
        if "age" in windows:
            windows["age"] = (1 + windows["age"]).log2() / 3

        last = windows["lag1"]
        behind_BT = torch.where(said_BT < NONE, said_BT, -1)
        next_BT = _first(last, behind_BT)
        said_count, last_count = now.sum(-1).long(), last.sum(-1).long()
        ranks = torch.arange(Q, device=ids_BT.device)
        passed = (last * (ranks <= behind_BT[..., None])).sum(-1).long()
        here_BT = torch.where(said_BT < NONE, said_BT, next_BT)  # where a frame begins the last one's first
        number_BT = past["number"][:, None] + done_BT
        # For the trunk the frames themselves: the ranks that are new and those that go on.
        was_BFQ = after["lag1"][:, :-1]
        parts = torch.cat([frames_BFQ * (1 - was_BFQ), frames_BFQ * was_BFQ], dim=-1)
        number_BF = past["number"][:, None] + torch.arange(at_BF.shape[1], device=ids_BT.device)
        # Each row's memory is that after as many frames as it has, which others may exceed.
        end_B1 = done_BT[:, -1:]
        recent = end_B1 + torch.arange(max(self.lags), device=ids_BT.device)
        tensors = {"now": now[:, -1], "frames": line.gather(1, _wide(recent)), "number": number_BT[:, -1]}
        return Seen(
            categories={
                "next": next_BT,
                "after": _first(last, next_BT),
                "said": said_count.clamp(max=MOST),
                "last": last_count.clamp(max=MOST),
                "ahead": (said_count - passed).clamp(-8, 7) + 8,
                "beat": number_BT % BEAT,
            },
            windows={name: (windows[name], here_BT) for name in self.windows},
            references={"next": next_BT, "said": said_BT},
            frames_BFX=self._frame_vectors(parts, number_BF) * there_BF[..., None],
            done_BT=done_BT,
            memory=Memory({**tensors, **{name: after[name].gather(1, _wide(end_B1))[:, 0] for name in self.far}}),
        )

    def _after(self, line: Tensor, frames_BFQ: Tensor, past: dict[str, Tensor]) -> dict[str, Tensor]:
        """What there is to look at after 0, 1, ... F of these frames, (B, 1 + F, Q) each; `line` has older ones too."""
        older, count = max(self.lags), frames_BFQ.shape[1] + 1
        result = {f"lag{lag}": line[:, older - lag : older - lag + count] for lag in self.lags}
        if self.far:
            result["age"] = ages(frames_BFQ, past["age"])
            for n, keep in enumerate(TRACES):
                result[f"trace{n}"] = _trace(frames_BFQ, past[f"trace{n}"], keep)
        return result


def _wide(at_BN: Tensor) -> Tensor:
    """Indices of times as those of the rolls (B, N, Q) that stand there."""
    return at_BN[..., None].expand(-1, -1, Q)


def ages(frames_BFQ: Tensor, before_BQ: Tensor) -> Tensor:
    """(B, 1 + F, Q): for how many frames each rank has sounded without a break, before these frames and after each."""
    number = torch.arange(1, frames_BFQ.shape[1] + 1, device=before_BQ.device)[:, None]
    broken = torch.where(frames_BFQ > 0, 0, number).cummax(1).values if frames_BFQ.shape[1] else frames_BFQ
    ages = number - broken + torch.where(broken == 0, before_BQ[:, None], 0)
    return torch.cat([before_BQ[:, None], ages], dim=1)


def _trace(frames_BFQ: Tensor, before_BQ: Tensor, keep: float) -> Tensor:
    """(B, 1 + F, Q): a mean of the frames so far in which each counts `keep` times as much as the one after it."""
    number = torch.arange(frames_BFQ.shape[1] + 1, device=before_BQ.device)
    apart = number[:, None] - number[None, 1:]
    weights = torch.where(apart >= 0, (1 - keep) * keep ** apart.clamp(min=0).float(), 0.0)
    return weights @ frames_BFQ + (keep ** number.float())[:, None] * before_BQ[:, None]


class VoiceView(View):
    """Frames of a fixed number of voices, each saying a rank or NONE for a rest.

    After each id, of the voice whose turn is next: what it said in the frame before (`same`), for how many frames it
    has held that, and where this frame stands in the beat; what every voice said within the last two frames, by how
    far back it is; how the voice before moved, and how many moved in this frame.
    """

    references = ("same", "said")
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
            **{f"back{lag}": BLANK + 1 for lag in range(2, 2 * S + 1)},
        }

    def _begin(self, nought_B: Tensor) -> Memory:
        nought_BS = nought_B[:, None].expand(-1, self.voices)
        tail = torch.cat([nought_BS, nought_BS], 1) + BLANK
        return Memory({"tail": tail, "age": nought_BS + 1, "said": nought_B, "number": nought_B})

    def see(self, ids_BT: Tensor, memory: Memory) -> Seen:
        S, T, past = self.voices, ids_BT.shape[1], memory.tensors
        is_voice_BT = (ids_BT >= self.layout.pitch) & (ids_BT < self.layout.pitch + Q) | (ids_BT == self.layout.mark)
        rank_BT = torch.where(is_voice_BT, self.layout.ranks(ids_BT), BLANK)
        line = torch.cat([past["tail"], rank_BT], dim=1)  # of each row, from 2 S ids before
        said_BT = past["said"][:, None] + is_voice_BT.long().cumsum(1)
        turn_BT, done_BT = said_BT % S, said_BT // S
        number_BT = past["number"][:, None] + done_BT
        back = {lag: line[:, 2 * S + 1 - lag : 2 * S + 1 - lag + T] for lag in range(1, 2 * S + 1)}
        same_BT = back[S]
        # Of the voice that has just spoken: whether it moved, and for how many frames it has stayed.
        was_BT = line[:, S : S + T]
        moved_BT = rank_BT != was_BT
        age_BT = self._ages(moved_BT, past["age"])
        ages = torch.cat([past["age"], age_BT], dim=1)
        both = (rank_BT < NONE) & (was_BT < NONE)
        move_BT = torch.where(both, (rank_BT - was_BT).clamp(-OLDEST, OLDEST) + OLDEST + 1, 0)
        moved = (ages[:, 1:] == 0).long()
        moves_BT = sum(moved[:, S - 1 - k : S - 1 - k + T] * (turn_BT > k) for k in range(S - 1))
        # The frame before reaches from as far back as this one has come; what is a full frame older is out of it.
        now = torch.stack([_roll(back[lag], turn_BT >= lag) for lag in range(1, S)]).sum(0)
        within = {lag: (lag > turn_BT) & (lag <= turn_BT + S) for lag in range(1, 2 * S)}
        last = torch.stack([_roll(back[lag], there) for lag, there in within.items()]).sum(0)
        here_BT = same_BT.clamp(max=NONE)
        spoken_BT = torch.where(turn_BT > 0, rank_BT.clamp(max=NONE), NONE)
        at_BF, there_BF = places(is_voice_BT & (turn_BT == 0))
        number_BF = number_BT.gather(1, at_BF) - 1
        frames_BFX = self._frame_vectors(self._parts(line, at_BF), number_BF) * there_BF[..., None]
        return Seen(
            categories={
                "turn": turn_BT * BEAT + number_BT % BEAT,
                "held": turn_BT * (OLDEST + 1) + ages[:, 1 : T + 1].clamp(max=OLDEST),
                "move": move_BT,
                "moves": turn_BT * S + moves_BT,
                **{f"back{lag}": back[lag] for lag in range(2, 2 * S + 1)},
            },
            windows={"last": (last, here_BT), "now": (now, here_BT)},
            references={"same": here_BT, "said": spoken_BT},
            frames_BFX=frames_BFX,
            done_BT=done_BT,
            memory=Memory({
                "tail": line[:, -2 * S :], "age": ages[:, -S:], "said": turn_BT[:, -1], "number": number_BT[:, -1],
            }),
        )  # fmt: skip

    def _ages(self, moved_BT: Tensor, before_BS: Tensor) -> Tensor:
        """For how many frames each id's voice had held it: 0 where it moved, else one more than S ids before."""
        S, T = self.voices, moved_BT.shape[1]
        frames = -(-T // S)
        moved = F.pad(moved_BT, (0, frames * S - T)).view(-1, frames, S)
        frame = torch.arange(frames, device=moved.device)[:, None]
        last = torch.where(moved, frame, -1).cummax(1).values
        ages = torch.where(last >= 0, frame - last, frame + 1 + before_BS[:, None])
        return ages.view(-1, frames * S)[:, :T]

    def _parts(self, line: Tensor, at_BF: Tensor) -> Tensor:
        """What each voice says in each frame: anew, or still."""
        S = self.voices
        lags = torch.arange(S - 1, -1, -1, device=line.device)
        place_BFS = at_BF[..., None] + 2 * S - lags
        frame_BFS, was_BFS = (
            line.gather(1, place.flatten(1)).view(place_BFS.shape) for place in (place_BFS, place_BFS - S)
        )
        on = F.one_hot(frame_BFS.clamp(max=NONE), Q + 1).float()
        still = (frame_BFS == was_BFS).float()[..., None]
        return torch.cat([on * (1 - still), on * still], dim=-1).flatten(2)


def places(ends_BT: Tensor) -> tuple[Tensor, Tensor]:
    """at_BF, where frames end in each row, and there_BF, which of these there are: rows have more or fewer."""
    count_B = ends_BT.sum(1)
    most = int(count_B.max())
    at_BF = torch.argsort((~ends_BT).to(torch.uint8), dim=1, stable=True)[:, :most]
    return at_BF, torch.arange(most, device=at_BF.device) < count_B[:, None]


def _roll(rank_BT: Tensor, there_BT: Tensor) -> Tensor:
    """(B, T, Q), 1 at the rank where it is one and there."""
    return F.one_hot(rank_BT, BLANK + 1)[..., :Q].float() * there_BT[..., None]


def _first(roll_BTQ: Tensor, behind_BT: Tensor) -> Tensor:
    """The first rank of each roll behind a rank, of which -1 has all behind it; NONE where there is none."""
    ranks = torch.arange(Q, device=roll_BTQ.device)
    return torch.where((roll_BTQ > 0) & (ranks > behind_BT[..., None]), ranks, NONE).amin(-1)


def view_of(layout: FrameLayout, *, look_back: int) -> View:
    """The view for a tokenizer's way of spelling frames; `look_back` is for sets."""
    return VoiceView(layout) if layout.voices else SetView(layout, look_back)
