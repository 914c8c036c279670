"""MusicXML: tempo, meter, key, loudness, chord symbols."""

from __future__ import annotations

import pytest
from musicxml_bricks import (
    attributes,
    backup,
    direction,
    forward,
    kinds,
    listed,
    note,
    notes,
    opened,
    repeat,
    rows,
    score,
    words,
)


def read(tmp_path, *measures, **options):
    return opened(tmp_path, score(list(measures), **options))


# ---- tempo -----------------------------------------------------------------------------------------------


def metronome(unit, number, *, dots=0):
    dotted = "<beat-unit-dot/>" * dots
    return f"<metronome><beat-unit>{unit}</beat-unit>{dotted}<per-minute>{number}</per-minute></metronome>"


def equation(*sides):
    """`equation("quarter", "eighth.")`: a quarter becomes a dotted eighth."""
    units = "".join(
        f"<beat-unit>{side.rstrip('.')}</beat-unit>" + "<beat-unit-dot/>" * side.count(".") for side in sides
    )
    return f"<metronome>{units}</metronome>"


def tempi(piece):
    """(onset in quarters, quarters a minute)."""
    return [(t / piece.ticks_per_quarter, round(60e6 / us, 3)) for t, us in piece.tempos.tolist()]


@pytest.mark.parametrize(
    ("mark", "quarters"),
    [
        (metronome("quarter", 72), 72),
        (metronome("half", 60), 120),
        (metronome("quarter", 60, dots=1), 90),
        (metronome("eighth", 80, dots=2), 70),
        (metronome("16th", 200), 50),
        (metronome("quarter", "c. 72"), 72),
        (metronome("quarter", "ca.72"), 72),
        (metronome("quarter", "72-80"), 76),
        (metronome("quarter", "72 – 80"), 76),
        (metronome("quarter", "72 bis 80"), 76),
        (metronome("quarter", "66,5"), 66.5),
        (metronome("quarter", "M.M. = 88"), 88),
        (metronome("quarter", " 100 "), 100),
        (metronome("whole", "(30)"), 120),
    ],
)
def test_metronome_marks(tmp_path, mark, quarters):
    piece = read(tmp_path, attributes("1/4") + direction(mark) + note("C4"))
    assert tempi(piece) == [(0, quarters)]
    assert piece.warnings == ()


@pytest.mark.parametrize("number", ["", "fast", "0", "-"])
def test_metronome_marks_that_say_nothing_are_told(tmp_path, number):
    piece = read(tmp_path, attributes("1/4") + direction(metronome("quarter", number)) + note("C4"))
    assert (tempi(piece), kinds(piece)) == ([], ["bad_tempo"])


def test_sound_says_how_fast_it_is_whatever_the_mark_says(tmp_path):
    both = direction(metronome("quarter", "c. 72"), sound='tempo="69"')
    assert tempi(read(tmp_path, attributes("1/4") + both + note("C4"))) == [(0, 69)]
    apart = '<sound tempo="69"/>' + direction(metronome("quarter", 72))
    assert tempi(read(tmp_path, attributes("1/4") + apart + note("C4"))) == [(0, 69)]
    other = [attributes("1/4") + direction(metronome("quarter", 72)) + note("C4")]
    parts = score([attributes("1/4") + '<sound tempo="69"/>' + note("C4")], other)
    assert tempi(opened(tmp_path, parts)) == [(0, 69)]


def test_tempi_change_within_measures_and_sound_at_each_repeat(tmp_path):
    measure = attributes("2/4") + note("C4") + words("più mosso", sound='tempo="100.5"') + note("D4")
    assert tempi(read(tmp_path, '<sound tempo="60"/>' + measure + repeat())) == [
        (0, 60),
        (1, 100.5),
        (2, 60),
        (3, 100.5),
    ]


def test_tempi_that_music_cant_have_are_clamped_or_left_out_and_told(tmp_path):
    for tempo, kept in (("3", [(0, 4)]), ("1001", [(0, 1000)]), ("0", []), ("nan", []), ("-60", []), ("1e9", [])):
        piece = read(tmp_path, attributes("1/4") + f'<sound tempo="{tempo}"/>' + note("C4"))
        assert (tempi(piece), kinds(piece)) == (kept, ["bad_tempo"])


@pytest.mark.parametrize(
    ("mark", "quarters"),
    [
        (equation("quarter", "eighth"), 60),
        (equation("eighth", "quarter"), 240),
        (equation("quarter", "quarter."), 180),
        (equation("quarter.", "quarter"), 80),
        (equation("half", "quarter.."), 105),
        (equation("quarter", "quarter"), 120),
    ],
)
def test_the_old_value_on_the_left_lasts_as_long_as_the_new_one_on_the_right(tmp_path, mark, quarters):
    measures = [attributes("1/4") + '<sound tempo="120"/>' + note("C4"), direction(mark) + note("D4")]
    piece = read(tmp_path, *measures)
    assert [q for _, q in tempi(piece)] == ([120] if quarters == 120 else [120, quarters])
    # In all parts it is one change, not several.
    assert tempi(opened(tmp_path, score(measures, measures))) == tempi(piece)


def test_an_equation_of_notes(tmp_path):
    def side(*types):
        return "".join(f"<metronome-note><metronome-type>{t}</metronome-type></metronome-note>" for t in types)

    faster = f"<metronome>{side('eighth', 'eighth')}<metronome-relation>equals</metronome-relation>{side('half')}</metronome>"
    swing = f"<metronome>{side('eighth', 'eighth')}<metronome-relation>equals</metronome-relation>{side('quarter')}</metronome>"
    for mark, quarters in ((faster, [(0, 60), (1, 120)]), (swing, [(0, 60)])):
        piece = read(tmp_path, attributes("1/4") + '<sound tempo="60"/>' + note("C4"), direction(mark) + note("D4"))
        assert tempi(piece) == quarters


def test_offsets_of_tempi(tmp_path):
    drawn = direction(metronome("quarter", 90), offset="<offset>1</offset>")
    played = direction("<words>x</words>", sound='tempo="80"', offset="<offset>1</offset>")
    played_there = direction("<words>x</words>", sound='tempo="80"', offset='<offset sound="yes">2</offset>')
    back = direction(metronome("quarter", 90), offset="<offset>-5</offset>")
    for mark, onset in ((drawn, 1), (played, 0), (played_there, 2), (back, 0)):
        piece = read(tmp_path, attributes("4/4") + mark + notes("C4 D4 E4 F4"))
        assert [t for t, _ in tempi(piece)] == [onset]


def test_swing_is_told(tmp_path):
    swing = "<sound><swing><first>2</first><second>1</second><swing-type>eighth</swing-type></swing></sound>"
    assert kinds(read(tmp_path, attributes("1/4") + swing + note("C4"))) == ["swing"]


# ---- meter and key ---------------------------------------------------------------------------------------


def time(*pairs, more="", number=""):
    inside = "".join(f"<beats>{beats}</beats><beat-type>{unit}</beat-type>" for beats, unit in pairs)
    return f"<time{number}>{inside}{more}</time>"


def timed(time_):
    return f"<attributes><divisions>2</divisions>{time_}</attributes>"


@pytest.mark.parametrize(
    ("time_", "meter", "length"),
    [
        (time(("3+2", 8)), (5, 8), 5),
        (time(("2 + 3 + 2", 8)), (7, 8), 7),
        (time((2, 4), (3, 8)), (7, 8), 7),
        (time((3, 8), (2, 8)), (5, 8), 5),
        (time((3, 4), more="<interchangeable><beats>6</beats><beat-type>8</beat-type></interchangeable>"), (3, 4), 6),
        (time((2, 2)), (2, 2), 8),
        (time(("2.5", 4)), (5, 8), 5),
        (time((64, 64)), (64, 64), 8),
    ],
)
def test_meters(tmp_path, time_, meter, length):
    piece = read(tmp_path, timed(time_) + note("C4", length), note("D4", length))
    assert [tuple(row) for row in piece.meters.tolist()] == [(0, *meter)]
    assert piece.warnings == ()


@pytest.mark.parametrize("pair", [(9999, 1), (0, 4), (-3, 4), (65, 4), (3, 5), (4, 128), ("x", 4), (4, "")])
def test_meters_that_no_bar_can_have_are_told_and_bars_last_what_fills_them(tmp_path, pair):
    piece = read(tmp_path, timed(time(pair)) + note("C4", 6), note("D4", 6))
    assert [row[0] for row in rows(piece)] == [0, 3]
    assert piece.meters.tolist()[0] == (0, 3, 4)
    assert "bad_meter" in kinds(piece)


def test_without_a_meter_bars_last_what_fills_them(tmp_path):
    free = timed("<time><senza-misura/></time>")
    piece = read(tmp_path, free + note("C4", 14), note("D4", 6))
    assert [row[0] for row in rows(piece)] == [0, 7]
    assert piece.meters.tolist()[0] == (0, 7, 4)


def test_a_meter_behind_the_last_note_announces_the_next_measure(tmp_path):
    announced = (
        attributes("2/4")
        + notes("C4 D4")
        + "<attributes><time><beats>3</beats><beat-type>4</beat-type></time></attributes>"
    )
    piece = read(tmp_path, announced, notes("C4 D4 E4"))
    assert piece.meters.tolist() == [(0, 2, 4), (960, 3, 4)]


def test_meters_of_different_lengths_at_once_begin_and_end_together(tmp_path):
    """Two quarters against six eighths: the first part's measure is the length of both."""
    two = [attributes("2/4") + notes("C5 D5"), note("E5", 2)]
    six = [attributes("6/8", divisions=2) + notes("C3 D3 E3 F3 G3 A3"), note("B3", 6)]
    piece = opened(tmp_path, score(two, six))
    assert rows(piece, 0) == [(0, 1, 72), (1, 1, 74), (2, 2, 76)]
    third = pytest.approx(1 / 3)
    assert rows(piece, 1)[:6] == [(pytest.approx(k / 3), third, p) for k, p in enumerate((48, 50, 52, 53, 55, 57))]
    assert rows(piece, 1)[6] == (2, 2, 59)
    assert piece.meters.tolist() == [(0, 2, 4)]
    assert piece.warnings == (
        "meters: 2 measures of parts whose meter isn't that of the first part were stretched to its length",
    )


def test_keys_and_meters_of_the_first_staff_hold(tmp_path):
    def key(fifths, number):
        return f'<key number="{number}"><fifths>{fifths}</fifths></key>'

    both = key(2, 1) + key(-1, 2) + time((3, 4), number=' number="1"') + time((9, 8), number=' number="2"')
    piece = read(tmp_path, timed(both + "<staves>2</staves>") + note("C4", 6))
    assert (piece.keys.tolist(), piece.meters.tolist()) == ([(0, 2, False)], [(0, 3, 4)])


@pytest.mark.parametrize(
    ("inside", "keys"),
    [
        ("<fifths>-3</fifths><mode>minor</mode>", [(0, -3, True)]),
        ("<cancel>2</cancel><fifths>1</fifths><mode>dorian</mode>", [(0, 1, False)]),
        ("<fifths>9</fifths>", []),
        ("<key-step>F</key-step><key-alter>1</key-alter>", []),
        ("<fifths>x</fifths>", []),
    ],
)
def test_keys(tmp_path, inside, keys):
    text = f"<attributes><divisions>1</divisions><key>{inside}</key></attributes>"
    assert read(tmp_path, text + note("C4", 4)).keys.tolist() == keys


def test_a_pickup_and_a_short_last_bar_keep_their_lengths_under_a_repeat(tmp_path):
    measures = [attributes("4/4") + note("G4"), notes("C4 D4 E4 F4"), notes("G4 A4 B4") + repeat()]
    numbers = ['number="0" implicit="yes"', 'number="1"', 'number="2"']
    piece = opened(tmp_path, score(measures, numbers=numbers))
    assert [row[0] for row in rows(piece)] == list(range(16))
    assert piece.meters.tolist() == [(0, 1, 4), (480, 4, 4)]


# ---- loudness --------------------------------------------------------------------------------------------


def dynamics(*marks):
    return f"<dynamics>{''.join(f'<{mark}/>' for mark in marks)}</dynamics>"


def loudness(piece, track=0):
    return piece.tracks[track].notes["velocity"].tolist()


def test_marks_hold_until_the_next_one_and_sound_holds_against_them(tmp_path):
    text = (
        attributes("4/4") + note("C4") + direction(dynamics("p")) + note("D4") + direction(dynamics("ff")) + note("E4")
    )
    assert loudness(read(tmp_path, text + direction(dynamics("f"), sound='dynamics="100"') + note("F4"))) == [
        72,
        49,
        112,
        90,
    ]


@pytest.mark.parametrize(
    ("percent", "velocity"), [("100", 90), ("54.44", 49), ("88.89", 80), ("141.11", 127), ("0", 1), ("1000", 127)]
)
def test_percentages_are_of_forte(tmp_path, percent, velocity):
    piece = read(tmp_path, attributes("1/4") + f'<sound dynamics="{percent}"/>' + note("C4"))
    assert loudness(piece) == [velocity]
    own = read(tmp_path, attributes("2/4") + note("C4", attributes=f' dynamics="{percent}"') + note("D4"))
    assert loudness(own) == [velocity, 72]


def test_accents_are_of_a_moment(tmp_path):
    accent = direction(dynamics("sfz"), sound='dynamics="120"')
    piece = read(tmp_path, attributes("3/4") + direction(dynamics("p")) + note("C4") + accent + note("D4") + note("E4"))
    assert loudness(piece) == [49, 49, 49]


def test_marks_at_a_note_and_offsets_of_marks(tmp_path):
    at_note = note("C4", 1, f"<notations>{dynamics('pp')}</notations>")
    later = direction(dynamics("f"), offset="<offset>1</offset>")
    assert loudness(read(tmp_path, attributes("3/4") + at_note + later + note("D4") + note("E4"))) == [33, 33, 96]


def test_each_part_has_its_own(tmp_path):
    upper = [attributes("1/4") + direction(dynamics("pp")) + note("C5")]
    piece = opened(tmp_path, score(upper, [attributes("1/4") + note("C3")]))
    assert (loudness(piece, 0), loudness(piece, 1)) == ([33], [72])


# ---- chord symbols ---------------------------------------------------------------------------------------


def harmony(root="C", kind="major", *, alter="", bass="", text=None, degrees=(), more=""):
    shown = "" if text is None else f' text="{text}"'
    inside = f"<root><root-step>{root}</root-step>{f'<root-alter>{alter}</root-alter>' if alter else ''}</root>"
    inside += f"<kind{shown}>{kind}</kind>"
    if bass:
        step, shift = bass[0], bass.count("#") - bass.count("b")
        inside += f"<bass><bass-step>{step}</bass-step><bass-alter>{shift}</bass-alter></bass>"
    for type_, value, shift in degrees:
        inside += (
            f"<degree><degree-value>{value}</degree-value><degree-alter>{shift}</degree-alter>"
            f"<degree-type>{type_}</degree-type></degree>"
        )
    return f"<harmony>{inside}{more}</harmony>"


def classes(*numbers):
    return sum(1 << n for n in numbers)


@pytest.mark.parametrize(
    ("symbol", "written", "pitches"),
    [
        (harmony(), "C", classes(0, 4, 7)),
        (harmony("B", "minor-seventh", alter="-1", bass="F"), "Bbm7/F", classes(10, 1, 5, 8)),
        (harmony("F", "dominant", alter="1", text="7"), "F#7", classes(6, 10, 1, 4)),
        (harmony("G", "suspended-fourth", text="sus"), "Gsus4", classes(7, 0, 2)),
        (harmony("G", "suspended-fourth", text="7sus"), "G7sus", classes(7, 0, 2, 5)),
        (harmony("D", "half-diminished", text="ø7"), "Dm7b5", classes(2, 5, 8, 0)),
        (harmony("D", "diminished-seventh"), "Ddim7", classes(2, 5, 8, 11)),
        (harmony("A", "major-minor"), "Am(maj7)", classes(9, 0, 4, 8)),
        (harmony("E", "power"), "E5", classes(4, 11)),
        (harmony("C", "dominant", degrees=[("add", 9, -1)]), "C7b9", classes(0, 4, 7, 10, 1)),
        (harmony("C", "major", degrees=[("alter", 5, -1)]), "C(b5)", classes(0, 4, 6)),
        (harmony("C", "major", degrees=[("add", 9, 0)]), "Cadd9", classes(0, 2, 4, 7)),
        (harmony("C", "dominant", degrees=[("subtract", 3, 0)]), "C7no3", classes(0, 7, 10)),
        (harmony("C", "dominant", text="7b9"), "C7b9", classes(0, 4, 7, 10, 1)),
        (harmony("C", "other", text="7"), "C7", classes(0, 4, 7, 10)),
        (harmony("C", "major-13th"), "Cmaj13", classes(0, 2, 4, 7, 9, 11)),
        (harmony("C", "none"), "N.C.", 0),
    ],
)  # fmt: skip
def test_chord_symbols_are_kept_and_not_played(tmp_path, symbol, written, pitches):
    piece = read(tmp_path, attributes("4/4") + forward(1) + symbol + backup(1) + note("C4", 4))
    assert rows(piece) == [(0, 4, 60)]
    assert [(int(c["tick"]) / piece.ticks_per_quarter, str(c["symbol"]), int(c["pitches"])) for c in piece.chords] == [
        (1, written, pitches)
    ]
    assert kinds(piece) == ["chord_symbols"]


def test_chord_symbols_stand_at_their_offset_and_sound_at_each_repeat(tmp_path):
    text = attributes("2/4") + harmony("C") + harmony("G", more="<offset>1</offset>") + note("C4", 2) + repeat()
    piece = read(tmp_path, text)
    assert [(c["tick"] / 480, str(c["symbol"])) for c in piece.chords] == [(0, "C"), (1, "G"), (2, "C"), (3, "G")]


def test_chord_symbols_of_transposing_parts_sound_in_concert_pitch(tmp_path):
    more = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    piece = read(tmp_path, attributes("4/4", more=more) + harmony("D", "minor", bass="A") + note("D4", 4))
    assert piece.chords["symbol"].tolist() == ["Cm/G"]


def test_chords_by_function_have_no_root_and_are_told(tmp_path):
    function = "<harmony><function>V</function><kind>dominant</kind></harmony>"
    piece = read(tmp_path, attributes("4/4") + function + note("C4", 4))
    assert piece.warnings == ("chord_symbols: 1 without a root was left out",)


def test_figured_bass_takes_no_time(tmp_path):
    figures = "<figured-bass><figure><figure-number>6</figure-number></figure><duration>2</duration></figured-bass>"
    piece = read(tmp_path, attributes("2/4") + figures + note("C4"), listing=listed("P1", "Bass"))
    assert rows(piece) == [(0, 1, 60)]
