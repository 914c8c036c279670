"""Keys, scales and progressions by name, and the key of given notes."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.tonality import SCALES, fitting_key, key_of_notes, progression, scale_pitch_classes


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_moves_with_its_root(name):
    on_c, on_eb = scale_pitch_classes(f"C {name}"), scale_pitch_classes(f"Eb {name}")
    assert on_eb == {(step + 3) % 12 for step in on_c}
    assert 0 in on_c


@pytest.mark.parametrize(("tonic", "mode"), [(0, ""), (7, ""), (9, "m"), (3, "")])
def test_the_key_of_a_scale_that_dwells_on_its_triad_is_found(tonic, mode):
    steps = (0, 2, 3, 5, 7, 8, 10) if mode else (0, 2, 4, 5, 7, 9, 11)
    pitches = np.array([60 + tonic + step for step in (*steps, 0, steps[2], 7, 0)])
    names = ["C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"]
    assert key_of_notes(pitches, np.ones(len(pitches))) == names[tonic] + mode
    assert key_of_notes(pitches[:0], np.ones(0)) is None


def test_progressions_have_bars_and_chords():
    assert [len(bar) for bar in progression("| Dm7 G7 | C6 |")] == [2, 1]
    assert sorted(progression("G7/B")[0][0].tones) == [2, 5, 7, 11]
    assert progression("N.C.")[0][0].tones == frozenset()
    assert fitting_key([bar[0].tones for bar in progression("G C D Em")]) == scale_pitch_classes("G")
    with pytest.raises(UsageError, match="are no chords; give 1 to 1000 bars"):
        progression(" | ")
