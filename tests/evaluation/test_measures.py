"""Each measure is muspy's, and what it should be where that is plain to see.

The golden values are those of muspy 0.5.0 (`muspy.metrics`, resolution 24, bars of 96), computed once from the same
notes: muspy.Music(resolution=24, tracks=[muspy.Track(notes=[muspy.Note(time=start, pitch=pitch, duration=duration)])]).
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from musicgen.evaluation import measures
from musicgen.piece import NOTE, notes_array

BAR = 96


def music(seed: int) -> np.ndarray:
    """Notes that overlap, of which two parts may play the same at once."""
    state, rows = seed, []
    for n in range(60):
        state = (state * 1103515245 + 12345) % 2**31
        start, pitch = n * 6 + 6 * (state >> 8 & 1), 48 + (state >> 12) % (12 + 6 * seed)
        rows.append((start, 6 + (state >> 20) % 24, pitch, 80))
    return notes_array(rows)


GOLDEN: dict[int, dict[str, float]] = {
    1: {
        "pitch_entropy": 4.087582004007327,
        "pitch_class_entropy": 3.4556462213257664,
        "n_pitches_used": 18.0,
        "n_pitch_classes_used": 12.0,
        "scale_consistency": 0.6333333333333333,
        "polyphony": 2.955182072829132,
        "polyphony_rate": 0.6537396121883656,
        "groove_consistency": 0.9479166666666666,
    },
    2: {
        "pitch_entropy": 4.1161916890047845,
        "pitch_class_entropy": 3.3774802890608866,
        "n_pitches_used": 21.0,
        "n_pitch_classes_used": 12.0,
        "scale_consistency": 0.7166666666666667,
        "polyphony": 2.77807486631016,
        "polyphony_rate": 0.6099476439790575,
        "groove_consistency": 0.9270833333333334,
    },
    3: {
        "pitch_entropy": 4.4903286212803355,
        "pitch_class_entropy": 3.408253401142217,
        "n_pitches_used": 26.0,
        "n_pitch_classes_used": 12.0,
        "scale_consistency": 0.65,
        "polyphony": 2.952,
        "polyphony_rate": 0.6361256544502618,
        "groove_consistency": 0.9166666666666666,
    },
}


def found(notes: np.ndarray) -> dict[str, float]:
    end = int((notes["start"] + notes["duration"]).max())
    pitch = notes["pitch"]
    return {
        "pitch_entropy": measures.pitch_entropy(pitch),
        "pitch_class_entropy": measures.pitch_class_entropy(pitch),
        "n_pitches_used": measures.pitches_used(pitch),
        "n_pitch_classes_used": measures.pitch_classes_used(pitch),
        "scale_consistency": measures.scale_consistency(pitch),
        "polyphony": measures.polyphony(notes),
        "polyphony_rate": measures.polyphony_rate(notes, length=end),
        "groove_consistency": measures.groove_consistency(
            notes["start"], bar_starts=np.arange(end // BAR + 1) * float(BAR), bar_length=BAR
        ),
    }


@pytest.mark.parametrize("seed", sorted(GOLDEN))
def test_measures_are_those_of_muspy(seed):
    assert found(music(seed)) == pytest.approx(GOLDEN[seed], abs=1e-12)


def test_extremes():
    scale = np.array([60, 62, 64, 65, 67, 69, 71], np.uint8)
    assert measures.scale_consistency(scale) == 1
    assert measures.scale_consistency(np.arange(60, 72)) == pytest.approx(7 / 12)
    assert measures.pitch_class_entropy(np.arange(60, 72)) == pytest.approx(math.log2(12))
    same = np.arange(4)[:, None] * BAR + np.array([0, 24, 72])
    starts = np.arange(4) * float(BAR)
    assert measures.groove_consistency(same.ravel(), bar_starts=starts, bar_length=BAR) == 1
    chord = notes_array([(0, 96, pitch, 80) for pitch in (60, 64, 67, 67)])
    assert measures.polyphony(chord) == 3
    assert measures.polyphony_rate(chord, length=192) == 0.5


def test_of_nothing_there_is_no_measure():
    none = np.empty(0, NOTE)
    values = [
        measures.pitch_entropy(none["pitch"]),
        measures.pitch_class_entropy(none["pitch"]),
        measures.scale_consistency(none["pitch"]),
        measures.polyphony(none),
        measures.polyphony_rate(none, length=0),
        measures.groove_consistency(none["start"], bar_starts=np.zeros(1), bar_length=BAR),
    ]
    assert all(map(math.isnan, values))
    assert (measures.pitches_used(none["pitch"]), measures.pitch_classes_used(none["pitch"])) == (0, 0)
