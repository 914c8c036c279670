"""The page without a browser: what stands in it, what it asks for, what it says, and how large it is."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.cli.outputs import MOST_ON_A_PAGE
from musicgen.errors import UnreadableError, UsageError
from musicgen.io import read
from musicgen.io.midi import midi_bytes
from musicgen.page import MOST_TAKES, Heard, page_html, read_heard, write_page
from musicgen.page.account import heading
from musicgen.page.heard import heard_of
from musicgen.page.sound import sounds
from musicgen.page.writing import MOST_BYTES
from musicgen.piece import METER, Piece, Track, notes_array

VOID = {"meta", "link", "input", "br"}
EVIL = "</script><img src=x onerror=alert(1)>&amp;\u2028\"'"
FACTS = {
    "model": "default", "model_sha256": "ab" * 32, "seed": 7, "settings": {"temperature": 0.7, "key": "Am", "top_k": 0},
    "source": "song.mid", "ticks_per_quarter": 480, "cut_tick": 1920, "notes_kept": 8, "notes_added": 8,
    "bars_added": 2, "seconds_added": 4.0, "warnings": ["bad_key: a key was ignored"], "licence": "MIT (weights)",
    "statistics": {"before": {"notes": 8, "silent_bars": 0.25}, "new": {"notes": 8, "silent_bars": 0.0}},
    "originality": {"longest_match_notes": 5, "source": "a tune"}, "files": ["song.continued.mid"],
}  # fmt: skip


class Page(HTMLParser):
    """The elements of a page; fails where they aren't nested as HTML asks for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def song(*, names: tuple[str, ...] = ("Lead", "Bass"), bars: int = 4) -> Piece:
    """A part a name, a note a beat."""
    tracks = [
        Track(name, program=40 * n, notes=notes_array([(480 * k, 400, 60 - 12 * n, 80) for k in range(2 * bars)]))
        for n, name in enumerate(names)
    ]
    return Piece(480, tuple(tracks), meters=np.array([(0, 2, 4)], METER))


def quiet(*heard: Heard, title: str | None = None) -> str:
    return page_html(heard, title=title, sound=False).html


def data_of(page: Page) -> dict:
    return json.loads(page.texts["script"][: page.texts["script"].index('"use strict"')])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def test_a_page_is_html_whose_ids_are_unique_and_whose_names_lead_somewhere():
    page = Page(quiet(heard_of(song(), name="a", facts=FACTS), heard_of(song(), name="b", facts=FACTS)))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        if name := attributes.get("aria-labelledby"):
            assert name in ids
    assert page.attributes("html") == [{"lang": "en"}]
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert page.texts["title"] == "song, continued from bar 3 (2 takes)"


def test_a_page_may_ask_for_nothing_but_what_is_in_it():
    html = quiet(heard_of(song(), name="a", facts=FACTS))
    page = Page(html)
    (policy,) = [a["content"] for a in page.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for _, attributes in page.elements:
        for key in ("src", "href"):
            assert (attributes.get(key) or "data:").startswith("data:")
        assert not [key for key in attributes if key.startswith("on") or key == "style"]
    assert not re.findall(r"https?://|\bfetch\(|XMLHttpRequest|@import|url\(", html)


def test_text_of_a_file_is_never_markup(tmp_path):
    facts = {
        **FACTS,
        "source": EVIL,
        "licence": EVIL,
        EVIL: {EVIL: [EVIL]},
        "warnings": [EVIL],
        "settings": {"x": EVIL},
    }
    facts["statistics"] = {EVIL: {EVIL: EVIL}}
    html = quiet(heard_of(song(names=(EVIL, "Bass")), name=EVIL, facts=facts), title=EVIL)
    page = Page(html)
    assert page.attributes("img") == []
    assert len(page.attributes("script")) == 2
    assert page.texts["title"] == EVIL
    assert data_of(page)["parts"][0]["name"] == " ".join(EVIL.split())
    caf = tmp_path / "caf\udce9.mid"
    caf.write_bytes(midi_bytes(song()))
    written = write_page(caf, tmp_path / "page.html", sound=False)
    assert "caf\ufffd" in written.html


def test_the_link_saves_the_file_byte_for_byte(tmp_path):
    path = tmp_path / "song.mid"
    path.write_bytes(midi_bytes(song()) + b"behind the last track")
    page = Page(write_page(path, tmp_path / "song.html", sound=False).html)
    (link,) = page.attributes("a")
    assert link["download"] == "song.mid"
    kind, _, text = str(link["href"]).partition(",")
    assert kind == "data:audio/midi;base64"
    assert base64.b64decode(text) == path.read_bytes()


def test_the_account_is_in_words():
    text = " ".join(unescape(re.sub(r"<[^>]*>", " ", quiet(heard_of(song(), name="a", facts=FACTS)))).split())
    for said in (
        "song.mid, continued from bar 3", "16 notes, 2 parts, 4 bars, 0:04", "8 notes in 2 bars, 4.0 seconds",
        "8 notes of song.mid", "a key was ignored", "default, weights abababababab…", "MIT (weights)", "7; the same seed",
        "temperature 0.7 · key Am", "silent bars 25 % 0 %", "Longest match notes: 5",
    ):  # fmt: skip
        assert said in text, said
    assert "bad_key" not in text.split("All that the sidecar says")[0]
    assert "No sidecar lies beside this file" in quiet(heard_of(song(), name="a"))


def words_of(**facts: object) -> str:
    """What the account says, without the sidecar's own words."""
    html = quiet(heard_of(song(), name="a", facts={**FACTS, **facts})).split("All that the sidecar says")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


MATCH = {
    "notes": 12, "bars": 1.5, "bar": 33, "line": "left:", "source": "suite.mid", "source_bar": 76,
    "licence": "public domain", "turns": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"originality": {"pieces": None, "longest": None, "share": None, "returns": None}}, "not known: no index of"),
        (
            {"originality": {"pieces": 9020, "longest": None, "share": 0.0, "returns": None}},
            "nothing of note in common with the 9,020 pieces that the model learned from",
        ),
        (
            {"originality": {"pieces": 9020, "longest": MATCH, "share": 0.0, "returns": MATCH | {"source": "(the piece itself)"}}},
            "learned from: 12 notes (1.5 bars) from bar 33 on, left, as in suite.mid, bar 76 (public domain) "
            "that is no more than most music has in common "
            "taken up from the piece itself, bar 76: 12 notes (1.5 bars) from bar 33 on, left",
        ),
        (
            {"originality": {"pieces": 9020, "longest": MATCH | {"turns": 30}, "share": 0.25, "returns": None}},
            "25 % of the new notes stand in such stretches of two bars or more",
        ),
        ({"shipping": {"may_ship": True, "reasons": []}}, "May it be passed on? yes, by the licences of what the model"),
        ({"shipping": {"may_ship": False, "reasons": ["GPL: why"]}}, "May it be passed on? no: GPL: why"),
        ({"shipping": {"may_ship": None, "reasons": ["x"]}}, "May it be passed on? not known: x"),
        ({"rest": {"notes": 448, "bars": 35, "kept": False}}, "Behind the cut 35 bars with 448 notes, left out"),
        ({"rest": {"notes": 4, "bars": 1, "kept": True}}, "Behind the cut 1 bar with 4 notes, which follow the new"),
        ({"settings": {"start": 40, "until": 44, "repetition_penalty": 1.0, "top_k": 0}}, "Settings bars 41 to 44 "),
        ({"settings": {"start": 40, "until": 41, "tracks": ["bass"]}}, "Settings bar 41 · tracks bass "),
        ({"settings": {"start": 32, "until": None, "bars": 8}}, "Settings from bar 33 · bars 8 "),
        ({"settings": {"start": 0, "everywhere": True, "add": ["bass"]}}, "Settings add bass "),
    ],
)  # fmt: skip
def test_facts_are_told_in_sentences(facts, said):
    assert said in words_of(**facts)


def test_statistics_stand_beside_those_of_people_in_units_that_are_read():
    new = {"notes": 56, "pitch_range": [25, 73], "mean_pitch": 60.2, "scale_consistency": 0.954, "polyphony": 5.75}
    people = {
        "kind": "band", "pieces": 30, "mean_pitch": [48.0, 60.0, 72.0], "scale_consistency": [0.789, 0.939, 1.0],
        "polyphony": [2.0, 2.0, 2.0],
    }  # fmt: skip
    said = words_of(statistics={"before": {"notes": 0, "bars": 0}, "new": new, "reference": people})
    table = said.split("In numbers")[1]
    for row in (
        "new music 30 pieces by people (band): median, and four in five", "lowest and highest pitch C#1 to C#5 –",
        "mean pitch C4 C4 (C3 to C5)", "notes of one scale 95 % 94 % (79 % to 100 %)", "notes at once 5.75 2",
    ):  # fmt: skip
        assert row in table, row
    assert "before the new music" not in table


@pytest.mark.parametrize(
    ("facts", "title"),
    [
        ({}, "a"),
        ({"cut_tick": 0, "notes_kept": 0}, "New music"),
        ({"cut_tick": 960, "end_tick": 1920}, "song, bar 2 filled in"),
        ({"cut_tick": 960, "end_tick": 2880, "parts_written": ["Bass"]}, "song, bars 2 to 3 filled in for Bass"),
        (
            {"cut_tick": 960, "end_tick": 1920, "parts_written": ["Bass"], "part_numbers": [1]},
            "song, bar 2 filled in for Lead",
        ),
        (
            {"cut_tick": 960, "end_tick": 1920, "parts_written": ["Tuba"], "part_numbers": []},
            "song, bar 2 filled in for Tuba",
        ),
        ({"cut_tick": 0, "end_tick": 3840, "parts_written": ["Bass"]}, "song, with Bass added"),
        (
            {"cut_tick": 0, "end_tick": 3840, "parts_written": ["Bass"], "notes_removed": 3},
            "song, with Bass written anew",
        ),
    ],
)
def test_the_title_says_what_was_done(facts, title):
    kept = {"source": "song.mid", "ticks_per_quarter": 480, "notes_kept": 8, **facts} if facts else {}
    assert heading([heard_of(song(bars=4), name="a", facts=kept)]) == title


def test_new_music_is_told_apart_by_span_and_part():
    facts = {**FACTS, "cut_tick": 960, "end_tick": 1920, "parts_written": ["Bass"]}
    (take,) = data_of(Page(quiet(heard_of(song(bars=8), name="a", facts=facts))))["takes"]
    assert take["span"] == [1000, 2000]
    assert take["loop"] == [0, 4000]
    assert [part["is_new"] for part in take["parts"]] == [False, True]
    assert take["parts"][1]["notes"][:8] == [0, 417, 48, 80, 500, 417, 48, 80]
    assert take["bars"] == [1000 * n for n in range(8)]


def test_of_parts_with_one_name_the_one_that_was_written_is_marked():
    facts = {**FACTS, "cut_tick": 960, "end_tick": 1920, "parts_written": ["Violin"]}
    piece = replace(song(bars=8), tracks=(song(names=("Violin",), bars=8).tracks * 2))
    for more, marked in (
        ({"part_numbers": [2]}, [False, True]),
        ({}, [True, True]),
        ({"part_numbers": [9]}, [True] * 2),
    ):
        heard = heard_of(piece, name="a", facts={**facts, **more})
        (take,) = data_of(Page(quiet(heard)))["takes"]
        assert [part["is_new"] for part in take["parts"]] == marked
    assert (
        heading([heard_of(piece, name="a", facts={**facts, "part_numbers": [2]})])
        == "song, bar 2 filled in for Violin 2"
    )


def test_parts_of_several_takes_are_one_and_keep_their_colour():
    one, two = song(), song(names=("Other", "Bass"))
    two = replace(two, tracks=(two.tracks[0], song().tracks[1]))
    data = data_of(Page(quiet(heard_of(one, name="a"), heard_of(two, name="b"))))
    assert [part["name"] for part in data["parts"]] == ["Lead", "Bass", "Other"]
    assert [part["part"] for part in data["takes"][1]["parts"]] == [2, 1]
    for take in data["takes"]:
        colours = [data["parts"][part["part"]]["colour"] for part in take["parts"]]
        assert len(set(colours)) == len(colours)


def test_four_takes_of_a_band_keep_to_the_size_of_a_page():
    """Eight parts, five notes a second each, with drums: a quarter of a minute in a quarter of the bytes."""
    notes = [[(192 * k, 180, 38 + 5 * n + k % 7, 90) for k in range(150)] for n in range(8)]
    parts = [Track("", 8 * n, n == 7, notes_array(rows)) for n, rows in enumerate(notes)]
    heard = [heard_of(Piece(960, tuple(parts)), name=f"take {n}", facts=FACTS) for n in range(4)]
    assert heard[0].piece.seconds == pytest.approx(15, abs=0.1)
    assert MOST_BYTES < 5_000_000
    page = page_html(heard, most_bytes=MOST_BYTES // 4)
    assert page.warnings == ()
    assert 300_000 < len(page.html.encode()) < MOST_BYTES // 4


def test_sound_that_would_be_too_large_is_made_smaller():
    piece = song(bars=8)
    ((large, seconds),) = sounds([piece], most_bytes=10_000_000)
    ((small, _),) = sounds([piece], most_bytes=len(large) - 1)
    assert len(small) < len(large)
    assert seconds == pytest.approx(piece.seconds, abs=10)


def test_without_a_soundfont_the_page_is_silent_and_says_so(tmp_path, monkeypatch):
    def nothing(path: object) -> Path:
        raise UnreadableError("no SoundFont was found")

    monkeypatch.setattr("musicgen.render.synth.find_soundfont", nothing)
    page = write_page(song(), tmp_path / "a.html")
    assert page.warnings == ("no_sound: no SoundFont was found",)
    assert "There is no sound on this page: no SoundFont was found." in (tmp_path / "a.html").read_text()
    assert Page(page.html).attributes("audio") == []
    monkeypatch.undo()
    with pytest.raises(UnreadableError, match=r"none\.sf2"):
        write_page(song(), tmp_path / "b.html", soundfont="none.sf2")
    assert not (tmp_path / "b.html").exists()


def test_only_a_sidecar_of_ours_is_taken_for_one(tmp_path):
    path, beside = tmp_path / "song.mid", tmp_path / "song.json"
    path.write_bytes(midi_bytes(song()))
    beside.write_text(json.dumps(FACTS))
    assert read_heard(path).facts == FACTS
    beside.write_text('{"name": "of another program"}')
    assert read_heard(path).facts == {}
    beside.write_text("{")
    assert read_heard(path).piece.warnings[-1].startswith("no_account: the facts beside it were left out: ")


def test_a_request_that_makes_no_page_says_why(tmp_path):
    assert MOST_ON_A_PAGE == MOST_TAKES
    with pytest.raises(UsageError, match=r"^a page holds 1 to 32 pieces, not 0; make several pages$"):
        write_page([], tmp_path / "a.html")
    with pytest.raises(UsageError, match=r"a\.txt: a page is HTML; end the name in \.html$"):
        write_page(song(), tmp_path / "a.txt")
    (tmp_path / "a.html").touch()
    done = run("page", "schubert-unfinished", "-o", tmp_path / "a.html")
    assert done.exit_code == 2
    assert done.stderr.endswith("a.html: already exists; pass --overwrite to replace it\n")
    assert "33 takes are too many for a page" in run("continue", "schubert-unfinished", "-f", "html", "-n", 33).stderr


def test_the_command_makes_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("page", "schubert-unfinished", "--no-sound", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == {
        "output": "schubert-unfinished.html", "pieces": 1, "warnings": [],
        "bytes": (tmp_path / "schubert-unfinished.html").stat().st_size,
    }  # fmt: skip


def test_takes_are_written_with_a_page_of_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = ("continue", "schubert-unfinished", "--bars", 1, "--study", 0, "--seed", 1, "-f", "html")
    done = run(*call, "-n", 2, "--json")
    assert done.exit_code == 0, done.output
    name = "schubert-unfinished.continued"
    for number, facts in enumerate(json.loads(done.stdout), 1):
        assert facts["files"] == [f"{name}.{number}.mid", f"{name}.html"]
        assert json.loads((tmp_path / f"{name}.{number}.json").read_text()) == facts
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {f"{name}.html", *(f"{name}.{n}.{kind}" for n in (1, 2) for kind in ("mid", "json"))}
    page = Page((tmp_path / f"{name}.html").read_text())
    for number, link in enumerate(page.attributes("a"), 1):
        saved = base64.b64decode(str(link["href"]).partition(",")[2])
        assert saved == (tmp_path / f"{name}.{number}.mid").read_bytes()
    again = run(*call)
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / f"{name}.3.json").read_text())["files"] == [f"{name}.3.mid", f"{name}.3.html"]
    assert read(tmp_path / f"{name}.3.mid").n_notes > 36
