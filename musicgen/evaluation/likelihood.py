"""How well a model predicts a split: negative log-likelihood in nats, per token, note, second and frame.

Every token but a piece's first is scored once. A model with a limited context reads overlapping windows and is
scored on the second half of each, so that a token has at least half a context of history where its piece has it;
a recurrent model reads each piece whole. The averages are computed in `figures.py`.

If a tokenizer defines which id may follow which, logits are masked to these and renormalised, and the end of a piece is
not scored: so the nats of a frame are those of its set of pitches, however it is encoded, and comparable to those of
Boulanger-Lewandowski et al. 2012 and later work on their data.
"""

from __future__ import annotations

import numpy as np
import torch

from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.evaluation.figures import Figures, Tally, scored_spans
from musicgen.events import Listener, Progress, ignore
from musicgen.models import SequenceModel
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer

__all__ = ["evaluate", "field_nats", "frame_nats", "step_nats"]

CHUNK = 1024  # tokens that a recurrent model reads in one pass


def evaluate(
    model: SequenceModel,
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    split: str = "valid",
    max_tokens: int | None = None,
    listener: Listener = ignore,
) -> Figures:
    """The evaluation figures of a split; with `max_tokens`, of pieces with about so many tokens spread evenly over it.

    `listener` gets an event after each piece. Raises UsageError if the split has no pieces, UnreadableError if the
    tokens of a corpus folder don't match their digests.
    """
    spans = scored_spans(source, split, max_tokens=max_tokens)
    if not len(spans):
        raise UsageError(f"the corpus has no pieces in its split {split!r}", hint="choose train, valid or test")
    if isinstance(source, Corpus):
        source.check()
    tally = Tally(tokenizer)
    scoring = Scoring.of(tokenizer, next(model.parameters()).device)
    model.eval()
    ahead = np.zeros((model.settings.horizon, 2))
    for done, (offset, size) in enumerate(spans.tolist()):
        ids = np.asarray(source.tokens[offset : offset + size]).astype(np.int64)
        if model.settings.horizon > 1:
            ahead += _ahead(model, ids, scoring)
        tally.add(ids, step_nats(model, ids, scoring))
        listener(Progress(done + 1, len(spans), "piece"))
    means = tuple((ahead[:, 0] / np.maximum(1, ahead[:, 1])).tolist())
    return tally.figures(split, ahead=means if model.settings.horizon > 1 else None)


def frame_nats(
    model: SequenceModel, source: TokenSource, tokenizer: Tokenizer, *, split: str = "valid"
) -> list[np.ndarray]:
    """The nats of each frame, one array per piece of the split. Raises UsageError for a tokenizer without frames."""
    if tokenizer.layout is None:
        raise UsageError(f"the tokenizer {tokenizer.name} has no frames", hint="use a run with the tokenizer frames")
    scoring = Scoring.of(tokenizer, next(model.parameters()).device)
    tally = Tally(tokenizer)
    model.eval()
    for offset, size in source.spans(split).tolist():
        ids = np.asarray(source.tokens[offset : offset + size]).astype(np.int64)
        tally.add(ids, step_nats(model, ids, scoring))
    assert tally.frames is not None
    return tally.frames


def step_nats(model: SequenceModel, ids: np.ndarray, scoring: Scoring) -> np.ndarray:
    """The nats of each step of ids[1:] given the preceding ones, float64; 0 for padding and for steps not scored."""
    nats: np.ndarray = field_nats(model, ids, scoring).sum(axis=1)
    return nats


@torch.inference_mode()
def field_nats(model: SequenceModel, ids: np.ndarray, scoring: Scoring) -> np.ndarray:
    """(T - 1, F) float64: the nats of each field of each step of ids[1:], given the preceding steps and fields; F is 1
    where a step is one id. 0 for padding and for steps not scored.

    Windows of a limited context begin a multiple of `scoring.period` ids after the first id, so that windows of frames
    begin with a whole frame.
    """
    device = next(model.parameters()).device
    inputs = torch.from_numpy(ids[:-1])[None].to(device)
    targets = scoring.targets(torch.from_numpy(ids[1:])[None].to(device))
    n = targets.shape[1]
    result = np.zeros((n, targets[0, 0].numel()))
    if model.context is None:
        state = None
        for begin in range(0, n, CHUNK):
            part = slice(begin, begin + CHUNK)
            nats, state = scoring.nats(model, inputs[:, part], targets[:, part], state)
            result[part] = _of_fields(nats)
        return result
    context, stride = model.context, max(1, model.context // 2)
    align = scoring.period if scoring.period <= stride else 1
    scored = 0
    while scored < n:
        begin = max(0, scored - (context - stride))
        begin -= (begin - 1) % align if begin else 0
        window = slice(begin, begin + context)
        past = model.recalling([inputs[0, :begin]]) if model.recalls else None
        nats, _ = scoring.nats(model, inputs[:, window], targets[:, window], past)
        stop = begin + nats.shape[1]
        result[scored:stop] = _of_fields(nats)[scored - begin :]  # an earlier window has scored what lies before
        scored = stop
    return result


@torch.inference_mode()
def _ahead(model: SequenceModel, ids: np.ndarray, scoring: Scoring) -> np.ndarray:
    """(H, 2): the sum of the nats and their number, for each of the H steps ahead.

    A model with a limited context reads independent windows; targets beyond a window's end are not scored. The number
    is that of the steps with a scored target.
    """
    device = next(model.parameters()).device
    result = np.zeros((model.settings.horizon, 2))
    length, state = model.context or CHUNK, None
    for begin in range(0, len(ids) - 1, length):
        window = torch.from_numpy(ids[begin : begin + length + 1])[None].to(device)
        targets = scoring.targets(window[:, 1:])
        nats, after = scoring.nats_ahead(model, window[:, :-1], targets, state)
        state = after if model.context is None else None
        scored_T = (targets != scoring.pad).view(*targets.shape[:2], -1).any(-1)[0]
        for step, each in enumerate(nats):
            result[step] += each.sum().item(), scored_T[step:].sum().item()
    return result


def _of_fields(nats: torch.Tensor) -> np.ndarray:
    """The nats per step and field, (T, F) float64, of the first row of nats per step, or per step and field."""
    return nats[0].double().reshape(nats.shape[1], -1).cpu().numpy()
