"""What a token of a kern spine is worth: pitches, durations, what has no time, and where each row stands."""

from __future__ import annotations

from fractions import Fraction

import pytest
from kern_texts import line_of, notes_of, piece_of, warned

from musicgen.io.scores.kern.tokens import token_of


@pytest.mark.parametrize(
    ("token", "pitch"),
    [
        ("4c", 60), ("4cc", 72), ("4ccc", 84), ("4C", 48), ("4CC", 36), ("4B", 59), ("4BB", 47), ("4b", 71),
        ("4c#", 61), ("4B-", 58), ("4e--", 62), ("4f##", 67), ("4en", 64), ("4c-", 59), ("4b#", 72),
        ("(<4.ee-X\\L[", 75), ("4b]-", 70), ("8dyyd", 74), ("{&(16ff#'/^TwM;LLx", 78), ("4dyy", 62), ("8B-y", 58), ("4c@16@", 60),
    ],
)  # fmt: skip
def test_pitches_are_spelled_out(token, pitch):
    assert [note[0] for note in token_of(token).notes] == [pitch]


@pytest.mark.parametrize(
    ("token", "quarters"),
    [
        ("1c", 4), ("2c", 2), ("4c", 1), ("128c", Fraction(1, 32)), ("0c", 8), ("00c", 16), ("000c", 32),
        ("4.c", Fraction(3, 2)), ("4..c", Fraction(7, 4)), ("4...c", Fraction(15, 8)), ("0.c", 12),
        ("3c", Fraction(4, 3)), ("6c", Fraction(2, 3)), ("12c", Fraction(1, 3)), ("10c", Fraction(2, 5)),
        ("3%2c", Fraction(8, 3)), ("8%3c", Fraction(3, 2)), ("7%4.c", Fraction(24, 7)), ("c4", 1), ("4r", 1),
        ("4P@c", 1), ("4pd", 1), ("2ryy", 2), ("1%5r", 20),
    ],
)  # fmt: skip
def test_durations_are_parts_of_a_whole_note(token, quarters):
    assert token_of(token).length == quarters


@pytest.mark.parametrize(("token", "kind"), [("[4c", 1), ("4c_", 2), ("4c]", 3), ("[4c]", 2), ("4c", 0), ("(4c)", 0)])
def test_kinds_of_ties(token, kind):
    assert token_of(token).notes[0][2] == kind


@pytest.mark.parametrize("token", ["0%3c", "0000c", "1%9999c", "4%0c", "1234567890c", "4.........c"])
def test_durations_that_no_note_has_are_refused(token):
    with pytest.raises(ValueError, match=r"duration|lasts"):
        token_of(token)


def test_grace_notes_take_no_time_and_are_counted():
    piece = piece_of("""
        **kern  **kern
        4C  4c
        .  qdd
        .  16qee 16qgg
        .  8Qff
        4D  4d
        *-  *-
    """)
    assert notes_of(piece) == [(0, 1, 48), (0, 1, 60), (1, 1, 50), (1, 1, 62)]
    assert warned(piece, "graces") == "graces: 4 grace notes were left out"


def test_a_grace_rest_is_nothing():
    assert piece_of("**kern\n4c\nrq\n4d\n*-\n").warnings == ()


def test_invisible_notes_sound_and_invisible_rests_rest():
    assert line_of("**kern\n4c\n4dyy\n4ryy\n4e\n*-\n") == [(0, 60), (1, 62), (3, 64)]


def test_a_rest_with_a_place_on_the_staff_is_a_rest():
    assert line_of("**kern\n4rgg\n4c\n4rr\n4d\n*-\n") == [(1, 60), (3, 62)]


def test_notes_against_notes_of_any_length():
    piece = piece_of("""
        **kern  **kern
        6C  4c
        6D  .
        .  4d
        6E  .
        14F  2e
        14G  .
        14A  .
        14B  .
        14c  .
        14d  .
        14e  .
        *-  *-
    """)
    assert piece.ticks_per_quarter == 10080
    seventh = [onset for onset, _, pitch in notes_of(piece, 1)][3:]
    assert [onset * 7 for onset in seventh] == pytest.approx([14, 16, 18, 20, 22, 24, 26])
    assert [round(onset * 3) for onset, _, _ in notes_of(piece, 1)[:3]] == [0, 2, 4]
    assert line_of(piece, 0) == [(0, 60), (1, 62), (2, 64)]


def test_many_odd_durations_dont_add_up_errors():
    """Eleven notes in the time of a half note, a hundred times: the bar behind them lies exactly where it should."""
    piece = piece_of("**kern\n*M2/4\n" + "".join(f"={n}\n" + "22c\n" * 11 for n in range(1, 101)) + "=\n4d\n*-\n")
    assert line_of(piece)[-1] == (200, 62)
    assert piece.meters.tolist() == [(0, 2, 4)]


def test_a_note_without_duration_is_a_quarter_and_it_is_said():
    piece = piece_of("**kern\nc\nd\n=2\ne\n*-\n")
    assert notes_of(piece) == [(0, 1, 60), (1, 1, 62), (2, 1, 64)]
    assert warned(piece, "bare").startswith("bare: 3 notes don't say how long they last")


def test_a_timebase_says_how_long_rows_without_durations_are():
    assert notes_of("**kern\n*tb8\nc\nd\n*tb4\ne\n*-\n") == [(0, 0.5, 60), (0.5, 0.5, 62), (1, 1, 64)]


def test_a_timebase_changes_nothing_where_notes_have_durations():
    assert notes_of("**kern  **kern\n*tb8  *tb8\n4C  8c\n.  8d\n.  .\n*-  *-\n") == [
        (0, 0.5, 60), (0, 1, 48), (0.5, 0.5, 62),
    ]  # fmt: skip


def test_stray_signs_take_no_time():
    piece = piece_of("**kern  **kern\n4C  4c\n)  .\n4D  4d\n*-  *-\n")
    assert line_of(piece) == [(0, 48), (0, 60), (1, 50), (1, 62)]
    assert warned(piece, "strange") == "strange: 1 token is no note and no rest"


@pytest.mark.parametrize("wrong", ["1a", "16a"])
def test_where_spines_disagree_most_of_them_hold_and_it_is_said(wrong):
    piece = piece_of(f"""
        **kern  **kern  **kern
        4C  4c  {wrong}
        4D  4d  4e
        *-  *-  *-
    """)
    assert line_of(piece)[3:] == [(1, 50), (1, 62), (1, 64)]
    assert warned(piece, "rhythm") == "rhythm: the spines disagree on the time of 1 line; most of them hold"


def test_moved_data_sound_where_they_belong():
    """`*Tr` says that the notes were moved, `*ITr` only what the player reads: the notes stand at concert pitch."""
    assert line_of("**kern\n*Trd1c2\n4c\n*Trd-4c-7\n4c\n*Trd0c0\n4c\n*-\n") == [(0, 58), (1, 67), (2, 60)]
    assert line_of("**kern\n*ITrd1c2\n4c\n*-\n") == [(0, 60)]
    assert line_of("**kern\n*8va\n4c\n*X8va\n*clefGv2\n4c\n*-\n") == [(0, 60), (1, 60)]


def test_small_notes_of_one_among_many_are_cues_and_a_soloists_own_are_played():
    cue = """
        {first}
        4c{rest}
        *cue{star}
        4d{rest}
        *Xcue{star}
        4e{rest}
        *-{end}
    """
    alone = piece_of(cue.format(first="**kern", rest="", star="", end=""))
    assert line_of(alone) == [(0, 60), (1, 62), (2, 64)]
    among = piece_of(cue.format(first="**kern  **kern", rest="  4C", star="  *", end="  *-"))
    assert line_of(among, 1) == [(0, 60), (2, 64)]
    assert warned(among, "cues") == "cues: 1 cue note was left out"


def test_ossias_are_left_out_and_keep_their_time():
    piece = piece_of("""
        **kern  **kern
        4c  4cc
        *  *ossia
        4d  4dd
        *  *Xossia
        4e  4ee
        *-  *-
    """)
    assert line_of(piece, 0) == [(0, 72), (2, 76)]
    assert warned(piece, "ossias") == "ossias: 1 note of an ossia was left out"


def test_written_out_and_abbreviated_tremolos():
    assert len(notes_of("**kern\n*tremolo\n16cLL\n16c\n16c\n16cJJ\n*Xtremolo\n*-\n")) == 4
    assert notes_of("**kern\n4c@16@\n4d\n*-\n") == [(0, 1, 60), (1, 1, 62)]


def test_scaled_notation_keeps_its_durations():
    assert notes_of("**kern\n*rscale:2\n4c\n*rscale:1\n4d\n*-\n") == [(0, 1, 60), (1, 1, 62)]
