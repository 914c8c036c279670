"""`musicgen.humanise` and the command: notes played, everything else as it was."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from expression_checks import problems

import musicgen
from musicgen.cli.main import cli
from musicgen.errors import UnreadableError, UsageError
from musicgen.io.midi import midi_from_piece
from musicgen.io.smf import parse_smf, smf_bytes
from musicgen.piece import CONTROL, Piece, Track, notes_array
from musicgen.runs.expression import load_expression, save_expression

MELODY = notes_array([(240 * k, 240, 60 + (5 * k) % 12 + 12 * (k % 7 == 0), 80) for k in range(64)])
CHORDS = notes_array([(960 * k, 960, p + 2 * (k % 3), 80) for k in range(16) for p in (48, 52, 55)])
KIT = notes_array([(240 * k, 60, p, 100) for k in range(64) for p in ((36, 42), (42,), (38, 42), (42,))[k % 4]])


def song() -> Piece:
    tracks = Track("lead", 73, False, MELODY), Track("piano", 0, False, CHORDS), Track("kit", 0, True, KIT)
    return Piece(480, tracks)


def test_notes_are_played_and_nothing_else_changes(tmp_path):
    piece = song()
    (tmp_path / "song.mid").write_bytes(smf_bytes(midi_from_piece(piece)))
    take = musicgen.humanise(tmp_path / "song.mid", seed=4)
    assert problems(midi_from_piece(piece), parse_smf(smf_bytes(take.midi))) == []
    for track in take.piece.tracks:
        assert track.notes["velocity"].std() > 3
    assert take.facts["notes_changed"] > 0.9 * piece.n_notes
    assert all(2 < part["moved_ms"] < 30 for part in take.facts["parts"])
    assert take.facts["pedal_changes"] == (take.piece.tracks[1].controls["number"] == 64).sum() > 4
    assert "CC BY 4.0" in take.facts["licence"]
    assert take.facts["shipping"] == {"may_ship": True, "reasons": []}


def test_the_backbeat_is_louder_than_the_hat():
    kit = musicgen.humanise(song(), seed=1, strength=1).piece.tracks[2].notes
    mean = {pitch: kit["velocity"][kit["pitch"] == pitch].mean() for pitch in (36, 38, 42)}
    assert mean[38] > mean[42] + 10


def test_a_take_is_a_function_of_its_seed():
    one, same, other = (musicgen.humanise(song(), seed=seed) for seed in (7, 7, 8))
    assert smf_bytes(one.midi) == smf_bytes(same.midi) != smf_bytes(other.midi)
    assert one.facts == same.facts


def test_strength_goes_from_nothing_to_all():
    assert smf_bytes(musicgen.humanise(song(), strength=0).midi) == smf_bytes(midi_from_piece(song()))
    spreads = [
        musicgen.humanise(song(), strength=strength, seed=2).piece.tracks[0].notes["velocity"].std()
        for strength in (0.2, 0.6, 1.0)
    ]
    assert spreads == sorted(spreads)
    for wrong in (-0.1, 1.5, float("nan"), True, "much"):
        with pytest.raises(UsageError, match="the strength is"):
            musicgen.humanise(song(), strength=wrong)


def test_only_parts_that_are_named_change():
    piece = song()
    take = musicgen.humanise(piece, tracks="kit")
    assert take.piece.tracks[:2] == piece.tracks[:2]
    assert take.piece.tracks[2] != piece.tracks[2]
    with pytest.raises(UsageError, match="no part plays 'violin'"):
        musicgen.humanise(piece, tracks="violin")


def test_what_was_played_by_hands_stays_unless_it_is_named():
    random = np.random.default_rng(0)
    rows = [
        (240 * k + int(random.integers(-25, 25)) + 30, 200, 60 + k % 12, int(random.integers(40, 110)))
        for k in range(64)
    ]
    played = Track("played", 0, False, notes_array(rows))
    piece = Piece(480, (played, Track("kit", 0, True, KIT)))
    take = musicgen.humanise(piece)
    assert take.piece.tracks[0] == played
    assert any("played" in line and "loudness and timing of its own" in line for line in take.facts["warnings"])
    with pytest.raises(UsageError, match="every part has loudness and timing of its own"):
        musicgen.humanise(Piece(480, (played,)))
    assert musicgen.humanise(Piece(480, (played,)), tracks="1").piece.tracks[0] != played


def test_a_pedal_that_is_there_stays_and_none_is_added_where_none_is_wanted():
    pedal = np.array([(0, 64, 127), (900, 64, 0)], CONTROL)
    piece = Piece(480, (Track("piano", 0, False, CHORDS, pedal),))
    assert np.array_equal(musicgen.humanise(piece).piece.tracks[0].controls, pedal)
    assert musicgen.humanise(song(), pedal=False).facts["pedal_changes"] == 0


def test_few_ticks_leave_only_loudness_and_say_so():
    piece = Piece(24, (Track("lead", 73, False, notes_array([(12 * k, 12, 60 + k % 12, 80) for k in range(64)])),))
    take = musicgen.humanise(piece)
    assert np.array_equal(take.piece.tracks[0].notes["start"], piece.tracks[0].notes["start"])
    assert take.piece.tracks[0].notes["velocity"].std() > 3
    assert any(line.startswith("coarse: 24 ticks") for line in take.facts["warnings"])


def test_a_full_level_makes_room_for_accents():
    piece = Piece(480, (Track("lead", 73, False, notes_array([(240 * k, 240, 60 + k % 12, 127) for k in range(64)])),))
    take = musicgen.humanise(piece, strength=1)
    assert take.facts["level_lowered"] > 5
    assert (take.piece.tracks[0].notes["velocity"] == 127).mean() < 0.1


def test_the_command_writes_takes_with_facts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "song.mid").write_bytes(smf_bytes(midi_from_piece(song())))
    done = CliRunner().invoke(cli, ["humanise", "song.mid", "--seed", "3", "-n", "2"])
    assert done.exit_code == 0, done.output
    assert "song.humanised.1.mid" in done.output
    facts = json.loads((tmp_path / "song.humanised.2.json").read_text())
    assert (facts["seed"], facts["settings"]["strength"]) == (4, 0.7)
    assert (tmp_path / "song.humanised.2.mid").read_bytes() == smf_bytes(musicgen.humanise("song.mid", seed=4).midi)
    again = CliRunner().invoke(cli, ["humanise", "song.mid", "-o", "song.mid", "--overwrite"])
    assert again.exit_code == 2
    assert (tmp_path / "song.mid").read_bytes() == smf_bytes(midi_from_piece(song()))


def test_rubato_bends_the_tempo_and_no_note_changes_its_tick(tmp_path):
    piece = song()
    steady, bent = (musicgen.humanise(piece, seed=3, rubato=depth) for depth in (0, 0.8))
    assert bent.piece.tracks == steady.piece.tracks
    assert len(bent.piece.tempos) > 5 > len(steady.piece.tempos)
    assert np.array_equal(bent.piece.meters, steady.piece.meters)
    assert [part["moved_ms"] for part in bent.facts["parts"]] == [part["moved_ms"] for part in steady.facts["parts"]]
    before, after = bent.facts["seconds"]
    assert before < after < 1.3 * before
    assert bent.facts["settings"]["rubato"] == 0.8
    (tmp_path / "song.mid").write_bytes(smf_bytes(midi_from_piece(piece)))
    only = musicgen.humanise(tmp_path / "song.mid", strength=0, rubato=1).piece
    assert only.tracks == musicgen.read(tmp_path / "song.mid").tracks
    assert len(only.tempos) == len(bent.piece.tempos)


def test_rubato_is_refused_where_there_is_no_tempo_and_drums_keep_theirs(tmp_path):
    with pytest.raises(UsageError, match="the rubato is 2"):
        musicgen.humanise(song(), rubato=2)
    frames = replace(midi_from_piece(song()), division=0xE728)  # 25 frames a second, 40 ticks each
    (tmp_path / "frames.mid").write_bytes(smf_bytes(frames))
    with pytest.raises(UsageError, match=r"frames.mid: the file counts in seconds and has no tempo that could bend"):
        musicgen.humanise(tmp_path / "frames.mid", rubato=0.5)
    take = musicgen.humanise(Piece(480, (Track("kit", 0, True, KIT),)), rubato=1)
    assert len(take.piece.tempos) == 0
    assert "rubato: drums alone keep their tempo" in take.facts["warnings"]


def test_models_of_either_kind_are_told_apart(tmp_path):
    run = load_expression("humanise")
    assert run.card["parameters"] < 400_000
    assert sum(path.stat().st_size for path in run.folder.iterdir()) < 1_000_000
    with pytest.raises(UnreadableError, match="no model of how notes are played"):
        load_expression("default")
    with pytest.raises(UnreadableError, match="continues nothing"):
        musicgen.Composer.load("humanise")
    shown = CliRunner().invoke(cli, ["models", "show", "humanise"])
    assert "Groove MIDI Dataset" in shown.output
    save_expression(tmp_path, performers=run.performers, card=run.card)
    assert load_expression(tmp_path).sha256 == run.sha256
    (tmp_path / "expression.json").write_text("{}")
    with pytest.raises(UnreadableError, match=r"expression.json is not the file that its manifest names"):
        load_expression(tmp_path)
