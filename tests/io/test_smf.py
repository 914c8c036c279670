"""Bytes to events and back: nothing is lost, nothing hangs, damage is named."""

from __future__ import annotations

import random

import numpy as np
import pytest
from midi_bricks import events_from_rows
from midi_fixtures import BASS, DAMAGED, LEGAL, NOT_MUSIC, TUNE, file, header, meta, off, on, sysex, track, varlen

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.smf import META, Events, MidiFile, parse_smf, smf_bytes


def events(part: Events) -> list[tuple]:
    """A track's events as plain tuples, with the payload instead of the number of its blob."""
    return [(*row.tolist()[:4], part.payload(row)) for row in part.rows]


def same_events(a: MidiFile, b: MidiFile) -> bool:
    return (a.format, a.division) == (b.format, b.division) and list(map(events, a.tracks)) == list(
        map(events, b.tracks)
    )


def readable(files: dict[str, bytes]) -> dict[str, MidiFile]:
    parsed = {}
    for name, data in files.items():
        try:
            parsed[name] = parse_smf(data)
        except UnreadableError:
            continue
    return parsed


def test_every_event_survives_writing_and_reading() -> None:
    files = readable(LEGAL | DAMAGED)
    assert len(files) > 150
    for name, midi in files.items():
        again = parse_smf(smf_bytes(midi))
        if not all(len(t.rows) and events(t)[-1][1:3] == (META, 0x2F) for t in midi.tracks):
            # A missing end of track is added; a second pass changes nothing.
            midi, again = again, parse_smf(smf_bytes(again))
        assert same_events(midi, again), name
        assert not again.warnings, name


def test_every_event_of_real_files_survives(shared_data) -> None:
    paths = sorted(shared_data.rglob("*.mid"))
    for path in random.Random(5).sample(paths, 12):
        midi = parse_smf(path.read_bytes())
        assert same_events(midi, parse_smf(smf_bytes(midi))), path


def test_events_are_what_the_bytes_say() -> None:
    data = file(track(meta(0, 3, b"a"), on(5, 60, 70, 2), sysex(128, b"\x43\xf7"), off(0x4000, 60, 2), b"\0\xc2\x07"))
    assert events(parse_smf(data).tracks[0]) == [
        (0, META, 3, 0, b"a"),
        (5, 0x92, 60, 70, b""),
        (133, 0xF0, 0, 0, b"\x43\xf7"),
        (133 + 0x4000, 0x82, 60, 64, b""),
        (133 + 0x4000, 0xC2, 7, 0, b""),
        (133 + 0x4000, META, 0x2F, 0, b""),
    ]


def test_metas_are_found_by_kind() -> None:
    part = parse_smf(file(track(meta(3, 5, b"la"), TUNE, meta(0, 5, b"li")))).tracks[0]
    assert part.metas(5) == [(3, b"la"), (1443, b"li")]
    assert part.metas(6) == []


def test_end_is_the_last_tick_of_any_event() -> None:
    assert parse_smf(file(track(TUNE), track(meta(5000, 1, b"x")))).end == 5000
    assert MidiFile(0, 480, ()).end == 0


@pytest.mark.parametrize("delta", [0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 0x0FFFFFFF])
def test_delta_times_of_every_length(delta: int) -> None:
    midi = parse_smf(file(track(on(delta, 60))))
    assert midi.tracks[0].rows["tick"].tolist() == [delta, delta]
    assert varlen(delta) + b"\x90" in smf_bytes(midi)


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16383, 16384, 70_000])
def test_payloads_of_every_length(length: int) -> None:
    payload = bytes(i % 251 for i in range(length))
    midi = parse_smf(file(track(meta(0, 1, payload), sysex(0, payload), sysex(0, payload, 0xF7), TUNE)))
    assert midi.tracks[0].blobs[:3] == (payload,) * 3
    assert same_events(midi, parse_smf(smf_bytes(midi)))


def test_random_events_survive() -> None:
    rng = random.Random(11)
    for _ in range(30):
        rows, tick = [], 0
        for _ in range(rng.randrange(60)):
            tick += rng.choice([0, 1, 200, 20_000, 3_000_000])
            status = rng.choice([0x80, 0x90, 0xA0, 0xB0, 0xC0, 0xD0, 0xE0]) + rng.randrange(16)
            if rng.random() < 0.3:
                status = rng.choice([META, 0xF0, 0xF7])
            one = status < 0xF0 and 0xC0 <= status < 0xE0
            data1 = 0 if status in (0xF0, 0xF7) else rng.randrange(0x2F if status == META else 128)
            data2 = 0 if one or status >= 0xF0 else rng.randrange(128)
            rows.append((tick, status, data1, data2, rng.randbytes(rng.randrange(200)) if status >= 0xF0 else None))
        midi = MidiFile(1, 96, (events_from_rows([*rows, (tick, META, 0x2F, 0, b"")]), events_from_rows([])))
        again = parse_smf(smf_bytes(midi))
        assert events(again.tracks[0]) == events(midi.tracks[0])
        assert events(again.tracks[1]) == [(0, META, 0x2F, 0, b"")]


def test_running_status_does_not_reach_into_the_next_track() -> None:
    data = header(1, 2) + track(on(0, 60)) + track(b"\0\x3c\x50")
    midi = parse_smf(data)
    assert len(midi.tracks[1].rows) == 0
    assert midi.warnings == ("damaged_track: track 1: data without a status byte; what was before is kept",)


def test_events_that_no_file_can_hold_are_not_written() -> None:
    for ticks, text in (([5, 4], "can't hold events out of order"), ([0, 1 << 60], "is too long for a MIDI file")):
        midi = MidiFile(0, 480, (events_from_rows([(t, 0x90, 60, 60, None) for t in ticks]),))
        with pytest.raises(MusicgenError, match=text):
            smf_bytes(midi)


@pytest.mark.parametrize("rest", [(1 << 28) - 1, 1 << 28, (1 << 29) - 2, (1 << 29) - 1, 5 << 28])
def test_a_rest_longer_than_a_delta_time_is_written_with_events_that_mean_nothing(rest: int) -> None:
    rows = [
        (0, 0x90, 60, 60, None),
        (rest, 0x80, 60, 0, None),
        (3 * rest, META, 1, 0, b"here"),
        (3 * rest, 0x90, 61, 1, None),
    ]
    again = parse_smf(smf_bytes(MidiFile(0, 480, (events_from_rows(rows),))))
    (track,) = again.tracks
    assert again.warnings == ()
    assert np.diff(track.rows["tick"]).max() <= (1 << 28) - 1
    kept = [(int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), track.payload(r) or None)
            for r in track.rows if (r["status"], r["data1"]) not in ((META, 0x7F), (META, 0x2F))]  # fmt: skip
    assert kept == rows
    fillers = track.metas(0x7F)
    assert all(payload == b"\x7dmusicgen: the rest goes on" for _, payload in fillers)
    assert len(fillers) == (rest - 1) // ((1 << 28) - 1) + (2 * rest - 1) // ((1 << 28) - 1)


def test_too_many_tracks_are_refused_with_the_flag_that_helps() -> None:
    data = file(track(TUNE), track(BASS), track())
    assert len(parse_smf(data, max_tracks=3).tracks) == 3
    with pytest.raises(UnreadableError, match=r"^a\.mid: more than 2 tracks; raise the limit with `Limits.tracks`$"):
        parse_smf(data, where="a.mid", max_tracks=2)


@pytest.mark.parametrize("name", NOT_MUSIC)
def test_other_kinds_of_file_are_named_and_refused(name: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_smf(NOT_MUSIC[name], where="song.mid")
    text = str(caught.value)
    assert text.startswith("song.mid: ")
    assert "\n" not in text
    assert caught.value.hint
    kinds = {"empty": "empty", "wav": "WAV", "png": "picture", "zip": "zip", "mp3": "MP3", "pdf": "PDF", "xml": "XML"}
    assert kinds.get(name, "MIDI") in text


def test_ticks_are_counted_past_32_bits() -> None:
    midi = parse_smf(file(track(*[varlen(0x0FFFFFFF) + b"\xff\x01\x00"] * 20)))
    assert midi.end == 20 * 0x0FFFFFFF > 2**32
    assert np.array_equal(midi.tracks[0].rows["tick"][:20], 0x0FFFFFFF * np.arange(1, 21))
