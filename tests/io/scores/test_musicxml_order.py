"""MusicXML: in which order measures sound; each measure is a note of its own, so the pitches tell."""

from __future__ import annotations

import pytest
from musicxml_bricks import (
    attributes,
    backup,
    barline,
    direction,
    ending,
    heights,
    kinds,
    note,
    notes,
    opened,
    repeat,
    rows,
    score,
    words,
)

NAMES = ["C4", "D4", "E4", "F4", "G4", "A4", "B4", "C5"]
TO = dict(zip([60, 62, 64, 65, 67, 69, 71, 72], "CDEFGABc", strict=True))
BACK, START = '<repeat direction="backward"/>', '<repeat direction="forward"/>'
SEGNO, CODA = "<segno/>", "<coda/>"


def played(tmp_path, *around, time="1/4", numbers=None):
    """The order of measures as letters; of each `(before, behind)` its note, or only what stands behind."""
    measures = []
    for i, signs in enumerate(around):
        before, behind = signs if isinstance(signs, tuple) else ("", signs)
        measures.append((attributes(time) if not i else "") + before + note(NAMES[i]) + behind)
    read = opened(tmp_path, score(measures, numbers=numbers))
    assert [row[0] for row in rows(read)] == list(range(len(rows(read))))
    return "".join(TO[pitch] for pitch in heights(read)), read


def order(tmp_path, *around, **options):
    letters, read = played(tmp_path, *around, **options)
    assert read.warnings == ()
    return letters


def mark(inside="", **sound):
    """A direction that draws, plays, or both."""
    said = " ".join(f'{key.replace("_", "-")}="{value}"' for key, value in sound.items())
    return direction(inside, sound=said)


def sound(**said):
    return "<sound {}/>".format(" ".join(f'{key.replace("_", "-")}="{value}"' for key, value in said.items()))


# ---- repeats and endings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measures", "letters"),
    [
        (["", repeat(), ""], "CDCDE"),
        ([(repeat("forward"), ""), repeat(), (repeat("forward"), repeat(times=3))], "CDCDEEE"),
        (["", (repeat("forward"), ""), repeat(), ""], "CDEDEF"),
        (["", repeat(times=1), ""], "CDE"),
        # A backward sign on the left ends the measure before, a forward one on the right begins the next.
        (["", "", (barline(BACK, "left"), "")], "CDCDE"),
        (["", barline(START), repeat(), ""], "CDEEF"),
        ([sound(forward_repeat="yes"), repeat(), ""], "CDDE"),
        (["", (sound(forward_repeat="yes"), ""), repeat(), ""], "CDEDEF"),
        # Endings.
        (["", (ending("1"), ending("1", "stop", also=BACK)), (ending("2"), ending("2", "stop"))], "CDCE"),
        (["", (ending("1"), ending("1", "stop", also=BACK)), (ending("2"), ending("2", "discontinue")), ""], "CDCEF"),
        (["", (ending("1"), ""), ending("1", "stop", also=BACK), (ending("2"), ending("2", "stop"))], "CDECF"),
        (["", (ending("1"), ending("1", "stop", also=BACK)), ""], "CDCE"),
        (["", (ending("1, 2"), ending("1, 2", "stop", also=BACK)), (ending("3"), ending("3", "discontinue")), ""], "CDCDCEF"),
        (["", (ending("1,2"), ending("1,2", "stop", also=BACK)), (ending("3"), ending("3", "discontinue")), ""], "CDCDCEF"),
        (["", (ending("1-3"), ending("1-3", "stop", also=BACK)), (ending("4"), ending("4", "stop"))], "CDCDCDCE"),
        (["", (ending("1.2."), ending("1.2.", "stop", also=BACK)), (ending("3."), ending("3.", "stop"))], "CDCDCE"),
        (["", (ending("1, 3"), ending("1, 3", "stop", also=BACK)), (ending("2"), ending("2", "stop", also=BACK))], "CDCECD"),
        (["", (ending("1, 3"), ending("1, 3", "stop", also=BACK)), (ending("2, 4"), ending("2, 4", "stop", also=BACK)), ""], "CDCECDCEF"),
        (["", (ending("0, 1"), ending("0, 1", "stop", also=BACK)), (ending("2"), ending("2", "discontinue")), ""], "CDCEF"),
        # What the bracket says in print counts where its number is blank.
        (["", (barline('<ending number=" " type="start">1.</ending>', "left"), ending("", "stop", also=BACK)), (ending("2"), ending("2", "stop"))], "CDCE"),
        # Brackets that nobody closes: up to the sign, or to the next bracket.
        (["", (ending("1"), repeat()), (ending("2"), "")], "CDCE"),
        (["", (ending("1"), ""), repeat(), (ending("2"), ""), ""], "CDECFG"),
        (["", (ending("1"), repeat(times=3)), (ending("3"), "")], "CDCDCE"),
        # A bracket over the begin of its ending alone, and one behind a sign for all passes.
        (["", (ending("1"), ending("1", "discontinue")), repeat(), (ending("2"), ending("2", "stop"))], "CDECF"),
        (["", (ending("1, 2"), ending("1, 2", "discontinue")), repeat(times=3), ""], "CDECDECF"),
        (["", repeat(times=3), (ending("3"), ending("3", "discontinue"))], "CDCDCDE"),
        (["", (ending("1"), ending("1", "stop", also='<repeat direction="backward" times="3"/>')), ""], "CDCDCE"),
    ],
)  # fmt: skip
def test_repeats_and_endings(tmp_path, measures, letters):
    assert order(tmp_path, *measures) == letters


@pytest.mark.parametrize("where", [0, 1])
def test_endings_and_repeats_in_one_part_hold_for_all(tmp_path, where):
    signed = [
        attributes("1/4") + note("C4"),
        ending("1") + note("D4") + ending("1", "stop", also=BACK),
        ending("2") + note("E4") + ending("2", "stop"),
    ]
    plain = [attributes("1/4") + note("C3"), note("D3"), note("E3")]
    parts = [signed, plain] if where == 0 else [plain, signed]
    read = opened(tmp_path, score(*parts))
    assert heights(read, where) == [60, 62, 60, 64]
    assert heights(read, 1 - where) == [48, 50, 48, 52]
    assert read.warnings == ()


def test_signs_in_all_parts_count_once(tmp_path):
    part = [
        attributes("1/4") + note("C4"),
        ending("1") + note("D4") + words("D.C. al Fine", sound='dacapo="yes"') + ending("1", "stop"),
        ending("2") + note("E4") + words("Fine", sound='fine="yes"') + ending("2", "stop"),
    ]
    read = opened(tmp_path, score(part, part, part))
    assert [heights(read, track) for track in range(3)] == [[60, 62, 60, 64]] * 3
    assert read.warnings == ()


def test_a_repeat_sign_within_a_measure(tmp_path):
    """Two halves of a bar, of which the second belongs to the next section."""
    split = attributes("2/4") + note("C4") + barline(BACK, "middle") + note("D4")
    read = opened(tmp_path, score([split, notes("E4 F4")]))
    assert rows(read) == [(0, 1, 60), (1, 1, 60), (2, 1, 62), (3, 1, 64), (4, 1, 65)]
    both = attributes("2/4") + note("C4") + barline(START, "middle") + note("D4")
    assert heights(opened(tmp_path, score([both, notes("E4 F4") + repeat()]))) == [60, 62, 64, 65, 62, 64, 65]


def test_what_contradicts_itself_is_left_as_written_and_told(tmp_path):
    assert played(tmp_path, "", repeat(times=99), "")[0] == "CDE"
    assert kinds(played(tmp_path, "", repeat(times=99), "")[1]) == ["repeats"]
    letters, read = played(tmp_path, "", (ending("1"), ending("1", "stop")), (ending("2"), ending("2", "stop")))
    assert (letters, kinds(read)) == ("CDE", ["repeats"])
    assert kinds(played(tmp_path, "", repeat(after_jump="yes"))[1]) == ["repeats"]


def test_notes_of_one_pass_alone(tmp_path):
    only = note("E4", attributes=' time-only="2"') + note("G4", attributes=' time-only="1,3"')
    read = opened(tmp_path, score([attributes("2/4") + only + backup(2) + note("C4", 2) + repeat(times=3)]))
    assert rows(read) == [(0, 2, 60), (1, 1, 67), (2, 2, 60), (2, 1, 64), (4, 2, 60), (5, 1, 67)]


# ---- jumps -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capo", "fine"),
    [
        (words("D.C. al Fine"), words("Fine")),
        (words("D. C. al Fine"), words("FINE.")),
        (words("Da Capo"), words("Fine")),
        (words("da capo al fine"), words("(Fine)")),
        (words("Menuetto D.C. al Fine"), words("[Fine]")),
        (words("Von vorn bis Ende"), words("Ende")),
        (words("D.C. bis zum Schluss"), words("Schluss")),
        (words("D.C."), words("Fin")),
        (sound(dacapo="yes"), sound(fine="yes")),
        (words("D.C. al Fine", sound='dacapo="yes"'), words("Fine", sound='fine="yes"')),
        (words("D.C. al Fine") + sound(dacapo="yes"), words("Fine") + sound(fine="yes")),
        (words("D.C.") + words("al Fine"), words("Fine")),
        (direction("<words>D.C.</words><words>al Fine</words>"), words("Fine")),
        (words("&lt;b&gt;Da Capo\nal Fine.&lt;/b&gt;"), words("Fine")),
        (words("Trio da capo", sound='dacapo="yes"'), words("nothing", sound='fine="2"')),
    ],
)
def test_da_capo_al_fine(tmp_path, capo, fine):
    assert order(tmp_path, "", fine, "", capo) == "CDEFCD"


@pytest.mark.parametrize(
    "text",
    [
        "dim. al Fine",
        "sempre stringendo assai al Fine",
        "Finale",
        "IV. Finale",
        "Wie zu Anfang",
        "(bis zum Ende)",
        "à mi-voix, très fin",
        "without repeat, but with Coda",
        "dolce espress. ben marc. ",
    ],
)
def test_words_that_are_no_jumps(tmp_path, text):
    assert order(tmp_path, "", words(text), "") == "CDE"


@pytest.mark.parametrize(
    ("segno", "jump"),
    [
        (direction(SEGNO), words("D.S. al Fine")),
        (direction(SEGNO), words("Dal Segno")),
        (direction(SEGNO), words("dal 𝄋 al Fine")),
        (direction("<words>\ue047</words>"), direction(f"<words>D.S.</words>{SEGNO}<words>al Fine</words>")),
        (direction("<words>&lt;sym&gt;segno&lt;/sym&gt;</words>"), words("Dal segno al fine")),
        (sound(segno="s"), sound(dalsegno="s")),
        (mark(SEGNO, segno="segno"), words("D.S. al Fine", sound='dalsegno="segno"')),
        (barline(SEGNO, "left"), words("Vom Zeichen bis Fine")),
    ],
)
def test_dal_segno_al_fine(tmp_path, segno, jump):
    assert order(tmp_path, "", (segno, ""), words("Fine"), jump) == "CDEFDE"


@pytest.mark.parametrize(
    ("leave", "jump", "coda"),
    [
        (words("To Coda"), words("D.C. al Coda"), direction(CODA)),
        (words("al Coda"), words("Da capo al Coda"), words("Coda")),
        (words("To 𝄌"), words("D.C. al 𝄌"), words("𝄌 Coda")),
        (direction(f"<words>To</words>{CODA}"), direction(f"<words>D.C. al</words>{CODA}"), direction(CODA)),
        (direction(CODA), words("D.C. al Coda"), direction(CODA)),  # two signs: from the first to the second
        (sound(tocoda="1"), sound(dacapo="yes"), sound(coda="1")),
        (words("To Coda", sound='tocoda="c"'), words("D.C. al Coda", sound='dacapo="yes"'), mark(CODA, coda="c")),
        (words("zur Coda"), words("D.C., poi la Coda"), direction(CODA)),
        (words("To Coda"), words("Da Capo sin' al 𝄌 e poi la Coda"), words("Coda.")),
    ],
)
def test_da_capo_al_coda(tmp_path, leave, jump, coda):
    assert order(tmp_path, "", leave, "", jump, (coda, ""), "") == "CDEFCDGA"


def test_dal_segno_al_coda_with_repeats_that_arent_taken_again(tmp_path):
    measures = [
        "",
        (mark(SEGNO, segno="1"), repeat()),
        (repeat("forward"), words("To Coda")),
        repeat(),
        words("D.S. al Coda"),
    ]
    assert order(tmp_path, *measures, (mark(CODA, coda="1"), "")) == "CDCDEFEFGDEA"


def test_a_da_capo_to_the_sign_ends_where_the_sign_stands(tmp_path):
    assert order(tmp_path, "", "", (direction(SEGNO), ""), words("Da Capo al Segno")) == "CDEFCD"


def test_jumps_that_two_signs_name_count_once(tmp_path):
    """In words at the end of one measure, for playing at the begin of the next."""
    assert order(tmp_path, words("Fine"), words("D.C. al Fine"), (sound(dacapo="yes"), "")) == "CDCE"


def test_labels_say_which_segno_and_which_coda(tmp_path):
    segnos = [(mark(SEGNO, segno="a"), ""), (mark(SEGNO, segno="b"), "")]
    assert order(tmp_path, "", *segnos, words("D.S.", sound='dalsegno="a"'), "") == "CDEFDEFG"
    codas = [(mark(CODA, coda="x"), ""), (mark(CODA, coda="y"), "")]
    leave = words("To Coda", sound='tocoda="y"')
    assert order(tmp_path, leave, words("D.C. al Coda", sound='dacapo="yes"'), *codas) == "CDCF"


def test_a_fine_within_a_measure_ends_there(tmp_path):
    """A pickup to the next section stands behind the fine, in the same bar."""
    measures = [
        attributes("2/4") + notes("C4 D4"),
        note("E4") + sound(fine="yes") + note("F4"),
        notes("G4 A4") + sound(dacapo="yes"),
    ]
    assert heights(opened(tmp_path, score(measures))) == [60, 62, 64, 65, 67, 69, 60, 62, 64]


def test_a_dal_segno_within_a_measure_goes_to_a_sign_within_a_measure(tmp_path):
    measures = [
        attributes("2/4") + note("C4") + sound(segno="s") + note("D4"),
        notes("E4 F4"),
        note("G4") + sound(dalsegno="s") + note("A4"),
    ]
    read = opened(tmp_path, score(measures))
    assert heights(read) == [60, 62, 64, 65, 67, 62, 64, 65, 67, 69]
    assert [row[0] for row in rows(read)] == list(range(10))


def test_a_drawn_jump_before_the_last_notes_is_taken_behind_them(tmp_path):
    measures = [attributes("2/4") + notes("C4 D4"), note("E4") + words("D.C.") + note("F4"), notes("G4 A4")]
    assert heights(opened(tmp_path, score(measures))) == [60, 62, 64, 65, 60, 62, 64, 65, 67, 69]
    measures[1] = note("E4") + words("D.C.", sound='dacapo="yes"') + note("F4")
    read = opened(tmp_path, score(measures))
    assert heights(read) == [60, 62, 64, 65, 60, 62, 64, 65, 67, 69]
    assert kinds(read) == ["repeats"]


def test_jumps_of_one_part_cut_the_measures_of_all(tmp_path):
    upper = [attributes("2/4") + note("C4") + sound(fine="yes") + note("D4"), notes("E4 F4") + sound(dacapo="yes")]
    lower = [attributes("2/4", divisions=2) + note("C3", 4), notes("D3 E3", 2)]
    read = opened(tmp_path, score(upper, lower))
    assert rows(read, 0) == [(0, 1, 60), (1, 1, 62), (2, 1, 64), (3, 1, 65), (4, 1, 60)]
    # The half note begins before the cut, and sounds over it.
    assert rows(read, 1) == [(0, 2, 48), (2, 1, 50), (3, 1, 52), (4, 2, 48)]
    assert read.meters.tolist() == [(0, 2, 4)]


def test_offsets_move_what_is_drawn_and_what_is_played_only_if_they_say_so(tmp_path):
    behind = "<offset>1</offset>"
    fine = direction("<words>Fine</words>", sound='fine="yes"', offset='<offset sound="yes">1</offset>')
    measures = [attributes("2/4") + notes("C4 D4"), fine + notes("E4 F4"), notes("G4 A4") + sound(dacapo="yes")]
    assert heights(opened(tmp_path, score(measures)))[6:] == [60, 62, 64]
    measures[1] = note("E4") + direction("<words>Fine</words>", sound='fine="yes"', offset=behind) + note("F4")
    assert heights(opened(tmp_path, score(measures)))[6:] == [60, 62, 64]


def test_movements_in_one_file_have_da_capos_of_their_own(tmp_path):
    """The count of measures begins anew with each; what stands behind a fine and a da capo follows."""
    numbers = [f'number="{n}"' for n in (1, 2, 1, 2, 3, 1, 2)]
    measures = ["", "", words("Fine"), "", words("Menuetto D.C."), "", repeat()]
    assert order(tmp_path, *measures, numbers=numbers) == "CDEFGEABAB"


@pytest.mark.parametrize(
    ("measures", "warning"),
    [
        (["", words("D.S.")], "repeats: a dal segno has no segno before it; left as written"),
        (["", words("D.C. al Fine")], "repeats: 'al fine' has no fine; left as written"),
        (
            ["", words("D.C. al Coda")],
            "repeats: 'al coda' needs a coda behind it; left as written",
        ),
    ],
)
def test_jumps_to_nowhere_are_told(tmp_path, measures, warning):
    letters, read = played(tmp_path, *measures)
    assert (letters, read.warnings) == ("CD", (warning,))


def test_al_coda_without_a_sign_to_leave_from_goes_on_to_the_coda(tmp_path):
    letters, read = played(tmp_path, "", words("D.C. al Coda"), (direction(CODA), ""), repeat())
    assert (letters, kinds(read)) == ("CDCDEFEF", ["repeats"])


def test_repeats_behind_a_jump_are_taken(tmp_path):
    assert order(tmp_path, repeat(), words("D.C."), (repeat("forward"), repeat())) == "CCDCDEE"


# ---- measures written as repeats ---------------------------------------------------------------------------


def style(inside):
    return f"<attributes><measure-style>{inside}</measure-style></attributes>"


def test_measures_written_as_repeats_sound_as_what_they_repeat(tmp_path):
    whole = "<note><rest/><duration>2</duration></note>"
    one = style('<measure-repeat type="start">1</measure-repeat>')
    none = style('<measure-repeat type="stop"/>')
    read = opened(tmp_path, score([attributes("2/4") + notes("C4 D4"), one + whole, whole, none + note("E4", 2)]))
    assert heights(read) == [60, 62, 60, 62, 60, 62, 64]
    assert read.warnings == ("measure_repeats: 2 measures written as repeat signs sound as what they repeat",)
    two = style('<measure-repeat type="start" slashes="2">2</measure-repeat>')
    measures = [attributes("2/4") + note("C4", 2), note("D4", 2), two + whole, whole, note("E4", 2)]
    assert heights(opened(tmp_path, score(measures))) == [60, 62, 60, 62, 64]


def test_measures_written_as_repeats_that_hold_their_notes_keep_them(tmp_path):
    one = style('<measure-repeat type="start">1</measure-repeat>')
    read = opened(tmp_path, score([attributes("2/4") + note("C4", 2), one + note("C4", 2), note("E4", 2)]))
    assert (heights(read), read.warnings) == ([60, 60, 64], ())


def test_rests_of_several_measures_and_slashes_change_nothing(tmp_path):
    rests = style('<multiple-rest>2</multiple-rest><slash type="start"/><beat-repeat type="start"/>')
    whole = '<note><rest measure="yes"/><duration>2</duration></note>'
    read = opened(tmp_path, score([attributes("2/4") + note("C4", 2), rests + whole, whole, note("D4", 2)]))
    assert (rows(read), read.warnings) == ([(0, 2, 60), (6, 2, 62)], ())
