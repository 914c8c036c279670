"""Gaps: where a part rests while others play, after it has played."""

from __future__ import annotations

from musicgen.piece import Piece, Track, notes_array
from musicgen.sampling.gaps import Gap, gaps


def bars(*numbers: int, length: int = 1920) -> Track:
    return Track(notes=notes_array([(1920 * n, length, 60, 80) for n in numbers]))


def test_a_part_that_falls_silent_leaves_a_gap():
    piece = Piece(480, (bars(*range(12)), bars(0, 1, 2, 3, 10, 11), bars(*range(4, 12))))
    assert gaps(piece) == [Gap(1, 4, 10)]
    assert gaps(piece)[0].bars == 6


def test_what_is_no_gap():
    assert not gaps(Piece())
    assert not gaps(Piece(480, (bars(0, 1, 2, 6, 7),)))  # nobody plays
    assert not gaps(Piece(480, (bars(*range(8)), bars(6, 7))))  # it has not begun
    assert not gaps(Piece(480, (bars(*range(8)), bars(0, 1, 2, 4, 5, 6, 7))))  # a breath
    held = Track(notes=notes_array([(0, 1920, 60, 80), (1920, 5 * 1920, 60, 80), (6 * 1920, 3840, 60, 80)]))
    assert not gaps(Piece(480, (bars(*range(8)), held)))


def test_a_note_that_ends_just_behind_the_bar_line_does_not_fill_the_bar():
    late = Track(notes=notes_array([(0, 1920, 60, 80), (1920, 1930, 60, 80)]))
    assert gaps(Piece(480, (bars(*range(6)), late))) == [Gap(1, 2, 6)]
