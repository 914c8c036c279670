"""A baseline that every network should beat: a back-off n-gram model of the same tokens.

Interpolated Witten-Bell smoothing: p(w | h) = (count(h w) + types(h) p(w | h')) / (count(h) + types(h)), where h'
is h without its oldest token and types(h) is the number of different tokens seen after h; at the bottom is the
uniform distribution. If a tokenizer defines which token may follow which, the unigram level is masked to these and
renormalised; the higher levels have seen no others. Source: Witten and Bell 1991; Chen and Goodman 1999, section 2.6.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen.corpus.store import TokenSource
from musicgen.evaluation.figures import Figures, Tally
from musicgen.tokenizers import Tokenizer

__all__ = ["Baseline", "NGram", "evaluate_ngram"]


@dataclass(frozen=True)
class Baseline:
    """How well n-grams of up to `order` tokens, counted on `counted_tokens` of the training split, predict a split."""

    order: int
    counted_tokens: int
    figures: Figures

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the figures beside the rest."""
        figures = self.figures.to_dict()
        return {"split": figures["split"], "order": self.order, "counted_tokens": self.counted_tokens, **figures}


class NGram:
    """Counts of all n-grams up to `order` tokens.

    `following` (V, V) is true where the column's token may come after the row's.
    """

    def __init__(self, vocabulary_size: int, *, order: int = 6, following: np.ndarray | None = None) -> None:
        self.size, self.order, self.following = vocabulary_size, order, following
        self.shares: dict[int, float] = {}  # token -> unigram probability of all tokens that may follow it
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        self.totals: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        self.types: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]

    def add(self, ids: list[int]) -> None:
        """Count one piece."""
        self.shares.clear()
        for n in range(self.order):
            counts, totals, types = self.counts[n], self.totals[n], self.types[n]
            for gram in zip(*(ids[k:] for k in range(n + 1)), strict=False):
                counts[gram] += 1
                totals[gram[:-1]] += 1
                if counts[gram] == 1:
                    types[gram[:-1]] += 1

    def probability(self, history: list[int], token: int) -> float:
        """p(token | the last order - 1 tokens of history)."""
        p = 1.0 / self.size
        for n in range(min(self.order, len(history) + 1)):
            h = tuple(history[len(history) - n :])
            total, types = self.totals[n][h], self.types[n][h]
            if not total:
                break  # a longer history was not seen either
            p = (self.counts[n][(*h, token)] + types * p) / (total + types)
            if n == 0 and self.following is not None and history:
                p = p / self._share(history[-1]) if self.following[history[-1], token] else 0.0
        return p

    def _share(self, last: int) -> float:
        """The total unigram probability of the tokens that may follow `last`."""
        if last not in self.shares and self.following is not None:
            allowed = np.flatnonzero(self.following[last]).tolist()
            self.shares[last] = sum(self.probability([], token) for token in allowed)
        return self.shares[last]


def evaluate_ngram(
    source: TokenSource, tokenizer: Tokenizer, *, split: str = "valid", order: int = 6, max_tokens: int = 3_000_000
) -> Baseline:
    """Count n-grams in the training split (whole pieces, until `max_tokens` is reached) and score `split` with them."""
    tally = Tally(tokenizer)
    model = NGram(len(tokenizer.vocabulary), order=order, following=tokenizer.following)
    counted = 0
    for offset, size in source.spans("train").tolist():
        if counted >= max_tokens:
            break
        model.add(_flat(_scored(source.tokens[offset : offset + size], tally)))
        counted += size
    for offset, size in source.spans(split).tolist():
        ids = np.asarray(source.tokens[offset : offset + size])
        listed = _flat(_scored(ids, tally))
        nats = np.zeros(max(len(listed), len(ids)) - 1)
        for t in range(1, len(listed)):
            nats[t - 1] = -math.log(model.probability(listed[max(0, t - order + 1) : t], listed[t]))
        tally.add(ids, nats)
    return Baseline(order, counted, tally.figures(split))


def _scored(ids: np.ndarray, tally: Tally) -> np.ndarray:
    """`ids` without the end-of-piece id if that isn't scored."""
    return ids[:-1] if tally.scored_V is not None and not tally.scored_V[ids[-1]] else ids


def _flat(ids: np.ndarray) -> list[int]:
    """Ids as one list; for steps with fields, the fields' values in order, without empty ones."""
    values = np.asarray(ids)
    flat: list[int] = (values if values.ndim == 1 else values[values != 0]).tolist()
    return flat
