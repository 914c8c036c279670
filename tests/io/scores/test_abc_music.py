"""The music line of ABC: pitches, lengths, ties, chords, tuplets, and what is told but has no time of its own."""

from __future__ import annotations

import pytest
from abc_pieces import HEAD, heard, lengths, letters, pitches, rows, tune, warnings

SIX_EIGHT = "X:1\nM:6/8\nL:1/4\nK:C\n"
NO_METER = "X:1\nM:none\nL:1/4\nK:C\n"

# ---- pitches ---------------------------------------------------------------------------------------------


def test_letters_and_octave_marks():
    assert pitches("C,, C, C c c' c''") == [36, 48, 60, 72, 84, 96]
    assert pitches("CDEFGAB cdefgab") == [60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 81, 83]
    assert pitches("C,' c',") == [60, 72], "marks add up"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("^FF=FF|F", [66, 66, 65, 65, 65]),  # to the bar line
        ("^Ff f,|f", [66, 78, 66, 77]),  # in every octave (11.3)
        ("_BB|B ^^C C __D D", [70, 70, 71, 62, 62, 60, 60]),
        ("^F || F", [66, 65]),
        ("^F :: F", [66, 66, 65]),  # repeat signs are bar lines, too: F, F again, then F natural
        ("^F .| F", [66, 65]),
        ("^F [|] F", [66, 65]),
        ("^F\nF|", [66, 66]),  # the end of a line is no bar line
        ("[^CE] C|[CE]", [61, 64, 61, 60, 64]),
        ("{^f}F F|F", [66, 66, 65]),  # what a grace alters stays altered
        ("^F[K:C]F|", [66, 65]),  # a key signature ends it
        ("^F & F | F", [65, 66, 65]),  # an overlay is another voice
    ],
)
def test_accidentals_hold_to_the_bar_line(body, expected):
    assert pitches(body) == expected


@pytest.mark.parametrize(
    ("directive", "expected"),
    [
        ("%%propagate-accidentals octave", [61, 72, 61, 60]),
        ("I:propagate-accidentals octave", [61, 72, 61, 60]),
        ("%%propagate-accidentals pitch", [61, 73, 61, 60]),
        ("%%propagate-accidentals not", [61, 72, 60, 60]),
        ("%%MIDI nobarlines", [61, 72, 60, 60]),
    ],
)
def test_how_far_an_accidental_holds_can_be_said(directive, expected):
    assert pitches(f"{directive}\n^C c C|C") == expected


def test_the_key_alters_what_has_no_accidental():
    head = "X:1\nM:4/4\nL:1/4\nK:Eb\n"
    assert pitches("EAB =E E | E ^A _A", head) == [63, 68, 70, 64, 64, 63, 70, 68]


def test_microtones_go_to_the_nearest_semitone_and_are_told():
    assert pitches("^/F ^3/4F _/B _3/2B") == [65, 66, 71, 70]
    assert warnings("^/F _/B") == ["microtones: 2 microtones were moved to the nearest semitone"]


# ---- lengths ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("A A2 A3/2 A/2 A/ A// A/// A3/ A3/4 A8", [1, 2, 1.5, 0.5, 0.5, 0.25, 0.125, 1.5, 0.75, 8]),
        ("A2/3 A4/3 A/3", [2 / 3, 4 / 3, 1 / 3]),
        ("A>B A<B", [1.5, 0.5, 0.5, 1.5]),
        ("A>>B A<<B A>>>B", [1.75, 0.25, 0.25, 1.75, 1.875, 0.125]),
        ("A > B", [1.5, 0.5]),
        ("A>B>c", [1.5, 0.75, 0.5]),  # B is halved, then lengthened by half
        ("A2>B2 A/>B/", [3, 1, 0.75, 0.25]),
        ("A>|B", [1.5, 0.5]),
        ("A{g}>B A>{g}B", [1.5, 0.5, 1.5, 0.5]),
        ("A>{gfg}B", [1.5, 0.5]),
        ('A>"Am"B A>!trill!B A>.B', [1.5, 0.5, 1.5, 0.5, 1.5, 0.5]),
        ("(3ABc A", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3A2Bc", [4 / 3, 2 / 3, 2 / 3]),
        ("(3AB|c A", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3AB\nc A", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3A{g}Bc A", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3 (ABc) A", [2 / 3, 2 / 3, 2 / 3, 1]),
        ("(3A>Bc", [1, 1 / 3, 2 / 3]),
        ("(2AB (4ABcd (6ABcdef (8ABcdABcd", [1.5] * 2 + [0.75] * 4 + [1 / 3] * 6 + [0.375] * 8),
        ("(5ABcde (7ABcdefg (9ABcdefgab", [0.4] * 5 + [2 / 7] * 7 + [2 / 9] * 9),
        ("(3:2ABc A (3::ABc A (3:2:3ABc A", [2 / 3, 2 / 3, 2 / 3, 1] * 3),
        ("(3:2:2A2B A", [4 / 3, 2 / 3, 1]),
        ("(5:4:5ABcde (11:8ABcdefgabcd", [0.8] * 5 + [8 / 11] * 11),
        ("(3::4ABcd A", [2 / 3] * 4 + [1]),
    ],
)
def test_lengths(body, expected):
    assert lengths(body, NO_METER) == pytest.approx(expected, abs=1e-3)


def test_tuplets_of_five_seven_and_nine_follow_the_meter():
    assert lengths("(5ABcde (7ABcdefg (9ABcdefgab", SIX_EIGHT) == pytest.approx(
        [0.6] * 5 + [3 / 7] * 7 + [1 / 3] * 9, abs=1e-3
    )
    assert lengths("(5ABcde", "X:1\nM:3/4\nL:1/4\nK:C\n") == pytest.approx([0.4] * 5, abs=1e-3)


def test_rests_have_time_alone():
    assert heard("C z D z2 | x E z/ F") == [(0, 60, 1), (2, 62, 1), (6, 64, 1), (7.5, 65, 1)]
    assert heard("z>C C<z D") == [(1.5, 60, 0.5), (2, 60, 0.5), (4, 62, 1)]
    third = 1 / 3
    assert [start for start, *_ in heard("(3zAB (3AzB")] == pytest.approx([2 * third, 4 * third, 2, 10 * third])


def test_rests_of_whole_bars_follow_the_meter():
    assert heard("C4|Z|D4") == [(0, 60, 4), (8, 62, 4)]
    assert heard("C4|Z3|D4|X2|E4") == [(0, 60, 4), (16, 62, 4), (28, 64, 4)]
    assert heard("C3|Z2|D3|[M:2/4]Z|E2", SIX_EIGHT) == [(0, 60, 3), (9, 62, 3), (14, 64, 2)]


def test_lengths_that_are_none_are_told():
    assert warnings("C0 C99999 C/0 C") == ["lengths: 3 lengths that can't be read count as one unit"]


# ---- ties ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("C-C D", [(0, 60, 2), (2, 62, 1)]),
        ("C2-|C2-|C D", [(0, 60, 5), (5, 62, 1)]),
        ("C - C", [(0, 60, 2)]),
        ("C-{g}C", [(0, 60, 2)]),
        ('C-"Am"C', [(0, 60, 2)]),
        ("C-\nC", [(0, 60, 2)]),
        ("^F-|F F", [(0, 66, 2), (2, 65, 1)]),  # over the bar line the tied note alone stays sharp
        ("^F-|^F F", [(0, 66, 2), (2, 66, 1)]),
        ("[CE]-[CE]", [(0, 60, 2), (0, 64, 2)]),
        ("[C-E]C", [(0, 60, 2), (0, 64, 1)]),
        ("[C-E-G][CEG]", [(0, 60, 2), (0, 64, 2), (0, 67, 1), (1, 67, 1)]),
        ("C-[CE]", [(0, 60, 2), (1, 64, 1)]),
        ("[C2E2]-|[C2E2]", [(0, 60, 4), (0, 64, 4)]),
        ("C->C", [(0, 60, 2)]),
        ("C>-C D", [(0, 60, 2), (2, 62, 1)]),
        ("C2-|1C:|2C2|]", [(0, 60, 3), (3, 60, 4)]),  # into each ending
        ("D2 C-:|C", [(0, 62, 2), (2, 60, 1), (3, 62, 2), (5, 60, 2)]),  # out of a repeat, the last time
        ("C-|:C D:|", [(0, 60, 2), (2, 62, 1), (3, 60, 1), (4, 62, 1)]),  # into a repeat, the first time
        ("CD-&E2|DF&E2", [(0, 60, 1), (0, 64, 2), (1, 62, 2), (2, 64, 2), (3, 65, 1)]),
        ("CD&E2-|DF&E2", [(0, 60, 1), (0, 64, 4), (1, 62, 1), (2, 62, 1), (3, 65, 1)]),
    ],
)
def test_ties(body, expected):
    assert heard(body) == expected


def test_a_tie_to_another_pitch_is_a_slur_and_told():
    assert heard("C-D C-z C-^C") == [(0, 60, 1), (1, 62, 1), (2, 60, 1), (4, 60, 1), (5, 61, 1)]
    assert warnings("C-D C-z C-^C") == ["ties: 3 ties lead to no note of their pitch"]


# ---- chords ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[CEG]2 D", [(0, 60, 2), (0, 64, 2), (0, 67, 2), (2, 62, 1)]),
        ("[C2E2]/ D", [(0, 60, 1), (0, 64, 1), (1, 62, 1)]),  # lengths multiply
        ("[C2E] D", [(0, 60, 2), (0, 64, 1), (2, 62, 1)]),  # as long as its first note
        ("[CE2] D", [(0, 60, 1), (0, 64, 2), (1, 62, 1)]),
        ("[C E]2", [(0, 60, 2), (0, 64, 2)]),
        ("[zE] D", [(0, 64, 1), (1, 62, 1)]),
        ("[CE]>[DF]", [(0, 60, 1.5), (0, 64, 1.5), (1.5, 62, 0.5), (1.5, 65, 0.5)]),
        ('["Am"CE] [!trill!C.E] [(CE)]', [(0, 60, 1), (0, 64, 1), (1, 60, 1), (1, 64, 1), (2, 60, 1), (2, 64, 1)]),
        ("+CE+ D", [(0, 60, 1), (0, 64, 1), (1, 62, 1)]),  # as chords were written of old
        ("[CC] D", [(0, 60, 1), (1, 62, 1)]),
        ("(3[CE]DF", [(0, 60, 2 / 3), (0, 64, 2 / 3), (2 / 3, 62, 2 / 3), (4 / 3, 65, 2 / 3)]),
    ],
)
def test_chords(body, expected):
    assert [pytest.approx(row, abs=1e-3) for row in heard(body)] == expected


# ---- overlays --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("CD&EF|G2", [(0, 60, 1), (0, 64, 1), (1, 62, 1), (1, 65, 1), (2, 67, 2)]),
        ("C2&E2&G2|D2", [(0, 60, 2), (0, 64, 2), (0, 67, 2), (2, 62, 2)]),
        ("C2|D2&&E2|F2|G2", [(0, 60, 2), (0, 64, 2), (2, 62, 2), (2, 65, 2), (4, 67, 2)]),
        ("(&C2|D2&E2|F2&)|G2", [(0, 60, 2), (0, 64, 2), (2, 62, 2), (2, 65, 2), (4, 67, 2)]),
        ("C2&E|D2", [(0, 60, 2), (0, 64, 1), (2, 62, 2)]),  # the longest says how long the bar is
        ("|:C2&E2:|D2", [(0, 60, 2), (0, 64, 2), (2, 60, 2), (2, 64, 2), (4, 62, 2)]),
    ],
)
def test_overlays(body, expected):
    assert heard(body) == expected


# ---- what has no time of its own -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "C!trill!D ~E .F|", "C+trill+D E F|", "(CD)(EF)|", ".(CD)E F|", "C y D y2 E F|", "C`D``E F|", "uCvD TE HF|",
        "CD$E F|", "CD*E F|", "CDEF|!", "CD\\\nEF|", "CD % note\nEF|", "CD[r:bad gag]EF|", "C D\nN:note\nr:CDE\nEF|",
        "CD\nw:a b c\n+:d e\nEF|", "CD\nW:words\nG:group\nT:title\nEF|", '"^CDE"C"_c"D"<a"E">b"F"@1,2 f"|',
        "CD!fermata!EF|", "CDEF.|", "C!3!D!crescendo(!E!<)!F|", "CD\n%%text CDE\nI:linebreak $\nEF|",
        "CD\n%%begintext\nCDE\n%%endtext\nEF|",
    ],
)  # fmt: skip
def test_what_stands_above_or_between_changes_nothing(body):
    assert heard(body) == [(0, 60, 1), (1, 62, 1), (2, 64, 1), (3, 65, 1)]
    assert warnings(body) == []


def test_an_exclamation_mark_alone_is_a_line_break_of_old():
    assert letters("CD!EF|!\nGA!trill!B|!cd!e") == "CDEFGABcde"


def test_graces_are_left_out_and_counted():
    assert letters("{cd}C{/e}D{c}") == "CD"
    assert warnings("{cd}C{/e}D{c}") == ["graces: 4 grace notes were left out"]


def test_unknown_signs_are_counted():
    body = "C#D;E@F ?%\nJ!waggle!G"
    assert letters(body) == "CDEFG"
    assert warnings(body) == [
        "characters: 5 characters that mean nothing in ABC music were passed over",
        "decorations: 1 decoration that isn't known was passed over",
    ]


def test_chord_symbols_are_kept_and_texts_are_not():
    piece = tune('"Am7"C2"G/B"D2|"N.C."E2"Chorus"F2|"(F#m)"G"_below"A"Bb;1"B')
    assert [(int(tick) // 480, text) for tick, *_, text in piece.chords.tolist()] == [
        (0, "Am7"), (2, "G/B"), (4, "N.C."), (8, "F#m"), (10, "Bb"),
    ]  # fmt: skip
    assert piece.warnings == (
        "texts: 1 quoted text is no chord symbol",
        "chord_symbols: 5 chord symbols are kept with the piece, not played",
    )


def test_texts_that_would_lead_elsewhere_are_told():
    assert warnings('"^D.C. al Fine"C"Fine"D"to Coda"E') == [
        "jumps: 3 texts such as 'D.C. al Fine' are not followed; ABC's own sign is !D.C.alfine!"
    ]


def test_dynamics_set_the_velocity():
    piece = tune("C!p!D E|!ff!F+mf+G")
    assert piece.tracks[0].notes["velocity"].tolist() == [72, 49, 49, 112, 80]


def test_symbols_and_macros_can_be_defined():
    assert letters("nC DE", "X:1\nL:1/4\nU:n=!fermata!\nU:o=+trill+\nK:C\n") == "CDE"
    assert warnings("nC oD W E", "X:1\nL:1/4\nU:n=!fermata!\nU:o=+trill+\nU:W=!nil!\nK:C\n") == []
    assert letters("C~g2|Q", "X:1\nL:1/4\nm:~g2=g{a}g{f}g\nm:Q=cd\nK:C\n") == "Cgggcd"
    transposing = "X:1\nL:1/4\nm:~n2=n{o}n\nK:C\n"
    assert heard("C~D2", transposing) == [(0, 60, 1), (1, 62, 2)]
    assert warnings("C~D2", transposing) == ["macros: 1 macro that transposes was left out"]


def test_a_bracket_or_quote_that_is_never_closed_is_told():
    assert warnings('CD"Am E|\nF') == [
        "quotes: 1 quoted text is not closed",
        "texts: 1 quoted text is no chord symbol",
    ]
    assert warnings("[CE D|F") == ["characters: 1 character that means nothing in ABC music was passed over"]
    assert warnings("C{gD|F") == ["characters: 1 character that means nothing in ABC music was passed over"]


def test_drums_play_what_their_map_says():
    piece = tune("%%MIDI channel 10\n%%MIDI drummap F 36\n%%MIDI drummap ^g 42\nF ^g C", HEAD)
    assert piece.tracks[0].is_drum
    assert rows(piece) == [(0, 36, 1), (1, 42, 1), (2, 60, 1)]
    piece = tune("V:1\nCD|\nV:2 perc\n%%percmap F 38\nFF|")
    assert [t.is_drum for t in piece.tracks] == [False, True]
    assert rows(piece, 1) == [(0, 38, 1), (1, 38, 1)]
