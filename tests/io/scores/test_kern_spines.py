"""Humdrum's columns: what splits, joins, swaps, begins and ends, and which notes are whose."""

from __future__ import annotations

import pytest
from kern_texts import line_of, notes_of, piece_of, warned


def test_a_split_after_a_join():
    assert notes_of("""
        **kern  **kern
        *  *^
        4C  4c  4e
        *  *v  *v
        *  *^
        4D  4d  4f
        *  *v  *v
        2E  2g
        *-  *-
    """) == [
        (0, 1, 48), (0, 1, 60), (0, 1, 64), (1, 1, 50), (1, 1, 62), (1, 1, 65), (2, 2, 52), (2, 2, 67),
    ]  # fmt: skip


def test_splits_of_splits_and_a_join_of_three():
    piece = piece_of("""
        **kern  **kern
        *M2/4  *M2/4
        *  *^
        *  *  *^
        4E  4g  4b  4dd
        4F  4a  4cc  4ee
        *  *v  *v  *v
        2G  2b
        *-  *-
    """)
    assert notes_of(piece, 0) == [
        (0, 1, 67), (0, 1, 71), (0, 1, 74), (1, 1, 69), (1, 1, 72), (1, 1, 76), (2, 2, 71),
    ]  # fmt: skip
    assert notes_of(piece, 1) == [(0, 1, 52), (1, 1, 53), (2, 2, 55)]
    assert piece.warnings == ()


def test_the_left_voice_splits_and_joins_again_while_the_right_one_goes_on():
    assert notes_of("""
        **kern
        *^
        4c  2e
        *^  *
        4d  4f  .
        *v  *v  *
        4g  4a
        *v  *v
        4b
        *-
    """) == [
        (0, 1, 60), (0, 2, 64), (1, 1, 62), (1, 1, 65), (2, 1, 67), (2, 1, 69), (3, 1, 71),
    ]  # fmt: skip


def test_two_spines_join_their_voices_on_one_line():
    piece = piece_of("""
        **kern  **kern
        *^  *^
        4C  4E  4c  4e
        *v  *v  *v  *v
        4G  4g
        *-  *-
    """)
    assert notes_of(piece, 0) == [(0, 1, 60), (0, 1, 64), (1, 1, 67)]
    assert notes_of(piece, 1) == [(0, 1, 48), (0, 1, 52), (1, 1, 55)]


def test_several_joins_on_one_line_with_columns_between_them():
    piece = piece_of("""
        **kern  **dynam  **kern
        *^  *  *^
        4C  4E  p  4c  4e
        *v  *v  *  *v  *v
        4G  .  4g
        *-  *-  *-
    """)
    assert notes_of(piece, 0) == [(0, 1, 60), (0, 1, 64), (1, 1, 67)]
    assert notes_of(piece, 1) == [(0, 1, 48), (0, 1, 52), (1, 1, 55)]


def test_spines_of_two_parts_may_become_one():
    piece = piece_of("""
        **kern  **kern
        4C  4c
        *v  *v
        4G
        *-
    """)
    assert notes_of(piece) == [(0, 1, 48), (0, 1, 60), (1, 1, 55)]


def test_columns_swap():
    piece = piece_of("""
        **kern  **kern
        4C  4c
        *x  *x
        4d  4D
        *-  *-
    """)
    assert notes_of(piece, 0) == [(0, 1, 60), (1, 1, 62)]
    assert notes_of(piece, 1) == [(0, 1, 48), (1, 1, 50)]


def test_columns_begin_and_end_in_the_middle():
    piece = piece_of("""
        **kern  **text
        4c  la
        *+  *
        *  **kern  *
        4d  4f  la
        *  *-  *
        4e  la
        *-  *-
    """)
    assert notes_of(piece) == [(0, 1, 60), (1, 1, 62), (1, 1, 65), (2, 1, 64)]
    assert len(piece.tracks) == 2


def test_a_voice_that_begins_late_doesnt_tell_the_time():
    """Its column is empty until its first note: what others play says when that is."""
    assert notes_of("""
        **kern  **kern
        *  *^
        4C  2c  .
        4D  .  4f
        4E  4d  4g
        *  *v  *v
        4F  4e
        *-  *-
    """) == [
        (0, 1, 48), (0, 2, 60), (1, 1, 50), (1, 1, 65), (2, 1, 52), (2, 1, 62), (2, 1, 67), (3, 1, 53), (3, 1, 64),
    ]  # fmt: skip


def test_a_voice_that_falls_silent_without_rests():
    assert line_of("""
        **kern
        *^
        4c  4e
        4d  .
        4e  4g
        *v  *v
        4f
        *-
    """) == [(0, 60), (0, 64), (1, 62), (2, 64), (2, 67), (3, 65)]


def test_a_split_while_a_note_goes_on_in_either_half():
    for held in ("4f  .", ".  4f"):
        assert notes_of(f"""
            **kern  **kern
            4C  2c
            *  *^
            4D  {held}
            4E  4d  4g
            *-  *-  *-
        """) == [(0, 1, 48), (0, 2, 60), (1, 1, 50), (1, 1, 65), (2, 1, 52), (2, 1, 62), (2, 1, 67)]


@pytest.mark.parametrize("tie", ["4e]  4g", "4g  4e]"])
def test_ties_go_on_in_another_voice(tie):
    assert notes_of(f"""
        **kern
        [2c [2e
        *^
        {tie}
        *v  *v
        4f
        *-
    """) == [(0, 2, 60), (0, 3, 64), (2, 1, 67), (3, 1, 65)]


def test_a_chord_is_notes_of_one_token_with_ties_and_durations_of_their_own():
    assert notes_of("""
        **kern
        [4c 8e 4g
        4c] 4e
        *-
    """) == [(0, 0.5, 64), (0, 1, 67), (0, 2, 60), (1, 1, 64)]


def test_later_notes_of_a_chord_may_leave_their_duration_out():
    assert notes_of("**kern\n4.c e g\n8d f\n*-\n") == [
        (0, 1.5, 60), (0, 1.5, 64), (0, 1.5, 67), (1.5, 0.5, 62), (1.5, 0.5, 65),
    ]  # fmt: skip


def test_long_ties():
    piece = piece_of("**kern\n*M2/4\n=1\n[2c\n=2\n2c_\n=3\n2c]\n=4\n2d\n*-\n")
    assert notes_of(piece) == [(0, 6, 60), (6, 2, 62)]


def test_tabs_may_be_doubled_and_ends_missing():
    piece = piece_of("**kern\t\t**kern\n4C\t4c\n\n4D\t\t\t4d\n\n")
    assert notes_of(piece) == [(0, 1, 48), (0, 1, 60), (1, 1, 50), (1, 1, 62)]
    assert warned(piece, "ending") == "ending: the file breaks off before its spines end"


def test_an_empty_field_is_a_null_token():
    assert notes_of("**kern\n*^\n2c\t4e\n\t4f\n*v\t*v\n4d\n*-\n") == [
        (0, 1, 64), (0, 2, 60), (1, 1, 65), (2, 1, 62),
    ]  # fmt: skip


def test_other_spines_are_passed_over():
    piece = piece_of("""
        **silbe  **kern  **harm  **text  **fing
        la  4c  I  la  1
        *  *  *^  *  *
        li  4d  V  I  li  2
        *  *  *v  *v  *  *
        lu  4e  I  lu  3
        *-  *-  *-  *-  *-
    """)
    assert notes_of(piece) == [(0, 1, 60), (1, 1, 62), (2, 1, 64)]
    assert piece.warnings == ()


def test_a_spine_may_turn_into_another_kind():
    assert notes_of("""
        **kern  **text
        4c  la
        *  **kern
        4d  4f
        **text  *
        la  4g
        *-  *-
    """) == [(0, 1, 60), (1, 1, 62), (1, 1, 65), (2, 1, 67)]


def test_versions_side_by_side_are_read_once():
    piece = piece_of("""
        **kern
        4c
        *^
        *S/sic  *S/ossia
        4d  4dd
        *S/fin  *S/fin
        *v  *v
        4e
        *-
    """)
    assert notes_of(piece) == [(0, 1, 60), (1, 1, 62), (2, 1, 64)]
    assert warned(piece, "strophes") == "strophes: 1 note of other versions of a passage was left out"
