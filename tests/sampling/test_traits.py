"""What a part is like as numbers, on parts of which the numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import notes_array
from musicgen.sampling.traits import TRAITS, traits, windows

BAR = 1920


def lines(bars: int) -> np.ndarray:
    return np.arange(bars + 1) * BAR


def told(rows: list[tuple[int, int, int, int]], bars: int = 16, **options) -> dict[str, float]:
    return dict(zip(TRAITS, traits(notes_array(rows), lines(bars), quarter=480, **options).tolist(), strict=True))


def test_a_figure_of_eighths_that_returns():
    found = told([(240 * n, 240, (48, 55, 52, 55)[n % 4], 70) for n in range(8 * 16)])
    assert found["onsets"] == 3  # eight a bar
    assert (found["chord"], found["polyphony"], found["duration"], found["spread"]) == (0, 0, -1, 0)
    assert (found["groove"], found["rests"], found["touch"], found["velocity"]) == (1, 0, 0, 70)
    assert found["exact"] == found["rhythmic"] == 15 / 16
    assert (found["pitch"], found["range"], found["leaps"], found["repeats"]) == (52.5, 7, 0, 0)
    assert found["offbeat"] == 0.5
    assert np.isnan(found["together"])


def test_chords_rests_and_what_is_struck_with_others():
    chords = [(BAR * bar, 960, pitch + bar, 60 + pitch) for bar in range(0, 16, 2) for pitch in (0, 4, 7)]
    given = notes_array([(2 * BAR * n, 480, 60, 80) for n in range(4)])
    found = told([(start, length, 48 + pitch, velocity) for start, length, pitch, velocity in chords], given=given)
    assert found["onsets"] == 0
    assert found["chord"] == found["polyphony"] == pytest.approx(np.log2(3))
    assert (found["rests"], found["together"], found["groove"], found["exact"]) == (0.5, 0.5, 0, 0)
    assert found["rhythmic"] == 7 / 8
    assert found["steps"] == 1  # the top notes rise by two semitones


def test_drums_have_no_pitches_and_few_notes_or_bars_tell_less():
    beat = [(480 * n, 60, 36, 90) for n in range(64)]
    drums = told(beat, drum=True)
    assert np.isnan([drums[name] for name in ("pitch", "duration", "polyphony", "repeats")]).all()
    assert drums["onsets"] == 2
    assert np.isnan(list(told(beat[:3]).values())).all()
    assert np.isnan(told(beat, bars=8)["exact"])
    assert told(beat, bars=8)["groove"] == 1


def test_notes_before_and_behind_the_bars_are_not_looked_at():
    inside = [(BAR * n, 480, 60 + n, 80) for n in range(16)]
    assert told([*inside, (16 * BAR, 9, 1, 1), (17 * BAR, 9, 1, 1)]) == pytest.approx(told(inside), nan_ok=True)


@pytest.mark.parametrize(("bars", "count"), [(1, 1), (16, 1), (23, 1), (24, 2), (40, 2), (160, 10)])
def test_windows_cover_all_bars(bars, count):
    found = windows(lines(bars))
    assert len(found) == count
    assert [int(at[0]) for at in found[1:]] == [int(at[-1]) for at in found[:-1]]
    assert (found[0][0], found[-1][-1]) == (0, bars * BAR)
