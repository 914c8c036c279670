"""The floor: a back-off n-gram model of the same tokens, which every network must beat.

Interpolated Witten-Bell smoothing: p(w | h) = (count(h w) + types(h) p(w | h')) / (count(h) + types(h)), where h'
is h without its oldest token and types(h) is the number of different tokens seen after h; at the bottom is the
uniform distribution. Source: Witten and Bell 1991; Chen and Goodman 1999, section 2.6.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np

from musicgen.evaluation.likelihood import TokenSource, figures

__all__ = ["NGram", "evaluate_ngram"]


class NGram:
    """Counts of all n-grams up to `order` tokens."""

    def __init__(self, vocabulary_size: int, *, order: int = 6) -> None:
        self.size, self.order = vocabulary_size, order
        self.counts: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        self.totals: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]
        self.types: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order)]

    def add(self, ids: list[int]) -> None:
        """Count one piece."""
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
        return p


def evaluate_ngram(
    source: TokenSource, tokenizer: Any, *, split: str = "valid", order: int = 6, max_tokens: int = 3_000_000
) -> dict[str, Any]:
    """Count the training split (at most `max_tokens` of it, piece by piece) and score `split` like a network."""
    model = NGram(len(tokenizer.vocabulary), order=order)
    counted = 0
    for offset, size in source.spans("train").tolist():
        if counted >= max_tokens:
            break
        model.add(_flat(source.tokens[offset : offset + size]))
        counted += size
    nats, tokens, notes = 0.0, 0, 0
    for offset, size in source.spans(split).tolist():
        ids = np.asarray(source.tokens[offset : offset + size])
        listed = _flat(ids)
        for t in range(1, len(listed)):
            nats -= math.log(model.probability(listed[max(0, t - order + 1) : t], listed[t]))
        tokens += len(ids) - 1
        notes += tokenizer.count_notes(ids)
    return {"split": split, "order": order, "counted_tokens": counted, **figures(nats, tokens=tokens, notes=notes)}


def _flat(ids: np.ndarray) -> list[int]:
    """Ids as one sequence; of steps with fields, the values of field after field without what is empty."""
    values = np.asarray(ids)
    return (values if values.ndim == 1 else values[values != 0]).tolist()
