"""The playing order of bars, and where bars and meters lie then."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.io.midi import Limits
from musicgen.io.scores.assembly import assemble
from musicgen.io.scores.layout import FINE, Layout, PartRows, Score, joined
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
        # A pass that no ending names takes the one before it; a lone ending under a sign for three times is left out last.
        ([Bar(), Bar(passes=frozenset({1}), times=3), Bar(passes=frozenset({3}))], [0, 1, 0, 1, 0, 2]),
        ([Bar(), Bar(passes=frozenset({1}), times=3), Bar()], [0, 1, 0, 1, 0, 2]),
        # Two movements: a da capo goes to the begin of its own, and what stands behind it follows its fine.
        (
            [Bar(), Bar(marks=("Begin", "Fine")), Bar(marks=("DaCapoAlFine",)), Bar(marks=("Begin",))],
            [0, 1, 2, 1, 3],
        ),
        (
            [Bar(marks=("Fine",)), Bar(marks=("DaCapo",)), Bar(marks=("Fine",)), Bar(marks=("DaCapo",))],
            [0, 1, 0, 2, 3, 2],
        ),
        ([Bar(), Bar(times=2), Bar(marks=("Begin",)), Bar(times=2)], [0, 1, 0, 1, 2, 3, 2, 3]),
        # The fine may stand behind the jump.
        ([Bar(), Bar(marks=("DaCapoAlFine",)), Bar(marks=("Fine",))], [0, 1, 0, 1, 2]),
        # Of two jumps in one bar, in words and for playing, the one that says how far.
        (
            [Bar(), Bar(marks=("ToCoda",)), Bar(marks=("DaCapo", "DaCapoAlCoda")), Bar(marks=("Coda",))],
            [0, 1, 2, 0, 1, 3],
        ),
        # The coda of a jump stands behind it, also where an earlier jump had one of its own.
        (
            [
                Bar(marks=("ToCoda",)),
                Bar(marks=("DaCapoAlCoda",)),
                Bar(marks=("Coda",)),
                Bar(marks=("DaCapoAlCoda",)),
                Bar(marks=("Coda",)),
            ],
            [0, 1, 0, 2, 3, 0, 4],
        ),
        # Labels say which segno.
        (
            [
                Bar(marks=("Segno",), labels=(("Segno", "a"),)),
                Bar(marks=("Segno",), labels=(("Segno", "b"),)),
                Bar(marks=("DalSegno",), labels=(("DalSegno", "a"),)),
            ],
            [0, 1, 2, 0, 1, 2],
        ),
        # Each dal segno once, back to the last segno before it.
        (
            [Bar(marks=("Segno",)), Bar(marks=("DalSegno",)), Bar(marks=("Segno",)), Bar(marks=("DalSegno",))],
            [0, 1, 0, 1, 2, 3, 2, 3],
        ),
    ],
)
def test_playing_order(bars, order):
    assert play_order(bars) == (order, [])


@pytest.mark.parametrize(
    ("bars", "passes"),
    [
        ([Bar(), Bar(passes=frozenset({1}), times=2), Bar(passes=frozenset({2})), Bar()], [1, 1, 2, 2, 1]),
        ([Bar(times=3, marks=("Fine",)), Bar(marks=("DaCapo",))], [1, 2, 3, 1, 3]),
        ([Bar(times=17)], [1]),
    ],
)
def test_passes_are_told_with_the_order(bars, passes):
    told: list[int] = []
    play_order(bars, told)
    assert told == passes


def test_hostile_repeats_stay_bounded():
    bars = [Bar(start=True) for _ in range(500)] + [Bar(times=2) for _ in range(500)]
    assert len(play_order(bars)[0]) <= 10 * len(bars)
    assert play_order([Bar(times=1000)]) == (
        [0],
        ["repeats: a section is to sound more than 16 times; left as written"],
    )
    assert len(play_order([Bar(passes=frozenset(range(1, 1000)), times=2)] * 50)[0]) <= 50 * 50


def test_endings_that_nothing_leads_back_from_are_left_as_written():
    order, warnings = play_order([Bar(), Bar(passes=frozenset({1})), Bar(passes=frozenset({2}))])
    assert order == [0, 1, 2]
    assert warnings == ["repeats: endings without a repeat sign; left as written"]


@pytest.mark.parametrize(
    ("marks", "warning"),
    [
        (("DalSegno",), "repeats: a dal segno has no segno before it; left as written"),
        (("DaCapoAlFine",), "repeats: 'al fine' has no fine; left as written"),
        (("DaCapoAlCoda",), "repeats: 'al coda' needs a coda behind it; left as written"),
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


def test_what_a_sign_within_a_measure_cuts_is_one_bar_again():
    cut = maps_of((3, Bar()), (1, Bar(within=True)), (4, Bar()))
    assert cut == [(0, 4, 4)]
    left = maps_of((3, Bar(marks=("Fine",))), (1, Bar(within=True)), (4, Bar(marks=("DaCapo",))))
    assert left == [(0, 4, 4)]  # the last bar of all is an unfilled one
    thirds = maps_of((1, Bar()), (1, Bar(within=True)), (2, Bar(within=True)))
    assert thirds == [(0, 4, 4)]


def joined_rows(*rows):
    """(start, duration, pitch) of (start, duration, pitch, tie) joined, and how many were merged."""
    start, duration, pitch, _, merged = joined(*np.array(rows, dtype=np.int64).T)
    return list(zip(start.tolist(), duration.tolist(), pitch.tolist(), strict=True)), merged


def test_ties_of_two_voices_in_unison_are_one_note():
    both = [(0, 4, 60, 1), (0, 4, 60, 1), (4, 2, 60, 3), (4, 2, 60, 3)]
    assert joined_rows(*both) == ([(0, 6, 60)], 1)
    assert joined_rows(*both[:3]) == ([(0, 6, 60)], 1)
    assert joined_rows(both[0], *both[2:]) == ([(0, 6, 60)], 1)
    assert joined_rows((0, 4, 60, 1), (4, 4, 60, 2), (8, 1, 60, 3), (9, 1, 60, 3)) == ([(0, 9, 60), (9, 1, 60)], 0)


def test_of_two_tied_voices_on_one_pitch_each_goes_on_by_itself():
    one, two = 4, 8
    rows = [(0, 3, 60, 1 + two), (1, 2, 60, 1 + one), (3, 3, 60, 3 + one), (3, 2, 60, 3 + two)]
    assert joined_rows(*rows) == ([(0, 5, 60), (1, 5, 60)], 0)
    assert joined_rows((0, 2, 60, 1 + one), (2, 2, 60, 3 + two)) == ([(0, 4, 60)], 0)


def test_notes_of_one_pass_and_notes_with_a_velocity_of_their_own():
    part = PartRows(bars=[Bar(times=2)], lengths=[FINE], meters={0: (1, 4)})
    part.notes = [(0, 0, FINE, 60, 0), (0, 0, FINE, 64, 0), (0, 0, FINE, 200, 0), (0, 0, FINE, 67, 0)]
    part.only, part.velocities, part.levels = {1: frozenset({2})}, {3: 100}, [(0, 0, 50)]
    notes = assemble(Score([part]), where="here", limits=Limits()).tracks[0].notes
    rows = [(int(n["start"]) // 480, int(n["pitch"]), int(n["velocity"])) for n in notes]
    assert rows == [(0, 60, 50), (0, 67, 100), (1, 60, 50), (1, 64, 50), (1, 67, 100)]


def test_an_order_that_the_file_lists_outweighs_the_signs():
    part = PartRows(bars=[Bar(start=True), Bar(times=2), Bar()], lengths=[4 * FINE] * 3)
    assert Layout([part], []).order.tolist() == [0, 1, 0, 1, 2]
    assert Layout([part], [], order=[2, 0, 2]).order.tolist() == [2, 0, 2]
    assert (Layout([part], [], order=[2, 0, 2]).start // FINE).tolist() == [0, 4, 8, 12]


def test_a_dynamic_mark_in_a_bar_that_never_sounds_changes_nothing():
    part = PartRows(bars=[Bar(), Bar()], lengths=[FINE, FINE], notes=[(0, 0, FINE, 60, 0)], levels=[(1, 0, 33)])
    piece = assemble(Score([part], order=[0]), where="here", limits=Limits())
    assert piece.tracks[0].notes["velocity"].tolist() == [72]
