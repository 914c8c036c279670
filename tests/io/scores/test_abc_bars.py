"""The bars of ABC: repeats, endings, jumps, pickups, parts in order, voices side by side."""

from __future__ import annotations

import pytest
from abc_pieces import HEAD, heard, letters, rows, tune, warnings


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # Repeats, with and without a start.
        ("|:C|D:|E", "CDCDE"),
        ("C|D:|E", "CDCDE"),
        ("C|D:|E|F:|G", "CDCDEFEFG"),
        ("|:C:|:D:|", "CCDD"),
        ("|:C::D:|", "CCDD"),
        ("|:C:||:D:|", "CCDD"),
        ("|:C:|\n|:D:|", "CCDD"),
        ("C::D::E:|", "CCDDEE"),
        ("||:C:||", "CC"),
        ("[|:C:|]D", "CCD"),
        ("|::C::|D", "CCCD"),
        ("|:::C:::|D", "CCCCD"),
        ("|:C::|D", "CCCD"),
        ("C|:D:|||:E:|F", "CDDEEF"),
        ("[|C|]", "C"),
        ("C:|]D", "CCD"),
        # Back to the last double bar line, or the last repeat's end (4.8).
        ("C||D:|", "CDD"),
        ("C|]D|E:|", "CDEDE"),
        ("C[|D:|", "CDD"),
        ("C||D:|E||F:|", "CDDEFF"),
        ("|:C||D:|", "CDCD"),  # what is open counts
        ("C[|]D:|", "CDCD"),  # an invisible bar line is none of these
        ("C.|D:|", "CDCD"),
        # Repeat signs within a bar.
        ("|CD:|EF|", "CDCDEF"),
        ("CD|:EF|GA:|B", "CDEFGAEFGAB"),
        ("C D|E F:|G A|B c:|", "CDEFCDEFGABcGABc"),
        # Endings.
        ("|:C|1D:|2E|]F", "CDCEF"),
        ("|:C|1 D:|2 E|]F", "CDCEF"),
        ("|:C[1D:|[2E|]F", "CDCEF"),
        ("|:C|[1D:|[2E||F", "CDCEF"),
        ("|:C|[1D:|\n[2E|]F", "CDCEF"),
        ("C|1D:|2E|]F", "CDCEF"),
        ("|:C|1D:|2E:|F", "CDCEF"),
        ("|:C|1D:|2E:|3F|]G", "CDCECFG"),
        ("|:C|1D|E:|2F|G||A", "CDECFGA"),
        ("|:C|[1,2D:|[3E||", "CDCDCE"),
        ("|:C|[1-3D:|[4E||F", "CDCDCDCEF"),
        ("|:C|[1,3D:|[2E:|F", "CDCECDF"),
        ("|:C|[1,2,4D:|[3E:|[5F|]", "CDCDCECDCF"),
        ("|:C|1D:|2E|F|G|]A", "CDCEFGA"),
        ("|:C|1D:|2E|:F:|", "CDCEFF"),
        ("|:C|1D:|2E:|:F:|", "CDCEFF"),
        ("|:C|1D|2E:|F", "CDCEF"),  # the next ending ends the first one
        ("|:C|1D:|2E||F|G:|", "CDCEFGFG"),
        ("|:C|1D:|2E|]|:F|1G:|2A|]", "CDCEFGFA"),
        ("|:C|1D:|2E|]F|1G:|2A|]", "CDCEFGFA"),
        ("A||C|1D:|2E|]", "ACDCE"),
        ("|:CD[1EF:|[2GA|]B", "CDEFCDGAB"),  # within a bar
        ("|: C | [1 D :| [2 E |] F", "CDCEF"),
        ("|:C|1.D:|2.E|]F", "CDCEF"),
    ],
)
def test_repeats(body, expected):
    assert letters(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("C|D!D.C.!|", "CDCD"),
        ("C|D!D.C.!|E", "CDCDE"),
        ("C|D!fine!|E!D.C.!|]", "CDECD"),
        ("C|D!fine!|E!D.C.alfine!|]", "CDECD"),
        ("C|D!fine!|E!D.C. al fine!|]", "CDECD"),
        ("C|D+fine+|E+D.C.+|]", "CDECD"),
        ("C|!segno!D|E!D.S.!|F", "CDEDEF"),
        ("C|SD|E!D.S.!|", "CDEDE"),
        ("C!segno!|D|E!D.S.!|", "CDEDE"),  # before the bar line it stands on
        ("C|!segno!D|E!fine!|F!D.S.alfine!|]", "CDEFDE"),
        ("C|D!dacoda!|E!D.C.alcoda!|!coda!F|]", "CDECDF"),
        ("C|!segno!D|E!dacoda!|F!D.S.alcoda!|!coda!G|]", "CDEFDEG"),
        ("C|OD|E!D.C.alcoda!|OF|]", "CDECF"),  # two coda signs: from where the first one stands to the second
        ("CO|D|E!D.C.alcoda!|OF|]", "CDECF"),
        ("CD!coda!EF|G!D.C.!|!coda!A|]", "CDEFGCDA"),
        ("|:C:|D!fine!|E!D.C.!|]", "CCDECD"),  # repeats aren't taken again
        ("|:C|1D:|2E!fine!||F!D.C.!|]", "CDCEFCE"),
        ("C|!fine!DE|F!D.C.!|]", "CDEFCD"),  # it ends with the note that the sign stands over
        ("C|!fine!DE|]F!D.C.!|]", "CDEFCDE"),  # at a double bar line, with the bar
        ("CD!segno!E|F!D.S.!|]", "CDEFEF"),  # within a bar
        ("C|D!D.C.!|]", "CDCD"),
        ("C!fine!|D|E!segno!|F", "CDEF"),  # nothing leads there
        ("!fine!C|!D.C.!D|]", "CDC"),
    ],
)
def test_jumps(body, expected):
    assert letters(body) == expected


def test_a_repeat_that_never_ends_is_told():
    assert letters("|:C|:D:|") == "CDD"
    assert warnings("|:C|:D:|") == [
        "repeats: a section that begins with |: has no end before the next one; it is played once"
    ]
    assert letters("|:C|1D|2E") == "CDE"
    assert warnings("|:C|1D|2E") == ["repeats: endings without a repeat sign; left as written"]


def test_a_pickup_and_the_short_bar_before_the_repeat_are_one():
    piece = tune("|:G|CDEF|GAB:|")
    assert [start for start, *_ in rows(piece)] == [*range(16)]
    assert [(tick // 480, n, d) for tick, n, d in piece.meters.tolist()] == [(0, 1, 4), (1, 4, 4)]
    piece = tune("G|CDEF|GAB:|c|defg|c3|]")
    assert letters("G|CDEF|GAB:|c|defg|c3|]") == "GCDEFGABGCDEFGABcdefgc"
    assert [(tick // 480, n, d) for tick, n, d in piece.meters.tolist()] == [(0, 1, 4), (1, 4, 4)]


def test_a_sign_within_a_bar_makes_no_new_meter():
    piece = tune("CDEF|GA!segno!Bc|defg!D.S.!|]")
    assert letters("CDEF|GA!segno!Bc|defg!D.S.!|]") == "CDEFGABcdefgBcdefg"
    assert [(tick // 480, n, d) for tick, n, d in piece.meters.tolist()][:1] == [(0, 4, 4)]
    assert len([t for t in piece.meters["tick"].tolist() if t < 12 * 480]) == 1


def test_bars_and_lines_between_tunes_lines_are_no_bars():
    piece = tune("|CDEF|\n|GABc||\n||\n|:CDEF:|\n")
    assert letters("|CDEF|\n|GABc||\n||\n|:CDEF:|\n") == "CDEFGABcCDEFCDEF"
    assert piece.meters.tolist() == [(0, 4, 4)]


# ---- parts in order --------------------------------------------------------------------------------------


def ordered(order: str, body: str) -> str:
    return letters(body, f"X:1\nM:4/4\nL:1/4\nP:{order}\nK:C\n")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("AB", "CDE"),
        ("BA", "ECD"),
        ("AAB", "CDCDE"),
        ("A2B3", "CDCDEEE"),
        ("(AB)2", "CDECDE"),
        ("A.(BA)2.B", "CDECDECDE"),
        ("((AB)2A)2", "CDECDECDCDECDECD"),
        ("A B", "CDE"),
        ("AXB", "CDE"),
    ],
)
def test_the_header_orders_parts(order, expected):
    assert ordered(order, "P:A\nCD|\nP:B\nE|") == expected
    assert ordered(order, "[P:A]CD|[P:B]E|") == expected


def test_parts_keep_their_repeats():
    assert ordered("ABA", "P:A\n|:C|1D:|2E|]\nP:B\nF|G:|") == "CDCEFGFGCDCE"
    assert ordered("BA", "P:A\nC||D:|\nP:B\nF|") == "FCDD"
    assert ordered("AB", "G|\nP:A\nC|\nP:B\nD|") == "GCD", "what stands before the first one comes first"
    assert letters("P:A\nC|\nP:B\nD|") == "CD", "without an order they are names"


def test_a_part_has_its_own_key_and_meter_wherever_it_stands():
    piece = tune("P:A\n[K:D]F4|\nP:B\n[K:F][M:3/4]B3|", "X:1\nM:4/4\nL:1/4\nP:ABA\nK:C\n")
    assert rows(piece) == [(0, 66, 4), (4, 70, 3), (7, 66, 4)]
    assert [(tick // 480, fifths) for tick, fifths, _ in piece.keys.tolist()] == [(0, 2), (4, -1), (7, 2)]
    assert [(tick // 480, n, d) for tick, n, d in piece.meters.tolist()] == [(0, 4, 4), (4, 3, 4), (7, 4, 4)]


def test_an_order_that_cannot_be_followed_is_told():
    head = "X:1\nM:4/4\nL:1/4\nP:{}\nK:C\n"
    assert warnings("P:A\nC|", head.format("AB")) == ["parts: the order asks for B, which the music doesn't have"]
    assert warnings("C|", head.format("AB")) == [
        "parts: the header orders parts that the music doesn't name; played as written"
    ]
    assert warnings("P:A\nC|", head.format("A(B")) == ["fields: 'P:A(B' can't be read as it stands and was left out"]
    assert warnings("P:A\nC|", head.format("((((A999)999)999)999)999"))[0].startswith("fields: 'P:((((A999)")
    assert warnings("P:A\nC|\nP:B\nD|\nP:A\nE|", head.format("AB")) == [
        "parts: A names more than one section; the first one is meant"
    ]


# ---- voices ----------------------------------------------------------------------------------------------

TWO = [
    (0, 48, 4),
    (0, 60, 1),
    (1, 62, 1),
    (2, 64, 1),
    (3, 65, 1),
    (4, 55, 4),
    (4, 67, 1),
    (5, 69, 1),
    (6, 71, 1),
    (7, 72, 1),
]


@pytest.mark.parametrize(
    "body",
    [
        "V:1\nCDEF|GABc|\nV:2\nC,4|G,4|",
        "V:1\nCDEF|\nV:2\nC,4|\nV:1\nGABc|\nV:2\nG,4|",
        "[V:1]CDEF|[V:2]C,4|[V:1]GABc|[V:2]G,4|",
        "[V:1] CDEF | GABc |\n[V:2] C,4 | G,4 |",
        "V:high\nCD\nV:low\nC,4|\nV:high\nEF|GABc|\nV:low\nG,4|",
        "CDEF|GABc|\nV:2\nC,4|G,4|",  # what stands before the first V: is the first voice
        "V:1\nCDEF|GABc|\nV:2\nC,4 G,4|",  # bar lines that one voice lacks
    ],
)
def test_voices(body):
    piece = tune(body)
    assert rows(piece) == TWO
    assert len(piece.tracks) == 2
    assert piece.warnings == ()


def test_voices_of_the_header():
    head = 'X:1\nM:4/4\nL:1/4\nV:B name="Double Bass" clef=bass\nV:A nm="Violin" clef=treble+8\nK:C\n'
    piece = tune("V:A\nCDEF|\nV:B\nC,4|", head)
    assert [(t.name, t.program) for t in piece.tracks] == [("Double Bass", 43), ("Violin", 40)], "in the header's order"
    assert rows(piece, 1) == [(0, 72, 1), (1, 74, 1), (2, 76, 1), (3, 77, 1)]


def test_a_repeat_in_one_voice_holds_for_all():
    once = [(0, 48, 4), (0, 60, 1), (1, 62, 1), (2, 64, 1), (3, 65, 1)]
    twice = once + [(4 + start, pitch, length) for start, pitch, length in once]
    assert heard("V:1\n|:CDEF:|\nV:2\nC,4|") == twice
    assert heard("V:1\nCDEF|\nV:2\nC,4:|") == twice
    half = [(0, 48, 4), (0, 60, 1), (1, 62, 1), (2, 48, 4), (2, 60, 1), (3, 62, 1), (4, 64, 1), (5, 65, 1)]
    assert heard("V:1\nCD:|EF|\nV:2\nC,4|") == half, "within the other voice's bar"
    assert heard("V:1\nCD!fine!EF|G4!D.C.!|]\nV:2\nC,4|G,4|")[-2:] == [(9, 62, 1), (10, 64, 1)], (
        "to the note under the sign"
    )


def test_accidentals_keys_and_units_belong_to_their_voice():
    body = "V:1\n^C2\nV:2\nC2\nV:1\nC2|\nV:2\n[L:1/8][K:D]F4|\nV:1\nF4|\nV:2\nC8|"
    assert heard(body) == [(0, 60, 2), (0, 61, 2), (2, 61, 2), (2, 66, 2), (4, 61, 4), (4, 65, 4)]


def test_a_voice_may_be_silent_in_a_part():
    body = "P:A\nV:1\nCD|\nP:B\nV:1\nEF|\nV:2\nE,2|"
    assert heard(body, "X:1\nM:2/4\nL:1/4\nP:ABA\nK:C\n") == [
        (0, 60, 1), (1, 62, 1), (2, 52, 2), (2, 64, 1), (3, 65, 1), (4, 60, 1), (5, 62, 1),
    ]  # fmt: skip
    assert warnings(body, "X:1\nM:2/4\nL:1/4\nP:ABA\nK:C\n") == []
    whole = "V:1\nP:A\nCD|\nP:B\nEF|\nV:2\nP:A\nC,2|\nP:B\nE,2|"
    assert heard(whole, "X:1\nM:2/4\nL:1/4\nP:BA\nK:C\n") == [
        (0, 52, 2), (0, 64, 1), (1, 65, 1), (2, 48, 2), (2, 60, 1), (3, 62, 1),
    ]  # fmt: skip


def test_voices_that_disagree_are_told():
    assert warnings("V:1\nCDEF|GABc|c4|\nV:2\nC,3|G,4|c4|") == [
        "bars: the parts disagree on the length of a bar; the longest one holds"
    ]


def test_rests_of_several_bars_keep_voices_together():
    assert heard("V:1\nC4|D4|E4|\nV:2\nZ2|E,4|") == [(0, 60, 4), (4, 62, 4), (8, 52, 4), (8, 64, 4)]
    assert heard("V:1\n|:C4|D4:|E4|\nV:2\nZ2|E,4|")[-2:] == [(16, 52, 4), (16, 64, 4)]


def test_one_voice_is_one_part_without_a_name():
    assert [t.name for t in tune("CDEF|", HEAD).tracks] == [""]
    assert [t.name for t in tune("V:1\nC|\nV:flute\nD|").tracks] == ["", "flute"]
