"""The options that say what music keeps to: they reach the music, and what can't be had is one line and exit code 2."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from musicgen.cli.main import cli
from musicgen.io import read, write
from musicgen.piece import Piece, Track, notes_array
from musicgen.tonality import scale_pitch_classes


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    melody = Track("Tune", 73, notes=notes_array([(i * 240, 240, 65 + (0, 2, 4, 7, 9)[i % 5], 80) for i in range(64)]))
    bass = Track("Bass", 33, notes=notes_array([(i * 480, 480, 41, 80) for i in range(32)]))
    write(Piece(480, (melody, bass)), tmp_path / "song.mid")
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_options_reach_the_music_and_the_sidecar(here):
    made = run(
        "continue", "song.mid", "--bars", 2, "--seed", 1, "--study", 0, "--scale", "F pentatonic", "--range", "Bass=E1-G2",
        "--density", "2-12", "--velocity", "50-70", "--typical-p", 0.9, "--figure-penalty", 2,
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    piece = read(here / "song.continued.mid")
    facts = json.loads((here / "song.continued.json").read_text())
    new = [track.notes[track.notes["start"] >= facts["cut_tick"]] for track in piece.tracks]
    for notes in new:
        assert {int(p) % 12 for p in notes["pitch"]} <= scale_pitch_classes("F pentatonic")
        assert all(50 <= v <= 70 for v in notes["velocity"])
    assert all(28 <= p <= 43 for p in new[1]["pitch"])
    asked = {"key": "F pentatonic", "ranges": ["Bass=E1-G2"], "density": "2-12", "velocity": "50-70"}
    assert asked.items() <= facts["settings"].items()
    assert facts["settings"]["typical_p"] == 0.9


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--key", "C", "--scale", "D dorian"), "--key and --scale are one thing; give one"),
        (("--no-drums", "--kit", "kick"), "--no-drums leaves no drum for --kit; give one of them"),
        (("--kit", "kick"), "--kit: no drums get new notes; let drums play"),
        (("--key", "C", "--chords", "C E7"), "the chord E7 has Ab, which is outside the key C"),
        (("--range", "Bass=F1-F1", "--key", "E"), "no note of E lies between F1 and F1, where fingered electric bass"),
        (("--motif", "40"), "--motif: there is no bar 40; the piece has 8 bars"),
        (("--density", "9-4"), "density '9-4' is no range; give the fewest and the most notes of a bar"),
    ],
)
def test_what_cannot_be_had_is_one_line_and_nothing_is_written(here, options, text):
    refused = run("continue", "song.mid", *options)
    assert refused.exit_code == 2
    (line,) = [line for line in refused.stderr.splitlines() if line.strip()]
    assert text in line
    assert [path.name for path in here.iterdir()] == ["song.mid"]
