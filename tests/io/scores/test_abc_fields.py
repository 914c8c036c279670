"""The fields of ABC, its files and its limits."""

from __future__ import annotations

import pytest
from abc_pieces import HEAD, heard, lengths, letters, pitches, rows, tune, warnings
from score_files import read_scores

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores import read_tune

# ---- keys ------------------------------------------------------------------------------------------------

MINOR_C = [60, 62, 63, 65, 67, 68, 70]  # C to B with three flats


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("C", [60, 62, 64, 65, 67, 69, 71]),
        ("D", [61, 62, 64, 66, 67, 69, 71]),
        ("Bb", [60, 62, 63, 65, 67, 69, 70]),
        ("F#", [61, 63, 65, 66, 68, 70, 71]),
        ("Cb", [59, 61, 63, 64, 66, 68, 70]),
        ("C#", [61, 63, 65, 66, 68, 70, 72]),
        ("G#", [61, 63, 65, 67, 68, 70, 72]),  # F is sharp twice
        ("Cm", MINOR_C),
        ("C min", MINOR_C),
        ("C minor", MINOR_C),
        ("CMinor", MINOR_C),
        ("CAeolian", MINOR_C),
        ("F dor", MINOR_C),
        ("F Dorian", MINOR_C),
        ("BbMIX", MINOR_C),
        ("Bb mixolydian", MINOR_C),
        ("G phr", MINOR_C),
        ("AbLydian", MINOR_C),
        ("D Loc", MINOR_C),
        ("Eb ionian", MINOR_C),
        ("Ebmaj", MINOR_C),
        ("none", [60, 62, 64, 65, 67, 69, 71]),
        ("", [60, 62, 64, 65, 67, 69, 71]),
        ("HP", [61, 62, 64, 66, 67, 69, 71]),
        ("Hp", [61, 62, 64, 66, 67, 69, 71]),
        ("D ^g", [61, 62, 64, 66, 68, 69, 71]),
        ("D =c", [60, 62, 64, 66, 67, 69, 71]),
        ("D Phr ^f", [60, 62, 63, 66, 67, 69, 70]),
        ("D exp _b _e ^f", [60, 62, 63, 66, 67, 69, 70]),
        ("D exp", [60, 62, 64, 65, 67, 69, 71]),
        ("C ^^f __b", [60, 62, 64, 67, 67, 69, 69]),
        ("Dmix^c", [61, 62, 64, 66, 67, 69, 71]),
        ("C ^F_B", [60, 62, 64, 66, 67, 69, 70]),
        ("G clef=bass", [60, 62, 64, 66, 67, 69, 71]),
        ("G bass", [60, 62, 64, 66, 67, 69, 71]),
        ("G clef=alto middle=d stafflines=4", [60, 62, 64, 66, 67, 69, 71]),
        ("C octave=-1", [48, 50, 52, 53, 55, 57, 59]),
        ("C treble-8", [48, 50, 52, 53, 55, 57, 59]),
        ("C clef=treble+8", [72, 74, 76, 77, 79, 81, 83]),
        ("C clef=treble-8 octave=1", [72, 74, 76, 77, 79, 81, 83]),  # octave= is what is meant
        ("G transpose=-2", [58, 60, 62, 64, 65, 67, 69]),
        ("C shift=CD", [62, 64, 66, 67, 69, 71, 73]),
        ("C sound=cB", [59, 61, 63, 64, 66, 68, 70]),
    ],
)
def test_keys(key, expected):
    assert pitches("CDEFGAB", f"X:1\nL:1/4\nK:{key}\n") == expected
    assert warnings("CDEFGAB|", f"X:1\nM:7/4\nL:1/4\nK:{key}\n") == []


def test_keys_are_kept_as_they_sound():
    piece = tune("F4|[K:Am]c4|[K:Eb]e4|", "X:1\nM:4/4\nL:1/4\nK:G transpose=2\n")
    assert pitches("F4|[K:Am]c4|[K:Eb]e4|", "X:1\nM:4/4\nL:1/4\nK:G transpose=2\n") == [68, 74, 77]
    assert [(tick // 480, fifths, bool(minor)) for tick, fifths, minor in piece.keys.tolist()] == [
        (0, 3, False), (4, 2, True), (8, -1, False),
    ]  # fmt: skip
    assert tune("C", "X:1\nK:E minor\n").keys.tolist() == [(0, 1, 1)]
    assert tune("C", "X:1\nK:G exp ^c\n").keys.tolist() == [], "no key has this signature"


def test_clefs_and_octaves_change_within_a_tune():
    assert pitches("C[K:treble-8]C[K:octave=1]C[K:octave=0 clef=bass]C") == [60, 48, 72, 60]
    assert pitches("C\nK:G clef=treble+8\nF") == [60, 78]
    assert pitches("C\nI:octave=-1\nC\nI:octave=0\nC") == [60, 48, 60]


def test_a_key_that_is_none_is_told_and_nothing_changes():
    assert pitches("F[K:Hxyz]F[K:Cwhatever]F", "X:1\nL:1/4\nK:G\n") == [66, 66, 66]
    assert warnings("F[K:Cwhatever]F|", "X:1\nM:2/4\nL:1/4\nK:G\n") == [
        "fields: 'K:Cwhatever' can't be read as it stands and was left out"
    ]


# ---- meters and lengths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "quarters"),
    [
        ("M:2/4\n", 0.25), ("M:5/8\n", 0.25), ("M:3/4\n", 0.5), ("M:6/8\n", 0.5), ("M:4/4\n", 0.5), ("M:C\n", 0.5),
        ("M:C|\n", 0.5), ("M:none\n", 0.5), ("", 0.5), ("M:2/4\nL:1/8\n", 0.5), ("L:1/8\nM:2/4\n", 0.5), ("L:1\n", 4),
        ("L:1/4\n", 1), ("L: 1/16 \n", 0.25), ("M:9/8\nL:3/8\n", 1.5),
    ],
)  # fmt: skip
def test_the_unit_length_follows_the_meter_unless_it_is_said(fields, quarters):
    assert lengths("C", f"X:1\n{fields}K:C\n") == [quarters]


def test_a_meter_in_the_body_leaves_the_unit_alone():
    assert lengths("C[M:2/4]C\nM:2/8\nC", "X:1\nM:4/4\nK:C\n") == [0.5, 0.5, 0.5]
    assert lengths("C[L:1/4]C\nL:1/16\nC", "X:1\nM:4/4\nK:C\n") == [0.5, 1, 0.25]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4/4", (4, 4)), ("C", (4, 4)), ("C|", (2, 2)), ("12/8", (12, 8)), ("(2+3)/8", (5, 8)), ("2+3+2/8", (7, 8)),
        ("(2+2+3)/16", (7, 16)), ("2/4+3/4", (5, 4)), ("3/4+3/8", (9, 8)),
    ],
)  # fmt: skip
def test_meters(value, expected):
    numerator, denominator = expected
    bar = f"z{4 * numerator}/{denominator}" if numerator * 4 % denominator else f"z{4 * numerator // denominator}"
    piece = tune(f"{bar}|{bar}|C{bar[1:]}|", f"X:1\nM:{value}\nL:1/4\nK:C\n")
    assert piece.meters.tolist() == [(0, *expected)]
    assert rows(piece) == [(8 * numerator / denominator, 60, 4 * numerator / denominator)]


def test_inline_fields():
    body = "CDEF|[K:D][M:3/4]FGA|[L:1/8]FFGGAA|"
    assert heard(body)[4:8] == [(4, 66, 1), (5, 67, 1), (6, 69, 1), (7, 66, 0.5)]
    assert [(tick // 480, n, d) for tick, n, d in tune(body).meters.tolist()] == [(0, 4, 4), (4, 3, 4)]
    assert letters('C"[K:D]"F[r:K:D]F[Z:x]G[I:x y]A') == "CFFGA", "text in quotes is no field"


@pytest.mark.parametrize("meter", ["9999/1", "4/0", "0/4", "4/3", "x", "4", "-3/4", "65/4", "1/1024"])
def test_a_meter_that_is_none_is_told(meter):
    text = f"X:1\nM:{meter}\nL:1/4\nK:C\n"
    assert heard("C|Z2|D", text) == [(0, 60, 1), (9, 62, 1)], "bars of whole rests have four quarters then"
    assert f"fields: 'M:{meter}' can't be read as it stands and was left out" in warnings("C|Z2|D", text)


def test_music_behind_a_meter_is_told():
    piece = tune("CDE|\nM:3/8 EDC|\nCDE|", "X:1\nM:3/4\nL:1/4\nK:C\n")
    assert piece.warnings == ("fields: 'M:3/8 EDC|' can't be read as it stands and was left out",)
    assert [(n, d) for _, n, d in piece.meters.tolist()][0] == (3, 4)


# ---- tempi -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "quarters"),
    [
        ("1/4=120", 120), ("3/8=60", 90), ("1/2=60", 120), ("1/8=200", 100), ("1/4 1/4=50", 100), ("1/4 3/8 1/4=40", 140),
        ('"Allegro" 1/4=130', 130), ('1/4=96 "Slowly"', 96), ('"Allegro"', 120), ('"adagio"', 59), ("1/4 = 88.5", 88.5),
        ("120", 60), ("C=120", 60), ("C3=40", 60), ("C2/4=80", 20), ("1/4=c. 72", 72), ('"c. 72" 1/4=72', 72),
    ],
)  # fmt: skip
def test_tempi(value, quarters):
    piece = tune("CD", f"X:1\nQ:{value}\nL:1/8\nK:C\n")
    assert piece.tempos["microseconds"].tolist() == [round(60e6 / quarters)]
    assert piece.warnings == ()


def test_tempi_change_within_a_tune():
    piece = tune("CD[Q:1/4=60]EF|\nQ:1/8=60\nG", "X:1\nM:4/4\nL:1/4\nQ:1/4=120\nK:C\n")
    assert [(tick // 480, us) for tick, us in piece.tempos.tolist()] == [(0, 500_000), (2, 1_000_000), (4, 2_000_000)]


@pytest.mark.parametrize("value", ["fast", "1/4=", "=", "1/4=x", "0=0", "1/4=0", "0/4=100"])
def test_a_tempo_that_is_none_is_told(value):
    piece = tune("C|", f"X:1\nQ:{value}\nM:1/4\nL:1/4\nK:C\n")
    assert piece.tempos.tolist() == []
    assert piece.warnings == (f"fields: 'Q:{value}' can't be read as it stands and was left out",)


# ---- directives ------------------------------------------------------------------------------------------


def test_programs_and_transposition():
    assert tune("%%MIDI program 40\nCD").tracks[0].program == 40
    assert tune("CD", "X:1\n%%MIDI program 1 73\nK:C\n").tracks[0].program == 73
    assert tune("[I:MIDI program 56]CD").tracks[0].program == 56
    assert tune("I:MIDI=program 56\nCD").tracks[0].program == 56
    assert [t.program for t in tune("V:1\n%%MIDI program 40\nC|\nV:2\n%%MIDI program 42\nD|").tracks] == [40, 42]
    head = "X:1\nL:1/4\nV:1\n%%MIDI program 40\nV:2\n%%MIDI program 42\nK:C\n"
    assert [t.program for t in tune("V:1\nC|\nV:2\nD|", head).tracks] == [40, 42]
    assert warnings("%%MIDI program 1\nC|\n%%MIDI program 2\nC|")[0] == (
        "programs: 1 change of instrument within a part was left out"
    )
    assert pitches("%%MIDI transpose 2\nC\n%%MIDI rtranspose -3\nC\n%%MIDI transpose 0\nC") == [62, 59, 60]
    assert pitches("C", "X:1\n%%MIDI transpose 12\nK:C\n") == [72]
    head = "X:1\n%%MIDI program 1 40\n%%MIDI program 2 42\nK:C\n"  # by channels, which are those of the voices
    assert [t.program for t in tune("V:1\nC|\nV:2\nD|", head).tracks] == [40, 42]


def test_chord_symbols_sound_as_high_as_their_voice():
    piece = tune('"Am"C4|', "X:1\nM:4/4\nL:1/4\nK:D transpose=-2\n")
    assert [text for *_, text in piece.chords.tolist()] == ["Gm"]


def test_text_in_the_header_is_told():
    piece = read_tune("X:1\nT:A\nby somebody\nM:1/4\nL:1/4\nK:C\nC|\n")
    assert piece.warnings == ("header: 1 line between the header's fields is no field and was passed over",)


def test_what_would_sound_besides_is_told():
    assert warnings("%%MIDI drum dzd 35 38\n%%MIDI drumon\nCDEF|") == [
        "accompaniment: 1 drum pattern or drone was left out"
    ]
    assert warnings("%%abc-include other.abc\nCDEF|") == [
        "includes: 1 other file that the tune includes was not opened"
    ]
    assert warnings('CDEF|\ns:"C" * !fine!') == ["symbol_lines: 1 line of symbols under the music (s:) was left out"]


# ---- files -----------------------------------------------------------------------------------------------


def names_and_notes(tmp_path, text, *, encoding="utf-8"):
    path = tmp_path / "tunes.abc"
    path.write_bytes(text.encode(encoding))
    return [(name, piece.n_notes) for name, piece in read_scores(path)]


def test_tunes_end_at_a_blank_line_and_text_between_them_is_no_music(tmp_path):
    text = "A book of tunes\n\nX:1\nT:One\nK:C\nCDEF|\n\nFree text, A B C D|\n\nX:2\nT:Two\nK:G\nGAB\n \nc d e f|\nX:3\nK:C\nC\n"
    assert names_and_notes(tmp_path, text) == [("1 One", 4), ("2 Two", 3), ("3", 1)]
    assert names_and_notes(tmp_path, text.replace("\n", "\r\n")) == [("1 One", 4), ("2 Two", 3), ("3", 1)]
    assert names_and_notes(tmp_path, text.replace("\n", "\r")) == [("1 One", 4), ("2 Two", 3), ("3", 1)]


def test_the_head_of_a_file_holds_for_all_tunes(tmp_path):
    path = tmp_path / "tunes.abc"
    path.write_text(
        "%abc-2.1\nM:3/4\nL:1/4\nI:propagate-accidentals not\n%%MIDI program 40\n\nX:1\nK:C\n^FFz\n\nX:2\nL:1/8\nK:C\nC\n"
    )
    (_, one), (_, two) = read_scores(path)
    assert rows(one) == [(0, 66, 1), (1, 65, 1)]
    assert rows(two) == [(0, 60, 0.5)]
    assert one.tracks[0].program == two.tracks[0].program == 40
    assert one.meters.tolist()[0] == (0, 3, 4)


def test_encodings(tmp_path):
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        assert names_and_notes(tmp_path, "X:1\nT:Café\nK:C\nCDE|\n", encoding=encoding) == [("1 Café", 3)]


def test_lines_and_comments():
    assert letters("CD % E F\n%G A\nEF\\% G|\\\n% x\nA") == "CDEFGA"
    assert letters("C|\n\nD|", HEAD) == "C", "a blank line ends the tune"
    assert letters("\nCD|", HEAD) == "CD", "but not before the music"
    assert heard("CD", "X:1\nT:a % b\nM:4/4 % c\nL:1/4%\nK:G % d\n") == [(0, 60, 1), (1, 62, 1)]
    assert letters("A:|B:|", HEAD) == "AABB", "a note before a repeat sign is no field"
    assert letters("CD|\nA:|\nE::F|", HEAD) == "CDACDAEEF"
    assert warnings("CDEF|", "X:1\nT:|: and so on\nC::\nM:4/4\nL:1/4\nK:C\n") == [], "but in a header it is one"


def test_a_tune_without_a_key_is_told():
    assert rows(read_tune("X:1\nL:1/4\nCDE|\n")) == [(0, 60, 1), (1, 62, 1), (2, 64, 1)]
    assert "key: the tune has no K: field; C major is taken" in read_tune("X:1\nL:1/4\nCDE|\n").warnings


# ---- limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("X:1\nM:9999/1", "tune.abc: has no notes; check that it is a score with music in it"),
        ("X:1\nM:9999/1\nK:C\nZ9\n", "tune.abc: has no notes; check that it is a score with music in it"),
        (HEAD + "Z999999|C", "tune.abc: has more than 20,000 bars; split the tune"),
        (HEAD + "C|" * 20_001, "tune.abc: has more than 20,000 bars; split the tune"),
        (HEAD + "C" * 300_000, "tune.abc: has more than 200,000 notes; raise the limit with `Limits.notes`"),
        (HEAD + "[CEG]" * 100_000, "tune.abc: has more than 200,000 notes; raise the limit with `Limits.notes`"),
        (HEAD + "z" * 500_000, "tune.abc: has too much music to be one tune; split the file, or raise `Limits.notes`"),
        (HEAD + "#" * 50_000, "tune.abc: has more than 20,000 characters that mean nothing in ABC music; check that it is a tune in ABC notation"),
        (HEAD + "[K:D]" * 60_000, "tune.abc: has more than 50,000 fields in a tune; split the file"),
        (HEAD + "w:a\n" * 60_000, "tune.abc: has more than 50,000 fields in a tune; split the file"),
        (HEAD + "C%\n" * 210_000, "tune.abc: has more than 200,000 lines in a tune; split the file"),
        (HEAD + "".join(f"[V:{i}]C" for i in range(300)), "tune.abc: has more than 256 voices; raise the limit with `Limits.tracks`"),
        ("X:1\n" * 110_000, "tune.abc: has 110,000 tunes, the limit is 100,000; split the file"),
        ("I:x\n" * 50_000 + "X:1\nK:C\nC\n" * 1000, "tune.abc: says too much before its first tune; split the file"),
        ("hello", "tune.abc: has no tune; an ABC tune has the fields X: and K:"),
    ],
)  # fmt: skip
def test_limits(text, what):
    with pytest.raises(UnreadableError) as error:
        read_tune(text)
    assert str(error.value) == what


def test_limits_can_be_raised_and_lowered():
    with pytest.raises(UnreadableError, match="has more than 2,000 notes"):
        read_tune(HEAD + "C" * 5000, limits=Limits(notes=2000))
    assert read_tune(HEAD + "C" * 5000).n_notes == 5000
    assert (
        "parts: in the order of P: the tune would pass a limit; played as written"
        in read_tune("X:1\nL:1/32\nP:A999\nK:C\nP:A\n" + "C" * 1000).warnings
    )


@pytest.mark.parametrize(
    "body",
    [
        "|" + " " * 80_000 + "C", "C" + "1" * 80_000, "C" + "," * 80_000, "[" + "C" * 80_000, '"' * 80_001,
        "|" + "1," * 40_000, ":" * 80_000 + "C", "(" * 80_000 + "C", "{" * 15_000 + "C", "[" * 15_000 + "C",
        "C" + "&" * 80_000 + "D", "C" + ">" * 80_000 + "D", "(9:8:999" * 15_000 + "C", "!" + "a" * 80_000 + "C",
    ],
)  # fmt: skip
def test_long_nonsense_costs_time_in_proportion(body):
    # Where a pattern goes back and forth over it, this takes minutes.
    try:
        piece = read_tune(HEAD + "C" + body + "\n")
    except UnreadableError as error:
        assert error.hint
        assert "\n" not in str(error)
    else:
        assert piece.n_notes >= 1
