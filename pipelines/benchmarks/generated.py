"""Music made in code: deterministic pieces for benchmarks, where no data are at hand or a size has to be exact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musicgen.io import write
from musicgen.piece import METER, NOTE, TEMPO, Piece, Track, notes_array

__all__ = ["made_piece", "nine_tracks", "write_pieces"]

QUARTER = 480
SCALE = np.array([0, 2, 4, 5, 7, 9, 11])


def made_piece(seed: int, *, notes: int, tracks: int = 2) -> Piece:
    """About `notes` notes on `tracks` tracks: steps and leaps in C major on an uneven grid, chords of one to four.

    No two seeds give the same piece, so a corpus of them holds no duplicates; the notes of one seed never change.
    """
    made = []
    for n in range(tracks):
        rng = np.random.default_rng((seed, n))
        count = notes // tracks
        # A rhythm of sixteenths to halves, with chords where the step is 0, a little off the grid as played music is.
        steps = rng.choice([0, 120, 120, 240, 240, 480, 960], count)
        start = np.cumsum(steps) + rng.integers(0, 8, count)
        degree = 28 - 7 * n + np.clip(np.cumsum(rng.integers(-3, 4, count)) % 21, 0, 20)
        rows = np.zeros(count, NOTE)
        rows["start"] = start - start.min()
        rows["duration"] = rng.choice([110, 230, 470, 940], count)
        rows["pitch"] = 12 + 12 * (degree // 7) + SCALE[degree % 7]
        rows["velocity"] = rng.integers(40, 110, count)
        made.append(Track(name=f"part {n + 1}", program=int(rng.integers(0, 80)), notes=notes_array(rows)))
    meters, tempos = np.array([(0, 4, 4)], METER), np.array([(0, 500_000)], TEMPO)
    return Piece(QUARTER, tuple(made), tempos=tempos, meters=meters)


def write_pieces(folder: Path, *, files: int, notes: int) -> None:
    """`files` different pieces of about `notes` notes as 0000.mid and so on in `folder`, which is made."""
    folder.mkdir(parents=True)
    for seed in range(files):
        write(made_piece(seed, notes=notes), folder / f"{seed:04d}.mid")


def nine_tracks(seconds: float = 180.0, *, programs: Sequence[int] = (0, 24, 32, 48, 40, 42, 56, 61)) -> Piece:
    """Eight instruments in four-part chords, runs and a bass, and drums in sixteenths, at 120 quarters a minute.

    The key changes every four bars, and velocities vary, so that a player can't live off a few sounds it kept.
    """
    quarters = int(seconds * 2)
    roots = np.array([48, 45, 41, 43])  # C a F G, a bar each
    runs = np.array([0, 7, 12, 16, 19, 16, 12, 7])
    tracks = []
    for n, program in enumerate(programs):
        rng = np.random.default_rng(n)
        bass, chords = n == 2, n in (3, 4, 5)  # strings hold, the others move
        grid = 4.0 if chords else (0.5, 0.25, 1.0)[n % 3]
        times = np.arange(0, quarters, grid)
        bar = (times // 4).astype(int)
        root = roots[bar % 4] + bar // 4 * 7 % 12 - (12 if bass else 0)
        rows = []
        for interval in (0, 4, 7, 12) if chords else (0,):
            part = np.zeros(len(times), NOTE)
            part["start"] = (times * QUARTER).astype(np.int64)
            part["duration"] = int(grid * QUARTER * 0.95)
            part["pitch"] = root + interval + (0 if bass or chords else runs[np.arange(len(times)) % 8])
            part["velocity"] = rng.integers(50, 110, len(times))
            rows.append(part)
        tracks.append(Track(name=f"part {n + 1}", program=program, notes=notes_array(np.concatenate(rows))))
    times = np.arange(0, quarters, 0.25)
    hats = np.zeros(len(times), NOTE)
    hats["start"], hats["duration"] = (times * QUARTER).astype(np.int64), 60
    hats["velocity"] = np.random.default_rng(len(programs)).integers(50, 110, len(times))
    hats["pitch"] = np.where(times % 2 == 0, 36, np.where(times % 2 == 1, 38, 42))
    tracks.append(Track(name="drums", is_drum=True, notes=notes_array(hats)))
    tempos, meters = np.array([(0, 500_000)], TEMPO), np.array([(0, 4, 4)], METER)
    return Piece(QUARTER, tuple(tracks), tempos=tempos, meters=meters)
