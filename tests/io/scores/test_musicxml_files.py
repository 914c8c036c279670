"""MusicXML files: archives, encodings, timewise scores, and what must not get through."""

from __future__ import annotations

import io
import resource
import zipfile
from pathlib import Path

import pytest
from musicxml_bricks import attributes, heights, kinds, listed, note, notes, opened, rows, score

from musicgen.errors import UnreadableError
from musicgen.io.scores import read_score
from musicgen.io.scores.musicxml.fold import folded
from musicgen.io.scores.musicxml.stream import MAX_TAGS

SCORE = score([attributes("2/4") + notes("C4 D4")])
OTHER = score([attributes("2/4") + notes("E4 F4")])
RIGHT = [(0, 1, 60), (1, 1, 62)]


def packed(members: dict[str, str | bytes], kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def container(*paths: str, kind: str = "") -> str:
    said = f' media-type="{kind}"' if kind else ""
    files = "".join(f'<rootfile full-path="{path}"{said}/>' for path in paths)
    return f"<container><rootfiles>{files}</rootfiles></container>"


def refused(folder: Path, data: str | bytes, name: str = "bad.mxl") -> str:
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(UnreadableError) as caught:
        read_score(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value.what


# ---- archives --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        {"META-INF/container.xml": container("b.xml"), "a.xml": OTHER, "b.xml": SCORE},
        {"a.xml": OTHER, "META-INF/container.xml": container("b.musicxml"), "b.musicxml": SCORE},
        {"META-INF/container.xml": container("lost.xml"), "only.xml": SCORE},
        {"META-INF/container.xml": container("lost.xml"), "cover.pdf": b"%PDF", "only.XML": SCORE},
        {"META-INF/container.xml": container("sub\\b.xml"), "a.xml": OTHER, "sub/b.xml": SCORE},
        {"META-INF/container.xml": container("sub/b.xml"), "a.xml": OTHER, "sub\\b.xml": SCORE},
        {"META-INF/container.xml": container("B.XML"), "a.xml": OTHER, "b.xml": SCORE},
        {"META-INF/container.xml": container("the%20song.xml"), "a.xml": OTHER, "the song.xml": SCORE},
        {"META-INF/container.xml": container("./b.xml"), "a.xml": OTHER, "b.xml": SCORE},
        {"META-INF/container.xml": container("für.xml"), "a.xml": OTHER, "fu\u0308r.xml": SCORE},
        {"meta-inf/Container.xml": container("b.xml"), "a.xml": OTHER, "b.xml": SCORE},
        {"META-INF/container.xml": "<container><rootf", "only.xml": SCORE},
        {"META-INF/container.xml": "", "only.xml": SCORE},
        {"only.musicxml": SCORE},
        {"__MACOSX/._only.xml": b"\0\0", "META-INF/other.xml": b"<x/>", "._x.xml": b"\0", "only.xml": SCORE},
        {
            "META-INF/container.xml": container("a.xml", kind="image/svg+xml").replace(
                "</rootfiles>", '<rootfile full-path="b.xml"/></rootfiles>'
            ),
            "a.xml": OTHER,
            "b.xml": SCORE,
        },
        {
            "META-INF/container.xml": '<c:container xmlns:c="u"><c:rootfiles><c:rootfile full-path="b.xml"/></c:rootfiles></c:container>',
            "a.xml": OTHER,
            "b.xml": SCORE,
        },
    ],
)
def test_the_score_in_an_archive_is_found(tmp_path, members):
    read = opened(tmp_path, packed(members), "score.mxl")
    assert rows(read) == RIGHT
    assert read.warnings == ()


def test_of_several_that_nobody_names_the_first_is_read_and_told(tmp_path):
    lost = {"META-INF/container.xml": container("c.xml"), "a.xml": SCORE, "b.xml": OTHER}
    read = opened(tmp_path, packed(lost), "score.mxl")
    assert rows(read) == RIGHT
    assert read.warnings == ("archive: it names 'c.xml', which isn't there; of 2 the first was read, 'a.xml'",)
    read = opened(tmp_path, packed({"a.xml": SCORE, "b.xml": OTHER}), "score.mxl")
    assert read.warnings == ("archive: it names none of its scores; of 2 the first was read, 'a.xml'",)


def test_names_without_the_flag_of_utf_8_are_found(tmp_path):
    name = "f\u00fcr.xml"
    data = packed({"META-INF/container.xml": container(name), "a.xml": OTHER, "fXXr.xml": SCORE})
    read = opened(tmp_path, data.replace(b"fXXr.xml", name.encode()), "score.mxl")
    assert rows(read) == RIGHT


def test_an_archive_and_a_score_may_have_each_others_suffix(tmp_path):
    assert rows(opened(tmp_path, packed({"a.xml": SCORE}), "score.musicxml")) == RIGHT
    assert rows(opened(tmp_path, SCORE, "score.mxl")) == RIGHT
    assert rows(opened(tmp_path, packed({"a.xml": SCORE}, zipfile.ZIP_STORED), "score.mxl")) == RIGHT


@pytest.mark.parametrize("kept", [10, 60, -30, -1])
def test_archives_that_are_cut_off(tmp_path, kept):
    assert refused(tmp_path, packed({"a.xml": SCORE})[:kept]).startswith("is a damaged archive (")


def test_archives_whose_bytes_are_bent_are_refused_or_read_right(tmp_path):
    data = bytearray(packed({"META-INF/container.xml": container("a.xml"), "a.xml": SCORE}))
    path = tmp_path / "bent.mxl"
    for i in range(0, len(data), 3):
        bent = data.copy()
        bent[i] ^= 1 << i % 8
        path.write_bytes(bent)
        try:
            assert rows(read_score(path)) == RIGHT
        except UnreadableError as error:
            assert "\n" not in str(error)


def test_other_kinds_of_packing_and_too_many_files(tmp_path):
    assert refused(tmp_path, packed({"a.xml": SCORE}, zipfile.ZIP_LZMA)) == "is packed in another way than .mxl allows"
    many = {f"{i}.txt": b"" for i in range(1001)}
    assert refused(tmp_path, packed(many)) == "holds more than 1,000 files"
    assert refused(tmp_path, packed({"a.txt": b"x"})) == "has no score in its archive"
    assert refused(
        tmp_path, packed({"META-INF/container.xml": '<!DOCTYPE c [<!ENTITY a "b">]><c/>', "a.xml": SCORE})
    ) == ("declares XML entities, which no score needs")


@pytest.mark.parametrize(
    "begin", [b"", b"<score-partwise>", b"<score-partwise><part-list><score-part id=''><part-name>"]
)
def test_a_score_of_nothing_but_spaces_costs_no_memory(tmp_path, begin):
    path = tmp_path / "spaces.mxl"
    path.write_bytes(packed({"a.xml": begin + b" " * 64_000_001}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadableError, match="unpacks to more than 64 MB"):
        read_score(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kB


# ---- XML -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "iso-8859-1", "us-ascii", "cp1252"]
)
def test_encodings(tmp_path, encoding):
    named = {"utf-8-sig": "utf-8", "utf-16-le": "utf-16", "utf-16-be": "utf-16", "cp1252": "windows-1252"}
    text = SCORE.replace('"1.0"?', f'"1.0" encoding="{named.get(encoding, encoding)}"?')
    name = "Flute" if encoding == "us-ascii" else "Flöte"
    text = text.replace("<part-name>", f"<part-name>{name}")
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    read = opened(tmp_path, marks.get(encoding, b"") + text.encode(encoding))
    assert (rows(read), read.tracks[0].name, read.warnings) == (RIGHT, name, ())


@pytest.mark.parametrize(
    ("told", "real", "name"),
    [("utf-16", "utf-8", "Flöte"), ("utf-8", "iso-8859-1", "Flöte"), ("x-unknown", "utf-8", "Flöte")],
)
def test_encodings_that_are_told_wrong_are_guessed_and_that_is_told(tmp_path, told, real, name):
    text = SCORE.replace('"1.0"?', f'"1.0" encoding="{told}"?').replace("<part-name>", f"<part-name>{name}")
    read = opened(tmp_path, text.encode(real))
    assert (rows(read), read.tracks[0].name) == (RIGHT, name)
    assert read.warnings == (f"encoding: its letters were read as {real.upper()}",)


def test_names_may_hold_escapes_and_sections_of_letters(tmp_path):
    text = SCORE.replace("<part-name>", "<part-name>A &amp; B&#10;<![CDATA[ <C> ]]>")
    assert opened(tmp_path, text).tracks[0].name == "A & B <C>"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<html></html>", "is <html>, not MusicXML's <score-partwise> or <score-timewise>"),
        ("<opus/>", "is <opus>, not MusicXML's <score-partwise> or <score-timewise>"),
        ("", "is not well-formed XML (line 1: no element found)"),
        ("\0\1", "is not well-formed XML (line 1: not well-formed (invalid token))"),
        (SCORE[:-10], "is not well-formed XML (line 1: unclosed token)"),
        (SCORE.replace("</note>", "\n</nope>"), "is not well-formed XML (line 2: mismatched tag)"),
        (SCORE + "<more/>", "is not well-formed XML (line 1: junk after document element)"),
        ("<score-partwise>" + "<a>" * 300, "is nested too deeply or too full (line 1)"),
        ("<score-partwise><part id='P1'><measure>" + "<a>" * 300, "is nested too deeply or too full (line 1)"),
        ("<score-partwise><part-list><score-part>" + "<a>" * 300, "is nested too deeply or too full (line 1)"),
        ("<score-partwise><part id='P1'><measure><direction>" + "<a/>" * 10_001, "is nested too deeply or too full (line 1)"),
        ("<score-partwise><part id='P1'><measure><note>" + "<a>" * 400_000, "is nested too deeply or too full (line 1)"),
        ("<score-partwise>" + "<a/>" * (MAX_TAGS // 2 + 1), "has more than 4 million tags"),
        ("<score-partwise " + "a='b' " * 1_000_000, "has a tag, a comment or a gap of more than 4 MB"),
        ("<score-partwise><!-- " + "a " * 3_000_000, "has a tag, a comment or a gap of more than 4 MB"),
        ('<!DOCTYPE s [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>' + SCORE[21:], "declares XML entities, which no score needs"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_told_in_one_line(tmp_path, text, what):
    data = text.encode()
    if len(data) > 9_000_000:
        assert refused(tmp_path, packed({"a.xml": data})) == what
    else:
        assert refused(tmp_path, data, "bad.xml") == what


def test_a_doctype_is_harmless_and_what_it_points_at_is_not_opened(tmp_path):
    head = '<!DOCTYPE score-partwise PUBLIC "-//Recordare//DTD MusicXML 4.0 Partwise//EN" "file:///dev/zero">'
    assert rows(opened(tmp_path, SCORE.replace("<score-partwise", head + "<score-partwise"))) == RIGHT


# ---- timewise, and what is left out ------------------------------------------------------------------------


def test_timewise_is_partwise_turned(tmp_path):
    upper = [attributes("2/4") + notes("C5 D5"), notes("E5 F5")]
    lower = [attributes("2/4", divisions=2) + note("C3", 4), note("D3", 4)]
    listing = '<part-list><score-part id="P1"><part-name>U</part-name></score-part><score-part id="P2"/></part-list>'
    measures = "".join(
        f'<measure number="{n}"><part id="P1">{u}</part><part id="P2">{low}</part></measure>'
        for n, (u, low) in enumerate(zip(upper, lower, strict=True), start=1)
    )
    turned = opened(tmp_path, f"<score-timewise>{listing}{measures}</score-timewise>")
    assert (rows(turned, 0), rows(turned, 1)) == (
        [(0, 1, 72), (1, 1, 74), (2, 1, 76), (3, 1, 77)],
        [(0, 2, 48), (2, 2, 50)],
    )
    assert turned.tracks[0].name == "U"
    # A part that a measure leaves out rests there.
    gap = measures.replace(f'<part id="P1">{upper[0]}</part>', "", 1)
    gap = gap.replace("<measure", f'<measure number="0"><part id="P1">{upper[0]}</part></measure><measure', 1)
    late = opened(tmp_path, f"<score-timewise>{listing}{gap}</score-timewise>")
    assert (rows(late, 0)[2:], rows(late, 1)) == ([(4, 1, 76), (5, 1, 77)], [(2, 2, 48), (4, 2, 50)])


def test_what_stands_around_the_notes_is_passed_over(tmp_path):
    around = (
        "<work><work-title>x</work-title></work><defaults><scaling><millimeters>7</millimeters></scaling></defaults>"
        "<credit><credit-words>note</credit-words></credit>"
    )
    text = SCORE.replace("<part-list>", around + "<part-list><part-group type='start'/>")
    text = text.replace("<note>", '<print><measure-layout/></print><listening/><link/><note default-x="1">', 1)
    lyric = "<lyric><syllabic>single</syllabic><text>duration</text></lyric><notations><slur/></notations></note>"
    assert rows(opened(tmp_path, text.replace("</note>", lyric))) == RIGHT


def test_notes_folded_by_hand_and_by_the_reader_are_the_same(tmp_path):
    """Every order and every mark that the folding knows, with and without the one letter that keeps it away."""
    plain = (
        '<note default-x="5" dynamics="50">\n <chord/>\n<pitch><step>B</step><alter>-1</alter><octave>3</octave></pitch>'
        "<duration>1</duration><voice>1</voice><type>quarter</type><dot/><accidental>flat</accidental>"
        "<time-modification><actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification>"
        '<stem default-y="3">up</stem><staff>2</staff><beam number="1">begin</beam><notations><tied type="start"/>'
        "</notations></note>"
    )
    text = score([attributes("2/4") + note("C4") + plain + note("D4")])
    assert b"folded" in folded(text.encode())
    kept = text.replace("<step>", "<step >")
    assert folded(kept.encode()).count(b"folded") == 0
    assert opened(tmp_path, text) == opened(tmp_path, kept)
    assert rows(opened(tmp_path, text)) == [(0, 1, 58), (0, 1, 60), (1, 1, 62)]
    forged = text.replace("<note>", '<note folded=",C,,9,,4,">')
    assert heights(opened(tmp_path, forged))[0] in (58, 120)  # harmless, and never an error


def test_an_error_names_the_line_of_the_file_also_behind_folded_notes(tmp_path):
    lines = "\n".join(f"<note>\n<rest/>\n<duration>1</duration>\n<voice>{i}</voice>\n</note>" for i in range(20))
    text = f"<score-partwise><part id='P1'><measure>\n{lines}\n<oops></measure></part></score-partwise>"
    assert refused(tmp_path, text, "bad.xml") == "is not well-formed XML (line 102: mismatched tag)"


def test_a_chunk_may_end_anywhere(tmp_path, monkeypatch):
    bar = attributes("2/4", divisions=1680) + note("C#4", 1680) + note("D4", 1680, "<tie type='start'/>")
    text = score([bar + '<sound tempo="123.5"/>'] * 3, listing=listed("P1", "Violoncello"))
    whole = opened(tmp_path, text)
    assert rows(whole)[:2] == [(0, 1, 61), (1, 1, 62)]
    for size in (1, 2, 7, 100):
        monkeypatch.setattr("musicgen.io.scores.musicxml.archive.CHUNK", size)
        assert opened(tmp_path, text) == whole
        assert kinds(opened(tmp_path, text)) == kinds(whole)
