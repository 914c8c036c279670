"""At the cut a channel is made fit for new notes, whatever track has left it unfit; nothing before the cut moves."""

from __future__ import annotations

import random

import numpy as np
import pytest
from midi_bricks import event, file, meta, off, on, part_homes, sysex, track

from musicgen.io.channels import Channels
from musicgen.io.controllers import changes, wheel
from musicgen.io.midi import midi_from_piece, piece_from_midi
from musicgen.io.smf import END_OF_TRACK, META, MidiFile, parse_smf, smf_bytes
from musicgen.io.sounding import sounding
from musicgen.io.splice import NewPart, alone, splice
from musicgen.piece import CONTROL, Piece, Span, notes_array

CUT, END = 960, 1920


def tune(channel: int = 0, pitch: int = 60) -> bytes:
    """A note of two quarters, up to the cut."""
    return on(0, pitch, 80, channel) + off(CUT, pitch, channel)


def new_part(program: int = 0, where: int | None = 0, channel: int | None = 0, **fields) -> NewPart:
    return NewPart(notes_array([(CUT, 480, 62, 80)]), program, fields.pop("drums", False), where, channel, **fields)


def events(midi: MidiFile, *, before: int = 10**9, since: int = 0) -> list[list[tuple]]:
    """By track (tick, status, data, data, payload) without the ends of tracks."""
    return [
        [
            (int(r["tick"]), int(r["status"]), int(r["data1"]), int(r["data2"]), t.payload(r))
            for r in t.rows
            if since <= r["tick"] < before and (r["status"], r["data1"]) != (META, END_OF_TRACK)
        ]
        for t in midi.tracks
    ]


def joined(tracks: list[bytes], *parts: NewPart, at_end: bool = True, form: int | None = None) -> MidiFile:
    """A file with new parts, as it is read again; what was before the cut is as it was."""
    midi = parse_smf(file(*tracks, form=form))
    out = parse_smf(smf_bytes(splice(midi, parts, span=Span(CUT, END), at_end=at_end)))
    assert events(out, before=CUT)[: len(tracks)] == events(midi, before=CUT)
    return out


def at_cut(midi: MidiFile, channel: int = 0) -> dict[int, int]:
    """The controllers of a channel, 0 its program and -1 its wheel, as a sequencer has them for a note at the cut."""
    channels = Channels(midi)
    state: dict[int, int] = {}
    order = np.lexsort((np.arange(len(channels.rows)), channels.tick))
    for tick, status, one, two, _ in channels.rows[order].tolist():
        if status & 15 != channel or status >= 0xF0:
            continue
        if tick >= CUT and status & 0xF0 == 0x90 and two:
            break
        if status & 0xF0 == 0xB0:
            state[one] = two
        elif status & 0xF0 == 0xC0:
            state[0] = one
        elif status & 0xF0 == 0xE0:
            state[-1] = one + 128 * two - 8192
    return state


FADE = b"".join(event(60, 0xB0, 7, value) for value in range(100, -1, -10))
WHEEL = event(100, 0xE0, 0, 0)


@pytest.mark.parametrize("place", ["own", "before", "behind"])
def test_a_fade_and_a_wheel_left_down_in_whatever_track(place):
    moves = FADE + WHEEL
    tracks = {
        "own": [track(moves), track(on(0, 60, 80, 5) + off(CUT, 60, 5))],
        "before": [track(moves), track(tune())],
        "behind": [track(tune()), track(moves)],
    }[place]
    if place == "own":
        tracks = [track(event(0, 0xB0, 7, 100), on(0, 60), event(100, 0xB0, 7, 0), event(0, 0xE0, 0, 0), off(860, 60))]
    where = 1 if place == "before" else 0
    out = joined(tracks, new_part(where=where))
    state = at_cut(out)
    assert state[-1] == 0
    assert 50 <= state[7] <= 100
    (part,) = [t for t in piece_from_midi(out).tracks if len(t.notes)]
    assert changes(part.controls, 7)[1][-1] == state[7]
    assert wheel(part.controls, part.bends)[1][-1] == 0


def test_only_the_channels_of_new_notes_are_restored():
    moves = track(FADE, WHEEL, event(0, 0xB1, 7, 0), event(0, 0xE1, 0, 0))
    out = joined([track(tune()), track(tune(1)), moves], new_part(channel=1, where=1))
    assert at_cut(out, 0)[-1] == -8192
    assert at_cut(out, 1)[-1] == 0
    assert [e[1:4] for e in events(out, since=CUT)[0] if e[1] != 0x80] == []


@pytest.mark.parametrize(
    ("volumes", "expressions", "restored"),
    [
        ([100, 80, 60], [], {}),  # soft, but heard
        ([100, 0], [], {7: 100}),
        ([100, 90, 80, 3], [], {7: 90}),
        ([0], [], {7: 100}),
        ([], [0], {11: 127}),
        ([100, 20], [127, 20], {7: 60, 11: 73}),  # each would be heard, both are not
        ([30], [30], {}),  # never louder
    ],
)
def test_levels_come_back_to_what_was_usual(volumes, expressions, restored):
    moves = [event(0, 0xB0, n, v) for n, values in ((7, volumes), (11, expressions)) for v in values]
    out = joined([track(tune()), track(*moves)], new_part())
    assert {e[2]: e[3] for e in events(out, since=CUT)[0] if e[1] == 0xB0} == restored


@pytest.mark.parametrize(("levels", "restored"), [([127, 64, 0], 95), ([0], 127), ([100, 50], None), ([], None)])
def test_the_volume_of_a_whole_device_comes_back(levels, restored):
    fade = track(*(sysex(100, bytes([0x7F, 0x7F, 4, 1, 0, level, 0xF7])) for level in levels))
    out = joined([track(tune()), fade], new_part())
    messages = [e[4][5] for e in events(out, since=CUT)[0] if e[1] == 0xF0]
    assert messages == ([] if restored is None else [restored])


def test_a_reset_of_controllers_counts_as_what_it_does():
    out = joined(
        [track(tune()), track(event(0, 0xE0, 0, 0), event(0, 0xB0, 64, 127), event(9, 0xB0, 121, 0))], new_part()
    )
    assert [e[1] for e in events(out, since=CUT)[0]] == [0x80, 0x90, 0x80]
    assert not [e for e in events(out, since=CUT)[0] if e[1] in (0xE0, 0xB0)]


@pytest.mark.parametrize("pedal", [64, 66, 67])
@pytest.mark.parametrize("new", [True, False])
def test_a_pedal_left_down_in_another_track_is_lifted(pedal, new):
    out = joined([track(tune()), track(event(100, 0xB0, pedal, 127))], *([new_part()] if new else []))
    found = [(k, e[2:4]) for k, each in enumerate(events(out, since=CUT)) for e in each if e[1] == 0xB0]
    assert found == [(0 if new else 1, (pedal, 0))]


def test_what_stands_on_the_cut_in_a_later_track_does_not_have_the_last_word():
    late = track(event(CUT, 0xB0, 7, 0), event(0, 0xE0, 0, 0), event(0, 0xB0, 64, 127))
    down = np.array([(CUT, 64, 100)], CONTROL)
    out = joined([track(tune()), late], new_part(controls=down))
    (part,) = [t for t in piece_from_midi(out).tracks if len(t.notes)]
    last = {n: int(changes(part.controls, n)[1][-1]) for n in (7, 64)}
    assert last == {7: 100, 64: 100}
    assert wheel(part.controls, part.bends)[1][-1] == 0


def test_the_program_of_a_part_comes_back_where_another_track_has_changed_it():
    tracks = [track(event(0, 0xC0, 40), tune()), track(event(480, 0xC0, 5))]
    assert at_cut(joined(tracks, new_part(40)))[0] == 40
    assert [e for e in events(joined(tracks, new_part(5)), since=CUT)[0] if e[1] == 0xC0] == []
    assert [t.program for t in piece_from_midi(joined(tracks, new_part(40))).tracks] == [40]


def test_a_part_whose_channel_plays_another_now_moves_to_a_free_one():
    changing = track(event(0, 0xC0, 40), tune(), event(0, 0xC0, 41))
    midi = parse_smf(file(changing))
    assert piece_from_midi(midi).n_notes == 1
    out = joined([changing], new_part(40), new_part(41), form=1)
    parts = piece_from_midi(out).tracks
    assert [(t.program, len(t.notes)) for t in parts] == [(40, 1), (41, 1), (40, 1)]
    assert [channel for _, channel in part_homes(out)] == [0, 0, 1]
    # Alone it takes its channel back.
    assert [(t.program, len(t.notes)) for t in piece_from_midi(joined([changing], new_part(40))).tracks] == [(40, 2)]


def test_two_parts_of_a_channel_stay_together_and_it_is_restored_once():
    tracks = [track(event(0, 0xC0, 5), tune()), track(tune(pitch=50)), track(FADE, WHEEL)]
    out = joined(tracks, new_part(5, where=1), new_part(5, where=0))
    since = events(out, since=CUT)
    assert [[e[1] & 0xF0 for e in each if e[1] & 0xF0 not in (0x80, 0x90)] for each in since] == [[0xB0, 0xE0], [], []]
    assert [(t.program, len(t.notes)) for t in piece_from_midi(out).tracks] == [(5, 2), (5, 2)]


# ---- drums and melody --------------------------------------------------------------------------------

GS_MELODY = sysex(0, b"\x41\x10\x42\x12\x40\x10\x15\x00\x1b\xf7")
XG_DRUMS = event(0, 0xB3, 0, 127) + event(0, 0xC3, 0)


def test_melody_on_channel_10_and_drums_elsewhere_go_on_as_they_are():
    out = joined([track(GS_MELODY), track(event(0, 0xC9, 48), tune(9))], new_part(48, where=1, channel=9))
    assert [(t.program, t.is_drum, len(t.notes)) for t in piece_from_midi(out).tracks] == [(48, False, 2)]
    out = joined([track(XG_DRUMS, tune(3))], new_part(0, channel=3, drums=True))
    assert [(t.is_drum, len(t.notes)) for t in piece_from_midi(out).tracks] == [(True, 2)]
    assert [e[1] for e in events(out, since=CUT)[0]] == [0x83, 0x93, 0x83]


def new_track(program: int = 0, **fields) -> NewPart:
    return new_part(program, where=None, channel=None, **fields)


def test_new_drums_find_a_channel_that_is_drums():
    def homes(*tracks: bytes) -> list[tuple[bool, int]]:
        out = joined(list(tracks), new_track(drums=True, name="Drums"), form=1)
        return [
            (t.is_drum, channel) for t, (_, channel) in zip(piece_from_midi(out).tracks, part_homes(out), strict=True)
        ]

    assert homes(track(tune())) == [(False, 0), (True, 9)]
    assert homes(track(XG_DRUMS, tune(3))) == [(True, 3), (True, 9)]
    assert homes(track(GS_MELODY), track(tune(9))) == [(False, 9), (True, 0)]
    assert homes(track(GS_MELODY, XG_DRUMS), track(tune(3))) == [(True, 3), (True, 3)]


def test_new_melody_keeps_off_channels_that_are_drums():
    rhythm = sysex(0, b"\x41\x10\x42\x12\x40\x11\x15\x01\x19\xf7")  # channel 1
    out = joined([track(rhythm), track(tune(5))], new_track(73, name="Flute"), new_track(40), form=1)
    assert [(t.program, t.is_drum) for t in piece_from_midi(out).tracks] == [(0, False), (73, False), (40, False)]
    assert [channel for _, channel in part_homes(out)] == [5, 1, 2]


def test_where_a_drum_part_has_lost_its_channel_it_is_made_drums_again():
    tracks = [track(XG_DRUMS, tune(3), event(0, 0xB3, 0, 121), event(0, 0xC3, 40))]
    out = joined(tracks, new_part(0, channel=3, drums=True))
    assert [(t.program, t.is_drum, len(t.notes)) for t in piece_from_midi(out).tracks] == [(0, True, 2)]


def test_a_bank_that_waits_for_a_program_does_not_make_drums_of_new_notes():
    waiting = track(event(0, 0xC0, 40), tune(), event(0, 0xC0, 5), event(0, 0xB0, 0, 127))
    out = joined([waiting], new_part(40))
    assert [(t.program, t.is_drum, len(t.notes)) for t in piece_from_midi(out).tracks] == [(40, False, 2)]


def test_new_tracks_keep_off_the_channels_of_parts_that_begin_at_the_cut():
    late = [track(event(CUT, 0x90, 60, 80), off(480, 60))]
    midi = parse_smf(file(*late, form=1))
    out = splice(midi, [new_part(), new_track(73)], span=Span(CUT, END), at_end=False)
    assert [(t.program, len(t.notes)) for t in piece_from_midi(out).tracks] == [(0, 1), (73, 1)]


# ---- ports -------------------------------------------------------------------------------------------


def test_channels_of_other_ports_are_others():
    ports = [meta(0, 0x21, bytes([n])) for n in (0, 1)]
    tracks = [track(ports[0], tune()), track(ports[1], tune()), track(ports[1], FADE, WHEEL)]
    one = joined(tracks, new_part(where=0))
    assert [e for e in events(one, since=CUT)[0] if e[1] in (0xB0, 0xE0)] == []
    two = joined(tracks, new_part(where=1))
    assert [e[1] for e in events(two, since=CUT)[1] if e[1] in (0xB0, 0xE0)] == [0xB0, 0xE0]


def test_new_tracks_are_on_the_port_of_the_first():
    device = meta(0, 0x09, b"SC-88")
    tracks = [track(device, tune(channel)) for channel in range(3)]
    out = joined(tracks, new_track(73, name="Flute"), form=1)
    assert out.tracks[-1].metas(0x09) == [(0, b"SC-88")]
    assert part_homes(out)[-1] == (3, 3)
    assert [t.program for t in piece_from_midi(out).tracks] == [0, 0, 0, 73]


def test_where_all_channels_are_taken_the_last_is_shared():
    out = joined([track(tune(channel)) for channel in range(16)], new_track(73), form=1)
    assert part_homes(out)[-1] == (16, 15)
    assert piece_from_midi(out).tracks[-1].program == 73


# ---- notes that hang ---------------------------------------------------------------------------------


def test_notes_that_hang_end_at_the_cut_and_keep_their_lengths():
    far = meta(9999, 6, b"far")
    hanging = [track(on(0, 60), on(0, 64), off(CUT, 64), far)]
    out = piece_from_midi(joined(hanging, new_part()))
    assert sorted(n[:3] for n in out.tracks[0].notes.tolist()) == [(0, CUT, 60), (0, CUT, 64), (CUT, 480, 62)]
    again = [track(on(0, 60), on(480, 60), off(240, 60), off(240, 61), far)]  # the first was never switched off
    out = piece_from_midi(joined(again, new_part()))
    assert sorted(n[:3] for n in out.tracks[0].notes.tolist()) == [(0, 480, 60), (480, 240, 60), (CUT, 480, 62)]


def test_random_files_keep_their_notes_before_the_cut():
    rng = random.Random(8)
    for _ in range(300):
        tracks = []
        for _ in range(rng.randint(1, 3)):
            pitch, wait = (lambda: rng.choice([60, 61, 62])), (lambda: rng.choice([0, 30, 120]))
            kinds = (
                lambda p=pitch, w=wait: on(w(), p()),
                lambda p=pitch, w=wait: off(w(), p()),
                lambda w=wait: event(w(), 0xB0, 123, 0),
                lambda w=wait: event(w(), 0xC0, 5),
            )
            tracks.append(track(*(rng.choices(kinds, [8, 7, 1, 1])[0]() for _ in range(30))))
        midi = parse_smf(file(*tracks))
        piece = piece_from_midi(midi)
        cut = rng.randint(1, max(2, piece.end)) // 30 * 30 + 7  # between events; else what stands on the cut decides
        parts = [NewPart(notes_array([(cut + 10, 10, 70, 80)]), t.program, False, *home)
                 for t, home in zip(piece.tracks, part_homes(midi), strict=True)]  # fmt: skip
        at_end = all(int(t.notes["start"].max()) < cut for t in piece.tracks)
        out = piece_from_midi(splice(midi, parts, span=Span(cut, cut + 40), at_end=at_end))
        kept = [n for t in out.tracks for n in t.notes.tolist() if n[0] < cut]
        channels = Channels(midi)
        played = sounding(channels, ticks_per_quarter=480)
        expected = []
        for row, end, hangs in zip(played.on.tolist(), played.end.tolist(), played.hangs.tolist(), strict=True):
            start, _, pitch_, velocity, _ = channels.rows[row].tolist()
            if start < cut:
                length = cut - start if hangs else max(1, min(end, cut) - start)
                expected.append((start, length, pitch_, velocity))
        assert sorted(kept) == sorted(expected)


# ---- alone -------------------------------------------------------------------------------------------


def test_alone_the_parts_of_a_channel_share_its_controllers():
    pedal = np.array([(CUT, 64, 127), (CUT + 300, 64, 0)], CONTROL)
    parts = [new_part(where=n, controls=pedal) for n in range(2)]
    piece = piece_from_midi(alone(Piece(480), parts, cut=CUT))
    assert [t.controls.tolist() for t in piece.tracks] == [[(0, 64, 127), (300, 64, 0)]] * 2
    midi = midi_from_piece(piece)
    assert sum(int((t.rows["status"] & 0xF0 == 0xB0).sum()) for t in midi.tracks) == 2
