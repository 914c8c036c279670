"""Rows of `parts` told in another order than time, so that one model learns three things to do.

- To go on: rows as they are.
- To fill a hole: some bars behind it stand before the bars that lead to it, between the marks `after` and `here`, which
  also says how many bars are missing; then come the bars of the hole, and the end.
- To write parts under given ones: in every bar the notes of the given parts, `again`, and the notes of the others.

Sources: Bavarian et al. 2022 (arXiv:2207.14255) for filling in the middle by order alone; Thickstun et al. 2023
(arXiv:2306.08620) for given music a little ahead of what is written to it.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.base import Tokenizer

__all__ = ["accompanied", "drawn_task", "infilled", "items_of", "rows_of"]

NOTE = slice(0, 3)  # the columns of a row's own note
ONSET, PART = 3, 4
MOST_HOLE, MOST_AFTER = 4, 8  # bars


def items_of(rows: np.ndarray) -> np.ndarray:
    """(N, 6) each note in one row with its place, which in `rows` (N, 6) stands in the row before."""
    items = rows.copy()
    items[:-1, NOTE], items[-1, NOTE] = rows[1:, NOTE], 0
    return items


def _whole_items(rows: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """`items_of` but for a last one whose note is not there any more."""
    items = items_of(rows)
    return items[:-1] if len(rows) and rows[-1, ONSET] >= tokenizer.vocabulary.base["position"] else items


def rows_of(items: np.ndarray) -> np.ndarray:
    """Rows again, the inverse of `items_of`."""
    rows = items.copy()
    rows[1:, NOTE], rows[0, NOTE] = items[:-1, NOTE], 0
    return rows


def accompanied(rows: np.ndarray, tokenizer: Tokenizer, given: frozenset[int]) -> np.ndarray:
    """A piece of rows from its beginning, in every bar of which the notes of the given parts stand first."""
    v = tokenizer.vocabulary
    items = _whole_items(rows, tokenizer)
    bar = np.cumsum(items[:, ONSET] == v.id("bar"))
    is_note = items[:, 0] != 0
    late = is_note & ~np.isin(items[:, PART].astype(np.int64) - v.base["part"], list(given))
    # A span belongs to the note behind it: pieces with bars so long stay as they are.
    bars = int(bar[-1]) if len(bar) else 0
    if not bars or (items[:, ONSET] == v.id("span")).any():
        return rows
    ends = items[:, ONSET] == v.id("eos")
    marks = np.zeros((bars, 6), items.dtype)
    marks[:, ONSET] = v.id("again")
    # Order: by bar; in it the given, the mark, the others, each as they came; the end stays last.
    key = np.concatenate([bar * 4 + 2 * late + 3 * ends, np.arange(1, bars + 1) * 4 + 1])
    order = np.argsort(key, kind="stable")
    return rows_of(np.concatenate([items, marks])[order])


def infilled(rows: np.ndarray, tokenizer: Tokenizer, *, begin: int, hole: int, end: int, tail: int) -> np.ndarray:
    """Rows whose bars `begin` .. `hole` - 1 are to be filled with what lies before them and up to `end` behind them.

    Bars count from 0. The bars behind the hole are told before bar `tail`, which lies before the hole.
    """
    v = tokenizer.vocabulary
    items = _whole_items(rows, tokenizer)
    at = np.append(np.flatnonzero(items[:, ONSET] == v.id("bar")), len(items))
    after, here, over = (np.zeros((1, 6), items.dtype) for _ in range(3))
    after[0, ONSET], here[0, ONSET], over[0, ONSET] = v.id("after"), v.id("here"), v.id("eos")
    here[0, PART] = v.id("part", min(hole - begin, v.sizes["part"] - 1))
    behind = items[at[hole] : at[end]]
    behind = behind[behind[:, ONSET] != v.id("eos")]
    return rows_of(np.concatenate([items[: at[tail]], after, behind, here, items[at[tail] : at[hole]], over]))


def drawn_task(
    rows: np.ndarray, tokenizer: Tokenizer, rng: np.random.Generator, *, length: int, infill: float, accompany: float
) -> np.ndarray:
    """The beginning of a piece up to the end of a window of `length` rows, as a task that is drawn.

    `infill` and `accompany` are chances; where a piece doesn't allow it, the rows stay as they are.
    """
    draw = rng.random()
    if draw < accompany:
        parts = int((rows[:, ONSET] == tokenizer.vocabulary.id("enter")).sum())
        if parts < 2:
            return rows
        given = rng.permutation(parts)[: int(rng.integers(1, parts))]
        return accompanied(rows, tokenizer, frozenset(given.tolist()))
    if draw < accompany + infill:
        bars = tokenizer.bar_positions(rows)
        if len(bars) < 4:
            return rows
        # What is behind the hole and the hole itself must leave room in the window for what leads to it.
        edges = np.append(bars, len(rows))
        count = len(bars)
        most = min(MOST_AFTER, count - 2)
        behind = next((k for k in range(most, 0, -1) if edges[count] - edges[count - k] <= length // 3), 0)
        if not behind:
            return rows
        behind = int(rng.integers(1, behind + 1))
        top = count - behind
        size = next((k for k in range(min(MOST_HOLE, top - 1), 0, -1) if edges[top] - edges[top - k] <= length // 3), 0)
        if not size:
            return rows
        size = int(rng.integers(1, size + 1))
        room = length - (edges[count] - edges[top]) - 4
        tail = next((b for b in range(top) if edges[top] - edges[b] <= room), top - size)
        return infilled(rows, tokenizer, begin=top - size, hole=top, end=count, tail=min(tail, top - size))
    return rows
