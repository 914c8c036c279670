"""How new parts fit given ones."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import notes_array
from musicgen.sampling.fitting import clashes, levelled, off_scale, pitch_classes_apart, together_with

SCALE = [60, 62, 64, 65, 67, 69, 71]


def notes(*rows: tuple[int, int, int]) -> np.ndarray:
    return notes_array([(start, length, pitch, 80) for start, length, pitch in rows])


def test_semitones_that_last_clash_and_passing_ones_do_not():
    given = notes((0, 960, 60))
    assert clashes(notes((0, 480, 61)), given, ticks_per_quarter=480) == 1
    assert clashes(notes((0, 480, 47)), given, ticks_per_quarter=480) == 1  # a ninth below
    assert clashes(notes((0, 480, 64), (480, 480, 72)), given, ticks_per_quarter=480) == 0
    assert clashes(notes((900, 960, 61)), given, ticks_per_quarter=480) == 0  # together for an eighth of a quarter
    assert clashes(notes((0, 480, 61), (480, 480, 67)), given, ticks_per_quarter=480) == 0.5
    assert clashes(notes((0, 480, 61)), given[:0], ticks_per_quarter=480) == 0


def test_time_off_the_scale_of_what_is_given():
    given = notes(*((480 * n, 480, pitch) for n, pitch in enumerate(SCALE)))
    assert off_scale(notes((0, 480, 48), (0, 480, 55)), given) == 0
    assert off_scale(notes((0, 480, 48), (0, 1440, 54)), given) == pytest.approx(0.75)
    assert off_scale(notes((0, 480, 54)), given[:3]) == 0  # three notes make no key


def test_new_onsets_go_with_given_ones_that_hands_play():
    given = notes((13, 400, 60), (470, 400, 62), (1200, 400, 64))
    new = notes((0, 100, 40), (480, 100, 41), (960, 100, 42))
    moved = together_with(
        new, given, mine=np.ones(3, bool), part=np.zeros(3, int), quarter=480, lines=np.array([0, 1920])
    )
    assert moved["start"].tolist() == [13, 470, 960]
    kept = together_with(
        new, given, mine=np.zeros(3, bool), part=np.zeros(3, int), quarter=480, lines=np.array([0, 1920])
    )
    assert kept["start"].tolist() == new["start"].tolist()


def test_two_onsets_of_a_line_do_not_become_one():
    given, close = notes((0, 400, 60), (480, 400, 62)), notes((460, 20, 40), (490, 100, 41), (490, 100, 45))
    mine, bars = np.ones(3, bool), np.array([0, 1920])
    line = together_with(close, given, mine=mine, part=np.zeros(3, int), quarter=480, lines=bars)
    assert line["start"].tolist() == [460, 480, 480]
    two = together_with(close, given, mine=mine, part=np.array([0, 1, 1]), quarter=480, lines=bars)
    assert two["start"].tolist() == [480, 480, 480]


def test_a_new_part_is_about_as_loud_as_the_others():
    velocity, part = np.array([20, 30, 100, 100]), np.array([0, 0, 1, 1])
    out = levelled(velocity, np.array([90, 100]), part=part, mine=part == 0)
    assert out.tolist() == [82, 92, 100, 100]
    assert levelled(velocity, np.array([90, 90]), part=part, mine=part == 0).tolist() == [90, 90, 100, 100]
    assert levelled(velocity, np.array([], int), part=part, mine=part == 0).tolist() == velocity.tolist()


def test_pitch_classes_are_compared_by_the_time_they_sound():
    given = notes((0, 480, 60), (480, 480, 67))
    assert pitch_classes_apart(notes((0, 960, 36), (0, 960, 43)), given) == 0
    assert pitch_classes_apart(notes((0, 100, 61)), given) == 1
    assert pitch_classes_apart(notes((0, 720, 60), (0, 240, 67)), given) == pytest.approx(0.25)
    assert pitch_classes_apart(given[:0], given) == 0
