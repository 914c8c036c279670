"""What kern files say beside notes: parts and instruments, keys, meters, tempi, loudness, chord symbols, drums."""

from __future__ import annotations

import pytest
from kern_texts import notes_of, piece_of, warned

from musicgen.io.scores.kern.tokens import fifths_of, level_of, meter_of, symbol_of, tempo_in


def tracks_of(text):
    """(name, program) of the tracks."""
    return [(track.name, track.program) for track in piece_of(text).tracks]


# ---- parts -----------------------------------------------------------------------------------------------


def test_parts_come_from_the_top_with_their_names_and_programs():
    assert tracks_of("""
        **kern  **kern  **kern  **kern
        *Icello  *Iviola  *Ivioln  *Ivioln
        *I"Violoncello  *I"Viola  *I"Violino II  *I"Violino I
        *I'Vc.  *I'Vla.  *I'Vl. II  *I'Vl. I
        4C  4c  4e  4g
        *-  *-  *-  *-
    """) == [("Violino I", 40), ("Violino II", 40), ("Viola", 41), ("Violoncello", 42)]


def test_names_come_from_codes_or_abbreviations_where_there_are_no_others():
    assert tracks_of("""
        **kern  **kern  **kern
        *Itromp  *I'Vc.  *
        4C  4c  4e
        *-  *-  *-
    """) == [("", 0), ("Vc.", 0), ("trumpet", 56)]


def test_staves_of_one_part_are_one_track():
    text = """
        **kern  **dynam  **kern  **kern
        *part2  *part2  *part2  *part1
        *staff3  *staff2/3  *staff2  *staff1
        *I"Piano  *  *  *I"Sopran
        4C  p  4c  4g
        *-  *-  *-  *-
    """
    piece = piece_of(text)
    assert [(t.name, t.program) for t in piece.tracks] == [("Sopran", 52), ("Piano", 0)]
    assert notes_of(piece, 1) == [(0, 1, 48), (0, 1, 60)]
    assert [t.notes["velocity"].tolist() for t in piece.tracks] == [[72], [49, 49]]


@pytest.mark.parametrize(
    ("head", "tracks"),
    [
        ("*Ipiano  *Ipiano", 1),
        ("*Iorgan  *Iorgan", 1),
        ("*Ivioln  *Ivioln", 2),
        ("*Ipiano  *Ivioln", 2),
        ('*Ipiano  *Ipiano\n*I"Piano II  *I"Piano I', 2),
        ("*staff2  *staff1", 2),
        ("!!!AIN: piano\n*staff2  *staff1", 1),
        ("!!!AIN: violn cello\n*staff2  *staff1", 2),
        ("!!!system-decoration: {(s1,s2)}\n*staff2  *staff1", 1),
        ("!!!system-decoration: [(s1)(s2)]\n*staff2  *staff1", 2),
        ("*part1  *part1", 1),
        ("*part2  *part1\n*Ipiano  *Ipiano", 2),
    ],
)
def test_which_staves_belong_together(head, tracks):
    assert len(piece_of(f"**kern  **kern\n{head}\n4C  4c\n*-  *-\n").tracks) == tracks


def test_a_part_that_rests_throughout_stays():
    assert len(piece_of("**kern  **kern\n4r  4c\n*-  *-\n").tracks) == 2


# ---- drums -----------------------------------------------------------------------------------------------


def test_unpitched_instruments_are_drums_where_general_midi_knows_them():
    piece = piece_of("""
        **kern  **kern  **kern
        *I"Bass Drum  *I"Triangle  *I"Violino
        *clefX  *clefpercussion0  *clefG2
        4x  4Rb  4c
        4r  8b  4d
        *-  *-  *-
    """)
    assert [(t.name, t.is_drum) for t in piece.tracks] == [("Violino", False), ("Triangle", True), ("Bass Drum", True)]
    assert notes_of(piece, 1) == [(0, 1, 81), (1, 0.5, 81)]
    assert notes_of(piece, 2) == [(0, 1, 36)]


def test_unpitched_instruments_that_it_doesnt_know_are_left_out_and_counted():
    piece = piece_of('**kern  **kern\n*I"Anvil  *\n*clefX  *\n4x  4c\n4x  4d\n*-  *-\n')
    assert notes_of(piece) == [(0, 1, 60), (1, 1, 62)]
    assert warned(piece, "unpitched") == "unpitched: 2 notes without a General MIDI drum were left out"


def test_a_percussionist_may_turn_to_pitches():
    piece = piece_of('**kern\n*I"Snare Drum\n*clefX\n4b\n*clefG2\n4g\n*-\n')
    assert [(t.is_drum, t.notes["pitch"].tolist()) for t in piece.tracks] == [(False, [67]), (True, [38])]


@pytest.mark.parametrize("name", ["Snare Drum", "Anvil"])
def test_percussion_at_the_top_takes_no_marks_with_it(name):
    piece = piece_of(f"""
        **kern  **kern
        *  *I"{name}
        *  *clefX
        *k[f#]  *
        *M3/4  *M3/4
        *MM60  *MM60
        4c  4x
        2d  2x
        *-  *-
    """)
    assert piece.meters.tolist() == [(0, 3, 4)]
    assert piece.tempos.tolist() == [(0, 1_000_000)]
    assert piece.keys.tolist() == [(0, 1, False)]
    assert [track.is_drum for track in piece.tracks] == [True, False][name == "Anvil" :]


# ---- keys, meters, tempi -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "fifths"),
    [
        ("*k[]", 0), ("*k[f#]", 1), ("*k[f#c#g#d#a#e#b#]", 7), ("*k[b-]", -1), ("*k[b-e-a-d-g-c-f-]", -7),
        ("*k[c#]", None), ("*k[b-f#]", None), ("*k[c#f#]", 2),
    ],
)  # fmt: skip
def test_key_signatures(signature, fifths):
    assert fifths_of(signature) == fifths


def test_keys_are_minor_where_a_minor_key_stands_beside_them():
    piece = piece_of("**kern\n*k[b-]\n*d:\n4d\n=\n*A-:\n4d\n=\n*f#:\n*k[f#c#g#]\n4f#\n=\n*k[]\n*C:\n4c\n*-\n")
    assert piece.keys.tolist() == [(0, -1, True), (960, 3, True), (1440, 0, False)]


def test_keys_are_read_by_name_where_there_is_no_signature():
    piece = piece_of("**kern\n*E-:\n4e-\n*f#:\n4f#\n*C#:\n4c#\n*g#:\n4g#\n*-\n")
    assert piece.keys.tolist() == [(0, -3, False), (480, 3, True), (960, 7, False), (1440, 5, True)]


def test_keys_are_those_of_a_part_at_concert_pitch():
    piece = piece_of("**kern  **kern\n*Icello  *Iclars\n*  *ITrd1c2\n*k[b-]  *k[f#]\n4F  4f\n*-  *-\n")
    assert piece.keys["fifths"].tolist() == [-1]


@pytest.mark.parametrize(
    ("token", "meter"),
    [
        ("*M4/4", (4, 4)), ("*M2+3/8", (5, 8)), ("*M3/0", (6, 1)), ("*M1/00", (4, 1)), ("*MX", None), ("*M3/3%2", None),
        ("*M?", None), ("*MM120", None),
    ],
)  # fmt: skip
def test_meters(token, meter):
    assert meter_of(token) == meter


@pytest.mark.parametrize("meter", ["999999999/2", "0/4", "4/3", "3/3%2", "65/4", "4/128", "9" * 5000 + "/4"])
def test_meters_that_no_bar_can_have_are_left_out(meter):
    piece = piece_of(f"**kern\n*M{meter}\n=1\n1c\n=2\n1d\n*-\n")
    assert piece.meters.tolist() == [(0, 4, 4)]
    assert warned(piece, "meters") == "meters: 1 meter that no bar can have was left out"


def test_a_sign_says_the_meter_only_where_no_number_does():
    assert piece_of("**kern\n*met(c|)\n2c\n2c\n*-\n").meters.tolist() == [(0, 2, 2)]
    assert piece_of("**kern\n*M3/2\n*met(C)\n2c\n2c\n2c\n*-\n").meters.tolist() == [(0, 3, 2)]
    assert piece_of("**kern\n*MX\n1c\n*-\n").warnings == ()


@pytest.mark.parametrize(
    ("text", "tempo"),
    [
        ("Allegro [quarter]=120", 120), ("[half-dot] = 60", 180), ("([eighth]=58-63)", 29), ("[quarter-dot]=c. 72", 108),
        ("[half]=80.5", 161), ("Allegro", None), ("[quarter]=", None), ("[quarter-dot-dot]=40", 70),
    ],
)  # fmt: skip
def test_metronome_marks_in_words(text, tempo):
    assert tempo_in(text) == tempo


def test_tempi_stand_where_the_next_note_does():
    piece = piece_of(
        "!!!OMD: Slow [quarter]=60\n**kern\n4c\n*MM120\n4d\n!LO:TX:a:t=[half]=75\n4e\n*MM[Allegro]\n4f\n*-\n"
    )
    assert piece.tempos.tolist() == [(0, 1_000_000), (480, 500_000), (960, 400_000)]


def test_absurd_tempi_are_clamped_and_told():
    piece = piece_of("**kern\n*MM99999\n4c\n*MM0\n4d\n*-\n")
    assert piece.tempos.tolist() == [(0, 60_000)]
    assert warned(piece, "bad_tempo") == "bad_tempo: a tempo outside 4..1000 quarters a minute was clamped"


# ---- loudness, chord symbols -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "velocity"),
    [
        ("p", 49), ("ff", 112), ("mp", 64), ("mf <", 80), ("> pp", 33), ("Xf", 96), ("pyy", 49), ("p y", 49), ("fp", 49),
        ("sfpp", 33), ("sf p", 49), ("sf", None), ("sfz", None), ("<", None), ("[ >", None), ("cresc.", None),
        ("rf", None), ("fv", 96), (".mf", 80), ("dim.", None),
    ],
)  # fmt: skip
def test_dynamics(token, velocity):
    assert level_of(token) == velocity


def test_dynamics_are_those_of_the_notes_on_their_left_unless_they_name_a_staff():
    def velocities(staff):
        piece = piece_of(f"""
            **kern  **dynam  **kern
            *staff2  *{staff}  *staff1
            4C  f  4c
            4D  .  4d
            *-  *-  *-
        """)
        return [track.notes["velocity"].tolist() for track in piece.tracks]

    assert velocities("") == [[72, 72], [96, 96]]
    assert velocities("staff1") == [[96, 96], [72, 72]]


@pytest.mark.parametrize(
    ("token", "symbol"),
    [
        ("C major", "C"), ("B- minor-seventh/F", "Bbm7/F"), ("F# half-diminished", "F#m7b5"), ("E- dominant", "Eb7"),
        ("C:maj7", "Cmaj7"), ("Bb:min7/5", "Bbm7/F"), ("D:maj/3", "D/F#"), ("A", "A"), ("N", "N.C."), ("A:7", "A7"),
        ("G:hdim7", "Gm7b5"), ("r", None), ("V7/V", None), ("Hello", None),
    ],
)  # fmt: skip
def test_chord_symbols(token, symbol):
    assert symbol_of(token) == symbol


def test_chord_symbols_are_kept_and_roman_numerals_are_none():
    piece = piece_of("""
        **kern  **harm  **harte
        4c  I  C:maj
        4d  .  .
        4e  V7  G:7
        *-  *-  *-
    """)
    assert [(row["tick"], row["symbol"]) for row in piece.chords] == [(0, "C"), (960, "G7")]
    assert piece.warnings == ("chord_symbols: 2 chord symbols are kept with the piece, not played",)


def test_chord_symbols_that_cant_be_read_are_counted():
    piece = piece_of("**kern  **mxhm\n4c  ??\n4d  C major\n*-  *-\n")
    assert warned(piece, "chords") == "chords: 1 chord symbol that can't be read was left out"
