"""The floors of a classifier: the most frequent class, and the pieces whose histograms are nearest."""

from __future__ import annotations

import numpy as np
from classify_tunes import tune

from musicgen.piece import Piece, Track, notes_array
from musicgen.tasks.classify.figures import measured
from musicgen.tasks.classify.neighbours import BINS, Neighbours, histograms, majority


def test_tunes_of_two_kinds_are_told_apart_and_a_rotation_of_pieces_changes_nothing():
    pieces = [tune(kind, n) for n in range(6) for kind in ("high", "low")]
    truth = np.array([n % 2 for n in range(12)])
    others = [tune(kind, n) for n in (20, 21) for kind in ("high", "low")]
    chances_PK = Neighbours(pieces, truth, classes=2).chances(others)
    assert chances_PK.argmax(1).tolist() == [0, 1, 0, 1]
    turned = Neighbours(pieces[::-1], truth[::-1].copy(), classes=2).chances(others)
    np.testing.assert_allclose(chances_PK, turned, atol=1e-5)


def test_histograms_are_distributions_whatever_the_piece():
    drums = Piece(480, (Track(is_drum=True, notes=notes_array([(0, 10, 36, 80), (480, 10, 38, 80)])),))
    for piece, parts in ((tune("low", 1), 5), (drums, 2), (Piece(480), 0)):
        values = histograms(piece)
        assert len(values) == BINS
        assert np.isclose(values.sum(), parts)


def test_the_majority_guess_says_how_often_each_class_came():
    chances_PK = majority(np.array([0, 0, 0, 1]), pieces=2, classes=3)
    assert chances_PK.tolist() == [[0.75, 0.25, 0.0]] * 2
    figures = measured(chances_PK, np.array([0, 1]))
    assert (figures.accuracy, figures.balanced_accuracy) == (0.5, 0.5)
