"""Scores: notes at the right place, bar lines where the score has them, and nothing hostile gets through."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from score_files import read_scores

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores import iter_scores, read_score
from musicgen.io.scores.names import program_for

LIEDER = Path("../shared/data/openscore_lieder")


def note(step, octave, duration, *, more="", chord=False, alter=0):
    """One MusicXML note; `duration` in quarters of a quarter."""
    pitch = f"<pitch><step>{step}</step><alter>{alter}</alter><octave>{octave}</octave></pitch>"
    return f"<note>{'<chord/>' if chord else ''}{pitch}<duration>{duration}</duration>{more}</note>"


def attributes(beats=4, unit=4, *, divisions=4, fifths=0, more=""):
    return (
        f"<attributes><divisions>{divisions}</divisions><key><fifths>{fifths}</fifths><mode>minor</mode></key>"
        f"<time><beats>{beats}</beats><beat-type>{unit}</beat-type></time>{more}</attributes>"
    )


def document(*parts, names=("Piano",), head="", instrument=""):
    """A partwise score; each part is a list of measures' contents."""
    listed = "".join(
        f'<score-part id="P{i}"><part-name>{name}</part-name>{instrument}</score-part>' for i, name in enumerate(names)
    )
    bodies = ""
    for i, measures in enumerate(parts):
        inside = "".join(f'<measure number="{n}">{m}</measure>' for n, m in enumerate(measures, start=1))
        bodies += f'<part id="P{i}">{inside}</part>'
    return f'<?xml version="1.0"?>{head}<score-partwise><part-list>{listed}</part-list>{bodies}</score-partwise>'


def read(tmp_path, text, name="piece.musicxml", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    piece = read_score(path, **options)
    piece.validate()
    return piece


def rows(piece, track=0):
    notes = piece.tracks[track].notes
    per = piece.ticks_per_quarter
    return [(float(n["start"] / per), float(n["duration"] / per), int(n["pitch"])) for n in notes]


TIE_START, TIE_STOP = '<tie type="start"/>', '<tie type="stop"/>'
WHOLE = note("C", 4, 16)


def test_notes_chords_and_ties_become_one_track(tmp_path):
    first = attributes() + note("C", 4, 8) + note("E", 4, 8, chord=True) + note("G", 4, 8, more=TIE_START)
    piece = read(tmp_path, document([first, note("G", 4, 4, more=TIE_STOP) + note("A", 4, 12)]))
    assert rows(piece) == [(0, 2, 60), (0, 2, 64), (2, 3, 67), (5, 3, 69)]
    assert piece.ticks_per_quarter == 480
    assert piece.keys.tolist() == [(0, 0, True)]
    assert piece.meters.tolist() == [(0, 4, 4)]
    assert piece.warnings == ()


def test_staves_and_voices_of_a_part_are_one_track(tmp_path):
    upper = note("C", 5, 16, more="<voice>1</voice><staff>1</staff>")
    lower = note("C", 3, 16, more="<voice>5</voice><staff>2</staff>")
    bar = attributes(more="<staves>2</staves>") + upper + "<backup><duration>16</duration></backup>" + lower
    piece = read(tmp_path, document([bar]))
    assert rows(piece) == [(0, 4, 48), (0, 4, 72)]


def test_a_pickup_is_a_meter_of_its_real_length(tmp_path):
    piece = read(tmp_path, document([attributes() + note("G", 4, 4), WHOLE, WHOLE]))
    assert piece.meters.tolist() == [(0, 1, 4), (480, 4, 4)]
    assert [start for start, _, _ in rows(piece)] == [0, 1, 5]
    starts, _ = piece.bar_starts()
    assert starts.tolist()[:3] == [0, 480, 2400]


def test_a_pickup_of_an_eighth_in_compound_time(tmp_path):
    piece = read(tmp_path, document([attributes(6, 8) + note("G", 4, 2), note("C", 4, 12), note("C", 4, 12)]))
    assert piece.meters.tolist() == [(0, 1, 8), (240, 6, 8)]


def test_a_bar_that_no_meter_tells_is_put_right_after_it(tmp_path):
    odd = attributes(divisions=12) + note("C", 4, 20)  # five thirds of a quarter
    piece = read(tmp_path, document([odd, note("D", 4, 48), note("E", 4, 48)]))
    assert any(w.startswith("meters: 1 bars") for w in piece.warnings)
    starts, _ = piece.bar_starts()
    assert starts.tolist()[:3] == [0, 800, 800 + 1920]


def test_repeats_and_endings_are_written_out(tmp_path):
    end = '<barline location="right"><repeat direction="backward"/></barline>'
    one = '<barline location="left"><ending number="1" type="start"/></barline>'
    one_end = '<barline location="right"><ending number="1" type="stop"/><repeat direction="backward"/></barline>'
    two = '<barline location="left"><ending number="2" type="start"/></barline>'
    two_end = '<barline location="right"><ending number="2" type="discontinue"/></barline>'
    measures = [
        attributes() + WHOLE,
        one + note("D", 4, 16) + one_end,
        two + note("E", 4, 16) + two_end,
        note("F", 4, 16) + end,  # a repeat without a start goes back to the end of the one before
    ]
    piece = read(tmp_path, document(measures))
    assert [pitch for _, _, pitch in rows(piece)] == [60, 62, 60, 64, 65, 65]
    assert [start for start, _, _ in rows(piece)] == [0, 4, 8, 12, 16, 20]


def test_da_capo_al_fine(tmp_path):
    fine = "<direction><direction-type><words>Fine</words></direction-type></direction>"
    capo = "<direction><direction-type><words>D.C. al Fine</words></direction-type></direction>"
    piece = read(tmp_path, document([attributes() + WHOLE + fine, note("D", 4, 16) + capo]))
    assert [pitch for _, _, pitch in rows(piece)] == [60, 62, 60]


def test_tempo_dynamics_and_names(tmp_path):
    tempo = '<direction><sound tempo="90"/></direction>'
    forte = "<direction><direction-type><dynamics><f/></dynamics></direction-type></direction>"
    piece = read(tmp_path, document([attributes() + tempo + WHOLE, forte + WHOLE], names=("Violin",)))
    assert piece.tempos.tolist() == [(0, 666_667)]
    assert piece.tracks[0].notes["velocity"].tolist() == [72, 96]
    assert (piece.tracks[0].name, piece.tracks[0].program) == ("Violin", 40)


def test_grace_and_cue_notes_are_left_out_and_said(tmp_path):
    grace = "<note><grace/><pitch><step>B</step><octave>4</octave></pitch></note>"
    cue = "<note><cue/><pitch><step>B</step><octave>4</octave></pitch><duration>8</duration></note>"
    piece = read(tmp_path, document([attributes() + grace + note("C", 4, 8) + cue, WHOLE]))
    assert rows(piece) == [(0, 2, 60), (4, 4, 60)]
    assert piece.warnings == ("graces: 1 grace note was left out", "cues: 1 cue note was left out")


def test_transposing_instruments_sound_in_concert_pitch(tmp_path):
    clarinet = "<transpose><diatonic>-1</diatonic><chromatic>-2</chromatic></transpose>"
    piece = read(tmp_path, document([attributes(more=clarinet) + WHOLE], names=("Clarinet in Bb",)))
    assert rows(piece) == [(0, 4, 58)]


def test_drums_use_their_general_midi_numbers(tmp_path):
    kit = (
        '<score-instrument id="K"><instrument-name>Snare</instrument-name></score-instrument>'
        '<midi-instrument id="K"><midi-channel>10</midi-channel><midi-unpitched>39</midi-unpitched></midi-instrument>'
    )
    hit = (
        "<note><unpitched><display-step>C</display-step><display-octave>5</display-octave></unpitched>"
        '<duration>16</duration><instrument id="K"/></note>'
    )
    piece = read(tmp_path, document([attributes() + hit], names=("Drumset",), instrument=kit))
    assert piece.tracks[0].is_drum
    assert rows(piece) == [(0, 4, 38)]


@pytest.mark.parametrize(
    ("names", "given", "program"),
    [
        (("Voice",), 68, 52), (("Singstimme",), None, 52), (("Violoncello",), None, 42), (("Violin 2",), 40, 40),
        (("Alto Saxophone",), 65, 65), (("Pianoforte",), 0, 0), (("",), None, 0), (("Double Bass",), None, 43),
    ],
)  # fmt: skip
def test_programs_from_names(names, given, program):
    assert program_for(names, given) == program


def test_septuplets_need_the_fine_resolution(tmp_path):
    seven = "".join(note("C", 4, 4) for _ in range(7))
    piece = read(tmp_path, document([attributes(1, 4, divisions=28) + seven]))
    assert piece.ticks_per_quarter == 10080
    assert np.diff(piece.tracks[0].notes["start"]).tolist() == [1440] * 6


# ---- other formats ---------------------------------------------------------------------------------------

ABC = """X:1
T:First
M:6/8
L:1/8
Q:3/8=100
K:D
A|d2e f2d|A6:|

X:2
T:Second
M:4/4
L:1/4
K:Amin
A B c "Am" d|
"""


def test_abc_gives_a_piece_a_tune(tmp_path):
    path = tmp_path / "tunes.abc"
    path.write_text(ABC)
    (one, first), (two, second) = read_scores(path)
    assert (one, two) == ("1 First", "2 Second")
    assert first.meters.tolist()[:2] == [(0, 1, 8), (240, 6, 8)]
    assert first.tempos["microseconds"].tolist() == [400_000]  # 150 quarters a minute
    assert first.n_notes == 2 * 6  # the repeat goes back to the pickup
    assert [p for _, _, p in rows(second)] == [69, 71, 72, 74]
    assert second.warnings == ("chord_symbols: 1 chord symbol is kept with the piece, not played",)


def test_abc_without_meter_counts_in_eighths(tmp_path):
    assert rows(read(tmp_path, "X:1\nK:C\nC D2|\n", "tune.abc")) == [(0, 0.5, 60), (0.5, 1, 62)]


def test_a_broken_tune_doesnt_cost_the_others(tmp_path):
    path = tmp_path / "tunes.abc"
    path.write_text("X:1\nT:Empty\nK:C\n\n" + ABC)
    (broken, error), (one, first), (two, second) = iter_scores(path)
    assert (broken, error.what) == ("1 Empty", "has no notes")
    assert (one, two) == ("2 First", "3 Second")
    assert first.n_notes > second.n_notes > 0


KERN = """**kern\t**kern
*Icello\t*Ivioln
*k[f#]\t*k[f#]
*M3/4\t*M3/4
4C\t4c
=1\t=1
2.D;\t4d
.\t8qe
.\t[2f
=2\t=2
1.r\t4f]
.\t2g
=3\t=3
.\t2.c
==\t==
*-\t*-
"""


def test_kern_notes_may_cross_bar_lines(tmp_path):
    piece = read(tmp_path, KERN, "piece.krn")
    assert np.array_equal(read(tmp_path, KERN, "piece.hum").tracks[0].notes, piece.tracks[0].notes)
    assert piece.meters.tolist() == [(0, 1, 4), (480, 3, 4)]
    violin = next(i for i, t in enumerate(piece.tracks) if t.program == 40)
    assert rows(piece, violin) == [(0, 1, 60), (1, 1, 62), (2, 3, 65), (5, 2, 67), (7, 3, 60)]
    assert piece.keys["fifths"].tolist() == [1]
    assert "graces: 1 grace note was left out" in piece.warnings


# ---- what must not get through -----------------------------------------------------------------------------


def failure(path, **options):
    with pytest.raises(UnreadableError) as caught:
        read_scores(path, **options)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert caught.value.hint
    return caught.value.what


def packed(path, members):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(data.getvalue())
    return path


def test_mxl_by_its_container_or_by_the_first_score(tmp_path):
    text = document([attributes() + WHOLE])
    container = '<container><rootfiles><rootfile full-path="b.xml"/></rootfiles></container>'
    other = document([attributes() + note("D", 4, 16)])
    named = packed(tmp_path / "a.mxl", {"a.xml": other, "META-INF/container.xml": container, "b.xml": text})
    assert rows(read_score(named)) == [(0, 4, 60)]
    assert rows(read_score(packed(tmp_path / "b.mxl", {"x.xml": text}))) == [(0, 4, 60)]
    assert failure(packed(tmp_path / "c.mxl", {"readme.txt": "no"})) == "has no score in its archive"


def test_zip_bombs_are_refused(tmp_path):
    bomb = packed(tmp_path / "bomb.mxl", {"a.xml": b" " * 64_000_001})
    assert bomb.stat().st_size < 1_000_000
    assert failure(bomb) == "unpacks to more than 64 MB"


def test_damaged_archives(tmp_path):
    path = packed(tmp_path / "a.mxl", {"a.xml": document([attributes() + WHOLE])})
    path.write_bytes(path.read_bytes()[:-30])
    assert failure(path).startswith("is a damaged archive")


def test_entities_are_refused(tmp_path):
    path = tmp_path / "lol.xml"
    for encoding in ("utf-8", "utf-16"):
        head = '<!DOCTYPE score-partwise [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        path.write_bytes(
            document([attributes() + WHOLE], head=head)
            .replace('"1.0"?', f'"1.0" encoding="{encoding}"?')
            .encode(encoding)
        )
        assert failure(path) == "declares XML entities, which no score needs"


def test_a_doctype_alone_is_fine_and_nothing_is_loaded(tmp_path):
    head = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "http://[::1]/x.dtd">'
    assert rows(read(tmp_path, document([attributes() + WHOLE], head=head))) == [(0, 4, 60)]


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("a.xml", b"<html></html>", "is <html>, not MusicXML's <score-partwise>"),
        ("a.xml", b"\x00\x01garbage", "is not well-formed XML"),
        ("a.musicxml", b"", "is not well-formed XML"),
        ("a.krn", b"hello", "has no **kern spine"),
        ("a.abc", b"hello", "has no tune"),
        ("a.abc", b"X:1\nK:C\n\0\0\0", "is not text"),
        ("a.abc", b"X:1\nT:x\nK:C\n", "has no notes"),
        ("a.xml", document([attributes()]).encode(), "has no notes"),
        ("a.txt", b"hello", "is not a score that can be read"),
        ("a.krn", b"**kern\n*M3/4\n4Q%%%\n*-\n", ""),
    ],
)
def test_garbage_is_an_error_of_one_line(tmp_path, name, data, what):
    path = tmp_path / name
    path.write_bytes(data)
    assert failure(path).startswith(what)


def test_nothing_but_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.xml")
    assert failure(tmp_path / "pipe.xml") == "is not a regular file"
    assert failure(tmp_path) == "is a folder, not a file"
    assert failure(tmp_path / "none.abc") == "no such file"


def test_published_limits(tmp_path):
    path = tmp_path / "many.xml"
    path.write_text(document([attributes() + WHOLE] * 20))
    assert failure(path, limits=Limits(notes=19)) == "has more than 19 notes"
    assert failure(path, limits=Limits(megabytes=1e-6)).endswith("the limit is 1e-06 MB")
    assert failure(path, limits=Limits(hours=0.001)).endswith("hours, the limit is 0.001")


def test_reading_is_silent(tmp_path, capfd):
    read(tmp_path, document([attributes() + WHOLE + note("C", 4, 3)]))
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not LIEDER.is_dir(), reason="needs ../shared/data/openscore_lieder")
def test_real_songs_are_voice_and_piano():
    paths = sorted(LIEDER.rglob("*.mxl"))[::300]
    for path in paths:
        piece = read_score(path)
        piece.validate()
        assert piece.n_notes > 50
        assert {t.program for t in piece.tracks} <= {0, 52, 53, 40, 42, 41, 60, 68, 71, 73}
