"""What unheard parts are foreseen to be like, with the table that comes along."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import notes_array
from musicgen.sampling.roles import CONTEXT, FAMILIES, WORST, Role, context, design, foreseen, typicality
from musicgen.sampling.traits import FORESEEN
from musicgen.tokenizers.constraints import DRUMS

LINES = np.arange(17) * 1920
SCALE = (0, 2, 4, 5, 7, 9, 11)


def melody(lowest: int, every: int = 480) -> np.ndarray:
    steps = np.abs((np.arange(16 * 1920 // every) * 3) % 12 - 6)
    return notes_array([(n * every, every, lowest + SCALE[step], 80) for n, step in enumerate(steps.tolist())])


def chords(lowest: int) -> np.ndarray:
    return notes_array([(n * 480, 480, lowest + pitch, 80) for n in range(64) for pitch in (0, 4, 7)])


def role(program: int, *given: tuple[int, np.ndarray]) -> Role:
    found = foreseen(program, given, lines=LINES, quarter=480)
    assert found is not None
    return found


def test_hands_lie_where_the_other_one_leaves_room():
    left, right = role(0, (0, melody(72))), role(0, (0, chords(45)))
    assert left["pitch"] < 62 < right["pitch"]
    assert role(33, (0, melody(72)))["pitch"] < left["pitch"]


def test_singers_and_strings_are_lines_and_their_pianos_are_not():
    assert role(52, (0, chords(48))).chord_size == 1
    assert role(41, (40, melody(76)), (40, melody(67)), (42, melody(48))).chord_size == 1
    assert role(0, (52, melody(67))).chord_size >= 3


def test_a_busy_band_has_a_busy_bass():
    calm, busy = (role(33, (0, melody(60, every)), (DRUMS, melody(36, every))) for every in (1920, 240))
    assert busy["onsets"] > calm["onsets"] + 0.5
    assert busy.most_notes_a_bar > calm.most_notes_a_bar


def test_without_notes_nothing_is_foreseen():
    assert foreseen(0, [], lines=LINES, quarter=480) is None
    assert foreseen(0, [(0, melody(60)[:2])], lines=LINES, quarter=480) is None
    assert foreseen(0, [(0, melody(60))], lines=LINES + 99 * 1920, quarter=480) is None


def test_every_family_has_a_forecast_and_the_columns_fit_the_table():
    columns = context(0, [(0, melody(60))], lines=LINES, quarter=480)
    assert len(columns) == len(CONTEXT)
    rows = design(np.stack([columns, columns]), np.array([0, 5]))
    width = rows.shape[1] // (1 + FAMILIES)
    assert (rows[0, width : 2 * width] == rows[1, 6 * width : 7 * width]).all()
    for program in (*range(0, 128, 8), 53, DRUMS):
        assert np.isfinite(role(program, (0, melody(60)), (DRUMS, melody(36))).expected).all()


def test_limits_follow_what_is_foreseen():
    def of(**expected: float) -> Role:
        values = np.array([expected.get(name, 0.0) for name in FORESEEN])
        return Role(values, np.ones(len(FORESEEN)), False)

    assert [of(chord=np.log2(size)).chord_size for size in (1.1, 1.3, 2, 3)] == [1, 2, 3, 5]
    assert of(onsets=2, chord=1).most_notes_a_bar == 16  # of about 8
    assert of(onsets=2, chord=1, rests=0.25).notes_a_bar == 6
    assert of(onsets=2, rests=-0.5).notes_a_bar == 4
    assert [of(rests=share).longest_rest for share in (0.0, 0.1)] == [1, 2]


def test_distances_are_in_usual_errors_and_bounded():
    of = Role(np.zeros(len(FORESEEN)), np.full(len(FORESEEN), 2.0), False)
    assert of.apart(of.expected) == 0
    assert of.apart(of.expected + 1) == 0.5
    assert of.apart(of.expected + 1000) == of.apart(np.full(len(FORESEEN), np.nan)) == WORST
    some = np.full(len(FORESEEN), np.nan)
    some[0] = 4
    assert of.apart(some) == 2


def test_drums_are_compared_in_what_drums_have():
    of = role(DRUMS, (0, melody(60)))
    heard = of.traits(melody(36), LINES, quarter=480, given=melody(60))
    assert np.isnan(heard[FORESEEN.index("pitch")])
    assert 0 < of.apart(heard) < WORST
    assert heard[FORESEEN.index("together")] == 1


def test_the_most_typical_candidate_is_the_one_in_the_middle():
    of = Role(np.zeros(len(FORESEEN)), np.ones(len(FORESEEN)), False)
    found = typicality(of, [np.full(len(FORESEEN), value) for value in (0.0, 1.0, 3.0)])
    assert found == pytest.approx([2.0, 1.5, 2.5])
    assert typicality(of, [of.expected]) == [0.0]
