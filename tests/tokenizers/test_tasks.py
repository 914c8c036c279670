"""Tasks: rows in another order hold the same notes, in the order that is described."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from part_pieces import PARTS, random_piece, tune

from musicgen.piece import Piece
from musicgen.tokenizers.bars.tasks import accompanied, drawn_task, infilled, items_of, rows_of

V = PARTS.vocabulary
NOTE, ONSET, PART = slice(0, 3), 3, 4
BAR, EOS, AFTER, HERE, AGAIN = (V.id(kind) for kind in ("bar", "eos", "after", "here", "again"))
ROWS = PARTS.encode(tune(0))
# Cut behind a note, behind a place whose note is gone, at a bar line, and the whole.
CUTS = [len(ROWS), *(int(np.flatnonzero(ROWS[:, ONSET] >= V.base["position"])[n]) + 1 for n in (70, 71))]
CUTS.append(int(PARTS.bar_positions(ROWS)[5]) + 1)


def items(rows: np.ndarray) -> list[tuple[int, ...]]:
    """The notes with where they stand, and what else rows lead to; without a last place whose note is cut off."""
    return [tuple(item) for item in items_of(rows).tolist() if item[0] or item[ONSET] < V.base["position"]]


def bars(rows: np.ndarray) -> list[list[tuple[int, ...]]]:
    """The items bar by bar; the first list is what stands before the first."""
    out: list[list[tuple[int, ...]]] = [[]]
    for item in items(rows):
        if item[ONSET] in (BAR, AFTER, HERE, EOS):
            out.append([])
        out[-1].append(item)
    return out


def test_items_and_rows_are_each_others_inverse():
    for piece in (tune(0), random_piece(0, meters=((0, 64, 1),)), Piece()):
        rows = PARTS.encode(piece)
        assert np.array_equal(rows_of(items_of(rows)), rows)
        assert np.array_equal(items_of(rows_of(items_of(rows))), items_of(rows))
        before = rows.copy()
        items_of(rows)[:] = 0
        assert np.array_equal(rows, before)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("given", [frozenset({0}), frozenset({1, 3}), frozenset({0, 1, 2})])
def test_under_given_parts_the_others_follow_in_every_bar(cut, given):
    rows = ROWS[:cut]
    told = accompanied(rows, PARTS, given)
    marks = [item for item in items(told) if item[ONSET] == AGAIN]
    lost = Counter(items(rows)) - Counter(items(told))
    assert not Counter(items(told)) - Counter(items(rows)) - Counter(marks)
    # Without an end the last note has no row to stand in, as in every window.
    is_place = int(told[-1, ONSET] >= V.base["position"])
    assert [item[ONSET:] for item in lost] == [tuple(told[-1, ONSET:].tolist())] * is_place
    plain, other = bars(rows), bars(told)
    other[-1] += lost
    assert len(marks) == len(PARTS.bar_positions(rows))
    assert [bar[0] for bar in other] == [bar[0] for bar in plain]
    for bar, before in zip(other, plain, strict=True):
        if bar[0][ONSET] != BAR:
            assert bar == before
            continue
        at = [item[ONSET] for item in bar].index(AGAIN)
        is_given = [item[PART] - V.base["part"] in given for item in before[1:]]
        assert bar[1:at] == [item for item, first in zip(before[1:], is_given, strict=True) if first]
        assert bar[at + 1 :] == [item for item, first in zip(before[1:], is_given, strict=True) if not first]
    if cut == len(ROWS):
        assert PARTS.decode(told) == PARTS.decode(rows), "in bars the order of parts says nothing"


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_behind_a_hole_is_told_before_it(cut):
    rows = ROWS[:cut]
    count = len(PARTS.bar_positions(rows))
    for begin, hole, tail in ((1, 2, 0), (2, 4, 1), (3, count - 1, 3)):
        told = infilled(rows, PARTS, begin=begin, hole=hole, end=count, tail=tail)
        plain = [bar for bar in bars(rows) if bar[0][ONSET] != EOS]
        head, plain, other = plain[0], plain[1:], bars(told)
        mark_after, mark_here = [(0, 0, 0, AFTER, 0, 0)], [(0, 0, 0, HERE, V.id("part", hole - begin), 0)]
        expected = [
            head,
            *plain[:tail],
            mark_after,
            *plain[hole:],
            mark_here,
            *plain[tail:hole],
            [(0, 0, 0, EOS, 0, 0)],
        ]
        assert other == expected


def test_bars_behind_the_end_are_left_out():
    told = infilled(ROWS, PARTS, begin=1, hole=3, end=5, tail=0)
    left = bars(ROWS)[1:6]
    assert Counter(item for bar in bars(told) for item in bar if item[0]) == Counter(
        item for bar in left for item in bar if item[0]
    )


def test_long_bars_stay_as_they_are():
    rows = PARTS.encode(random_piece(0, meters=((0, 12, 4),)))
    assert (rows[:, ONSET] == V.id("span")).any()
    assert accompanied(rows, PARTS, frozenset({0})) is rows
    assert accompanied(rows[:3], PARTS, frozenset({0})) is rows[:3] or len(PARTS.bar_positions(rows[:3])) == 0


@pytest.mark.parametrize("length", [20, 60, 200])
def test_tasks_are_drawn_as_often_as_asked_and_fit_their_window(length):
    kinds: Counter = Counter()
    tunes = [PARTS.encode(tune(seed)) for seed in range(3)]
    for seed in range(60):
        rows = tunes[seed % 3][: 100 + seed % 4]
        told = drawn_task(rows, PARTS, np.random.default_rng(seed), length=length, infill=0.3, accompany=0.4)
        again, here = (told[:, ONSET] == AGAIN).any(), (told[:, ONSET] == HERE).any()
        kinds["accompanied" if again else "infilled" if here else "plain"] += 1
        assert (told is rows) == (not again and not here)
        if not here:
            continue
        assert not again
        window = told[max(0, len(told) - length - 1) :]
        assert (window[:, ONSET] == AFTER).sum() == 1, "all that is behind the hole is in the window, and the hole"
        assert told[-1, ONSET] == EOS
        assert 1 <= int(told[told[:, ONSET] == HERE, PART][0]) - V.base["part"] <= 4
        whole = Counter(item for bar in bars(rows) for item in bar if item[0])
        assert Counter(item for bar in bars(told) for item in bar if item[0]) == whole
    assert 12 <= kinds["accompanied"] <= 36
    assert kinds["infilled"] <= 30
    assert kinds["infilled"] >= (8 if length > 20 else 0)


def test_what_does_not_allow_a_task_stays_as_it_is():
    rng = np.random.default_rng
    alone = PARTS.encode(random_piece(0, programs=(40,), drums=0))
    assert drawn_task(alone, PARTS, rng(0), length=100, infill=0.0, accompany=1.0) is alone
    short = ROWS[: PARTS.bar_positions(ROWS)[3]]
    assert drawn_task(short, PARTS, rng(0), length=100, infill=1.0, accompany=0.0) is short
    assert drawn_task(ROWS, PARTS, rng(0), length=100, infill=0.0, accompany=0.0) is ROWS
    one, two = (PARTS.as_task(ROWS, rng(5), length=60, infill=0.5, accompany=0.5) for _ in range(2))
    assert np.array_equal(one, two)
