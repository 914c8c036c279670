"""Chord symbols: the notes that players would take, and the same chord in another key."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.chords import chord_of, transposed_symbol
from musicgen.piece import CHORD, Piece


@pytest.mark.parametrize(
    ("symbol", "root", "bass", "classes"),
    [
        ("C", 0, 0, {0, 4, 7}),
        ("Am", 9, 9, {9, 0, 4}),
        ("Bbm7/F", 10, 5, {10, 1, 5, 8}),
        ("F#dim7", 6, 6, {6, 9, 0, 3}),
        ("Cmaj7", 0, 0, {0, 4, 7, 11}),
        ("CΔ", 0, 0, {0, 4, 7, 11}),
        ("C-Δ7", 0, 0, {0, 3, 7, 11}),
        ("Dm7b5", 2, 2, {2, 5, 8, 0}),
        ("G7sus4", 7, 7, {7, 0, 2, 5}),
        ("Gsus", 7, 7, {7, 0, 2}),
        ("E7#9", 4, 4, {4, 8, 11, 2, 7}),
        ("E7b5", 4, 4, {4, 8, 10, 2}),
        ("C6/9", 0, 0, {0, 4, 7, 9, 2}),
        ("Cadd9", 0, 0, {0, 4, 7, 2}),
        ("A+", 9, 9, {9, 1, 5}),
        ("C/D", 0, 2, {0, 4, 7, 2}),
        ("C5", 0, 0, {0, 7}),
        ("Mm", None, None, None),
        ("rit.", None, None, None),
        ("N.C.", -1, -1, set()),
    ],
)
def test_chord_symbols(symbol, root, bass, classes):
    chord = chord_of(symbol)
    if root is None:
        assert chord is None
        return
    assert chord[:2] == (root, bass)
    assert {k for k in range(12) if chord[2] >> k & 1} == classes


@pytest.mark.parametrize("symbol", ["C", "Ebm7/Bb", "F#m7b5", "Gsus4", "A7#9", "N.C."])
@pytest.mark.parametrize("semitones", range(-6, 7))
def test_a_chord_in_another_key_is_the_same_chord_moved(symbol, semitones):
    root, bass, mask, _ = chord_of(symbol)
    moved = chord_of(transposed_symbol(symbol, semitones))
    if root < 0:
        assert moved == (root, bass, mask, symbol)
        return
    turned = {(k + semitones) % 12 for k in range(12) if mask >> k & 1}
    assert moved[:2] == ((root + semitones) % 12, (bass + semitones) % 12)
    assert {k for k in range(12) if moved[2] >> k & 1} == turned


def test_a_piece_takes_its_chords_along():
    piece = Piece(chords=np.array([(0, *chord_of("C7/E"))], CHORD))
    assert piece.transposed(2).chords.tolist() == [(0, *chord_of("D7/F#"))]
