"""`generate --kind`: what is typical of a kind, where nothing else is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from musicgen.cli.generate import command
from musicgen.cli.kinds import KINDS, settle, settle_like
from musicgen.cli.main import cli
from musicgen.errors import UsageError
from musicgen.gm import find_program
from musicgen.io import read, write
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.sampling.source import Source

NOTHING = {"tempo": None, "meter": None, "tracks": None, "model": "default"}


def test_the_command_offers_every_kind():
    (option,) = [p for p in command.params if p.name == "kind"]
    assert list(option.type.choices) == list(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_kind_draws_what_can_be_asked_for(kind):
    settled = [settle(kind, NOTHING, seed=seed, model="default") for seed in range(40)]
    for options in settled:
        Source.nothing(tempo=options["tempo"], meter=options["meter"])
        assert KINDS[kind].slowest <= options["tempo"] <= KINDS[kind].fastest
        assert [find_program(name) for name in options["tracks"].split(",")]
    assert {options["meter"] for options in settled} == set(KINDS[kind].meters)
    assert len({options["tempo"] for options in settled}) > 10
    assert settled[7] == settle(kind, NOTHING, seed=7, model="default")


def test_what_is_asked_for_stays():
    asked = {"tempo": 200.0, "meter": "5/4", "tracks": "harp", "model": "mine"}
    assert settle("band", asked, seed=1, model="mine") == asked


def test_the_folk_model_takes_no_instruments_and_draws_its_meter():
    settled = settle("folk", NOTHING, seed=1, model="folk")
    assert (settled["tracks"], settled["meter"]) == (None, None)
    assert settled["tempo"]
    assert settle("folk", {**NOTHING, "meter": "6/8"}, seed=1, model="folk")["meter"] == "6/8"
    assert settle("folk", NOTHING, seed=1, model="default")["tracks"] == "violin"


def test_the_command_writes_the_tempo_and_meter_of_its_kind(tmp_path):
    out = tmp_path / "choir.mid"
    call = ["generate", "--kind", "choir", "--bars", "1", "--seed", "3", "-m", "default", "-o", str(out), "--json"]
    done = CliRunner().invoke(cli, call)
    assert done.exit_code == 0, done.output
    (facts,) = json.loads(done.stdout)
    piece = read(out)
    expected = settle("choir", NOTHING, seed=3, model="default")
    assert facts["seed"] == 3
    assert round(60e6 / piece.tempo_at(0)) == expected["tempo"]
    assert "/".join(map(str, piece.meter_at(0))) == expected["meter"]
    assert {track.program for track in piece.tracks if len(track.notes)} == {52}


def test_like_takes_what_is_not_given_from_a_piece(tmp_path):
    notes = notes_array([(480 * n, 480, 60 + n % 5, 80) for n in range(32)])
    tempos, meters = np.array([(0, 600_000)], TEMPO), np.array([(0, 3, 4)], METER)
    tracks = (Track("", 40, notes=notes), Track("", 42, notes=notes), Track("", 0, True, notes))
    write(Piece(480, tracks, tempos, meters), tmp_path / "song.mid")
    options = {"tracks": None, "tempo": None, "meter": None, "study": None, "study_also": ()}
    path = str(tmp_path / "song.mid")
    found = settle_like(path, options)
    assert found["tracks"] == "violin,cello,drums"
    assert (found["tempo"], found["meter"], found["study_also"]) == (100.0, "3/4", (path,))
    asked = settle_like(path, {**options, "tracks": "flute", "tempo": 90.0, "study": 0})
    assert (asked["tracks"], asked["tempo"], asked["meter"], asked["study_also"]) == ("flute", 90.0, "3/4", ())
    write(Piece(480), tmp_path / "empty.mid")
    with pytest.raises(UsageError, match="has no notes to be like; name a piece that has some"):
        settle_like(str(tmp_path / "empty.mid"), options)
