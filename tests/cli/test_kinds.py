"""`generate --kind`: what is typical of a kind, where nothing else is asked for."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from musicgen.cli.generate import command
from musicgen.cli.kinds import KINDS, settle
from musicgen.cli.main import cli
from musicgen.gm import find_program
from musicgen.io import read
from musicgen.sampling.source import Source

NOTHING = {"tempo": None, "meter": None, "tracks": None, "model": "default"}


def test_the_command_offers_every_kind():
    (option,) = [p for p in command.params if p.name == "kind"]
    assert list(option.type.choices) == list(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_kind_draws_what_can_be_asked_for(kind):
    settled = [settle(kind, NOTHING, seed=seed, known={"default"}, is_asked=False) for seed in range(40)]
    for options in settled:
        Source.nothing(tempo=options["tempo"], meter=options["meter"])
        assert KINDS[kind].slowest <= options["tempo"] <= KINDS[kind].fastest
        assert [find_program(name) for name in options["tracks"].split(",")]
    assert {options["meter"] for options in settled} == set(KINDS[kind].meters)
    assert len({options["tempo"] for options in settled}) > 10
    assert settled[7] == settle(kind, NOTHING, seed=7, known={"default"}, is_asked=False)


def test_what_is_asked_for_stays():
    asked = {"tempo": 200.0, "meter": "5/4", "tracks": "harp", "model": "mine"}
    assert settle("band", asked, seed=1, known={"default", "folk"}, is_asked=True) == asked


def test_a_kind_brings_its_model_where_it_is_known():
    folk = settle("folk", NOTHING, seed=1, known={"default", "folk"}, is_asked=False)
    assert (folk["model"], folk["tracks"]) == ("folk", None)
    assert settle("folk", NOTHING, seed=1, known={"default"}, is_asked=False)["tracks"] == "violin"
    other = settle("folk", NOTHING, seed=1, known={"default", "folk"}, is_asked=True)
    assert (other["model"], other["tracks"]) == ("default", "violin")


def test_the_command_writes_the_tempo_and_meter_of_its_kind(tmp_path):
    out = tmp_path / "choir.mid"
    call = ["generate", "--kind", "choir", "--bars", "1", "--seed", "3", "-m", "default", "-o", str(out), "--json"]
    done = CliRunner().invoke(cli, call)
    assert done.exit_code == 0, done.output
    (facts,) = json.loads(done.stdout)
    piece = read(out)
    expected = settle("choir", NOTHING, seed=3, known=set(), is_asked=True)
    assert facts["seed"] == 3
    assert round(60e6 / piece.tempo_at(0)) == expected["tempo"]
    assert "/".join(map(str, piece.meter_at(0))) == expected["meter"]
    assert {track.program for track in piece.tracks if len(track.notes)} == {52}
