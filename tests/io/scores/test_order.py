"""The playing order of bars, and where bars and meters lie then."""

from __future__ import annotations

import pytest

from musicgen.io.scores.layout import FINE, Layout, PartRows
from musicgen.io.scores.order import Bar, merged, play_order


@pytest.mark.parametrize(
    ("bars", "order"),
    [
        ([Bar(start=True), Bar(times=2), Bar()], [0, 1, 0, 1, 2]),
        ([Bar(), Bar(times=3)], [0, 1, 0, 1, 0, 1]),
        ([Bar(times=2), Bar(times=2), Bar(times=2)], [0, 0, 1, 1, 2, 2]),
        ([Bar(), Bar(passes=frozenset({1, 2}), times=3), Bar(passes=frozenset({3}))], [0, 1, 0, 1, 0, 2]),
        ([Bar(), Bar(passes=frozenset({1}), times=2), Bar()], [0, 1, 0, 2]),
        ([Bar(), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2}), times=2)], [0, 1, 0, 2]),
        ([Bar(), Bar(marks=("Segno",)), Bar(marks=("DalSegno",))], [0, 1, 2, 1, 2]),
        ([Bar(marks=("Coda",)), Bar(marks=("DaCapoAlCoda",)), Bar(marks=("Coda",))], [0, 1, 0, 2]),
        ([Bar(marks=("ToCoda",)), Bar(marks=("DaCapo",)), Bar(marks=("Coda",), times=2)], [0, 1, 0, 2, 2]),
        ([Bar(marks=("Fine",)), Bar(marks=("DaCapo",))], [0, 1, 0]),
        ([Bar(), Bar(marks=("DaCapo",)), Bar()], [0, 1, 0, 1, 2]),
        ([Bar(times=2, marks=("Fine",)), Bar(times=2, marks=("DaCapo",))], [0, 0, 1, 1, 0]),
        # Endings: in lists, out of order, lone, of a da capo.
        ([Bar(), Bar(passes=frozenset({1, 3}), times=2), Bar(passes=frozenset({2}), times=2)], [0, 1, 0, 2, 0, 1]),
        ([Bar(), Bar(passes=frozenset({1, 2}), times=2), Bar(passes=frozenset({3})), Bar()], [0, 1, 0, 1, 0, 2, 3]),
        ([Bar(), Bar(passes=frozenset({1, 2}), times=2), Bar()], [0, 1, 0, 1, 0, 2]),
        ([Bar(), Bar(passes=frozenset({1}), marks=("DaCapo",)), Bar(passes=frozenset({2}))], [0, 1, 0, 2]),
        ([Bar(), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2})), Bar(times=2)], [0, 1, 0, 2, 3, 3]),
        # Each dal segno once, back to the last segno before it.
        (
            [Bar(marks=("Segno",)), Bar(marks=("DalSegno",)), Bar(marks=("Segno",)), Bar(marks=("DalSegno",))],
            [0, 1, 0, 1, 2, 3, 2, 3],
        ),
    ],
)
def test_playing_order(bars, order):
    assert play_order(bars) == (order, [])


def test_hostile_repeats_stay_bounded():
    bars = [Bar(start=True) for _ in range(500)] + [Bar(times=2) for _ in range(500)]
    assert len(play_order(bars)[0]) <= 10 * len(bars)
    assert play_order([Bar(times=1000)]) == ([0], ["repeats: a section is to sound more than 8 times; left as written"])
    assert len(play_order([Bar(passes=frozenset(range(1, 1000)), times=2)] * 50)[0]) <= 50 * 10 + 1


def test_endings_that_nothing_leads_back_from_are_left_as_written():
    order, warnings = play_order([Bar(), Bar(passes=frozenset({1})), Bar(passes=frozenset({2}))])
    assert order == [0, 1, 2]
    assert warnings == ["repeats: endings without a repeat sign; left as written"]


@pytest.mark.parametrize(
    ("marks", "warning"),
    [
        (("DalSegno",), "repeats: a dal segno has no segno before it; left as written"),
        (("DaCapoAlFine",), "repeats: 'al fine' has no fine; left as written"),
        (("DaCapoAlCoda",), "repeats: 'al coda' needs the place to leave and a coda behind it; left as written"),
    ],
)
def test_jumps_to_nowhere_are_said(marks, warning):
    assert play_order([Bar(), Bar(marks=marks)]) == ([0, 1], [warning])


def test_signs_of_all_parts_count():
    upper = [Bar(start=True), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2}))]
    lower = [Bar(), Bar(times=2), Bar(marks=("Fine",))]
    assert merged([upper, lower], 3) == [*upper[:2], Bar(passes=frozenset({2}), marks=("Fine",))]


def maps_of(*bars, meter=(4, 4)):
    """Meters of one part whose bars have these lengths in quarters and these signs."""
    part = PartRows(bars=[bar for _, bar in bars], lengths=[q * FINE for q, _ in bars], meters={0: meter})
    return [(t // FINE, n, d) for t, n, d in Layout([part], []).maps([part])[1].tolist()]


def test_a_pickup_and_the_bar_that_it_fills_are_one():
    whole = maps_of((1, Bar(start=True)), (4, Bar()), (3, Bar(times=2)))
    assert whole == [(0, 1, 4), (1, 4, 4)]  # the third bar and the pickup again, then a last bar left unfilled
    assert maps_of((4, Bar()), (3, Bar()), (4, Bar())) == [(0, 4, 4), (4, 3, 4), (7, 4, 4)]


def test_a_short_last_bar_leaves_no_gap_when_it_is_repeated():
    part = PartRows(bars=[Bar(), Bar(times=2)], lengths=[FINE, 3 * FINE], meters={0: (4, 4)})
    assert (Layout([part], []).start // FINE).tolist() == [0, 1, 4, 5, 8]


def test_an_order_that_the_file_lists_outweighs_the_signs():
    part = PartRows(bars=[Bar(start=True), Bar(times=2), Bar()], lengths=[4 * FINE] * 3)
    assert Layout([part], []).order.tolist() == [0, 1, 0, 1, 2]
    assert Layout([part], [], order=[2, 0, 2]).order.tolist() == [2, 0, 2]
    assert (Layout([part], [], order=[2, 0, 2]).start // FINE).tolist() == [0, 4, 8, 12]
