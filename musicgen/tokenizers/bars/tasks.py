"""Reordered rows of the `parts` tokenizer, with which one autoregressive model learns three tasks.

- Continuation: rows in order of time.
- Infilling: some bars after a hole are moved before the bars that lead to it, between the marks `after` and `here`,
  which also says how many bars are missing; then come the bars of the hole, and EOS.
- Accompaniment: in every bar the notes of the given parts, `again`, then the notes of the others.

Sources: Bavarian et al. 2022 (arXiv:2207.14255) for infilling by reordering; Thickstun et al. 2023 (arXiv:2306.08620)
for given music that slightly precedes its accompaniment.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.base import Tokenizer

__all__ = ["accompanied", "drawn_task", "infilled", "items_of", "rows_of"]

NOTE = slice(0, 3)  # the columns of a row's note: pitch, duration, velocity
ONSET, PART = 3, 4
MOST_HOLE, MOST_AFTER = 4, 8  # bars


def items_of(rows: np.ndarray) -> np.ndarray:
    """Shift notes up by a row, (N, 6) -> (N, 6), so that each note is in one row with its position and part."""
    items = rows.copy()
    items[:-1, NOTE], items[-1, NOTE] = rows[1:, NOTE], 0
    return items


def _whole_items(rows: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """`items_of`, without a last position whose note is cut off."""
    items = items_of(rows)
    return items[:-1] if len(rows) and rows[-1, ONSET] >= tokenizer.vocabulary.base["position"] else items


def rows_of(items: np.ndarray) -> np.ndarray:
    """The inverse of `items_of`: shift notes down by a row."""
    rows = items.copy()
    rows[1:, NOTE], rows[0, NOTE] = items[:-1, NOTE], 0
    return rows


def accompanied(rows: np.ndarray, tokenizer: Tokenizer, given: frozenset[int]) -> np.ndarray:
    """Reorder the rows of a piece for accompaniment: in every bar the notes of the `given` parts (numbers) come first.

    `rows` begin with the piece. They are returned unchanged if there is no bar, or one long enough to need a span.
    """
    v = tokenizer.vocabulary
    items = _whole_items(rows, tokenizer)
    bar = np.cumsum(items[:, ONSET] == v.id("bar"))
    is_note = items[:, 0] != 0
    late = is_note & ~np.isin(items[:, PART].astype(np.int64) - v.base["part"], list(given))
    # A span belongs to the note after it, so pieces with bars that long aren't reordered.
    bars = int(bar[-1]) if len(bar) else 0
    if not bars or (items[:, ONSET] == v.id("span")).any():
        return rows
    ends = items[:, ONSET] == v.id("eos")
    marks = np.zeros((bars, 6), items.dtype)
    marks[:, ONSET] = v.id("again")
    # Sort by bar; within it the given parts, the mark, the other parts, each in their order; EOS stays last.
    key = np.concatenate([bar * 4 + 2 * late + 3 * ends, np.arange(1, bars + 1) * 4 + 1])
    order = np.argsort(key, kind="stable")
    return rows_of(np.concatenate([items, marks])[order])


def infilled(rows: np.ndarray, tokenizer: Tokenizer, *, begin: int, hole: int, end: int, tail: int) -> np.ndarray:
    """Reorder rows for infilling: bars `begin` .. `hole` - 1 are the hole, `hole` .. `end` - 1 the context after it.

    Bars are numbered from 0. The context after the hole is moved before bar `tail`, with `tail` <= `begin`.
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
    """Reorder the beginning of a piece, up to the end of a window of `length` rows, for a randomly drawn task.

    `infill` and `accompany` are probabilities. Rows are returned unchanged for continuation, and where the piece
    doesn't allow the task.
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
        # The hole and the context after it take up to a third of the window each, to leave room for what precedes.
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
