"""New notes in a hole of a file: outside of it every event stays, tick for tick, and inside all but the notes."""

from __future__ import annotations

from collections import Counter

import midi_fixtures
import numpy as np
import pytest
from midi_bricks import events_from_rows, part_homes

from musicgen.errors import MusicgenError
from musicgen.io.midi import piece_from_midi
from musicgen.io.smf import END_OF_TRACK, META, MidiFile, parse_smf, smf_bytes
from musicgen.io.splice import NewPart, splice
from musicgen.piece import Span, notes_array

ON, OFF, PRESSURE = 0x90, 0x80, 0xA0
SETTINGS = (0xB0, 0xC0, 0xD0, 0xE0)


def random_file(rng: np.random.Generator) -> MidiFile:
    """Some tracks of notes that are switched off, on channels that they share, among all other kinds of events."""
    tracks = []
    for _ in range(rng.integers(1, 4)):
        rows: list[tuple] = []
        channels = rng.choice(16, rng.integers(1, 3), replace=False).tolist()
        for channel in channels:
            for pitch in rng.choice(range(40, 90), 6, replace=False).tolist():
                # One after another, as a key is pressed; some begin where the one before ends.
                at = 0
                for _ in range(rng.integers(0, 7)):
                    at += int(rng.integers(0, 400))
                    length = int(rng.integers(1, 300))
                    off = (ON, 0) if rng.random() < 0.5 else (OFF, 64)
                    rows += [(at, ON | channel, pitch, 80, None), (at + length, off[0] | channel, pitch, off[1], None)]
                    at += length
            for kind in SETTINGS:
                for _ in range(rng.integers(0, 6)):
                    number = int(rng.choice((1, 7, 64, 100))) if kind == 0xB0 else int(rng.integers(0, 128))
                    rows.append((int(rng.integers(0, 2000)), kind | channel, number, int(rng.integers(0, 128)), None))
        for kind in (0x01, 0x05, 0x51, 0x58):
            payload = {0x51: b"\x07\xa1\x20", 0x58: b"\x03\x02\x18\x08"}.get(kind, b"la")
            rows += [(int(tick), META, kind, 0, payload) for tick in rng.integers(0, 2000, rng.integers(0, 3))]
        rows.sort(key=lambda row: (row[0], row[1] & 0xF0 == ON and row[3] > 0))
        rows.append((rows[-1][0] + int(rng.integers(0, 50)) if rows else 0, META, END_OF_TRACK, 0, b""))
        tracks.append(events_from_rows(rows))
    form = 1 if len(tracks) > 1 else int(rng.integers(0, 2))
    return parse_smf(smf_bytes(MidiFile(form, 480, tuple(tracks))))


def listed(midi: MidiFile) -> list[list[tuple]]:
    """Every event of every track as plain values."""
    return [
        [(int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), track.payload(r)) for r in track.rows]
        for track in midi.tracks
    ]


def is_of_note(event: tuple) -> bool:
    return event[1] & 0xF0 in (ON, OFF, PRESSURE)


def ends_of(events: list[tuple], span: Span, channels: set[int]) -> list[tuple]:
    """The events that end the notes which began in the span, first on, first off."""
    found, sounding = [], Counter[tuple]()
    waiting: dict[tuple, list[int]] = {}
    for event in events:
        tick, status, pitch, velocity, _ = event
        key = status & 15, pitch
        if status & 0xF0 == ON and velocity:
            waiting.setdefault(key, []).append(tick)
            sounding[key] += 1
        elif status & 0xF0 in (ON, OFF) and sounding[key]:
            sounding[key] -= 1
            if span.begin <= waiting[key].pop(0) < span.end and key[0] in channels:
                found.append(event)
    return found


def random_span(rng: np.random.Generator) -> Span:
    begin = int(rng.integers(0, 1500))
    return Span(begin, begin + int(rng.integers(0, 900)), is_open=False)


def new_parts(midi: MidiFile, span: Span, rng: np.random.Generator, homes: list[tuple[int, int]]) -> list[NewPart]:
    """Notes for some of the homes, and for an instrument that the file lacks, ended before the span does."""
    piece, of_home = piece_from_midi(midi), part_homes(midi)
    count = 5 if span.end - span.begin > 1 else 0
    tables = []
    for _ in range(len(homes) + 1):
        starts = np.sort(rng.integers(span.begin, max(span.begin + 1, span.end - 1), count))
        ends = np.minimum(starts + rng.integers(1, 200, count), span.end - 1)
        rows = zip(starts, ends - starts, rng.integers(40, 90, count), [80] * count, strict=True)
        tables.append(notes_array([tuple(map(int, row)) for row in rows if row[1] > 0]))
    parts = []
    for (track, channel), notes in zip(homes, tables[:-1], strict=True):
        part = piece.tracks[of_home.index((track, channel))]
        parts.append(NewPart(notes, part.program, part.is_drum, track, channel))
    return [*parts, NewPart(tables[-1], 73, False, name="Flute")]


@pytest.mark.parametrize("seed", range(150))
def test_outside_the_hole_every_event_stays_and_inside_all_but_the_notes(seed):
    rng = np.random.default_rng(seed)
    midi, span = random_file(rng), random_span(rng)
    homes = sorted(set(part_homes(midi)))
    asked = homes if rng.random() < 0.5 else [home for home in homes if rng.random() < 0.5]
    parts = new_parts(midi, span, rng, asked)
    made = parse_smf(smf_bytes(splice(midi, parts, span=span, homes=None if asked == homes else asked)))
    assert (made.format, made.division) == (midi.format, midi.division)
    assert len(made.tracks) <= len(midi.tracks) + 1
    used = {event[1] & 15 for events in listed(midi) for event in events if event[1] < 0xF0}
    for number, (old, new) in enumerate(zip(listed(midi), listed(made), strict=False)):
        channels = {channel for track, channel in asked if track == number}
        gone = Counter(event for event in ends_of(old, span, channels) if event[0] >= span.end)
        behind = [event for event in old if event[0] >= span.end and event[:3] != (old[-1][0], META, END_OF_TRACK)]
        stays = []
        for event in behind:
            stays += [] if gone[event] > 0 else [event]
            gone[event] -= 1
        before = [[event for event in events[:-1] if event[0] < span.begin] for events in (old, new)]
        assert before[1] == before[0]
        assert [event for event in new[:-1] if event[0] >= span.end] == stays
        assert new[-1][0] >= old[-1][0]
        inside = [
            [
                event
                for event in events[:-1]
                if span.begin <= event[0] < span.end
                and (not is_of_note(event) or event[1] & 15 not in channels)
                and (event[1] >= 0xF0 or event[1] & 15 in used)  # the free channels are the new parts' own
            ]
            for events in (old, new)
        ]
        assert inside[1] == inside[0]


@pytest.mark.parametrize("seed", range(150, 250))
def test_notes_outside_are_heard_as_they_were_and_the_new_ones_fill_the_hole(seed):
    rng = np.random.default_rng(seed)
    midi, span = random_file(rng), random_span(rng)
    homes = sorted(set(part_homes(midi)))
    parts = new_parts(midi, span, rng, [])
    made = parse_smf(smf_bytes(splice(midi, parts, span=span)))

    def notes(file: MidiFile) -> Counter[tuple]:
        return Counter(
            (home, t.program, t.is_drum, *row)
            for home, t in zip(part_homes(file), piece_from_midi(file).tracks, strict=True)
            for row in t.notes.tolist()
            if home in homes
        )

    expected = Counter()
    for (*who, start, duration, pitch, velocity), count in notes(midi).items():
        if start < span.begin <= start + duration <= min(span.begin + 60, span.end - 1):  # legato
            duration = span.begin - start
        if not span.begin <= start < span.end:
            expected[*who, start, duration, pitch, velocity] += count
    assert notes(made) == expected
    tracks = zip(part_homes(made), piece_from_midi(made).tracks, strict=True)
    struck = {start for home, t in tracks if home not in homes for start in t.notes["start"].tolist()}
    assert struck == set(parts[0].notes["start"].tolist())


@pytest.mark.parametrize("name", sorted(midi_fixtures.LEGAL))
def test_a_hole_that_is_filled_with_nothing_takes_notes_alone(name):
    midi = parse_smf(midi_fixtures.LEGAL[name])
    end = midi.end
    span = Span(end // 3, 2 * end // 3, is_open=False)
    made = parse_smf(smf_bytes(splice(midi, [], span=span)))
    for old, new in zip(listed(midi), listed(made), strict=True):
        plain = [[e for e in events if not is_of_note(e) and e[1:3] != (META, END_OF_TRACK)] for events in (old, new)]
        assert plain[1] == plain[0]
        assert [e for e in new if e[0] < span.begin and is_of_note(e)] == [
            e for e in old if e[0] < span.begin and is_of_note(e)
        ]
        assert not [e for e in new if e[1] & 0xF0 == ON and e[3] and span.begin <= e[0] < span.end]


def one_track(*events: tuple[int, int, int, int]) -> MidiFile:
    return MidiFile(1, 480, (events_from_rows([(*event, None) for event in events]),))


def test_a_key_that_is_held_all_through_is_not_struck_again_and_one_that_ends_inside_ends_before():
    midi = one_track(
        (0, ON, 60, 80), (0, ON, 64, 80), (500, OFF, 64, 0), (900, OFF, 60, 0), (900, ON, 64, 80), (960, OFF, 64, 0)
    )
    new = NewPart(notes_array([(480, 480, 60, 90), (480, 480, 64, 90)]), 0, False, 0, 0)
    made = splice(midi, [new], span=Span(480, 720, is_open=False))
    assert [event[:4] for event in listed(made)[0][:-1]] == [
        (0, ON, 60, 80), (0, ON, 64, 80), (480, OFF, 64, 0), (480, ON, 64, 90), (720, OFF, 64, 64),
        (900, OFF, 60, 0), (900, ON, 64, 80), (960, OFF, 64, 0),
    ]  # fmt: skip


def test_new_notes_end_before_the_old_ones_begin():
    midi = one_track((480, ON, 60, 80), (960, OFF, 60, 0))
    made = splice(midi, [NewPart(notes_array([(0, 960, 60, 90)]), 0, False, 0, 0)], span=Span(0, 480, is_open=False))
    assert piece_from_midi(made).tracks[0].notes.tolist() == [(0, 480, 60, 90), (480, 480, 60, 80)]
    assert [event[0:2] for event in listed(made)[0][1:3]] == [(480, OFF), (480, ON)]


def test_a_channel_that_became_anothers_keeps_its_program():
    """The new part plays elsewhere: what lies behind is heard as it was."""
    midi = one_track((0, 0xC0, 40, 0), (0, ON, 60, 80), (100, OFF, 60, 0), (200, 0xC0, 56, 0), (800, ON, 60, 80))
    made = splice(
        midi, [NewPart(notes_array([(480, 60, 62, 90)]), 40, False, 0, 0)], span=Span(480, 720, is_open=False)
    )
    assert [e for e in listed(made)[0] if e[1] & 0xF0 == 0xC0] == [
        (0, 0xC0, 40, 0, b""), (200, 0xC0, 56, 0, b""), (480, 0xC1, 40, 0, b"")
    ]  # fmt: skip


def test_a_span_begins_and_then_ends():
    for begin, end in ((-1, 4), (5, 4)):
        with pytest.raises(MusicgenError, match="it must begin at 0 or later, then end"):
            Span(begin, end)
