"""Pieces, a slow reference and walks for the tests of the performance tokenizer."""

from __future__ import annotations

import math

import numpy as np
import pytest
from limits import limited

from musicgen.piece import CONTROL, TEMPO, Piece, Track, notes_array
from musicgen.tokenizers import Performance, PerformanceSettings

PLAIN, PEDAL = Performance(), Performance(PerformanceSettings(pedal=True))
both = pytest.mark.parametrize("tokenizer", [PLAIN, PEDAL], ids=["plain", "pedal"])
MAJOR = frozenset({0, 2, 4, 5, 7, 9, 11})


def piece_of(*rows: tuple[int, int, int, int], tempos=(), controls=()) -> Piece:
    track = Track("", 0, False, notes_array(list(rows)), np.array(list(controls), CONTROL))
    return Piece(480, (track,), np.array(list(tempos), TEMPO))


def random_piece(seed: int, *, notes: int = 80, ticks: int = 480) -> Piece:
    """Three parts, drums and pedals; few pitches, so that they overlap; lengths from nothing to half a minute."""
    rng = np.random.default_rng(seed)
    tracks = []
    for program in (0, 40, 73):
        start = rng.integers(0, 30 * ticks, notes)
        length = np.maximum(1, (rng.exponential(1, notes) ** 3 * ticks / 2).astype(int)) % (60 * ticks) + 1
        velocity = rng.choice([1, 20, 21, 90], notes)
        rows = np.stack([start, length, rng.integers(50, 70, notes), velocity], axis=1).tolist()
        tick = np.sort(rng.integers(0, 40 * ticks, 20))
        controls = np.array([(t, 64, rng.integers(0, 128)) for t in tick], CONTROL)
        tracks.append(Track("", program, False, notes_array([tuple(row) for row in rows]), controls))
    tracks.append(Track("", 0, True, notes_array([(0, 1, 38, 100)])))
    tempos = np.array([(0, 400_000), (5 * ticks + 1, 911_111), (9 * ticks, 300_001)], TEMPO)
    return Piece(ticks, tuple(tracks), tempos)


PIECES = {
    "empty": Piece(),
    "drums only": Piece(480, (Track("", 0, True, notes_array([(0, 10, 38, 90)])),)),
    "one note": piece_of((480, 480, 60, 80)),
    "a chord": piece_of(*((0, 480, pitch, 60 + pitch % 3) for pitch in (60, 64, 67))),
    "overlapping": piece_of((0, 960, 60, 80), (480, 960, 60, 20), (480, 200, 60, 90), (1440, 10, 60, 90)),
    "very short": piece_of((0, 1, 60, 80), (3, 1, 60, 80), (6, 1, 60, 81), (6, 1, 61, 80)),
    "long rests": piece_of((960, 10, 60, 80), (960 * 7 + 1, 10, 62, 80), (960 * 9 + 960, 10, 62, 80)),
    "longer than 20 s": piece_of((0, 960 * 30, 60, 80), (960 * 25, 480, 60, 80)),
    "tempo changes": piece_of((0, 480, 60, 80), (480, 480, 62, 80), tempos=[(0, 1_000_001), (240, 777_777)]),
    "pedal": piece_of((0, 480, 60, 80), (480, 480, 60, 80), controls=[(100, 64, 127), (960, 64, 0), (999, 64, 127)]),
    "random": random_piece(0),
    "random, coarse": random_piece(1, ticks=24),
    "random, one tick": random_piece(2, ticks=1),
}
pieces = pytest.mark.parametrize("piece", PIECES.values(), ids=PIECES.keys())


def slowly(piece: Piece) -> list[str]:
    """The tokens of a piece without the pedal, one note at a time."""

    def step(tick: int) -> int:
        return math.floor(float(piece.to_seconds(tick)) * 100 + 0.5)

    longest: dict[tuple[int, int], tuple[int, int]] = {}
    for track in piece.tracks:
        for note in track.notes if not track.is_drum else ():
            start = step(int(note["start"]))
            length = min(2000, max(1, step(int(note["start"] + note["duration"])) - start))
            key = (start, int(note["pitch"]))
            longest[key] = max(longest.get(key, (0, 0)), (length, int(note["velocity"]) // 4))
    events = []
    for (start, pitch), (length, velocity) in longest.items():
        later = [s for s, p in longest if p == pitch and s > start]
        events.append((start, "on", pitch, velocity))
        events.append((min([start + length, *later]), "off", pitch, 0))
    now, loud, tokens = 0, None, ["bos_0"]
    for at, kind, pitch, velocity in sorted(events, key=lambda e: (e[0], e[1] == "on", e[2])):
        while at > now:
            shift = min(100, at - now)
            tokens.append(f"shift_{shift - 1}")
            now += shift
        if kind == "on" and velocity != loud:
            tokens.append(f"velocity_{velocity}")
            loud = velocity
        tokens.append(f"{kind}_{pitch}")
    return [*tokens, "eos_0"]


def spelled(tokenizer: Performance, ids: np.ndarray) -> list[str]:
    return [tokenizer.vocabulary.token(i) for i in ids.tolist()]


def walk(tokenizer: Performance, *, seed: int, constraints=None, anchor=None, prompt=(), most=400) -> np.ndarray:
    """A sequence of draws from what the grammar allows, kinds first, so that shifts don't drown the rest."""
    rng = np.random.default_rng(seed)
    walker, ids = tokenizer.grammar(), []
    for token in prompt:
        walker.advance(int(token))
    walker.constrain(constraints or limited(), anchor=anchor)
    while len(ids) < most:
        allowed = np.flatnonzero(walker.allowed())
        kinds = tokenizer.vocabulary.kind_of_id[allowed]
        token = int(rng.choice(allowed[kinds == rng.choice(np.unique(kinds))]))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    return np.array(ids, np.int64)
