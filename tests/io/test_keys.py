"""Parts that play on beside new ones keep every note, and every new note that is written is read as it was written."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from midi_bricks import events_from_rows, part_homes

from musicgen.io.keys import Keys
from musicgen.io.midi import piece_from_midi
from musicgen.io.smf import END_OF_TRACK, META, MidiFile, parse_smf, smf_bytes
from musicgen.io.splice import NewPart, splice
from musicgen.piece import Span, notes_array

ON, OFF = 0x90, 0x80


def random_file(rng: np.random.Generator) -> MidiFile:
    """Tracks that share few channels and pitches, so that keys meet; every note is switched off by its own track."""
    tracks = []
    for _ in range(rng.integers(1, 5)):
        rows: list[tuple] = []
        for channel in rng.choice(3, rng.integers(1, 3), replace=False).tolist():
            for pitch in range(60, 64):
                at = 0
                for _ in range(rng.integers(0, 5)):
                    at += int(rng.integers(0, 500))
                    length = int(rng.choice((1, 60, 240, 900)))
                    rows += [(at, ON | channel, pitch, 80, None), (at + length, OFF | channel, pitch, 64, None)]
                    at += length
        rows.sort(key=lambda row: (row[0], row[1] & 0xF0 == ON))
        rows.append((rows[-1][0] if rows else 0, META, END_OF_TRACK, 0, b""))
        tracks.append(events_from_rows(rows))
    return parse_smf(smf_bytes(MidiFile(int(len(tracks) > 1), 480, tuple(tracks))))


def new_notes(rng: np.random.Generator, span: Span) -> np.ndarray:
    rows = []
    for pitch in range(60, 64):
        at = span.begin
        for _ in range(rng.integers(0, 6)):
            at += int(rng.choice((0, 7, 60, 300)))
            length = int(rng.choice((30, 60, 240, 1000)))
            rows.append((at, length, pitch, 90))
            at += length
    return notes_array(sorted(rows))


def events(midi: MidiFile) -> list[list[tuple]]:
    return [[tuple(map(int, row))[:4] for row in track.rows.tolist()] for track in midi.tracks]


def notes(midi: MidiFile) -> Counter[tuple]:
    """Every note with its home: (track, channel), start, duration, pitch, velocity."""
    pairs = zip(part_homes(midi), piece_from_midi(midi).tracks, strict=True)
    return Counter((home, *row) for home, track in pairs for row in track.notes.tolist())


def by_channel(midi: MidiFile) -> Counter[tuple]:
    """The notes as a player hears them, which knows channels and no tracks: an off ends what its key last began."""
    merged = sorted(
        (row[0], number, place, *row[1:])
        for number, track in enumerate(events(midi))
        for place, row in enumerate(track)
        if row[1] & 0xF0 in (ON, OFF)
    )
    down: dict[tuple[int, int], tuple[int, int]] = {}
    found: Counter[tuple] = Counter()
    for tick, _, _, status, pitch, velocity in merged:
        key = (status & 15, pitch)
        if key in down:
            start, loud = down.pop(key)
            found[(*key, start, tick - start, loud)] += 1
        if status & 0xF0 == ON and velocity:
            down[key] = (tick, velocity)
    return found


@pytest.mark.parametrize("seed", range(200))
def test_what_stays_is_read_as_it_was_and_new_notes_as_they_were_meant(seed):
    rng = np.random.default_rng(seed)
    midi = random_file(rng)
    homes = sorted(set(part_homes(midi)))
    asked = [home for home in homes if rng.random() < 0.4]
    whole = rng.random() < 0.3
    begin = 0 if whole else int(rng.integers(0, 1500))
    span = Span(begin, begin + (5000 if whole else int(rng.integers(1, 1200))), is_open=False)
    parts = [NewPart(new_notes(rng, span), 0, False, *home) for home in asked if rng.random() < 0.8]
    parts += [
        NewPart(new_notes(rng, span), int(rng.choice((0, 73))), False, name="New") for _ in range(rng.integers(3))
    ]
    warnings: list[str] = []
    made = parse_smf(smf_bytes(splice(midi, parts, span=span, homes=asked, warnings=warnings)))
    stays = Counter()
    for (home, start, duration, *rest), count in notes(midi).items():
        if home in asked and start < span.begin <= start + duration <= min(span.begin + 60, span.end - 1):  # legato
            duration = span.begin - start
        if home not in asked or not span.begin <= start < span.end:
            stays[home, start, duration, *rest] += count
    assert not stays - notes(made), "notes that stay"
    new = notes(made) - stays
    wanted = Counter((start, pitch) for part in parts for start, _, pitch, _ in part.notes.tolist() if start < span.end)
    found = Counter((start, pitch) for _, start, _, pitch, velocity in new.elements() if velocity == 90)
    assert new.total() == found.total(), "nothing but new notes"
    assert not found - wanted
    left_out = wanted.total() - found.total()
    assert [line for line in warnings if line.startswith("keys_down")] == (
        [f"keys_down: {left_out} new note{'s' * (left_out > 1)} left out, as the key is down already"]
        if left_out
        else []
    )
    assert all(duration >= 1 and start + duration <= span.end for _, start, duration, _, _ in new)
    heard = by_channel(made)
    for (_, channel), start, duration, pitch, velocity in new.elements():
        assert heard[channel, pitch, start, duration, velocity], "a player hears them so, too"
    if not asked:
        assert by_channel(midi) == heard - Counter({each: n for each, n in heard.items() if each[-1] == 90})


def test_a_part_with_a_channel_of_its_own_loses_nothing():
    """A part that is added over a whole piece doubles what it likes."""
    rows = [(tick, ON, 60, 80, None) for tick in range(0, 4800, 480)]
    rows += [(tick + 480, OFF, 60, 64, None) for tick in range(0, 4800, 480)]
    midi = MidiFile(1, 480, (events_from_rows(sorted(rows, key=lambda row: (row[0], row[1] == ON))),))
    table = notes_array([(tick, 900, 60, 90) for tick in range(240, 4000, 1000)])
    warnings: list[str] = []
    made = splice(
        midi, [NewPart(table, 32, False, name="Bass")], span=Span(0, 4800, is_open=False), homes=[], warnings=warnings
    )
    assert [track.notes.tolist() for track in piece_from_midi(made).tracks][1] == table.tolist()
    assert warnings == []


def test_a_new_note_ends_before_its_channel_is_silenced():
    """Its note-off would come when nothing of it sounds, and end the next note of its key."""
    rows = [(0, ON, 60, 80, None), (900, OFF, 60, 64, None), (1000, 0xB0, 123, 0, None)]
    rows += [(1100, ON, 62, 80, None), (1500, OFF, 62, 64, None), (2000, META, END_OF_TRACK, 0, b"")]
    midi = parse_smf(smf_bytes(MidiFile(1, 480, (events_from_rows(rows),))))
    part = NewPart(notes_array([(950, 400, 62, 90), (1200, 100, 60, 90)]), 0, False, 0, 0)
    made = parse_smf(smf_bytes(splice(midi, [part], span=Span(0, 2000, is_open=False), homes=[])))
    (track,) = piece_from_midi(made).tracks
    assert track.notes.tolist() == [(0, 900, 60, 80), (950, 49, 62, 90), (1100, 400, 62, 80), (1200, 100, 60, 90)]


@pytest.mark.parametrize(
    ("start", "length", "track", "expected"),
    [
        (0, 90, 1, [90]),  # before
        (0, 100, 1, [99]),  # from a later track its off would come behind the on, and end what stays
        (0, 100, 0, [99]),
        (0, 300, 1, [99]),
        (100, 50, 1, []),
        (150, 50, 1, []),
        (200, 50, 1, [50]),
        (200, 50, 0, [50]),
        (500, 50, 0, [50]),
        (400, 200, 0, [200]),  # behind the hole a track's own events come last
        (400, 200, 1, [199]),
        (250, 100, 0, [50]),  # a note-off without a note
        (320, 200, 0, [29]),  # the channel is silenced
    ],
)
def test_a_new_note_ends_where_its_key_is_struck_and_is_left_out_where_it_is_down(start, length, track, expected):
    keys = Keys(end=600)
    keys.add(128 * 2 + 60, 100, 200, track=0)
    keys.add(128 * 2 + 60, 600, 700, track=0)
    keys.add_offs([128 * 2 + 60], [300])
    keys.add_silences([2, 4], [350, 360])
    found = keys.fitted(notes_array([(start, length, 60, 90)]), 2, track=track)
    assert found["duration"].tolist() == expected
    assert keys.refused == 1 - len(expected)
    assert len(keys.fitted(notes_array([(start, length, 60, 90)]), 3, track=track)) == 1, "another channel is free"
