"""Which parts a word means: numbers, names, instruments, words of names; and what is said where it means none."""

from __future__ import annotations

import pytest

from musicgen.errors import UsageError
from musicgen.gm import find_pitch, pitch_name, pitch_range
from musicgen.piece import Track
from musicgen.sampling.asked import find_parts, program_of

DRUMS = -1
QUARTET = (("Violin I", 40), ("Violin II", 40), ("Viola", 41), ("Violoncello", 42))
BAND = (("Lead Guitar", 30), ("Rhythm Guitar", 29), ("Fingers", 33), ("Kit", DRUMS), ("Lead Vox", 54))
UNNAMED = (("", 0), ("", 0), ("", 32))
STAVES = (("Soprano", 52), ("Alto", 52), ("Tenor", 52), ("Bass", 52))
HANDS = (("Piano right hand", 48), ("Piano left hand", 48))


def tracks(*parts: tuple[str, int]) -> list[Track]:
    return [Track(name, max(program, 0), is_drum=program == DRUMS) for name, program in parts]


@pytest.mark.parametrize(
    ("asked", "parts", "expected"),
    [
        ("2", QUARTET, (1,)),
        ("Violin I", QUARTET, (0,)),
        ("violin ii", QUARTET, (1,)),
        ("violin", QUARTET, (0, 1)),  # both of them play it
        ("Geigen", QUARTET, (0, 1)),
        ("cello", QUARTET, (3,)),
        ("violonc", QUARTET, (3,)),
        ("strings", QUARTET, (0, 1, 2, 3)),
        ("guitar", BAND, (0, 1)),
        ("Guitars", BAND, (0, 1)),
        ("rhythm", BAND, (1,)),
        ("rhythm guitar", BAND, (1,)),
        ("bass", BAND, (2,)),
        ("fing", BAND, (2,)),
        ("drums", BAND, (3,)),
        ("percussion", BAND, (3,)),
        ("Schlagzeug", BAND, (3,)),
        ("kit", BAND, (3,)),
        ("voice", BAND, (4,)),
        ("vox", BAND, (4,)),
        ("piano", UNNAMED, (0, 1)),
        ("bass", UNNAMED, (2,)),
        ("bass", STAVES, (3,)),
        ("BASS", STAVES, (3,)),
        ("alto", STAVES, (1,)),
        ("choir", STAVES, (0, 1, 2, 3)),
        ("left hand", HANDS, (1,)),
        ("left", HANDS, (1,)),
        ("distortion", BAND, (0,)),
        ("acoustic bass", UNNAMED, (2,)),
        ("flute", QUARTET, ()),  # none plays it yet
        ("electric piano", QUARTET, ()),
    ],
)
def test_a_word_means_a_part(asked, parts, expected):
    assert find_parts(asked, tracks(*parts)) == expected


def test_a_word_that_several_parts_share_is_asked_again():
    with pytest.raises(UsageError) as caught:
        find_parts("lead", tracks(*BAND))
    assert str(caught.value) == (
        "'lead' could be one of several parts; 1 “Lead Guitar” (distortion guitar), "
        "5 “Lead Vox” (synth voice); for all of them: `tracks` 1,5"
    )


@pytest.mark.parametrize(
    ("asked", "parts", "said"),
    [
        ("5", QUARTET, "there is no part 5; parts are 1 “Violin I” (violin), 2 “Violin II” (violin), "
         "3 “Viola” (viola), 4 “Violoncello” (cello)"),
        ("0", UNNAMED, "there is no part 0; parts are 1 acoustic grand piano, 2 acoustic grand piano, 3 acoustic bass"),
        ("3", (), "there is no part 3; the piece has no parts"),
        ("2", (("Solo", 42),), "there is no part 2; the only part is 1 “Solo” (cello)"),
        ("vioolncello", QUARTET, "no part and no instrument 'vioolncello'; did you mean 'violoncello'? "
         "parts are 1 “Violin I” (violin)"),
        ("kazzo", (), "no instrument 'kazzo'; did you mean 'koto'?"),
    ],
)  # fmt: skip
def test_what_means_nothing_lists_the_parts(asked, parts, said):
    with pytest.raises(UsageError) as caught:
        find_parts(asked, tracks(*parts))
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


def test_long_lists_are_cut():
    with pytest.raises(UsageError, match=r"12 “Part 12” \(violin\) and 18 more, as `musicgen inspect` tells$"):
        find_parts("99", tracks(*((f"Part {n}", 40) for n in range(1, 31))))


def test_names_from_strangers_do_not_break_the_line():
    with pytest.raises(UsageError) as caught:
        find_parts("9", tracks(("Violin\n\x1b[31m", 40)))
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_instrument_that_is_new_is_known_in_other_languages():
    assert [program_of(name) for name in ("flute", "Flöte", "tenor s", "drum kit")] == [73, 73, 66, 128]


# ---- notes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pitch", range(128))
def test_every_pitch_has_a_name_that_means_it(pitch):
    assert find_pitch(pitch_name(pitch)) == find_pitch(str(pitch)) == pitch


@pytest.mark.parametrize(
    ("text", "pitch"),
    [("C4", 60), ("c4", 60), ("A4", 69), ("Bb2", 46), ("bb2", 46), ("B♭2", 46), ("F♯4", 66), ("Cb4", 59), ("B#3", 60),
     ("C-1", 0), ("G9", 127), (" E2 ", 40), ("007", 7), ("4", 4), ("F##4", 67)],
)  # fmt: skip
def test_notes_as_musicians_write_them(text, pitch):
    assert find_pitch(text) == pitch


@pytest.mark.parametrize("text", ["H4", "C", "C10", "G#9", "Cb-1", "128", "-1", "C4.5", "²", "C٣", ""])
def test_what_is_no_note(text):
    with pytest.raises(UsageError, match="C4"):
        find_pitch(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("C3-C6", (48, 84)), ("48-84", (48, 84)), ("48-C6", (48, 84)), ("E2 – G#5", (40, 80)), ("Bb2..F4", (46, 65)),
     ("C-1-C1", (0, 24)), ("C-1-D-1", (0, 2))],
)  # fmt: skip
def test_ranges_of_notes_and_numbers(text, expected):
    assert pitch_range(text) == expected


@pytest.mark.parametrize("text", ["C3", "C3-", "high", "C3-H4", "C3-C4-C5", "48-", "1-2-3", ""])
def test_what_is_no_range_tells_both_ways(text):
    with pytest.raises(UsageError, match=r"is not a pitch range; write it like 48-84 or C3-C6; C4 is middle C, 60"):
        pitch_range(text)
