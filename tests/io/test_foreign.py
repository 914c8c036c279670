"""What other programs save is told by name, with what to export; and is found by every command that reads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from musicgen.cli.main import cli
from musicgen.corpus.build import build_corpus
from musicgen.errors import UnreadableError
from musicgen.io import MIDI_SUFFIXES, SCORE_SUFFIXES, read, write
from musicgen.io.foreign import BUNDLES, FOREIGN_SUFFIXES, KNOWN, PROJECTS
from musicgen.piece import Piece, Track, notes_array

PROGRAMS = {
    "mscz": "MuseScore", "mscx": "MuseScore", "als": "Ableton Live", "flp": "FL Studio", "gp": "Guitar Pro",
    "gp3": "Guitar Pro", "gp5": "Guitar Pro", "gpx": "Guitar Pro", "ptx": "Pro Tools", "cpr": "Cubase",
    "logicx": "Logic", "band": "GarageBand", "sib": "Sibelius", "musx": "Finale", "mus": "Finale", "rpp": "REAPER",
    "ly": "LilyPond", "dorico": "Dorico", "mei": "MEI", "nwc": "NoteWorthy", "xm": "tracker", "PTX": "Pro Tools",
}  # fmt: skip


def tune(begin: int) -> Piece:
    return Piece(480, (Track("", 0, notes=notes_array([(i * 240, 240, begin + i % 7, 80) for i in range(16)])),))


@pytest.mark.parametrize(("suffix", "program"), PROGRAMS.items())
def test_reading_names_the_program_and_what_to_export(tmp_path, suffix, program):
    path = tmp_path / f"song.{suffix}"
    path.write_bytes(b"\x00\x01whatever")
    with pytest.raises(UnreadableError) as caught:
        read(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: is ")
    assert program in line
    assert "MIDI" in line or "MusicXML" in line
    assert "\n" not in line


@pytest.mark.parametrize("suffix", ["mp3", "wav", "flac", "m4a", "aiff", "mp4"])
def test_a_recording_holds_no_notes(tmp_path, suffix):
    (tmp_path / f"song.{suffix}").write_bytes(b"ID3")
    with pytest.raises(UnreadableError, match=r"it holds sound, not notes; transcribe it to MIDI first"):
        read(tmp_path / f"song.{suffix}")


@pytest.mark.parametrize("command", [["inspect"], ["continue"], ["render", "-o", "out.wav"]])
@pytest.mark.parametrize("name", ["song.als", "song.logicx"])
def test_commands_say_it_in_one_line(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.als").write_bytes(b"\x1f\x8b")
    (tmp_path / "song.logicx").mkdir()
    result = CliRunner().invoke(cli, [*command, name])
    assert result.exit_code == 3
    said = "is an Ableton Live set; in Live" if name == "song.als" else "is a Logic project; in Logic"
    assert result.stderr.startswith(f"musicgen: {name}: {said}")
    assert len(result.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["song.als", "song.logicx"]


def test_a_corpus_counts_them_as_rejected_with_the_reason(tmp_path):
    songs = tmp_path / "songs"
    (songs / "album.band" / "Media").mkdir(parents=True)
    write(tune(50), songs / "album.band" / "Media" / "take.mid")  # a part of the project, not a piece of its own
    for n in range(4):
        write(tune(60 + n), songs / f"{n}.mid")
    for name in ("a.flp", "b.MP3", "cover.png", "words.txt"):
        (songs / name).write_bytes(b"x")
    corpus = build_corpus([songs], tmp_path / "corpus", jobs=1)
    facts = corpus.info()
    assert facts["pieces"] == 4
    rejected = {row["source"]: row["reason"] for row in facts["rejected"]}
    assert sorted(rejected) == ["songs/a.flp", "songs/album.band", "songs/b.MP3"]
    assert rejected["songs/a.flp"] == "is an FL Studio project; in FL Studio choose File > Export > MIDI file"
    assert rejected["songs/album.band"].startswith("is a GarageBand project; ")


def test_a_folder_of_nothing_else_says_what_to_export(tmp_path):
    (tmp_path / "songs").mkdir()
    (tmp_path / "songs" / "one.cpr").write_bytes(b"RIFF")
    with pytest.raises(UnreadableError, match=r"songs/one\.cpr: is a Cubase or Nuendo project"):
        build_corpus([tmp_path / "songs"], tmp_path / "corpus", jobs=1)


def test_what_is_midi_inside_is_read_whatever_its_name(tmp_path):
    write(tune(60), tmp_path / "tune.mid")
    (tmp_path / "tune.mid").rename(tmp_path / "tune.song")
    assert read(tmp_path / "tune.song").n_notes == 16
    assert build_corpus([tmp_path / "tune.song"], tmp_path / "corpus", jobs=1).info()["notes"] == 16


def test_what_is_not_there_is_not_called_another_programs(tmp_path):
    with pytest.raises(UnreadableError, match=r"song\.als: no such file"):
        read(tmp_path / "song.als")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"FLhd\x06\0\0\0", "this is an FL Studio project, not MIDI"),
        (b"<REAPER_PROJECT 0.1", "this is a REAPER project, not MIDI"),
        (b"\x18FICHIER GUITAR PRO v5.00", "this is a Guitar Pro tablature, not MIDI"),
        (b"FORM\0\0\0\0AIFF", "this is an AIFF audio file, not MIDI"),
    ],
)
def test_one_that_is_called_mid_is_known_by_how_it_begins(tmp_path, content, said):
    (tmp_path / "song.mid").write_bytes(content)
    with pytest.raises(UnreadableError, match=said):
        read(tmp_path / "song.mid")


def test_nothing_that_is_read_stands_in_the_table():
    assert not set(FOREIGN_SUFFIXES) & {*MIDI_SUFFIXES, *SCORE_SUFFIXES}
    assert set(PROJECTS) < set(FOREIGN_SUFFIXES)
    assert set(BUNDLES) <= set(PROJECTS)
    assert {*MIDI_SUFFIXES, *SCORE_SUFFIXES} | set(FOREIGN_SUFFIXES) == set(KNOWN)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in FOREIGN_SUFFIXES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "song.flp")
    command = [sys.executable, "-m", "musicgen", "inspect", str(tmp_path / "song.flp")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "is an FL Studio project" in done.stderr


def test_a_name_that_is_nearly_there_is_offered(tmp_path):
    write(tune(60), tmp_path / "prelude in c.mid")
    for asked in ("prelude in c", "prelude_in_c.mid", "preludde in c.mid"):
        with pytest.raises(UnreadableError, match=r"no such file; did you mean '.*prelude in c\.mid'\?"):
            read(tmp_path / asked)
    with pytest.raises(UnreadableError, match="no such file; check the path"):
        read(tmp_path / "fugue.mid")
