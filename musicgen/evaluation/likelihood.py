"""How well a model predicts a split: negative log-likelihood in nats, per token and per note.

Every token but a piece's first is scored once. A model with a limited context reads overlapping windows and is
scored on the second half of each, so that a token has at least half a context of history where its piece has it;
a recurrent model reads each piece whole. Perplexity is exp(nats per token), bits are nats / ln 2. A token is a
step: where it has fields, its nats are the sum over them, by the chain rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch

from musicgen.errors import UsageError
from musicgen.models import SequenceModel

__all__ = ["evaluate", "figures"]

CHUNK = 1024  # tokens that a recurrent model reads at once


class TokenSource(Protocol):
    """All tokens in one array, and where the pieces of a split lie in it."""

    tokens: np.ndarray

    def spans(self, split: str) -> np.ndarray:
        """(n, 2): offset and length of every piece of the split."""


def evaluate(
    model: SequenceModel,
    source: TokenSource,
    tokenizer: Any,
    *,
    split: str = "valid",
    max_tokens: int | None = None,
    on_piece: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The figures of a split; see `figures` for the keys. `max_tokens` takes pieces spread over the split.

    Raises UsageError when the split has no pieces.
    """
    spans = source.spans(split)
    if not len(spans):
        raise UsageError(f"the corpus has no pieces in its split {split!r}", hint="choose train, valid or test")
    if max_tokens is not None and spans[:, 1].sum() > max_tokens:
        wanted = max(1, int(len(spans) * max_tokens / spans[:, 1].sum()))
        spans = spans[np.linspace(0, len(spans) - 1, wanted).round().astype(int)]
    total, tokens, notes = 0.0, 0, 0
    model.eval()
    for done, (offset, size) in enumerate(spans.tolist()):
        ids = np.asarray(source.tokens[offset : offset + size]).astype(np.int64)
        total += piece_nats(model, ids, pad=tokenizer.vocabulary.id("pad"))
        tokens += len(ids) - 1
        notes += tokenizer.count_notes(ids)
        on_piece(done + 1, len(spans))
    return {"split": split, **figures(total, tokens=tokens, notes=notes)}


def figures(nats: float, *, tokens: int, notes: int) -> dict[str, Any]:
    """Total nats as tokens, notes, frames (None: this tokenizer has none) and the averages over each."""
    per_token = nats / max(1, tokens)
    return {
        "tokens": tokens,
        "notes": notes,
        "frames": None,
        "nats_per_token": per_token,
        "bits_per_token": per_token / math.log(2),
        "perplexity": math.exp(min(per_token, 700)),
        "nats_per_note": nats / notes if notes else None,
    }


@torch.inference_mode()
def piece_nats(model: SequenceModel, ids: np.ndarray, *, pad: int = 0) -> float:
    """Summed nats of ids[1:] given what comes before each; `pad` counts nothing."""
    device = next(model.parameters()).device
    inputs = torch.from_numpy(ids[:-1])[None].to(device)
    targets = torch.from_numpy(ids[1:])[None].to(device)
    n = targets.shape[1]
    total = 0.0
    if model.context is None:
        state = None
        for begin in range(0, n, CHUNK):
            part = slice(begin, begin + CHUNK)
            nats, state = model.nats(inputs[:, part], targets[:, part], state, pad=pad)
            total += nats.sum().item()
        return total
    context, stride = model.context, max(1, model.context // 2)
    scored = 0
    for begin in range(0, n, stride):
        window = slice(begin, begin + context)
        nats, _ = model.nats(inputs[:, window], targets[:, window], pad=pad)
        total += nats[:, scored - begin :].sum().item()  # an earlier window has scored what lies before
        scored = begin + nats.shape[1]
        if scored >= n:
            break
    return total
