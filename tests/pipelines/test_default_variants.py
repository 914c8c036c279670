"""Versions of pieces that the default model learns from, too: the music stays what it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from part_pieces import random_piece, tune

from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars.voices import is_played

sys.path.insert(0, str(Path(__file__).parents[2] / "pipelines"))
from default_variants import fewer_parts, performed, stretched


def pitches(piece, *, drums: bool = True) -> list[int]:
    return sorted(p for t in piece.tracks if drums or not t.is_drum for p in t.notes["pitch"].tolist())


@pytest.mark.parametrize("seed", range(4))
def test_a_performance_has_the_notes_of_its_score_under_other_fingers(seed):
    score = tune(seed, bars=16)
    played = performed(score, np.random.default_rng(seed), free=False)
    assert pitches(played) == pitches(score)
    assert is_played(played)
    assert not is_played(score)
    assert played.seconds == pytest.approx(score.seconds, rel=0.05)
    at, was = (np.sort(np.concatenate([t.notes["start"] for t in p.tracks])) for p in (played, score))
    assert np.abs(at - was).max() < 0.15 * 960  # of a second, at two quarters a second
    Parts().encode(played)


@pytest.mark.parametrize("seed", range(4))
def test_a_free_performance_is_one_piano_on_a_clock_without_bars(seed):
    score = tune(seed, bars=16)
    played = performed(score, np.random.default_rng(seed), free=True)
    assert pitches(played) == pitches(score, drums=False)
    assert [(t.program, t.is_drum) for t in played.tracks] == [(0, False)]
    assert not len(played.meters)
    assert played.tempos["microseconds"].tolist() == [500_000]
    assert played.seconds == pytest.approx(score.seconds, rel=0.3)
    assert is_played(played)


def test_fewer_parts_are_parts_as_they_were():
    piece = random_piece(1)
    for seed in range(6):
        fewer = fewer_parts(piece, np.random.default_rng(seed))
        assert 0 < len(fewer.tracks) < len(piece.tracks)
        assert all(track in piece.tracks for track in fewer.tracks)
    assert fewer_parts(random_piece(1, programs=(0,), drums=1), np.random.default_rng(0)) is None


def test_a_stretched_recording_is_slower_and_no_other():
    piece = random_piece(2, drums=0)
    slower = stretched(piece, 1.25)
    assert pitches(slower) == pitches(piece)
    assert slower.seconds == pytest.approx(1.25 * piece.seconds, rel=0.01)
    assert np.array_equal(slower.tempos, piece.tempos)
