"""A baseline that every network should beat: it counts what comes after what, in the same tokens (`counting.py`).

What each field is conditioned on, and how far back that goes, is chosen on pieces of the training split that are held
out from counting; then all of them are counted. The split that is scored has no say in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen.corpus.split import spread
from musicgen.corpus.store import TokenSource
from musicgen.evaluation.counting import Condition, Table, choose, counted_nats
from musicgen.evaluation.figures import Figures, Tally, scored_spans
from musicgen.tokenizers import Tokenizer
from musicgen.tokenizers.vocabulary import Field
from musicgen.words import counted

__all__ = ["Baseline", "doubt", "evaluate_ngram", "standing"]

CHOSEN_ON = 200_000  # tokens that conditions are chosen on: they need fewer than counts do
FEW_PIECES = 3  # figures of so few, or fewer, may be chance
LEVEL = 0.01  # a share of the floor's nats: what is nearer is level with it


@dataclass(frozen=True)
class Baseline:
    """How well counts of `counted_tokens` of the training split predict a split.

    `order` is the most values that one chance depends on, with the value itself: n of an n-gram. `conditions` are by
    field, the most telling first: "part-1" is the last part, "part-2" the one before, and
    "pitch-1 by part" the last pitch of the part that plays.
    """

    order: int
    counted_tokens: int
    figures: Figures
    conditions: dict[str, list[str]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the figures beside the rest."""
        figures = self.figures.to_dict()
        head = {"split": figures["split"], "order": self.order, "counted_tokens": self.counted_tokens}
        return {**head, "conditions": self.conditions, **figures}


def evaluate_ngram(
    source: TokenSource,
    tokenizer: Tokenizer,
    *,
    split: str = "valid",
    order: int = 8,
    max_tokens: int | None = None,
    most_counted: int = 3_000_000,
) -> Baseline:
    """Count in the training split (whole pieces, until there are `most_counted` tokens) and score `split`.

    `order` bounds what is chosen. With `max_tokens`, the pieces are scored that `likelihood.evaluate` scores.
    """
    tally = Tally(tokenizer)
    fields = tokenizer.fields
    before: list[np.ndarray] = []
    tokens = 0
    for offset, size in source.spans("train").tolist():
        if tokens >= most_counted:
            break
        before.append(np.asarray(source.tokens[offset : offset + size]))
        tokens += size
    few = spread(len(before), max(2, len(before) * CHOSEN_ON // max(1, tokens))).tolist() if before else []
    sample = Table([before[n] for n in few], fields)
    spans = scored_spans(source, split, max_tokens=max_tokens)
    pieces = [np.asarray(source.tokens[offset : offset + size]) for offset, size in spans.tolist()]
    table = Table([*before, *pieces], fields)
    masks = {"scored_V": tally.scored_V, "following_KK": tokenizer.following}
    conditions = [choose(sample, field, most=order - 1, **masks) for field in range(len(fields))]
    nats_N = counted_nats(table, conditions, pieces=len(before), **masks)
    done = tokens
    for ids in pieces:
        tally.add(ids, nats_N[done + 1 : done + len(ids)])
        done += len(ids)
    longest = 1 + max(map(len, conditions))
    named = {field.name: _names(chosen, fields) for field, chosen in zip(fields, conditions, strict=True)}
    return Baseline(longest, tokens, tally.figures(split), named)


def standing(nats: float, floor: float) -> str:
    """How a model stands to the floor, in words; both in nats a token.

    >>> standing(5.5, 5.0)
    'behind the floor, 5.0000 nats a token: it has learned less than counting does; train longer or on more music'
    """
    said = f"{floor:.4f} nats a token"
    if nats > floor * (1 + LEVEL):
        return f"behind the floor, {said}: it has learned less than counting does; train longer or on more music"
    if nats >= floor * (1 - LEVEL):
        return f"level with the floor, {said}: it has learned about as much as counting does"
    return f"ahead of the floor, {said}: it has learned more than counting does, by {1 - nats / floor:.0%} of the nats"


def doubt(split: str, pieces: int) -> str | None:
    """A warning if figures are of too few pieces; None if there are none or enough.

    >>> doubt("valid", 3)
    'valid has 3 pieces: figures may be chance'
    """
    few = 0 < pieces <= FEW_PIECES
    return f"{split} has {counted(pieces, 'piece')}: figures may be chance" if few else None


def _names(conditions: tuple[Condition, ...], fields: tuple[Field, ...]) -> list[str]:
    named = []
    for field, back, same in conditions:
        alike = "" if same is None else f" by {fields[same].name}"
        named.append(f"{fields[field].name}-{back}{alike}")
    return named
