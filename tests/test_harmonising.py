"""`musicgen.harmonise` and the command: the melody as it was, and chords or voices beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from translate_pieces import QUARTER, chorale, corpus_of, lead_sheet, notes, run_of, tune_with_chords

import musicgen
from musicgen.chords import chord_of
from musicgen.cli import harmonise as command
from musicgen.cli.main import cli
from musicgen.errors import UsageError
from musicgen.io import read, write
from musicgen.io.midi_writing import midi_bytes
from musicgen.io.scores import read_tune
from musicgen.piece import Piece, Track
from musicgen.tasks.translate.decoding import SEARCHES, Search


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for kind in ("melody-chords", "soprano-atb"):
        run_of(corpus_of(kind, folder / kind), folder / kind / "run", pair=kind, steps=2)
    return {kind: folder / kind / "run" for kind in ("melody-chords", "soprano-atb")}


def melody(tmp_path) -> Piece:
    piece = Piece(QUARTER, (lead_sheet().tracks[0],), meters=lead_sheet().meters)
    write(piece, tmp_path / "tune.mid")
    return piece


def test_the_melody_stays_and_chords_are_told_by_bar_and_beat(runs, tmp_path):
    piece = melody(tmp_path)
    take = musicgen.harmonise(tmp_path / "tune.mid", model=runs["melody-chords"])
    assert take.piece.tracks[0] == piece.tracks[0]
    assert [track.name for track in take.piece.tracks] == ["Tune", "Chords"]
    assert take.facts["part_numbers"] == [2]
    assert take.facts["notes_added"] == len(take.piece.tracks[1].notes) > 0
    assert take.facts["chords"][0][:2] == [1, 1.0]
    tune = read_tune(take.text)
    assert tune.tracks[0].notes["pitch"].tolist() == piece.tracks[0].notes["pitch"].tolist()
    assert tune.chords["symbol"].tolist() == [symbol for _, _, symbol in take.facts["chords"]]
    for bar, beat, symbol in take.facts["chords"]:
        tick = round((2 * (bar - 1) + beat - 1) * QUARTER)
        struck = take.piece.tracks[1].notes
        heard = struck["pitch"][struck["start"] == tick] % 12
        assert set(heard.tolist()) == {k for k in range(12) if chord_of(symbol)[2] >> k & 1}


def test_three_voices_are_parts_below_the_soprano(runs):
    soprano = chorale(12).tracks[0]
    take = musicgen.harmonise(Piece(QUARTER, (soprano,)), model=runs["soprano-atb"])
    assert [track.name for track in take.piece.tracks] == ["S", "Alto", "Tenor", "Bass"]
    assert take.piece.tracks[0] == soprano
    assert {track.program for track in take.piece.tracks} == {52}
    assert take.facts["voice_leading"]["crossings"] == 0
    assert take.text is None
    with pytest.raises(UsageError, match="this take is notes, not ABC text"):
        take.save("take.abc")


def test_takes_that_are_drawn_are_functions_of_their_seed(runs, tmp_path):
    melody(tmp_path)
    how = {"model": runs["melody-chords"], "search": Search("sample")}
    one, same, other = (musicgen.harmonise(tmp_path / "tune.mid", seed=seed, **how) for seed in (3, 3, 4))
    assert np.array_equal(one.notes, same.notes)
    assert not np.array_equal(one.notes, other.notes)


def test_of_several_parts_the_melody_is_named(runs):
    piece = tune_with_chords()
    with pytest.raises(UsageError, match=r"there are 2 parts: 1 acoustic grand piano.*say which one is the melody"):
        musicgen.harmonise(piece, model=runs["melody-chords"])
    take = musicgen.harmonise(piece, model=runs["melody-chords"], melody="2")
    assert take.facts["settings"]["melody"] == 2
    assert [take.piece.tracks[n] == piece.tracks[n] for n in (0, 1)] == [True, True]
    with pytest.raises(UsageError, match="there is no melody"):
        musicgen.harmonise(Piece(), model=runs["melody-chords"])


def test_a_tune_with_an_upbeat_and_a_pause_is_harmonised_to_its_last_bar(runs):
    line = notes([(0.5, 0.5, 60), (1, 1, 64), (6, 2.5, 67)])
    take = musicgen.harmonise(Piece(96, (Track("", 0, False, line),)), model=runs["melody-chords"])
    assert take.piece.tracks[0].notes.tolist() == line.tolist()
    assert take.piece.tracks[1].end <= -(-int((line["start"] + line["duration"]).max()) // 384) * 384


def test_a_tune_keeps_its_title_and_other_music_has_its_name(runs, tmp_path):
    (tmp_path / "tune.abc").write_text("X:1\nT: The  Wind\nM:4/4\nL:1/4\nK:G\nG A B c | d2 G2 |]\n")
    take = musicgen.harmonise(tmp_path / "tune.abc", model=runs["melody-chords"])
    assert "\nT:The Wind\n" in take.text
    melody(tmp_path)
    assert "\nT:tune\n" in musicgen.harmonise(tmp_path / "tune.mid", model=runs["melody-chords"]).text


def test_the_command_writes_music_and_facts(runs, tmp_path, monkeypatch):
    melody(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = str(runs["melody-chords"])
    done = CliRunner().invoke(cli, ["harmonise", "tune.mid", "-m", model, "-f", "mid,abc"])
    assert done.exit_code == 0, done.output
    assert "tune.harmonised.mid, tune.harmonised.abc:" in done.output
    facts = json.loads((tmp_path / "tune.harmonised.json").read_text())
    assert facts["files"] == ["tune.harmonised.mid", "tune.harmonised.abc"]
    assert facts["settings"]["search"] == "beam"
    assert len(read(tmp_path / "tune.harmonised.mid").tracks) == 2
    takes = CliRunner().invoke(cli, ["harmonise", "tune.mid", "-m", model, "-n", "2", "--seed", "5", "--json"])
    assert [fact["seed"] for fact in json.loads(takes.stdout)] == [5, 6]
    assert (tmp_path / "tune.mid").read_bytes() == midi_bytes(read(tmp_path / "tune.mid"))


@pytest.mark.parametrize(
    ("words", "text", "code"),
    [
        (["tune.mid"], "--model: needs a model that harmonises; train one with `musicgen train CORPUS --task trans", 2),
        (["tune.mid", "-m", "default"], "is no model that harmonises melodies: it predicts notes; give a run of", 3),
        (["absent.mid", "-m", "RUN"], "absent.mid", 3),
        (["tune.mid", "-m", "RUN", "-n", "2", "--search", "beam"], "--takes: a beam search finds one take; leave", 2),
        (["tune.mid", "-m", "RUN", "-o", "tune.mid", "--overwrite"], "tune.mid", 2),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(runs, tmp_path, monkeypatch, words, text, code):
    melody(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = [str(runs["melody-chords"]) if word == "RUN" else word for word in words]
    done = CliRunner().invoke(cli, ["harmonise", *words])
    assert (done.exit_code, text in done.output) == (code, True), done.output
    assert len(done.output.strip().splitlines()) == 1


def test_a_translator_is_shown_by_its_card(runs):
    done = CliRunner().invoke(cli, ["models", "show", str(runs["soprano-atb"]), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["task"] == "translate"


def test_the_command_knows_the_searches_that_there_are():
    assert command.SEARCHES == SEARCHES
