"""Back-off models that count: the chance of a value given the values before it, field by field.

Every value of a step is predicted given some values read before it: the last value of this field, the one before that,
the last value of another field, and so on (`Condition`). Values of one step are read in the order of its fields, and
empty fields are passed over; they are neither counted nor scored. A flat tokenizer has one field, and its conditions
are the last ids: an n-gram model.

Interpolated Witten-Bell smoothing: p(w | h) = (count(h w) + types(h) p(w | h')) / (count(h) + types(h)), where h' is h
without the condition added last and types(h) is the number of different values seen after h; at the bottom is the
uniform distribution over the field's values. If a tokenizer defines which id may follow which, the level without
conditions is masked to these and renormalised; the higher levels have seen no others.

Sources: Witten and Bell 1991; Chen and Goodman 1999, section 2.6; Bilmes and Kirchhoff 2003, "Factored Language Models
and Generalized Parallel Backoff" (conditions on any fields, in any order).

Shapes: N steps of all pieces, F fields, M values of one field, K the values that are possible.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from musicgen.tokenizers.vocabulary import Field

__all__ = ["Condition", "Counted", "Table", "choose", "counted_nats"]

FOLDS = 10  # every tenth piece is held out when conditions are chosen


class Condition(NamedTuple):
    """The last value of a field (`back` 1), or the one `back` - 1 values before it.

    With `same`, another field, this field's own last value in a step that had the same value of `same` before it: the
    last pitch of the part that plays now.
    """

    field: int
    back: int
    same: int | None = None


class Table:
    """Pieces as steps (N, F), with the values that stood before each; 0 is an empty field."""

    def __init__(self, pieces: Sequence[np.ndarray], fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        sizes = [len(piece) for piece in pieces]
        steps = [np.asarray(piece).astype(np.int64).reshape(len(piece), -1) for piece in pieces]
        self.ids_NF = np.concatenate(steps) if steps else np.zeros((0, len(self.fields)), np.int64)
        self.piece_N = np.repeat(np.arange(len(sizes)), sizes)
        self.start_N = np.repeat(np.cumsum(sizes) - sizes, sizes).astype(np.int64)
        self._filled = [np.flatnonzero(column) for column in self.ids_NF.T]

    def at(self, field: int, scored_V: np.ndarray | None) -> np.ndarray:
        """(M,): the steps whose value of the field is counted and scored: all that aren't empty or a piece's first."""
        here = (self.ids_NF[:, field] != 0) & (np.arange(len(self.ids_NF)) > self.start_N)
        return np.flatnonzero(here if scored_V is None else here & scored_V[self.ids_NF[:, field]])

    def values(self, condition: Condition, field: int, at_M: np.ndarray) -> np.ndarray:
        """(M,): what the condition refers to when `field` of the steps `at_M` comes next; 0 where a piece has none."""
        if condition.same is not None:
            return self._values_alike(condition, condition.same, at_M)
        filled = self._filled[condition.field]
        side = "right" if condition.field < field else "left"  # fields before this one are read in the same step
        which = np.searchsorted(filled, at_M, side=side) - condition.back  # type: ignore[call-overload]
        if not len(filled):
            return np.zeros(len(at_M), np.int64)
        there = filled[np.maximum(0, which)]
        found = (which >= 0) & (there >= self.start_N[at_M])
        return np.where(found, self.ids_NF[there, condition.field], 0)

    def _values_alike(self, condition: Condition, same: int, at_M: np.ndarray) -> np.ndarray:
        """The values of the condition's field, which comes next, in the steps among `at_M` that are alike in `same`."""
        alike_M = self.values(Condition(same, 1), condition.field, at_M)
        group_M = self.piece_N[at_M] * (int(alike_M.max(initial=0)) + 1) + alike_M
        order = np.argsort(group_M, kind="stable")  # the steps of a group follow each other in time
        earlier, later = order[: -condition.back], order[condition.back :]
        value_M = np.zeros(len(at_M), np.int64)
        value_M[later] = np.where(group_M[earlier] == group_M[later], self.ids_NF[at_M[earlier], condition.field], 0)
        return value_M


class Counted:
    """Values of one field, and their chances given the conditions so far: p_M of all, from counts of `counted_M`.

    `following_KK` is true where the column's value may come after the row's, for a tokenizer with one field.
    """

    def __init__(
        self,
        table: Table,
        field: int,
        *,
        at_M: np.ndarray,
        counted_M: np.ndarray,
        following_KK: np.ndarray | None = None,
    ) -> None:
        _, first, size = table.fields[field]
        self.table, self.field, self.at_M, self.counted_M, self.size = table, field, at_M, counted_M, size
        self.target_M = table.ids_NF[at_M, field] - first
        self.context_M = np.zeros(len(at_M), np.int64)
        count_K = np.bincount(self.target_M[counted_M], minlength=size)
        total, types = count_K.sum(), (count_K > 0).sum()
        p_K = (count_K + types / size) / (total + types) if total else np.full(size, 1 / size)
        self.p_M = p_K[self.target_M]
        if following_KK is not None and len(at_M):
            last_M = table.ids_NF[at_M - 1, field]
            self.p_M = np.where(following_KK[last_M, self.target_M], self.p_M / (following_KK @ p_K)[last_M], 0.0)

    def under(self, condition: Condition) -> tuple[np.ndarray, np.ndarray]:
        """(context_M, p_M) with one more condition."""
        value_M = self.table.values(condition, self.field, self.at_M)
        wide = int(value_M.max(initial=0)) + 1
        _, context_M = np.unique(self.context_M * wide + value_M, return_inverse=True)
        pairs, pair_M = np.unique(context_M * self.size + self.target_M, return_inverse=True)
        counts = np.bincount(pair_M[self.counted_M], minlength=len(pairs))
        contexts = int(context_M.max(initial=-1)) + 1
        total_M = np.bincount(context_M[self.counted_M], minlength=contexts)[context_M]
        types_M = np.bincount(pairs[counts > 0] // self.size, minlength=contexts)[context_M]
        seen_M = total_M > 0
        p_M = (counts[pair_M] + types_M * self.p_M) / np.where(seen_M, total_M + types_M, 1)
        return context_M, np.where(seen_M, p_M, self.p_M)

    def add(self, condition: Condition) -> None:
        """Add a condition; without one more, the model is what it backs off to."""
        self.context_M, self.p_M = self.under(condition)


def counted_nats(
    table: Table,
    conditions: Sequence[Sequence[Condition]],
    *,
    pieces: int,
    scored_V: np.ndarray | None = None,
    following_KK: np.ndarray | None = None,
) -> np.ndarray:
    """nats_N of each step, the sum over its fields, with `conditions` by field and counts of the first `pieces`.

    0 for the pieces that are counted, and for steps that aren't scored.
    """
    nats_N = np.zeros(len(table.ids_NF))
    for field, chosen in enumerate(conditions):
        at_M = table.at(field, scored_V)
        counted_M = table.piece_N[at_M] < pieces
        model = Counted(table, field, at_M=at_M, counted_M=counted_M, following_KK=following_KK)
        for condition in chosen:
            model.add(condition)
        nats_N[at_M[~counted_M]] -= np.log(model.p_M[~counted_M])
    return nats_N


def choose(
    table: Table, field: int, *, most: int, scored_V: np.ndarray | None = None, following_KK: np.ndarray | None = None
) -> tuple[Condition, ...]:
    """Up to `most` conditions for a field, the most telling first, from the pieces of a table.

    One is added after another, each time the one that tells most about every tenth piece, counted in the others; those
    after the best number are dropped. A single piece is counted in its first half.
    """
    at_M = table.at(field, scored_V)
    pieces = int(table.piece_N.max(initial=-1)) + 1
    folds = min(FOLDS, pieces)
    held_M = at_M >= len(table.ids_NF) // 2 if pieces == 1 else table.piece_N[at_M] % max(1, folds) == folds - 1
    if not held_M.any() or held_M.all():
        return ()
    model = Counted(table, field, at_M=at_M, counted_M=~held_M, following_KK=following_KK)
    chosen: list[Condition] = []
    nats = [_nats(model.p_M[held_M])]
    while len(chosen) < most:
        tried = [(condition, *model.under(condition)) for condition in _next(chosen, field, len(table.fields))]
        condition, model.context_M, model.p_M = min(tried, key=lambda each: _nats(each[2][held_M]))
        chosen.append(condition)
        nats.append(_nats(model.p_M[held_M]))
    return tuple(chosen[: int(np.argmin(nats))])


def _next(chosen: Sequence[Condition], field: int, fields: int) -> list[Condition]:
    """The conditions that may be added: of each kind, the nearest value that isn't chosen yet."""
    kinds: list[tuple[int, int | None]] = [(other, None) for other in range(fields)]
    kinds += [(field, same) for same in range(fields) if same != field]
    return [
        Condition(other, 1 + sum((each.field, each.same) == (other, same) for each in chosen), same)
        for other, same in kinds
    ]


def _nats(p_M: np.ndarray) -> float:
    return float(-np.log(p_M).sum())
