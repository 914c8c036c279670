"""MusicXML: where notes stand, how long they sound, and how high."""

from __future__ import annotations

from fractions import Fraction

import pytest
from musicxml_bricks import (
    attributes,
    backup,
    chord,
    forward,
    heights,
    kinds,
    listed,
    note,
    notes,
    opened,
    rest,
    rows,
    score,
)

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores import read_score

TIED, TIED_ON, TIE_END = '<tie type="start"/>', '<tie type="stop"/><tie type="start"/>', '<tie type="stop"/>'


def one(tmp_path, *measures, **options):
    """The rows of a score with one part."""
    return rows(opened(tmp_path, score(list(measures), **options)))


def refused(tmp_path, text, **options):
    path = tmp_path / "bad.musicxml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UnreadableError) as caught:
        read_score(path, **options)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value.what


# ---- time ------------------------------------------------------------------------------------------------


def test_divisions_may_change_within_a_part_and_within_a_measure(tmp_path):
    finer = "<attributes><divisions>6</divisions></attributes>"
    first = attributes("2/4", divisions=2) + note("C4", 2) + finer + notes("D4 E4 F4", 2)
    assert one(tmp_path, first, note("G4", 12)) == [
        (0, 1, 60),
        (1, pytest.approx(1 / 3), 62),
        (pytest.approx(4 / 3), pytest.approx(1 / 3), 64),
        (pytest.approx(5 / 3), pytest.approx(1 / 3), 65),
        (2, 2, 67),
    ]


@pytest.mark.parametrize("divisions", [1, 3, 7, 10080, 960, 1024, 6240, 16383])
def test_a_quarter_is_a_quarter_whatever_it_is_divided_into(tmp_path, divisions):
    text = attributes("2/4", divisions=divisions) + notes("C4 D4", divisions)
    assert one(tmp_path, text, note("E4", 2 * divisions)) == [(0, 1, 60), (1, 1, 62), (2, 2, 64)]


def test_what_fine_ticks_cant_hold_is_rounded_each_time_anew(tmp_path):
    """Eleven in the time of four quarters: no step is off by more than half a tick, and the bar isn't either."""
    measures = [attributes(divisions=11) + notes(" ".join(["C4"] * 11), 4), note("D4", 44)]
    read = opened(tmp_path, score(measures))
    starts = [Fraction(int(n["start"]), read.ticks_per_quarter) for n in read.tracks[0].notes]
    assert all(abs(start - Fraction(4 * k, 11)) <= Fraction(1, 2 * 10080) for k, start in enumerate(starts[:11]))
    assert starts[11] == 4


def test_durations_and_divisions_may_have_a_point(tmp_path):
    assert one(tmp_path, attributes("2/4", divisions="0.5") + note("C4", "0.25") + note("D4", "0.75")) == [
        (0, 0.5, 60),
        (0.5, 1.5, 62),
    ]


def test_numbers_may_have_space_around_them_and_comments_within(tmp_path):
    spaced = "<note><pitch><step> C </step><octave>\n4\n</octave></pitch><duration> 2<!-- two --> </duration></note>"
    assert one(tmp_path, attributes("2/4") + spaced) == [(0, 2, 60)]


def test_chords_share_an_onset_and_keep_lengths_of_their_own(tmp_path):
    text = attributes() + note("C4", 2) + chord("E4", 2) + chord("G4", 3) + note("A4", 2)
    assert one(tmp_path, text) == [(0, 2, 60), (0, 2, 64), (0, 3, 67), (2, 2, 69)]


def test_voices_go_back_and_forward(tmp_path):
    text = attributes() + note("C5", 4) + backup(4) + forward(1) + note("E4", 1) + forward(1) + note("G4", 1)
    assert one(tmp_path, text, note("A4", 4)) == [(0, 4, 72), (1, 1, 64), (3, 1, 67), (4, 4, 69)]


def test_a_forward_at_the_end_of_a_bar_fills_it(tmp_path):
    assert one(tmp_path, attributes() + note("C4", 2) + forward(2), note("D4", 4)) == [(0, 2, 60), (4, 4, 62)]


def test_a_step_back_and_forth_moves_nothing(tmp_path):
    text = attributes("2/4", divisions=1680) + notes("C4 D4", 1680) + backup(1) + forward(1)
    assert one(tmp_path, text, note("E4", 3360)) == [(0, 1, 60), (1, 1, 62), (2, 2, 64)]


def test_a_step_back_to_before_the_bar_ends_at_its_begin_and_is_told(tmp_path):
    read = opened(tmp_path, score([attributes("2/4") + note("C4", 2) + backup(3) + note("E4", 2), note("G4", 2)]))
    assert rows(read) == [(0, 2, 60), (0, 2, 64), (2, 2, 67)]
    assert read.warnings == ("backups: 1 step back leads to before its measure; its begin was taken",)


@pytest.mark.parametrize(
    ("measure", "what"),
    [
        (attributes() + note("C4", -4), "measure 1: '-4' is no duration"),
        (attributes() + note("C4", "one"), "measure 1: 'one' is no duration"),
        (attributes() + note("C4", "1e3"), "measure 1: '1e3' is no duration"),
        (attributes() + note("C4", "²"), "measure 1: '²' is no duration"),
        (attributes() + backup(-1), "measure 1: '-1' is no duration"),
        (attributes() + backup(""), "measure 1: '' is no duration"),
        (attributes() + "<forward/>", "measure 1: '' is no duration"),
        (attributes(divisions=0) + note("C4"), "measure 1: '0' divisions can't make a quarter"),
        (attributes(divisions="many") + note("C4"), "measure 1: 'many' divisions can't make a quarter"),
        (attributes() + note("C4", 999999999999), "measure 1: something lasts more than 200,000 quarters"),
        (attributes() + note("C4", 200000) + forward(1), "measure 1: it lasts more than 200,000 quarters"),
    ],
)
def test_time_that_cant_be_told_is_refused_by_the_measure(tmp_path, measure, what):
    assert refused(tmp_path, score([measure])) == what


def test_without_divisions_a_duration_is_in_quarters_and_that_is_told(tmp_path):
    read = opened(tmp_path, score([note("C4", 2), note("D4", 2)]))
    assert rows(read) == [(0, 2, 60), (2, 2, 62)]
    assert kinds(read) == ["divisions"]


def test_parts_may_have_fewer_measures_and_divisions_of_their_own(tmp_path):
    upper = [attributes("2/4") + note("C5", 2), note("D5", 2), note("E5", 2)]
    lower = [attributes("2/4", divisions=4) + note("C3", 8)]
    read = opened(tmp_path, score(upper, lower))
    assert rows(read, 0) == [(0, 2, 72), (2, 2, 74), (4, 2, 76)]
    assert rows(read, 1) == [(0, 2, 48)]
    assert read.warnings == ()


def test_a_rest_for_the_whole_measure_fills_what_the_others_last(tmp_path):
    upper = [attributes("4/4") + note("G4", 1), note("C5", 4)]
    lower = [attributes("4/4") + rest(4, measure=True), note("C3", 4)]
    read = opened(tmp_path, score(upper, lower, numbers=['number="0" implicit="yes"', 'number="1"']))
    assert (rows(read, 0), rows(read, 1)) == ([(0, 1, 67), (1, 4, 72)], [(1, 4, 48)])
    too_long = (
        [attributes("3/4") + note("G4", 3), note("C5", 3)],
        [attributes("3/4") + rest(4, measure=True), note("C3", 3)],
    )
    assert rows(opened(tmp_path, score(*too_long)), 1) == [(3, 3, 48)]
    # But a voice that isn't filled up doesn't shorten it.
    lazy = (
        [attributes("4/4") + note("G4", 1), note("C5", 4)],
        [attributes("4/4") + rest(4, measure=True), note("C3", 4)],
    )
    assert rows(opened(tmp_path, score(*lazy)), 1) == [(4, 4, 48)]


def test_a_measure_that_is_empty_in_all_parts_lasts_what_the_meter_says(tmp_path):
    assert one(tmp_path, attributes("3/4") + note("C4", 3), "", note("D4", 3)) == [(0, 3, 60), (6, 3, 62)]


def test_notes_over_the_end_of_the_bar_make_it_longer(tmp_path):
    assert one(tmp_path, attributes("3/4") + note("C4", 4), note("D4", 3)) == [(0, 4, 60), (4, 3, 62)]


# ---- what sounds -----------------------------------------------------------------------------------------


def test_grace_notes_take_no_time_and_cues_keep_theirs(tmp_path):
    grace = "<note><grace/><pitch><step>B</step><octave>4</octave></pitch></note>"
    of_chord = "<note><grace/><chord/><pitch><step>D</step><octave>5</octave></pitch></note>"
    in_time = "<note><cue/><pitch><step>B</step><octave>4</octave></pitch><duration>1</duration></note>"
    beside = "<note><cue/><chord/><pitch><step>G</step><octave>4</octave></pitch><duration>1</duration></note>"
    silent = "<note><cue/><rest/><duration>1</duration></note>"
    cue_grace = "<note><grace/><cue/><pitch><step>B</step><octave>4</octave></pitch></note>"
    text = attributes() + grace + of_chord + cue_grace + note("C4") + in_time + beside + silent + note("D4")
    read = opened(tmp_path, score([text]))
    assert rows(read) == [(0, 1, 60), (3, 1, 62)]
    assert read.warnings == ("graces: 2 grace notes were left out", "cues: 2 cue notes were left out")


def test_rests_and_what_is_hidden_take_time_and_hidden_notes_sound(tmp_path):
    hidden = note("E4", 1, attributes=' print-object="no"')
    unseen = '<note print-object="no"><rest/><duration>1</duration></note>'
    assert one(tmp_path, attributes() + rest(1) + hidden + unseen + note("C4")) == [(1, 1, 64), (3, 1, 60)]


def test_notes_without_a_duration_or_without_a_length_are_told(tmp_path):
    timeless = "<note><pitch><step>C</step><octave>4</octave></pitch><type>quarter</type></note>"
    read = opened(tmp_path, score([attributes("2/4") + timeless + note("D4", 0) + note("E4", 2)]))
    assert rows(read) == [(0, 2, 64)]
    assert read.warnings == (
        "graces: 1 grace note was left out",
        "no_duration: 1 note without a duration was left out",
    )


def test_tuplets_and_tremolos_last_what_their_duration_says(tmp_path):
    triplet = (
        "<type>eighth</type><time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes>"
        '</time-modification><notations><tuplet type="start"/></notations>'
    )
    trembling = '<type>half</type><notations><ornaments><tremolo type="start">3</tremolo></ornaments></notations>'
    text = attributes("3/4", divisions=3) + "".join(note(n, 1, triplet) for n in ("C4", "D4", "E4"))
    third = pytest.approx(1 / 3)
    assert one(tmp_path, text + note("F4", 3, trembling) + note("A4", 3, trembling)) == [
        (0, third, 60), (third, third, 62), (pytest.approx(2 / 3), third, 64), (1, 1, 65), (2, 1, 69),
    ]  # fmt: skip


def test_slashes_for_heads_have_no_pitch(tmp_path):
    read = opened(tmp_path, score([attributes("2/4") + note("B4", 1, "<notehead>slash</notehead>") + note("C4")]))
    assert rows(read) == [(1, 1, 60)]
    assert kinds(read) == ["slashes"]


@pytest.mark.parametrize("tie", ["tie", "tied"])
def test_ties_in_sound_or_in_notation_alone(tmp_path, tie):
    def tied(*types):
        signs = "".join(f'<{tie} type="{kind}"/>' for kind in types)
        return signs if tie == "tie" else f"<notations>{signs}</notations>"

    measures = [
        attributes("2/4") + note("C4", 2, tied("start")),
        note("C4", 2, tied("stop", "start")),
        note("C4", 1, tied("stop")) + note("C4", 1),
    ]
    assert one(tmp_path, *measures) == [(0, 5, 60), (5, 1, 60)]
    assert one(tmp_path, *measures[:1], note("C4", 2, tied("continue")), measures[2])[0] == (0, 5, 60)


def test_ties_join_across_voices_and_only_like_pitches(tmp_path):
    """A tied chord goes on in another voice, but for a note that moves; let-ring joins nothing."""
    first = attributes("2/4") + note("C4", 2, TIED + "<voice>1</voice>") + chord("E4", 2, TIED) + chord("G4", 2, TIED)
    second = (
        note("F4", 2) + backup(2) + note("C4", 1, TIE_END + "<voice>2</voice>") + chord("E4", 1, TIE_END) + note("G4")
    )
    assert one(tmp_path, first, second) == [(0, 3, 60), (0, 3, 64), (0, 2, 67), (2, 2, 65), (3, 1, 67)]
    ringing = '<notations><tied type="let-ring"/></notations>'
    assert one(tmp_path, attributes("2/4") + note("C4", 1, ringing) + note("C4")) == [(0, 1, 60), (1, 1, 60)]


def test_of_two_voices_tied_on_one_pitch_each_keeps_its_length(tmp_path):
    first = attributes("3/4") + note("E4") + note("C4", 2, TIED + "<voice>1</voice>")
    first += backup(3) + note("C4", 3, TIED + "<voice>2</voice>")
    second = note("C4", 3, TIE_END + "<voice>1</voice>") + backup(3) + note("C4", 1, TIE_END + "<voice>2</voice>")
    assert one(tmp_path, first, second) == [(0, 4, 60), (0, 1, 64), (1, 5, 60)]


def test_two_voices_in_unison_tied_together_are_one_note(tmp_path):
    first = attributes("2/4") + note("C4", 2, TIED) + backup(2) + note("C4", 2, TIED)
    second = note("C4", 2, TIE_END) + backup(2) + note("C4", 2, TIE_END)
    read = opened(tmp_path, score([first, second]))
    assert rows(read) == [(0, 4, 60)]
    assert kinds(read) == ["unisons"]


def test_ties_lead_into_both_endings_and_back_to_the_begin(tmp_path):
    from musicxml_bricks import ending

    first = attributes("2/4") + note("C4", 2, TIED)
    back = '<repeat direction="backward"/>'
    one_ = ending("1") + note("C4", 2, TIE_END) + ending("1", "stop", also=back)
    two = ending("2") + note("C4", 1, TIE_END) + note("E4") + ending("2", "stop")
    assert one(tmp_path, first, one_, two) == [(0, 4, 60), (4, 3, 60), (7, 1, 64)]
    circle = [
        attributes("2/4") + '<barline location="left"><repeat direction="forward"/></barline>' + note("C4", 2, TIE_END),
        note("C4", 2, TIED) + '<barline location="right"><repeat direction="backward"/></barline>',
    ]
    assert one(tmp_path, *circle) == [(0, 2, 60), (2, 4, 60), (6, 2, 60)]


# ---- pitch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "number"), [("C4", 60), ("Cb4", 59), ("B#3", 60), ("F##4", 67), ("Bbb4", 69), ("A0", 21), ("G9", 127)]
)
def test_pitches(tmp_path, name, number):
    assert one(tmp_path, attributes("1/4") + note(name)) == [(0, 1, number)]


def test_quarter_tones_are_rounded_and_told(tmp_path):
    def bent(alter):
        return (
            f"<note><pitch><step>C</step><alter>{alter}</alter><octave>4</octave></pitch><duration>1</duration></note>"
        )

    read = opened(tmp_path, score([attributes("4/4") + bent(0.5) + bent(-0.5) + bent("1.0") + bent("+1")]))
    assert heights(read) == [61, 60, 61, 61]
    assert read.warnings == ("microtones: 2 pitches between two half steps were rounded",)


def test_pitches_that_are_none_are_told(tmp_path):
    bad = "<note><pitch><step>H</step><octave>4</octave></pitch><duration>1</duration></note>"
    high = "<note><pitch><step>C</step><octave>11</octave></pitch><duration>1</duration></note>"
    read = opened(tmp_path, score([attributes("3/4") + bad + high + note("C4")]))
    assert rows(read) == [(2, 1, 60)]
    assert kinds(read) == ["bad_pitches", "pitches"]


def transpose(inside, number=""):
    return f"<transpose{number}>{inside}</transpose>"


@pytest.mark.parametrize(
    ("inside", "sounds", "fifths"),
    [
        ("<diatonic>-1</diatonic><chromatic>-2</chromatic>", [58], 0),
        ("<chromatic>-2</chromatic>", [58], 0),
        ("<diatonic>-4</diatonic><chromatic>-7</chromatic>", [53], 1),
        ("<diatonic>2</diatonic><chromatic>3</chromatic>", [63], -1),
        ("<octave-change>-1</octave-change>", [48], 2),
        ("<chromatic>0</chromatic><octave-change>-1</octave-change>", [48], 2),
        ("<diatonic>-5</diatonic><chromatic>-9</chromatic><octave-change>-1</octave-change>", [39], -1),
        ("<chromatic>0</chromatic><double/>", [48, 60], 2),
        ('<chromatic>0</chromatic><double above="yes"/>', [60, 72], 2),
        ("<diatonic>1</diatonic><chromatic>1</chromatic>", [61], -3),  # D flat: D major is E flat major
        ("<diatonic>0</diatonic><chromatic>1</chromatic>", [61], -3),  # nine sharps are three flats
    ],
)
def test_transposing_instruments_and_their_keys_sound_in_concert_pitch(tmp_path, inside, sounds, fifths):
    read = opened(tmp_path, score([attributes("1/4", fifths=2, more=transpose(inside)) + note("C4")]))
    assert sorted(heights(read)) == sounds
    assert read.keys["fifths"].tolist() == [fifths]


def test_transposition_changes_within_a_part_and_by_staff(tmp_path):
    to_f = f"<attributes>{transpose('<diatonic>-4</diatonic><chromatic>-7</chromatic>')}</attributes>"
    measures = [attributes("1/4", more=transpose("<chromatic>-2</chromatic>")) + note("C4"), to_f + note("C4")]
    assert heights(opened(tmp_path, score(measures))) == [58, 53]
    by_staff = transpose("<octave-change>1</octave-change>", ' number="1"') + transpose(
        "<octave-change>-1</octave-change>", ' number="2"'
    )
    upper, lower = note("C4", 1, "<staff>1</staff>"), note("C4", 1, "<staff>2</staff>")
    read = opened(tmp_path, score([attributes("1/4", more=by_staff) + upper + backup(1) + lower]))
    assert heights(read) == [48, 72]


def test_what_parts_would_be_transposed_by_in_print_is_not_heard(tmp_path):
    printed = (
        "<for-part><part-clef><sign>G</sign></part-clef><part-transpose><chromatic>-2</chromatic></part-transpose>"
        "</for-part>"
    )
    assert one(tmp_path, attributes("1/4", more=printed) + note("C4")) == [(0, 1, 60)]


# ---- instruments -----------------------------------------------------------------------------------------


def instrument(ident, *, channel=None, program=None, unpitched=None, name=""):
    numbers = (("channel", channel), ("program", program), ("unpitched", unpitched))
    inside = "".join(f"<midi-{key}>{value}</midi-{key}>" for key, value in numbers if value is not None)
    return (
        f'<score-instrument id="{ident}"><instrument-name>{name}</instrument-name></score-instrument>',
        f'<midi-instrument id="{ident}">{inside}</midi-instrument>',
    )


def kit(*instruments):
    return "".join(first for first, _ in instruments) + "".join(second for _, second in instruments)


def hit(ident="", duration=1):
    given = f'<instrument id="{ident}"/>' if ident else ""
    return (
        "<note><unpitched><display-step>E</display-step><display-octave>4</display-octave></unpitched>"
        f"<duration>{duration}</duration>{given}</note>"
    )


def test_unpitched_notes_are_the_drums_of_their_instruments(tmp_path):
    drums = kit(instrument("K", channel=10, unpitched=37), instrument("S", channel=10, unpitched=39))
    read = opened(
        tmp_path, score([attributes() + hit("K") + hit("S") + hit() + hit("X")], listing=listed("P1", "Kit", drums))
    )
    assert read.tracks[0].is_drum
    assert rows(read) == [(0, 1, 36), (1, 1, 38), (2, 1, 36)]  # without a name the first one
    assert read.warnings == ("unpitched: 1 note without a General MIDI drum was left out",)


@pytest.mark.parametrize(
    ("listing", "number"),
    [
        (listed("P1", "Kit", kit(instrument("D", name="Snare Drum"))), 38),
        (listed("P1", "Kit", kit(instrument("D", name="Snare Drum", unpitched=37))), 36),
        (listed("P1", "Große Trommel", kit(instrument("D"))), 36),
        (listed("P1", "Triangle"), 81),
        (listed("P1", "", '<score-instrument id="D"><instrument-sound>metal.hi-hat</instrument-sound></score-instrument>'), 42),
        (listed("P1", "", '<score-instrument id="D"><instrument-sound>drum.bass-drum</instrument-sound></score-instrument>'), 36),
    ],
)  # fmt: skip
def test_unpitched_notes_without_a_number_are_what_their_instrument_is_called(tmp_path, listing, number):
    read = opened(tmp_path, score([attributes("1/4") + hit()], listing=listing))
    assert (heights(read), read.tracks[0].is_drum, read.warnings) == ([number], True, ())


def test_pitches_on_channel_10_are_drums_as_written(tmp_path):
    listing = listed("P1", "Drumset", kit(instrument("D", channel=10, program=1)))
    shifted = transpose("<octave-change>-1</octave-change>")
    read = opened(tmp_path, score([attributes(more=shifted) + notes("C2 D2 F#2 D2")], listing=listing))
    assert read.tracks[0].is_drum
    assert heights(read) == [36, 38, 42, 38]


def test_a_part_that_drums_in_part_gives_two_tracks(tmp_path):
    both = kit(instrument("M", channel=1, program=13), instrument("D", channel=10, unpitched=77))
    listing = listed("P1", "Percussion", both)
    text = attributes("3/4") + note("C5", 1, '<instrument id="M"/>') + hit("D") + note("E5", 1)
    read = opened(tmp_path, score([text], listing=listing))
    assert [(t.name, t.program, t.is_drum) for t in read.tracks] == [("Percussion", 12, False), ("Percussion", 0, True)]
    assert (rows(read, 0), rows(read, 1)) == ([(0, 1, 72), (2, 1, 76)], [(1, 1, 76)])


def test_programs_and_names_come_from_the_part_list(tmp_path):
    viola = kit(instrument("V", channel=3, program=42, name="Solo Viola"))
    listing = listed("P1", "  Viola\n  I ", viola) + listed("P2", "", viola) + listed("P3", "Horn in F")
    read = opened(tmp_path, score(*[[attributes("1/4") + note("C4")]] * 3, listing=listing))
    assert [(t.name, t.program) for t in read.tracks] == [("Viola I", 41), ("Solo Viola", 41), ("Horn in F", 60)]


def test_of_several_programs_in_a_part_the_one_with_most_notes_holds(tmp_path):
    doubling = kit(instrument("F", program=74), instrument("P", program=73))
    text = attributes("3/4") + note("C5") + "".join(note("C6", 1, '<instrument id="P"/>') for _ in range(2))
    read = opened(tmp_path, score([text], listing=listed("P1", "", doubling)))
    assert read.tracks[0].program == 72
    assert read.warnings == ("instruments: 1 change of instrument within a part was left out",)


def test_midi_numbers_that_are_none_are_no_programs(tmp_path):
    listing = listed("P1", "", kit(instrument("I", channel=17, program=129, unpitched=0)))
    read = opened(tmp_path, score([attributes("2/4") + note("C4") + hit()], listing=listing))
    assert (read.tracks[0].program, heights(read), kinds(read)) == (0, [60], ["unpitched"])


def test_a_part_that_the_list_doesnt_name_is_read_and_told(tmp_path):
    read = opened(tmp_path, score([attributes("1/4") + note("C4")], listing=listed("P7", "Flute")))
    assert rows(read) == [(0, 1, 60)]
    assert read.warnings == ("parts: the part list doesn't name part 'P1'",)


def test_a_part_that_stands_there_twice_is_read_twice(tmp_path):
    text = score([attributes("1/4") + note("C4")], [attributes("1/4") + note("E4")]).replace('id="P2"', 'id="P1"')
    read = opened(tmp_path, text)
    assert (rows(read, 0), rows(read, 1)) == ([(0, 1, 60)], [(0, 1, 64)])
    assert kinds(read) == ["parts"]


def test_limits_hold_while_reading(tmp_path):
    text = score([attributes() + notes("C4 D4 E4 F4")] * 3)
    assert refused(tmp_path, text, limits=Limits(notes=11)) == "has more than 11 notes"
    two = score([attributes("1/4") + note("C4")], [attributes("1/4") + note("C4")])
    assert refused(tmp_path, two, limits=Limits(tracks=1)) == "has more than 1 parts"
    assert refused(tmp_path, score([""] * 10_001)) == "has more than 10,000 measures"
    parts = [[""] * 9999] * 21
    assert refused(tmp_path, score(*parts)) == "has more than 200,000 measures, all parts together"
    sign = "<attributes><measure-style><measure-repeat type='start'>1</measure-repeat></measure-style></attributes>"
    text = score([attributes() + notes("C4 D4 E4 F4"), *[sign] * 60])
    assert refused(tmp_path, text, limits=Limits(notes=100)) == "has more than 100 notes"
    assert refused(tmp_path, score()) == "has no measures"
    assert refused(tmp_path, score([""])) == "has no notes"
