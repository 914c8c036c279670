"""How well a model predicts a split: negative log-likelihood in nats, per token, note, second and frame.

Every token but a piece's first is scored once. A model with a limited context reads overlapping windows and is
scored on the second half of each, so that a token has at least half a context of history where its piece has it;
a recurrent model reads each piece whole. Perplexity is exp(nats per token), bits are nats / ln 2. A token is a
step: where it has fields, its nats are the sum over them, by the chain rule.

Where a tokenizer says which id may follow which, scores are masked to that and renormalised, and the end of a piece
is not scored: so the nats of a frame are those of a set of pitches, whatever its spelling (Boulanger-Lewandowski et
al. 2012 and what is measured on their data since).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus
from musicgen.errors import UnreadableError, UsageError
from musicgen.models import SequenceModel
from musicgen.models.heads.following import following_of, scored_targets
from musicgen.tokenizers import Tokenizer

__all__ = ["Tally", "evaluate", "figures", "frame_nats", "step_nats"]

CHUNK = 1024  # tokens that a recurrent model reads at once


class TokenSource(Protocol):
    """All tokens in one array, and where the pieces of a split lie in it."""

    tokens: np.ndarray

    def spans(self, split: str) -> np.ndarray:
        """(n, 2): offset and length of every piece of the split."""


def evaluate(
    model: SequenceModel,
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    split: str = "valid",
    max_tokens: int | None = None,
    on_piece: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The figures of a split; see `figures` for the keys. `max_tokens` takes pieces spread over the split.

    A model with a horizon gets `nats_per_token_ahead` too: those of the next step, of the one after it, and so on.

    Raises UsageError when the split has no pieces, UnreadableError where the tokens of a corpus folder aren't what its
    digests say.
    """
    spans = source.spans(split)
    if not len(spans):
        raise UsageError(f"the corpus has no pieces in its split {split!r}", hint="choose train, valid or test")
    if max_tokens is not None and spans[:, 1].sum() > max_tokens:
        wanted = max(1, int(len(spans) * max_tokens / spans[:, 1].sum()))
        spans = spans[spread(len(spans), wanted)]
    if isinstance(source, Corpus):
        source.check()
    tally = Tally(tokenizer)
    device = next(model.parameters()).device
    following_VV = following_of(tokenizer, device)
    pad, period = tokenizer.vocabulary.id("pad"), tokenizer.period
    model.eval()
    ahead = np.zeros((model.settings.horizon, 2))
    for done, (offset, size) in enumerate(spans.tolist()):
        ids = np.asarray(source.tokens[offset : offset + size]).astype(np.int64)
        if model.settings.horizon > 1:
            ahead += _ahead(model, ids, pad=pad)
        tally.add(ids, step_nats(model, ids, pad=pad, following_VV=following_VV, period=period))
        on_piece(done + 1, len(spans))
    result = {"split": split, **tally.figures()}
    if model.settings.horizon > 1:
        result["nats_per_token_ahead"] = (ahead[:, 0] / np.maximum(1, ahead[:, 1])).tolist()
    return result


def frame_nats(
    model: SequenceModel, source: TokenSource, tokenizer: Tokenizer, *, split: str = "valid"
) -> list[np.ndarray]:
    """The nats of each frame, an array a piece of the split. Raises UsageError for a tokenizer without frames."""
    if tokenizer.layout is None:
        raise UsageError(f"the tokenizer {tokenizer.name} has no frames", hint="use a run with the tokenizer frames")
    following_VV = following_of(tokenizer, next(model.parameters()).device)
    tally = Tally(tokenizer)
    model.eval()
    for offset, size in source.spans(split).tolist():
        ids = np.asarray(source.tokens[offset : offset + size]).astype(np.int64)
        pad = tokenizer.vocabulary.id("pad")
        tally.add(ids, step_nats(model, ids, pad=pad, following_VV=following_VV, period=tokenizer.period))
    assert tally.frames is not None
    return tally.frames


class Tally:
    """Adds up the pieces of a split, whatever has scored them."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        table = tokenizer.following
        self.scored_V: np.ndarray | None = None if table is None else np.any(table, axis=0)  # ids that may follow any
        self.nats, self.timed, self.seconds = 0.0, 0.0, 0.0
        self.tokens = self.notes = self.pieces = 0
        self.frames: list[np.ndarray] | None = None if tokenizer.layout is None else []

    def add(self, ids: np.ndarray, nats: np.ndarray) -> None:
        """A piece: all its ids, and nats that sum to its whole; for frames, those of each id but the first."""
        self.nats += float(nats.sum())
        self.tokens += len(ids) - 1 if self.scored_V is None else int(self.scored_V[ids[1:]].sum())
        self.notes += self.tokenizer.count_notes(ids)
        try:
            self.seconds += self.tokenizer.decode(ids).seconds
            self.timed += float(nats.sum())
        except UnreadableError:  # text may be a tune to a model and none to a reader of ABC
            pass
        self.pieces += 1
        if self.frames is not None and (frame := self.tokenizer.frame_of(ids)) is not None:
            frame = frame[1:]
            self.frames.append(np.bincount(frame[frame >= 0], weights=nats[frame >= 0]))

    def figures(self) -> dict[str, Any]:
        """See the function of this name."""
        return figures(
            self.nats,
            tokens=self.tokens,
            notes=self.notes,
            seconds=self.seconds,
            timed=self.timed,
            pieces=self.pieces,
            frames=self.frames,
        )


def figures(
    nats: float,
    *,
    tokens: int,
    notes: int,
    seconds: float = 0.0,
    timed: float = 0.0,
    pieces: int = 0,
    frames: list[np.ndarray] | None = None,
) -> dict[str, Any]:
    """Counts, and total nats as the average over each; None where there is nothing to average over.

    `seconds` are of music, `timed` the nats of it. `frames` holds the nats of each frame, an array a piece: `all` is
    their mean, `skip_first` that without each piece's first frame, `piece_mean` the mean over pieces of each one's
    mean.
    """
    per_token = nats / max(1, tokens)
    per_frame = None
    if frames is not None:
        frames = [nats_T for nats_T in frames if len(nats_T)]
        every = np.concatenate(frames) if frames else np.zeros(0)
        later = np.concatenate([nats_T[1:] for nats_T in frames]) if frames else np.zeros(0)
        per_frame = {
            "all": float(every.mean()) if len(every) else None,
            "skip_first": float(later.mean()) if len(later) else None,
            "piece_mean": float(np.mean([nats_T.mean() for nats_T in frames])) if frames else None,
        }
    return {
        "tokens": tokens,
        "notes": notes,
        "frames": None if frames is None else sum(map(len, frames)),
        "seconds": round(seconds, 3),
        "pieces": pieces,
        "nats_per_token": per_token,
        "bits_per_token": per_token / math.log(2),
        "perplexity": math.exp(min(per_token, 700)),
        "nats_per_note": nats / notes if notes else None,
        "nats_per_second": timed / seconds if seconds else None,
        "nats_per_frame": per_frame,
    }


@torch.inference_mode()
def step_nats(
    model: SequenceModel, ids: np.ndarray, *, pad: int = 0, following_VV: torch.Tensor | None = None, period: int = 1
) -> np.ndarray:
    """Nats of each step of ids[1:] given what comes before it, float64; 0 for `pad` and for what is not scored.

    Windows of a limited context begin at every `period`-th id behind the first, so that a window of frames begins
    with a frame.
    """
    device = next(model.parameters()).device
    inputs = torch.from_numpy(ids[:-1])[None].to(device)
    targets = scored_targets(torch.from_numpy(ids[1:])[None].to(device), following_VV, pad=pad)
    n = targets.shape[1]
    result = np.zeros(n)
    if model.context is None:
        state = None
        for begin in range(0, n, CHUNK):
            part = slice(begin, begin + CHUNK)
            nats, state = model.nats(inputs[:, part], targets[:, part], state, pad=pad, following_VV=following_VV)
            result[part] = _of_steps(nats)
        return result
    context, stride = model.context, max(1, model.context // 2)
    align = period if period <= stride else 1
    scored = 0
    while scored < n:
        begin = max(0, scored - (context - stride))
        begin -= (begin - 1) % align if begin else 0
        window = slice(begin, begin + context)
        past = model.recalling([inputs[0, :begin]]) if model.recalls else None
        nats, _ = model.nats(inputs[:, window], targets[:, window], past, pad=pad, following_VV=following_VV)
        stop = begin + nats.shape[1]
        result[scored:stop] = _of_steps(nats)[scored - begin :]  # an earlier window has scored what lies before
        scored = stop
    return result


@torch.inference_mode()
def _ahead(model: SequenceModel, ids: np.ndarray, *, pad: int) -> np.ndarray:
    """(H, 2): summed nats and their number for each step ahead.

    A limited context reads in windows that begin without a past; what lies beyond a window's end is not scored.
    """
    device = next(model.parameters()).device
    result = np.zeros((model.settings.horizon, 2))
    length, state = model.context or CHUNK, None
    for begin in range(0, len(ids) - 1, length):
        window = torch.from_numpy(ids[begin : begin + length + 1])[None].to(device)
        nats, after = model.nats_ahead(window[:, :-1], window[:, 1:], state, pad=pad)
        state = after if model.context is None else None
        for step, each in enumerate(nats):
            result[step] += each.sum().item(), each.shape[1]
    return result


def _of_steps(nats: torch.Tensor) -> np.ndarray:
    """(T,) of one row's nats by step, or by step and field."""
    return nats[0].double().reshape(nats.shape[1], -1).sum(dim=1).cpu().numpy()
