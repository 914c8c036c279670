"""Chords are heard where nobody wrote them."""

from __future__ import annotations

import numpy as np
import pytest
from translate_pieces import PROGRESSION, chorale, lead_sheet, notes, tune_with_chords

from musicgen.models.tasks.translate_layout import CHORDS
from musicgen.piece import Piece, Track
from musicgen.tasks.translate.harmony import chord_number, pitch_classes, symbol_of
from musicgen.tasks.translate.hearing import heard_chords
from musicgen.tasks.translate.pairs import pair_of

QUARTER = 12


def heard(*bars):
    """The chords of bars of four quarters, of rows (onset, length, pitch) in quarters each."""
    rows = [(48 * n + 12 * a, 48 * n + 12 * (a + b), p) for n, bar in enumerate(bars) for a, b, p in bar]
    found = heard_chords(np.array(rows, np.int64), 48 * np.arange(len(bars) + 1))
    assert found[0, 0] == 0
    assert found[-1, 1] == 48 * len(bars)
    assert (found[1:, 0] == found[:-1, 1]).all()
    return [(int(begin) // QUARTER, symbol_of(int(chord))) for begin, _, chord in found]


@pytest.mark.parametrize("symbol", ["C", "F#m", "Bb7", "Em7", "Bdim"])
def test_a_chord_that_sounds_is_heard_in_any_layout(symbol):
    root = (chord_number(symbol) - 1) % 12
    upper = [(0, 4, 60 + pitch) for pitch in pitch_classes(chord_number(symbol))]
    assert heard([(0, 4, 36 + root), *upper]) == [(0, symbol)]


def test_passing_notes_change_nothing_and_a_chord_may_change_in_the_middle():
    tonic = [(0, 4, 48), (0, 4, 64), (0, 4, 67)]
    passing = [(n, 1, pitch) for n, pitch in enumerate((72, 74, 76, 77))]
    assert heard([*tonic, *passing], tonic) == [(0, "C")]
    assert heard([(0, 2, 48), (0, 2, 64), (0, 2, 67), (2, 2, 43), (2, 2, 59), (2, 2, 62)]) == [(0, "C"), (2, "G")]
    assert heard(tonic, [], tonic) == [(0, "C")]  # a bar of silence goes on


def test_a_song_with_an_accompaniment_is_a_pair_and_what_is_written_comes_first():
    voice, piano = tune_with_chords().tracks[1], tune_with_chords().tracks[0]
    broken = [(i / 2, 0.5, int(p)) for i, p in enumerate(piano.notes["pitch"][:24])]
    song = Piece(480, (voice, Track("Piano", 0, False, notes(broken))))
    assert pair_of(song, CHORDS) is not None
    assert pair_of(Piece(480, (voice,)), CHORDS) is None
    assert [symbol_of(c) for c in pair_of(lead_sheet(), CHORDS).values_MK[:, 0]] == list(PROGRESSION)
    assert pair_of(chorale(), CHORDS).notes_N3[:, 2].tolist() == chorale().tracks[0].notes["pitch"].tolist()
