"""A piece's picture: notes stand at their bars."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.pictures.piece_roll import in_bars
from musicgen.piece import METER, Piece, Track, notes_array

METERS = np.array([(0, 3, 4), (1440, 2, 4)], METER)
MELODY = notes_array([(0, 1440, 60, 80), (1440, 480, 64, 80), (2400, 960, 67, 80)])


def test_places_in_bars_follow_the_meter():
    piece = Piece(480, (Track(notes=MELODY),), meters=METERS)
    places = in_bars(piece, np.array([0, 720, 1440, 1920, 2400, 3360]))
    assert places == pytest.approx([1, 1.5, 2, 2.5, 3, 4])


def test_each_note_is_a_bar_of_its_length_at_its_pitch():
    drums = Track("kit $x$", 0, True, notes_array([(960, 480, 36, 99)]))
    piece = Piece(480, (Track("lead", notes=MELODY), drums, Track("silent")), meters=METERS)
    axes = piece.plot().axes[0]
    boxes = [(b.get_x(), b.get_width(), b.get_y() + b.get_height() / 2) for b in axes.patches]
    wanted = [(1, 1, 60), (2, 0.5, 64), (3, 1, 67), (1 + 2 / 3, 1 / 3, 36)]
    assert np.array(boxes) == pytest.approx(np.array(wanted))
    assert axes.get_xlim() == (1, 4)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lead", r"kit \$x\$"]


def test_a_piece_without_notes_has_a_picture():
    assert Piece().plot().axes[0].get_xlim() == (1, 2)


def test_without_matplotlib_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pictures need matplotlib; install it with pip install"):
        Piece().plot()
