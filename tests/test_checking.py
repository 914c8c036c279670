"""Checks of takes in holes: which parts were written, what stays, and both edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from part_pieces import tune
from uniform_parts import composer

from musicgen import Source, write
from musicgen.checking import Finding, check
from musicgen.io.smf import Events, parse_smf, smf_bytes

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
