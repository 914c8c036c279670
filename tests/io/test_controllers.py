"""Controllers mean what the specification says: resets, the wheel, its range in semitones and cents, tunings."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.io.controllers import changes, silences, transposition, tuning, wheel
from musicgen.piece import BEND, CONTROL

NO_BENDS = np.empty(0, BEND)


def controls(*rows: tuple[int, int, int]) -> np.ndarray:
    return np.array(list(rows), CONTROL)


def rpn(number: int, *data: tuple[int, int], tick: int = 0) -> list[tuple[int, int, int]]:
    """Selecting a registered parameter, then (controller, value) of data entry."""
    return [(tick, 101, number >> 7), (tick, 100, number & 127), *((tick, *each) for each in data)]


def bend_range(*rows: tuple[int, int, int]) -> float:
    return float(tuning(controls(*rows))[1][-1])


@pytest.mark.parametrize(
    ("number", "after"), [(64, 0), (66, 0), (67, 0), (1, 0), (11, 127), (7, 33), (10, 33), (91, 33)]
)
def test_what_reset_all_controllers_resets_and_what_it_leaves(number, after):
    ticks, values = changes(controls((0, number, 33), (5, 121, 0)), number)
    assert values[-1] == after
    assert ticks.tolist() == ([0] if after == 33 else [0, 5])


def test_on_one_tick_the_last_controller_holds():
    assert changes(controls((5, 64, 127), (5, 121, 0)), 64)[1].tolist() == [127, 0]
    assert changes(controls((5, 121, 0), (5, 64, 127)), 64)[1].tolist() == [0, 127]


def test_all_sound_off_is_no_other():
    assert silences(controls((1, 120, 0), (2, 123, 0), (3, 121, 0))).tolist() == [1]


def test_a_reset_centres_the_wheel_unless_it_turns_on_that_tick():
    bends = np.array([(0, 100), (9, 200)], BEND)
    assert [c.tolist() for c in wheel(controls((5, 121, 0)), bends)] == [[0, 5, 9], [100, 0, 200]]
    ticks, values = wheel(controls((9, 121, 0)), bends)
    assert (ticks.tolist(), values.tolist()) == ([0, 9, 9], [100, 0, 200])
    assert transposition(controls((9, 121, 0)), bends)[1][-1] == pytest.approx(200 / 8192 * 2)


@pytest.mark.parametrize(
    ("rows", "semitones"),
    [
        ([], 2.0),
        (rpn(0, (6, 12)), 12.0),
        (rpn(0, (6, 127)), 127.0),
        (rpn(0, (6, 127), (38, 99)), 127.99),
        (rpn(0, (6, 0), (38, 50)), 0.5),
        (rpn(0, (38, 50)), 2.5),  # cents alone
        (rpn(0, (38, 50), (6, 3)), 3.0),  # semitones begin without cents
        (rpn(0, (6, 2), (96, 0)), 2.01),
        (rpn(0, (6, 2), (38, 99), (96, 5)), 3.0),
        (rpn(0, (6, 2), (97, 0)), 1.99),
        (rpn(0, (6, 0), (97, 0)), 0.0),
        ([(0, 6, 12)], 2.0),  # nothing is selected
        ([(0, 100, 0), (0, 6, 12)], 2.0),  # nor by half
        ([(0, 101, 0), (0, 100, 0), (0, 6, 12)], 12.0),
        ([(0, 100, 0), (0, 101, 0), (0, 6, 12)], 12.0),
        ([*rpn(0), *rpn(127 << 7 | 127), (0, 6, 12)], 2.0),  # the null parameter
        ([*rpn(0), (0, 99, 1), (0, 98, 8), (0, 6, 64)], 2.0),  # an NRPN
        ([*rpn(0), (0, 98, 8), (0, 6, 64)], 2.0),
        ([*rpn(0), (0, 99, 1), (0, 98, 8), (0, 96, 0), (0, 38, 4)], 2.0),
        ([(0, 99, 0), (0, 98, 0), *rpn(0, (6, 12))], 12.0),
        ([*rpn(0), (0, 121, 0), (0, 6, 12)], 2.0),  # a reset deselects
        ([*rpn(0, (6, 12)), (0, 121, 0)], 12.0),  # and leaves the range
        (rpn(5, (6, 12)), 2.0),  # another parameter
    ],
)
def test_the_range_of_bends(rows, semitones):
    assert bend_range(*rows) == pytest.approx(semitones)


@pytest.mark.parametrize(
    ("rows", "semitones"),
    [
        (rpn(1, (6, 64)), 0.0),
        (rpn(1, (6, 0)), -1.0),
        (rpn(1, (6, 96)), 0.5),
        (rpn(1, (6, 127), (38, 127)), 8191 / 8192),
        (rpn(1, (96, 0)), 1 / 8192),
        (rpn(1, (6, 0), (97, 0)), -1.0),
        (rpn(2, (6, 64)), 0.0),
        (rpn(2, (6, 76)), 12.0),
        (rpn(2, (6, 0)), -64.0),
        (rpn(2, (6, 64), (38, 99)), 0.0),
        (rpn(2, (96, 0), (96, 0), (97, 0)), 1.0),
        ([*rpn(1, (6, 96)), *rpn(2, (6, 65))], 1.5),
        ([*rpn(2, (6, 76)), (0, 121, 0)], 12.0),
    ],
)
def test_fine_and_coarse_tuning(rows, semitones):
    ticks, found = transposition(controls(*rows), NO_BENDS)
    assert ticks[0] == -1
    assert found[-1] == pytest.approx(semitones)
    _, of_drums = transposition(controls(*rows), NO_BENDS, drums=True)
    assert of_drums[-1] == pytest.approx(semitones - round(float(tuning(controls(*rows))[3][-1])))


def test_wheel_range_and_tuning_change_in_time():
    rows = [*rpn(0, (6, 12), tick=10), *rpn(2, (6, 65), tick=30)]
    bends = np.array([(0, 4096), (20, -8192), (40, 0)], BEND)
    ticks, found = transposition(controls(*rows), bends)
    assert ticks.tolist() == [-1, 0, 10, 20, 30, 40]
    assert found.tolist() == pytest.approx([0, 1, 6, -12, -11, 1])
