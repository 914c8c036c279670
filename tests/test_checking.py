"""Checks of takes in holes: which parts were written, what stays, and both edges."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from part_pieces import tune
from uniform_parts import composer

from musicgen import Source, write
from musicgen.checking import Finding, check
from musicgen.cli.main import cli
from musicgen.io.smf import Events, parse_smf, smf_bytes
from musicgen.piece import Span, notes_array
from musicgen.seams import key_faults

BAR = 960  # ticks of tune()


def finding(path: Path, name: str) -> Finding:
    (found,) = [each for each in check(path, source=path.with_name("song.mid")).findings if each.name == name]
    return found


@pytest.fixture
def twins(tmp_path) -> Path:
    """A take in which the second of two parts with one name and instrument was written anew in two bars."""
    piece = tune(5, bars=12)
    named = [replace(track, name="Fiddle") if n < 2 else track for n, track in enumerate(piece.tracks)]
    write(replace(piece, tracks=tuple(named)), tmp_path / "song.mid")
    (take,) = composer().infill(Source.read(tmp_path / "song.mid"), begin=4, end=6, tracks="2", seed=1)
    take.save(tmp_path / "take.mid")
    return tmp_path / "take.mid"


def louder(path: Path, track: int) -> None:
    """Make the first note of a track that begins in the hole louder by one."""
    midi = parse_smf(path.read_bytes())
    rows = midi.tracks[track].rows.copy()
    on = (rows["status"] & 0xF0 == 0x90) & (rows["data2"] > 0) & (rows["tick"] >= 4 * BAR)
    rows["data2"][on.argmax()] += 1
    tracks = [Events(rows, each.blobs) if n == track else each for n, each in enumerate(midi.tracks)]
    path.write_bytes(smf_bytes(replace(midi, tracks=tuple(tracks))))


def test_of_parts_with_one_name_only_the_one_that_was_written_may_change_in_the_hole(twins):
    assert finding(twins, "preservation").passed
    louder(twins, 2)  # the part that was written: a file's first track has the tempo
    assert finding(twins, "preservation").passed
    louder(twins, 1)
    found = finding(twins, "preservation")
    assert not found.passed
    assert found.said.startswith("1 of ")


def test_both_edges_of_a_hole_are_tested_and_what_is_amiss_is_told(twins):
    report = check(twins, source=twins.with_name("song.mid"))
    assert [each.name for each in report.findings[:4]] == ["validity", "seam", "seam behind", "fit"]
    midi = parse_smf(twins.read_bytes())
    rows = midi.tracks[2].rows.copy()
    new = (rows["tick"] >= 4 * BAR) & (rows["tick"] <= 6 * BAR)
    rows["tick"][np.flatnonzero(new & (rows["status"] & 0xF0 == 0x80))[-1]] = 6 * BAR + 240  # where the last note ends
    tracks = [
        Events(rows[np.argsort(rows["tick"], kind="stable")], each.blobs) if n == 2 else each
        for n, each in enumerate(midi.tracks)
    ]
    twins.write_bytes(smf_bytes(replace(midi, tracks=tuple(tracks))))
    result = CliRunner().invoke(cli, ["check", str(twins), "--json"])
    assert result.exit_code == 4
    (found,) = [each for each in json.loads(result.stdout)["findings"] if each["name"] == "seam behind"]
    assert not found["passed"]
    assert {
        "kind": "spilling",
        "part": 2,
        "said": "part 2 (Fiddle): 1 note sounding on past the last new bar",
    } in found["faults"]


def test_controllers_that_came_into_the_source_s_channels_are_told(twins):
    midi = parse_smf(twins.read_bytes())
    rows = np.append(midi.tracks[2].rows, midi.tracks[2].rows[-1:])
    rows[-2] = (5 * BAR, 0xB1, 64, 127, -1)  # a pedal that stays down
    rows = rows[np.argsort(rows["tick"], kind="stable")]
    tracks = [Events(rows, each.blobs) if n == 2 else each for n, each in enumerate(midi.tracks)]
    twins.write_bytes(smf_bytes(replace(midi, tracks=tuple(tracks))))
    assert finding(twins, "preservation").said.startswith("1 of ")


def test_notes_of_another_key_and_clashes_are_faults():
    scale = [0, 2, 4, 5, 7, 9, 11]
    given = notes_array([(480 * n, 480, 60 + scale[n % 7], 80) for n in range(160)])
    new = notes_array([(480 * n, 480, 48 + scale[n % 7], 80) for n in range(160)])
    span = Span(64 * 480, 80 * 480, is_open=False)

    def told(notes: np.ndarray) -> list[str]:
        return [fault.kind for fault in key_faults(notes, given, span, reach=64 * 480, ticks_per_quarter=480)]

    assert told(new) == []
    inside = (new["start"] >= span.begin) & (new["start"] < span.end)
    new["pitch"][inside] += 1
    assert told(new) == ["clash", "key"]
