"""Shares of the time that is right, facts of how voices move, and what counting comes to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from translate_pieces import QUARTER, chorale, lead_sheet, notes

from musicgen.models.tasks.translate_layout import ATB, CHORDS
from musicgen.piece import Piece, Track
from musicgen.tasks.translate.alphabet import Alphabet
from musicgen.tasks.translate.figures import changes, rightness, voice_leading
from musicgen.tasks.translate.floors import Commonest, melody_classes, ngram_nats
from musicgen.tasks.translate.harmony import chord_number
from musicgen.tasks.translate.pairs import pair_of


def test_a_wrong_chord_counts_by_its_time_and_by_what_it_has_in_common():
    truth = pair_of(lead_sheet(), CHORDS)
    wrong = truth.values_MK.copy()
    wrong[0, 0] = chord_number("Am")  # for C: two of four pitch classes
    wrong[1, 0] = chord_number("Fm")  # for F: its root
    found = rightness(CHORDS, [(replace(truth, values_MK=wrong), truth)])
    assert found == {"exact": 6 / 8, "root": 7 / 8, "overlap": pytest.approx((6 + 0.5 + 0.5) / 8)}
    assert rightness(CHORDS, [(truth, truth)]) == {"exact": 1, "root": 1, "overlap": 1}
    assert rightness(CHORDS, []) == {}


def test_a_chord_that_never_changes_is_told_by_its_rhythm():
    truth = pair_of(lead_sheet(), CHORDS)
    tonic = replace(truth, values_MK=np.full_like(truth.values_MK, chord_number("C")))
    assert (changes([truth]), changes([tonic]), changes([])) == (1, 1 / 8, 0)


def test_voices_are_right_by_voice_and_as_pitch_classes():
    truth = pair_of(chorale(), ATB)
    octave = truth.values_MK.copy()
    octave[:, 2] += 12
    found = rightness(ATB, [(replace(truth, values_MK=octave), truth)])
    assert found == {"pitches": pytest.approx(2 / 3), "bass": 0, "pitch_classes": 1}


def four(*voices) -> Piece:
    tracks = [Track("", 0, False, notes([(beat, 1, p) for beat, p in enumerate(voice)])) for voice in voices]
    return Piece(QUARTER, tuple(tracks))


def test_parallels_crossings_and_range_are_counted():
    # Tenor and bass move in fifths twice; all other pairs move in other intervals or not at all.
    pair = pair_of(four((74, 74, 74), (67, 67, 67), (55, 57, 59), (48, 50, 52)), ATB)
    facts = voice_leading([pair])
    assert facts["parallels"] == pytest.approx(100)
    assert (facts["crossings"], facts["out_of_range"]) == (0, 0)
    crossed = pair_of(four((74, 74, 74, 74), (67, 67, 50, 67), (55, 55, 55, 55), (48, 48, 48, 48)), ATB)
    facts = voice_leading([crossed])
    assert facts["crossings"] == pytest.approx(1 / 4)
    assert facts["out_of_range"] == pytest.approx(1 / 12)


def test_counting_finds_the_chord_that_stands_over_a_note():
    pairs = [pair_of(lead_sheet(seed), CHORDS) for seed in range(6)]
    assert melody_classes(pairs[0])[0] in (0, 4, 7)
    floor = Commonest(pairs)
    made = floor(pairs[0])
    assert made.steps_M2[-1, 1] == pairs[0].edges_B1[-1]
    assert 0.3 < rightness(CHORDS, [(made, pairs[0])])["exact"] <= 1
    with pytest.raises(ValueError, match="chords alone"):
        Commonest([pair_of(chorale(), ATB)])


def test_counts_of_steps_that_repeat_are_sure_of_them():
    pairs = [pair_of(lead_sheet(seed), CHORDS) for seed in range(12)]
    alphabet = Alphabet(CHORDS, 8)
    nats = ngram_nats(pairs[:10], pairs[10:], alphabet)
    assert nats.shape == (16, 2)
    assert (nats[:, 1] < 0.2).all()  # all lengths are alike
    assert nats[:, 0].mean() < np.log(4)
