"""The counts of what breaks a control find what breaks it, and both benchmarks of keeping and joining run."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from musicgen import Source
from musicgen.io import write
from musicgen.piece import METER, Piece, Track, notes_array
from musicgen.sampling.notes import Candidate

BAR = 1920
LINES = BAR * np.arange(12, 15)  # of two new bars


def band(*, bars: int = 24) -> Piece:
    """A lead with chords, a bass and drums, in quarters."""
    lead = [(480 * n, 480, 60 + pitch + n % 5, 80) for n in range(4 * bars) for pitch in (0, 4)]
    bass = [(480 * n, 480, 36 + n % 5, 80) for n in range(4 * bars)]
    kit = [(480 * n, 60, 36 + 2 * (n % 2), 80) for n in range(4 * bars)]
    tables = ((0, False, lead), (33, False, bass), (0, True, kit))
    tracks = tuple(Track("", program, drums, notes_array(rows)) for program, drums, rows in tables)
    return Piece(480, tracks, meters=np.array([(0, 4, 4)], METER))


@pytest.fixture
def violations(module):
    return module("benchmarks", "violations")


def take(*rows: tuple[int, int, int], part: int = 0) -> Candidate:
    """A candidate of notes (start from the first new bar, duration, pitch) of one part."""
    notes = notes_array([(LINES[0] + start, length, pitch, 60) for start, length, pitch in rows])
    program = np.full(len(notes), (0, 33, 128)[part])
    return Candidate(0, notes, program, np.full(len(notes), part), (), 0.0)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("--scale 'D dorian'", [(0, 9, 62)], [(0, 9, 61)]),
        ("--chords 'Am F C G'", [(0, 480, 57), (240, 240, 59)], [(0, 480, 59)]),
        ("--chords 'Am F C G'", [(960, 1920, 57)], [(1440, 960, 64)]),
        ("--pitch-range C3-C5", [(0, 9, 72)], [(0, 9, 73)]),
        ("--density 6-10", [(160 * n, 9, 60) for n in range(24)][::2], [(0, 9, 60)] * 12),
        ("--max-polyphony 3", [(0, 480, 60 + n) for n in range(3)], [(0, 480, 60 + n) for n in range(4)]),
        ("--polyphony PART=1", [(0, 480, 60), (480, 480, 62)], [(0, 481, 60), (480, 480, 62)]),
        ("--velocity 50-70", [(0, 9, 60)], None),
        ("--rhythm-from BAR", [(480 * n, 9, 60) for n in range(8)], [(480 * n, 9, 60) for n in range(7)]),
        ("--motif PART=BAR", [(BAR + 480 * n, 9, 70 + (44 + n) % 5) for n in range(4)], [(BAR, 9, 60)]),
    ],
)
def test_the_counts_find_what_breaks_a_control_and_that_alone(violations, name, good, bad):
    setting = violations.Setting(Source.of_piece(band()), 24)
    _, count = violations.controls(setting)[name]
    assert (setting.start, setting.basses, setting.chordal, setting.motif) == (12, [1], 0, (0, 11))
    assert count(take(*good), LINES)[0] == 0
    louder = take(*good)
    louder.notes["velocity"] = 71
    assert count(louder if bad is None else take(*bad), LINES)[0] > 0


def test_the_counts_of_bass_and_drums(violations):
    controls = violations.controls(violations.Setting(Source.of_piece(band()), 24))
    for name, good, bad, part in (
        ("--range bass=E1-E2", 28, 41, 1),
        ("--kit kick,snare", 36, 42, 2),
        ("--chords 'Am F C G'", 33, 35, 1),
    ):
        assert controls[name][1](take((0, 9, good), part=part), LINES) == (0, 1)
        assert controls[name][1](take((0, 9, bad), part=part), LINES) == (1, 1)
    assert controls["--no-drums"][1](take((0, 9, 36), part=2), LINES) == (1, 1)
    assert controls["--no-drums"][1](take((0, 9, 36), part=1), LINES) == (0, 0)


@pytest.mark.parametrize("more", [(), ("--infill",)])
def test_nothing_of_uniform_logits_breaks_what_it_was_told(violations, tmp_path, monkeypatch, capsys, more):
    threads = torch.get_num_threads()
    write(band(), tmp_path / "band.mid")
    monkeypatch.setattr(sys, "argv", ["violations.py", str(tmp_path / "band.mid"), "--quick", "-m", "uniform", *more])
    assert violations.main() == 0
    torch.set_num_threads(threads)
    told, progress = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("| --")]
    assert [row[0] for row in rows if not row[1].startswith("0 of ")] == ["--key auto --key-strength"]
    assert len(rows) == 13
    assert progress.splitlines()[-1].startswith("18 of 18, ")


def test_planted_faults_at_edges_are_counted(module, tmp_path, monkeypatch, capsys):
    edges = module("benchmarks", "edges")
    write(band(bars=40), tmp_path / "band.mid")
    monkeypatch.setattr(sys, "argv", ["edges.py", str(tmp_path)])
    assert edges.main() == 0
    rows = [line.split("|")[1:4] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    found = {name.strip(): (both.strip(), one.strip()) for name, both, one in rows}
    assert found["true bars"] == ("0.0 %", "0.0 %")
    for planted in ("the last note hangs", "notes spill a beat over the edge", "no notes", "no notes in the last bar"):
        assert found[planted] == ("100.0 %", "100.0 %"), planted
