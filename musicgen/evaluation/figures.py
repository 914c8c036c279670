"""Evaluation figures of a split: mean nats per token, note, second and frame, each with its count.

Perplexity is exp(nats per token), bits are nats / ln 2. A token is a step; if steps have fields, the nats of a step are
the sum over its fields, by the chain rule.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from musicgen.corpus.split import spread
from musicgen.corpus.store import TokenSource
from musicgen.errors import UnreadableError
from musicgen.tokenizers import Tokenizer

__all__ = ["Figures", "FrameMeans", "Tally", "scored_spans"]


@dataclass(frozen=True)
class FrameMeans:
    """Mean nats per frame: over all frames, over all but the first of each piece, and the mean of the pieces' means.

    None if there are no such frames.
    """

    all: float | None
    skip_first: float | None
    piece_mean: float | None

    @classmethod
    def of(cls, pieces: list[np.ndarray]) -> FrameMeans:
        """The means of the nats of each frame, given as one array per piece."""
        pieces = [nats_T for nats_T in pieces if len(nats_T)]
        if not pieces:
            return cls(None, None, None)
        later = np.concatenate([nats_T[1:] for nats_T in pieces])
        return cls(
            all=float(np.concatenate(pieces).mean()),
            skip_first=float(later.mean()) if len(later) else None,
            piece_mean=float(np.mean([nats_T.mean() for nats_T in pieces])),
        )


@dataclass(frozen=True)
class Figures:
    """How well a split is predicted: counts, and mean nats per unit; None if there are no such units.

    `seconds` is the duration of the music. `frames` and `nats_per_frame` are for tokenizers with frames. For a model
    with a horizon, `nats_per_token_ahead` are the mean nats of the next step, of the one after it, and so on.
    """

    split: str
    tokens: int
    notes: int
    frames: int | None
    seconds: float
    pieces: int
    nats_per_token: float
    nats_per_note: float | None
    nats_per_second: float | None
    nats_per_frame: FrameMeans | None
    nats_per_token_ahead: tuple[float, ...] | None = None

    @property
    def bits_per_token(self) -> float:
        return self.nats_per_token / math.log(2)

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.nats_per_token, 700))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        table: dict[str, Any] = {}
        for name, value in asdict(self).items():
            table[name] = value
            if name == "nats_per_token":
                table |= {"bits_per_token": self.bits_per_token, "perplexity": self.perplexity}
        ahead = table.pop("nats_per_token_ahead")
        return table if ahead is None else {**table, "nats_per_token_ahead": list(ahead)}


def scored_spans(source: TokenSource, split: str, *, max_tokens: int | None = None) -> np.ndarray:
    """(n, 2): offset and length of the pieces of a split; with `max_tokens`, of some spread evenly over it, with about
    so many tokens."""
    spans = source.spans(split)
    if max_tokens is None or not len(spans) or spans[:, 1].sum() <= max_tokens:
        return spans
    wanted = max(1, int(len(spans) * max_tokens / spans[:, 1].sum()))
    chosen: np.ndarray = spans[spread(len(spans), wanted)]
    return chosen


class Tally:
    """Accumulates the nats and counts of the pieces of a split, for any kind of model."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        table = tokenizer.following
        self.scored_V: np.ndarray | None = None if table is None else np.any(table, axis=0)  # ids that may follow any
        self.nats, self.timed, self.seconds = 0.0, 0.0, 0.0  # `timed` are the nats of the `seconds` of music
        self.tokens = self.notes = self.pieces = 0
        self.frames: list[np.ndarray] | None = None if tokenizer.layout is None else []

    def add(self, ids: np.ndarray, nats: np.ndarray) -> None:
        """Add a piece: all its ids, and nats that sum to the piece's; for frames, one for each id but the first."""
        self.nats += float(nats.sum())
        self.tokens += len(ids) - 1 if self.scored_V is None else int(self.scored_V[ids[1:]].sum())
        self.notes += self.tokenizer.count_notes(ids)
        try:
            self.seconds += self.tokenizer.decode(ids).seconds
            self.timed += float(nats.sum())
        except UnreadableError:  # not every text is a valid ABC tune; it counts for neither sum
            pass
        self.pieces += 1
        if self.frames is not None and (frame := self.tokenizer.frame_of(ids)) is not None:
            frame = frame[1:]
            self.frames.append(np.bincount(frame[frame >= 0], weights=nats[frame >= 0]))

    def figures(self, split: str, *, ahead: tuple[float, ...] | None = None) -> Figures:
        """The figures of all pieces added so far; `ahead` is `nats_per_token_ahead`."""
        return Figures(
            split,
            tokens=self.tokens,
            notes=self.notes,
            frames=None if self.frames is None else sum(map(len, self.frames)),
            seconds=round(self.seconds, 3),
            pieces=self.pieces,
            nats_per_token=self.nats / max(1, self.tokens),
            nats_per_note=self.nats / self.notes if self.notes else None,
            nats_per_second=self.timed / self.seconds if self.seconds else None,
            nats_per_frame=None if self.frames is None else FrameMeans.of(self.frames),
            nats_per_token_ahead=ahead,
        )
