"""Where the bars of kern files lie, and the order in which they are played."""

from __future__ import annotations

import pytest
from kern_texts import kern, line_of, notes_of, piece_of, warned

from musicgen.io.midi import Limits
from musicgen.io.scores.kern.piece import score_of
from musicgen.io.scores.kern.tokens import barline
from musicgen.io.scores.layout import FINE


def bars_of(text):
    """The lengths of the bars as written, in quarters."""
    return [length / FINE for length in score_of(kern(text), "t.krn", Limits()).parts[0].lengths]


def pitches(text):
    """Pitches in the order that they are played in."""
    return [pitch for _, pitch in line_of(text)]


@pytest.mark.parametrize(
    ("token", "ends", "starts"),
    [
        ("=", False, False), ("==", False, False), ("=12", False, False), ("=12a;", False, False), ("=-", False, False),
        ("=:|!", True, False), ("=7:|!;", True, False), ("==:|!", True, False), ("=!|:", False, True),
        ("=|!:", False, True), ("=:|!|:", True, True), ("=:||:", True, True), ("=3:!!:", True, True),
        ("=:|:", True, True), ("=||", False, False), ("=4|!", False, False), ("=:|", True, False), ("=|:", False, True),
        ("=9-!|:", False, True),
    ],
)  # fmt: skip
def test_repeats_in_bar_lines(token, ends, starts):
    assert barline(token)[1:] == (ends, starts)


def test_bars_lie_where_the_lines_are_and_notes_may_cross_them():
    text = """
        **kern  **kern
        *M4/4  *M4/4
        =1  =1
        0C  1c
        =2  =2
        .  2d
        .  2e
        =3  =3
        1D  2f
        .  2.g
        =4  =4
        4r  .
        2.E  2.a
        *-  *-
    """
    assert bars_of(text) == [4, 4, 4, 4]
    assert notes_of(text) == [
        (0, 4, 60), (0, 8, 48), (4, 2, 62), (6, 2, 64), (8, 2, 65), (8, 4, 50), (10, 3, 67), (13, 3, 52), (13, 3, 69),
    ]  # fmt: skip


def test_lines_that_every_part_crosses_lie_a_bar_apart():
    held = "**kern\n*M4/4\n4c\n=1\n2d\n0e\n=2\n=3\n2f\n==\n*-\n"
    assert bars_of(held) == [1, 4, 4, 4]
    assert line_of(held) == [(0, 60), (1, 62), (3, 64), (11, 65)]
    assert bars_of("**kern\n*M3/4\n=1\n1%3c\n=2\n=3\n=4\n=5\n2.d\n*-\n") == [3, 3, 3, 3, 3]
    assert bars_of("**kern\n*M4/4\n=1\n00c\n=2\n=3\n=4\n==\n*-\n") == [4, 4, 4, 4]


def test_rows_in_which_nothing_begins_share_the_time():
    """Chord symbols stand there; two empty rows part a half note in three."""
    piece = piece_of("""
        **kern  **mxhm
        *M2/4  *
        =1  =1
        2.c  C major
        .  F major
        =2  =2
        .  G dominant
        4d  C major
        *-  *-
    """)
    assert piece.chords["tick"].tolist() == [0, 480, 960, 1440]


def test_a_stray_empty_row_takes_no_time():
    text = "**kern\n*M2/4\n=1\n4c\n8d\n8e\n=2\n.\n4f\n4g\n*-\n"
    assert notes_of(text) == [(0, 1, 60), (1, 0.5, 62), (1.5, 0.5, 64), (2, 1, 65), (3, 1, 67)]
    assert bars_of(text) == [2, 2]


def test_pickups_and_short_bars_have_meters_of_their_length():
    piece = piece_of("**kern\n*M3/4\n4c\n=1\n2.d\n=2\n2e\n==\n*-\n")
    assert piece.meters.tolist() == [(0, 1, 4), (480, 3, 4)]


def test_a_line_without_number_within_a_bar_doesnt_part_it():
    numbered = "**kern\n*M4/4\n=1\n2c\n{}\n2d\n=2\n1e\n=\n1f\n==\n*-\n"
    for line in ("=", "=-", "=||"):
        assert bars_of(numbered.format(line)) == [4, 4, 4]  # the last one ends a full bar
    assert bars_of(numbered.format("=:|!")) == [2, 2, 4, 4]
    assert bars_of(numbered.format("*>B")) == [2, 2, 4, 4]


def test_what_signs_cut_a_bar_into_is_one_bar_of_the_meter():
    cut = "**kern\n*M4/4\n=1\n4c\n=!|:\n2d\n=:|!\n4e\n=2\n2e\n*>B\n4f\n4g\n=3\n2a\n==\n*-\n"
    assert bars_of(cut) == [1, 2, 1, 2, 2, 2]
    assert line_of(cut) == [(0, 60), (1, 62), (3, 62), (5, 64), (6, 64), (8, 65), (9, 67), (10, 69)]
    assert piece_of(cut.replace("!|:", "").replace(":|!", "")).meters.tolist() == [(0, 4, 4)]


def test_lines_without_any_number():
    assert bars_of("**kern\n*M4/4\n4c\n=\n1d\n=\n2e\n=\n2f\n==\n*-\n") == [1, 4, 2, 2]


def test_changes_of_meter_even_within_a_bar():
    piece = piece_of("**kern\n*M2/4\n=1\n2c\n=2\n*M3/8\n4.d\n*M2/4\n=3\n2e\n=4\n4f\n*M3/8\n4.g\n==\n*-\n")
    assert piece.meters.tolist() == [
        (0, 2, 4), (960, 3, 8), (1680, 2, 4), (2640, 1, 4), (3120, 3, 8),
    ]  # fmt: skip


def test_where_parts_have_meters_of_their_own_bars_follow_the_highest():
    piece = piece_of("""
        **kern  **kern
        *M6/8  *M3/4
        =1  =1
        4.C  4c
        .  4d
        4.D  .
        .  4e
        *-  *-
    """)
    assert piece.meters.tolist() == [(0, 3, 4)]


# ---- order -----------------------------------------------------------------------------------------------


def test_repeat_signs_sound():
    assert pitches("**kern\n*M1/4\n=1\n4c\n=2:|!|:\n4d\n=3\n4e\n=4:|!\n4f\n*-\n") == [
        60, 60, 62, 64, 62, 64, 65,
    ]  # fmt: skip


def test_a_repeat_within_a_bar_goes_back_to_the_pickup():
    text = "**kern\n*M3/4\n4c\n=1\n2.d\n=2\n2e\n=:|!|:\n4f\n=3\n2.g\n=4\n2a\n==:|!\n*-\n"
    assert line_of(text) == [
        (0, 60), (1, 62), (4, 64), (6, 60), (7, 62), (10, 64), (12, 65), (13, 67), (16, 69), (18, 65), (19, 67),
        (22, 69),
    ]  # fmt: skip
    assert piece_of(text).meters.tolist() == [(0, 1, 4), (480, 3, 4)]


SECTIONS = """**kern
*>{}
*M1/4
*>A
4c
=2:|!
*>B
4d
=3
*>C
4e
=4:|!
*-
"""


@pytest.mark.parametrize(
    ("lists", "order"),
    [
        ("[A,A,B,C,C]", "AABCC"),  # no repeat sign counts beside a list
        ("[A,B,A]", "ABA"),
        ("[C,B,A]", "CBA"),
        ("norep[A,B]\n*>[A,A,B]", "AAB"),  # the one without a name holds
        ("norep[A,B]", "AABCABC"),  # a list without repeats isn't asked for: the signs hold
        ("long[A,B,A,B]", "ABAB"),
        ("[x,C]\n*>x[A,B,A]", "ABAC"),  # lists within lists
    ],
)
def test_expansion_lists(lists, order):
    names = {"A": 60, "B": 62, "C": 64}
    if order == "AABCABC":
        order = "AABCBC"  # the second repeat begins behind the first
    assert pitches(SECTIONS.format(lists)) == [names[letter] for letter in order]


def test_endings_of_an_expansion_list_and_music_before_the_first_section():
    text = """**kern
*>[A,A1,A,A2]
*>norep[A,A2]
*M1/4
4C
=1
*>A
4c
=2
*>A1
4d
=3:|!
*>A2
4e
==
*-
"""
    assert pitches(text) == [48, 60, 62, 60, 64]


def test_sections_may_begin_within_bars():
    text = "**kern\n*>[A,A,B]\n*M3/4\n*>A\n4c\n=1\n2.d\n=2\n2e\n*>B\n4f\n=3\n2.g\n==\n*-\n"
    assert line_of(text) == [
        (0, 60), (1, 62), (4, 64), (6, 60), (7, 62), (10, 64), (12, 65), (13, 67),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lists", "order", "warning"),
    [
        ("[A,X,B,C]", [60, 62, 64], "repeats: the expansion list names 'X', which no section is called"),
        ("[A,B]", [60, 62], "repeats: the expansion list leaves out 1 of 3 bars"),
        ("[X]", [60, 60, 62, 64, 62, 64], "repeats: the expansion list names 'X', which no section is called"),
        (
            "[" + "A," * 100 + "B]",
            [60, 62, 64],
            "repeats: the expansion list is longer than any score; left as written",
        ),
        ("[x]\n*>x[x]", [60, 60, 62, 64, 62, 64], "repeats: the expansion list names 'x', which no section is called"),
    ],
)
def test_lists_that_dont_fit_are_told(lists, order, warning):
    piece = piece_of(SECTIONS.format(lists))
    assert [pitch for _, pitch in line_of(piece)] == order
    assert warned(piece, "repeats") == warning


def test_of_two_sections_with_one_name_the_first_is_played():
    piece = piece_of("**kern\n*>[A,B,A]\n*>A\n4c\n=\n*>B\n4d\n=\n*>A\n4e\n*-\n")
    assert [pitch for _, pitch in line_of(piece)] == [60, 62, 60]
    assert warned(piece, "repeats") == "repeats: the expansion list leaves out 1 of 3 bars"


def test_labels_without_a_list_are_only_names():
    assert pitches("**kern\n*>Verse\n4c\n=\n*>Chorus\n4d\n=\n*>Verse\n4e\n*-\n") == [60, 62, 64]


def test_sections_called_1_and_2_around_a_repeat_are_endings():
    ends = "**kern\n*M1/4\n=1!|:\n*>A\n4c\n=2\n*>A1\n4d\n=3:|!\n*>A2\n4e\n=4\n*>B\n4f\n*-\n"
    assert pitches(ends) == [60, 62, 60, 64, 65]
    # Here they are sections, each of which is repeated.
    whole = "**kern\n*M1/4\n=1!|:\n*>A1\n4c\n=2:|!\n*>A2\n4d\n=3:|!\n*-\n"
    assert pitches(whole) == [60, 60, 62, 62]


def test_what_is_written_out_already_isnt_repeated():
    assert pitches("**kern\n*thru\n*>A\n4c\n=2:|!\n*>A\n4c\n=2:|!\n4d\n*-\n") == [60, 60, 62]


def test_da_capo_in_words():
    text = "**kern\n*M1/4\n4c\n=2\n!LO:TX:a:t=Fine\n4d\n=3\n4e\n!!LO:TX:b:rj:t=D.C. al Fine.\n==\n*-\n"
    assert pitches(text) == [60, 62, 64, 60, 62]
    assert pitches(text.replace("*M1/4", "*>[A]\n*>A")) == [60, 62, 64]  # a list outweighs words
    segno = "**kern\n*M1/4\n4c\n=2\n!LO:TX:t=[segno]\n4d\n=3\n!LO:TX:t=D. S.\n4e\n==\n*-\n"
    assert pitches(segno) == [60, 62, 64, 62, 64]


def test_words_that_ask_for_something_else_are_told():
    piece = piece_of("**kern\n4c\n!LO:TX:t=Menuetto D.C.\n==\n!LO:TX:t=P:problem=Fine\n4d\n*-\n")
    assert warned(piece, "repeats") == "repeats: 'Menuetto D.C.' is left as written"
