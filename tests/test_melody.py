"""The highest line of a piece."""

from __future__ import annotations

from musicgen.melody import melody_of
from musicgen.piece import Piece, Track, notes_array


def rows(piece: Piece) -> list[list[int]]:
    notes = melody_of(piece)
    return [[int(note[name]) for name in ("start", "duration", "pitch")] for note in notes]


def test_the_highest_of_all_parts_is_kept_without_accompaniment_and_drums():
    tune = Track(notes=notes_array([(0, 480, 72, 80), (480, 960, 74, 80), (1440, 240, 71, 80)]))
    chords = Track(notes=notes_array([(0, 960, 60, 50), (0, 960, 64, 50), (600, 240, 67, 50)]))
    kit = Track(is_drum=True, notes=notes_array([(0, 100, 99, 90)]))
    assert rows(Piece(480, (chords, tune, kit))) == [[0, 480, 72], [480, 960, 74], [1440, 240, 71]]


def test_a_note_ends_where_the_next_begins_and_rests_stay():
    tune = Track(notes=notes_array([(0, 900, 60, 80), (480, 100, 62, 80), (960, 100, 59, 80)]))
    assert rows(Piece(480, (tune,))) == [[0, 480, 60], [480, 100, 62], [960, 100, 59]]


def test_no_notes_have_no_melody():
    assert rows(Piece(480, (Track(),))) == []
    assert rows(Piece()) == []
