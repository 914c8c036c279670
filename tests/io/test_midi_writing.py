"""Pieces to MIDI files: what is written reads as it was."""

from __future__ import annotations

import random

import numpy as np
import pytest
from midi_fixtures import LEGAL

from musicgen.errors import MusicgenError
from musicgen.io.midi import Limits, midi_bytes, midi_from_piece, piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import BEND, CONTROL, KEY, METER, TEMPO, Piece, Track, notes_array


def read(data: bytes) -> Piece:
    return piece_from_midi(parse_smf(data))


def notes_of(piece: Piece) -> list[tuple]:
    return sorted(n for t in piece.tracks for n in t.notes.tolist())


def random_notes(rng: random.Random, size: int) -> np.ndarray:
    """Notes of which none begins before another of its pitch has ended, as a MIDI channel can hold them."""
    rows, free = [], [0] * 128
    for _ in range(size):
        pitch = rng.randrange(128)
        start = free[pitch] + rng.choice([0, 0, 1, 50, 5000])
        free[pitch] = start + rng.choice([1, 7, 480, 100_000])
        rows.append((start, free[pitch] - start, pitch, rng.randint(1, 127)))
    return notes_array(rows)


def random_piece(rng: random.Random, parts: int) -> Piece:
    tracks = []
    for n in range(parts):
        ticks = sorted(rng.randrange(9999) for _ in range(20))
        tracks.append(
            Track(
                rng.choice(["", "Ré", "声\x1b[1m"]) + (str(n) if n % 2 else ""),
                rng.randrange(128),
                rng.random() < 0.2,
                random_notes(rng, rng.randint(1, 80)),
                np.array([(t, rng.randrange(128), rng.randrange(128)) for t in ticks], CONTROL),
                np.array([(t, rng.randint(-8192, 8191)) for t in ticks[::3]], BEND),
            )
        )
    ticks = sorted(rng.sample(range(9999), 5))
    return Piece(
        rng.choice([1, 96, 480, 0x7FFF]),
        tuple(tracks),
        np.array([(t, rng.randint(60_000, 15_000_000)) for t in ticks], TEMPO),
        np.array([(t, rng.randint(1, 64), 2 ** rng.randint(0, 6)) for t in ticks], METER),
        np.array([(t, rng.randint(-7, 7), rng.random() < 0.5) for t in ticks], KEY),
    )


NO_LIMITS = Limits(notes=10**9, hours=10**9)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 40])
def test_a_piece_that_is_written_reads_as_it_was(count: int) -> None:
    rng = random.Random(count)
    for _ in range(4):
        piece = random_piece(rng, count)
        assert piece_from_midi(midi_from_piece(piece), limits=NO_LIMITS) == piece
        again = piece_from_midi(parse_smf(midi_bytes(piece)), limits=NO_LIMITS)
        assert again == piece
        assert again.warnings == ()


def test_a_read_piece_keeps_its_music_through_writing() -> None:
    for name, data in LEGAL.items():
        piece = read(data)
        assert notes_of(read(midi_bytes(piece))) == notes_of(piece), name


def test_a_resolution_that_no_file_can_say_is_named() -> None:
    with pytest.raises(MusicgenError, match="40000 ticks a quarter; a MIDI file can't say more than 32767"):
        midi_bytes(Piece(40_000))


def test_a_silent_velocity_does_not_become_a_note_off() -> None:
    piece = Piece(480, (Track(notes=notes_array([(0, 480, 60, 0)])),))
    assert notes_of(read(midi_bytes(piece))) == [(0, 480, 60, 1)]
