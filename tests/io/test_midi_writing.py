"""Pieces to MIDI files: what is written reads as it was."""

from __future__ import annotations

import io
import random

import mido
import numpy as np
import pytest
from midi_bricks import part_homes
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
    """Notes as several voices of one part may have them: unisons, one within another, and the same note twice."""
    rows: list[tuple[int, int, int, int]] = []
    pitches = [rng.randrange(128) for _ in range(rng.choice([1, 3, 12]))]
    for _ in range(size):
        start = rng.choice([rows[-1][0] if rows else 0, rng.randrange(60), rng.randrange(100_000)])
        rows.append((start, rng.choice([1, 7, 480, 100_000]), rng.choice(pitches), rng.randint(1, 127)))
    return notes_array(rows)


HARMLESS = [*range(120), 121, 122]  # controllers that end no notes


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
                np.array([(t, rng.choice(HARMLESS), rng.randrange(128)) for t in ticks], CONTROL),
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


def test_a_read_piece_stays_the_same_through_writing() -> None:
    for name, data in LEGAL.items():
        piece = read(data)
        assert read(midi_bytes(piece)) == piece, name


def part(*notes: tuple[int, int, int, int], **fields) -> Track:
    return Track(notes=notes_array(notes), **fields)


def test_voices_in_unison_keep_their_lengths() -> None:
    quarter = 480
    long, short = (0, 4 * quarter, 60, 80), (0, quarter, 60, 70)
    within = (2 * quarter, quarter, 60, 60)
    for notes in ([long, short], [short, long], [long, within], [long, long, short, within, within]):
        piece = Piece(quarter, (part(*notes, name="Soprano"), part((0, 9, 60, 9))))
        again = read(midi_bytes(piece))
        assert again == piece
        assert notes_of(again) == sorted([*notes, (0, 9, 60, 9)])
        assert again.warnings == ()


def test_only_notes_within_others_need_a_track_of_their_own_which_other_readers_see_as_one_more() -> None:
    plain, nested = part((0, 480, 60, 80), (240, 480, 60, 80)), part((0, 480, 60, 80), (240, 20, 60, 80))
    assert [len(midi_from_piece(Piece(480, (each,))).tracks) for each in (plain, nested)] == [2, 3]
    theirs = mido.MidiFile(file=io.BytesIO(midi_bytes(Piece(480, (nested,)))))
    assert [sum(m.type == "note_on" for m in track) for track in theirs.tracks] == [0, 1, 1]
    deep = part(*((n, 1000 - 2 * n, 60, 80) for n in range(100)))
    with pytest.raises(MusicgenError, match="more than 64 notes of one pitch within each other"):
        midi_bytes(Piece(480, (deep,)))


def sustained(*ticks: int) -> np.ndarray:
    return np.array([(tick, 64, 127 * (n % 2 == 0)) for n, tick in enumerate(ticks)], CONTROL)


def test_parts_of_one_channel_share_one_and_their_controllers_stand_there_once() -> None:
    pedal, other = sustained(0, 400), sustained(5, 400)
    hands = [part((0, 480, pitch, 80), controls=pedal) for pitch in (40, 70)]
    piece = Piece(
        480, (*hands, part((0, 480, 50, 80), controls=other), part((0, 480, 50, 80), program=5, controls=pedal))
    )
    midi = midi_from_piece(piece)
    assert piece_from_midi(midi) == piece
    assert [channel for _, channel in part_homes(midi)] == [0, 0, 1, 2]
    count = [int((t.rows["status"] & 0xF0 == 0xB0).sum()) for t in midi.tracks]
    assert count == [0, 2, 0, 2, 2]


@pytest.mark.parametrize("drums", [False, True])
def test_past_the_channels_of_a_port_parts_go_to_the_next(drums: bool) -> None:
    tracks = tuple(part((0, 480, 60, 80), controls=sustained(n), is_drum=drums, program=n) for n in range(40))
    midi = midi_from_piece(Piece(480, tracks))
    assert piece_from_midi(midi) == Piece(480, tracks)
    ports = [track.metas(0x21)[0][1][0] for track in midi.tracks[1:]]
    assert ports == [n if drums else n // 15 for n in range(40)]
    assert {channel == 9 for _, channel in part_homes(midi)} == {drums}
    few = midi_from_piece(Piece(480, tracks[:1]))
    assert not any(track.metas(0x21) for track in few.tracks)


def test_more_parts_than_channels_share_by_program_before_they_go_to_other_ports() -> None:
    midi = midi_from_piece(Piece(480, tuple(part((0, 480, 60, 80), program=n % 9) for n in range(40))))
    assert len(set(part_homes(midi))) == 40
    assert sorted({channel for _, channel in part_homes(midi)}) == list(range(9))
    assert not any(track.metas(0x21) for track in midi.tracks)


def test_banks_that_a_part_brings_do_not_make_it_drums() -> None:
    bank = np.array([(0, 0, 127), (5, 0, 120)], CONTROL)
    melody, kit = (part((0, 480, 60, 80), program=9, is_drum=drums, controls=bank) for drums in (False, True))
    piece = Piece(480, (melody, melody, kit, kit))
    assert read(midi_bytes(piece)) == piece


@pytest.mark.parametrize("rest", [1 << 28, 10**10])
def test_a_rest_past_what_a_delta_time_holds_is_written(rest: int) -> None:
    piece = Piece(480, (part((0, 480, 60, 80), (rest, 480, 60, 80), (2 * rest + 5, 3, 61, 80)),))
    again = piece_from_midi(parse_smf(midi_bytes(piece)), limits=NO_LIMITS)
    assert again == piece
    assert again.warnings == ()


def test_a_resolution_that_no_file_can_say_is_named() -> None:
    with pytest.raises(MusicgenError, match="40000 ticks a quarter; a MIDI file can't say more than 32767"):
        midi_bytes(Piece(40_000))


def test_a_silent_velocity_does_not_become_a_note_off() -> None:
    piece = Piece(480, (Track(notes=notes_array([(0, 480, 60, 0)])),))
    assert notes_of(read(midi_bytes(piece))) == [(0, 480, 60, 1)]
