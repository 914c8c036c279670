"""When notes end: first on, first off; and what ends those that nothing switches off."""

from __future__ import annotations

import random
from collections import defaultdict, deque

import numpy as np
import pytest
from midi_bricks import event, events_from_rows, file, meta, off, on, track

from musicgen.io.channels import Channels
from musicgen.io.midi import midi_bytes, piece_from_midi
from musicgen.io.smf import MidiFile, parse_smf
from musicgen.io.sounding import sounding
from musicgen.piece import Piece
from musicgen.sampling.cuts import plain_cut

HANGING = "hanging_notes: notes that are never switched off end where their pitch sounds again, or with the music"


def read(*tracks: bytes) -> Piece:
    return piece_from_midi(parse_smf(file(*tracks)))


def notes(piece: Piece) -> list[tuple[int, int, int]]:
    """(pitch, start, length) of all."""
    return sorted((n[2], n[0], n[1]) for t in piece.tracks for n in t.notes.tolist())


def check(tracks: list[bytes], expected: list[tuple[int, int, int]], *, warned: bool = True) -> None:
    piece = read(*tracks)
    assert notes(piece) == sorted(expected)
    assert (HANGING in piece.warnings) == warned
    assert notes(piece_from_midi(parse_smf(midi_bytes(piece)))) == sorted(expected)


FAR = meta(40 * 1920, 6, b"the end")


def test_a_note_that_hangs_ends_with_the_rest_of_the_music():
    tune = on(0, 64) + off(480, 64) + on(0, 65) + off(480, 65)
    check([track(on(0, 60), tune, FAR)], [(60, 0, 960), (64, 0, 480), (65, 480, 480)])
    # In another track, and in one that begins late; never past its own track.
    check([track(on(480, 60), FAR), track(tune)], [(60, 480, 480), (64, 0, 480), (65, 480, 480)])
    check([track(on(0, 60), meta(700, 6)), track(tune)], [(60, 0, 700), (64, 0, 480), (65, 480, 480)])


def test_a_note_that_hangs_does_not_put_the_cut_where_the_track_ends():
    piece = read(track(on(0, 67), on(480, 72), off(480, 72), on(0, 74), off(480, 74), FAR))
    assert plain_cut(piece) == 3 * 480


def test_a_last_note_that_hangs_lasts_four_quarters_or_with_its_track():
    tune = on(0, 64) + off(480, 64)
    check([track(tune, on(0, 60), FAR)], [(60, 480, 1920), (64, 0, 480)])
    check([track(tune, on(0, 60), meta(100, 6))], [(60, 480, 100), (64, 0, 480)])
    # A chord of which one note is switched off ends with it; without any off all end together.
    check([track(tune, on(0, 60), on(0, 67), off(480, 67), FAR)], [(60, 480, 480), (64, 0, 480), (67, 480, 480)])
    check([track(on(0, 60), on(480, 64), FAR)], [(60, 0, 2400), (64, 480, 1920)])


def test_a_note_that_hangs_ends_where_its_pitch_sounds_again():
    check([track(on(0, 60), on(480, 60), off(480, 60), FAR)], [(60, 0, 480), (60, 480, 480)])
    repeated = on(480, 60) + off(240, 60)
    check([track(on(0, 60), repeated * 2)], [(60, 0, 480), (60, 480, 240), (60, 1200, 240)])
    # Retriggered: the off on the tick of the second note is the first one's.
    check([track(on(0, 60), on(480, 60), off(0, 60), FAR)], [(60, 0, 480), (60, 480, 1920)])
    # One off for two that were struck together ends both, as on any synthesizer.
    check([track(on(0, 60), on(0, 60), off(86, 60), FAR)], [(60, 0, 86)] * 2, warned=False)


def test_what_was_well_before_a_note_hangs_stays_as_it_was():
    overlapping = on(0, 60) + on(100, 60) + off(100, 60) + off(100, 60)
    expected = [(60, 0, 200), (60, 100, 200)]
    check(
        [track(overlapping, on(100, 60), on(100, 62), off(100, 62), FAR)], [*expected, (60, 400, 200), (62, 500, 100)]
    )


def test_an_off_in_another_track_ends_a_note_that_none_in_its_own_does():
    check([track(on(0, 60), FAR), track(off(480, 60))], [(60, 0, 480)], warned=False)
    check([track(off(0, 60), off(480, 60)), track(on(0, 60), FAR)], [(60, 0, 480)], warned=False)
    # Not of another channel, and not one that a note of its own track needs.
    check([track(on(0, 60), FAR), track(off(480, 60, 1))], [(60, 0, 1920)])
    both = [track(on(0, 60), off(960, 60)), track(on(0, 60), off(480, 60), off(9, 60))]
    check(both, [(60, 0, 480), (60, 0, 960)], warned=False)


def test_a_channel_that_is_silenced_needs_no_offs():
    silence = event(480, 0xB0, 123, 0)
    check([track(on(0, 60), on(0, 64), silence, on(0, 60), silence, FAR)],
          [(60, 0, 480), (60, 480, 480), (64, 0, 480)], warned=False)  # fmt: skip
    # An off that comes after belongs to no later note.
    check(
        [track(on(0, 60), silence, off(9, 60), on(0, 60), off(480, 60))], [(60, 0, 480), (60, 489, 480)], warned=False
    )


def test_retriggering_on_one_tick():
    check([track(on(0, 60), on(480, 60), off(0, 60), off(480, 60))], [(60, 0, 480), (60, 480, 480)], warned=False)
    three = on(0, 60) + on(480, 60) + off(0, 60) + on(480, 60) + off(0, 60) + off(480, 60)
    check([track(three)], [(60, 480 * n, 480) for n in range(3)], warned=False)


# ---- against a queue for each pitch ------------------------------------------------------------------


def random_file(rng: random.Random, *, silences: bool) -> MidiFile:
    tracks = []
    for _ in range(rng.randint(1, 3)):
        tick, rows = 0, []
        for _ in range(40):
            tick += rng.choice([0, 1, 5])
            channel, pitch = rng.choice([0, 1]), rng.choice([60, 61, 62])
            kinds = [(0x90, pitch, 80), (0x80, pitch, 0), (0x90, pitch, 0), (0xB0, 123 if silences else 7, 0)]
            status, one, two = rng.choice(kinds)
            rows.append((tick, status | channel, one, two, None))
        tracks.append(events_from_rows([*rows, (tick, 0xFF, 0x2F, 0, b"")]))
    return MidiFile(1, 480, tuple(tracks))


def queued(midi: MidiFile) -> dict[int, tuple[tuple, int | None]]:
    """By row of a note-on (track, channel, pitch and silences before it; its end): within its track first on, first
    off, unless the channel is silenced between; None where no off is left for it."""
    silences = defaultdict(list)
    row = 0
    for number, each in enumerate(midi.tracks):
        for tick, status, one, _, _ in each.rows.tolist():
            if status & 0xF0 == 0xB0 and one == 123:
                silences[status & 15].append((tick, number, row))
            row += 1
    ends: dict[int, tuple[tuple, int | None]] = {}
    row = 0
    for number, each in enumerate(midi.tracks):
        waiting: dict[tuple, deque] = defaultdict(deque)
        for tick, status, one, two, _ in each.rows.tolist():
            before = sum(
                s[0] < tick or (s[0] == tick and (s[1] != number or s[2] < row)) for s in silences[status & 15]
            )
            key = number, status & 15, one, before
            if status & 0xF0 == 0x90 and two:
                waiting[key].append(row)
                ends[row] = key, None
            elif status & 0xF0 in (0x80, 0x90) and waiting[key]:
                ends[waiting[key].popleft()] = key, tick
            row += 1
    return ends


@pytest.mark.parametrize("silences", [False, True])
def test_ends_equal_a_queue_for_each_pitch_where_nothing_hangs(silences):
    rng = random.Random(5)
    compared = 0
    for _ in range(300):
        midi = random_file(rng, silences=silences)
        channels = Channels(midi)
        found = sounding(channels, ticks_per_quarter=480)
        ends = queued(midi)
        broken = {key for key, end in ends.values() if end is None}
        for row, end in zip(found.on.tolist(), found.end.tolist(), strict=True):
            key, expected = ends[row]
            if key not in broken:
                assert end == max(expected, channels.tick[row] + 1)
                compared += 1
    assert compared > 1000


def test_whatever_hangs_every_note_ends_in_time():
    rng = random.Random(6)
    for _ in range(300):
        midi = random_file(rng, silences=rng.random() < 0.3)
        channels = Channels(midi)
        found = sounding(channels, ticks_per_quarter=480)
        start = channels.tick[found.on]
        assert (found.end > start).all()
        if len(start):
            assert found.end.max() <= max(int(t.rows["tick"].max()) for t in midi.tracks) + 1
        switched = found.off >= 0
        assert np.array_equal(found.end[switched], np.maximum(channels.tick[found.off[switched]], start[switched] + 1))
