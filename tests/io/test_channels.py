"""What a file says of a channel holds on all its tracks: against plain searches through the events, and by example."""

from __future__ import annotations

import random

import numpy as np
import pytest
from midi_bricks import END, chunk, event, events_from_rows, file, meta, off, on, part_homes, sysex, track

from musicgen.io.channels import Channels
from musicgen.io.controllers import transposition
from musicgen.io.midi import Limits, midi_bytes, piece_from_midi
from musicgen.io.smf import MidiFile, parse_smf
from musicgen.piece import Piece

NO_LIMITS = Limits(notes=10**9, hours=10**9)
GM_ON, GM2_ON = b"\x7e\x7f\x09\x01\xf7", b"\x7e\x7f\x09\x03\xf7"
GS_RESET, XG_ON = b"\x41\x10\x42\x12\x40\x00\x7f\x00\x41\xf7", b"\x43\x10\x4c\x00\x00\x7e\x00\xf7"


def gs_rhythm(channel: int, value: int) -> bytes:
    block = 0 if channel == 9 else channel + 1 if channel < 9 else channel
    return bytes([0x41, 0x10, 0x42, 0x12, 0x40, 0x10 | block, 0x15, value, 0, 0xF7])


def read(*tracks: bytes, form: int | None = None) -> Piece:
    return piece_from_midi(parse_smf(file(*tracks, form=form)))


def note(channel: int, pitch: int = 60, length: int = 480) -> bytes:
    return on(0, pitch, 80, channel) + off(length, pitch, channel)


def heard(*tracks: bytes) -> list[tuple[int, bool]]:
    return [(t.program, t.is_drum) for t in read(*tracks).tracks]


# ---- programs ----------------------------------------------------------------------------------------


def test_a_program_holds_for_the_channel_in_whatever_track_it_stands():
    assert heard(track(event(480, 0xC0, 40)), track(note(0), note(0))) == [(0, False), (40, False)]
    # One's own and another's: the later one holds.
    late = track(event(0, 0xC0, 5), event(480, 0xC0, 6))
    assert heard(track(event(240, 0xC0, 40), event(240, 0xB0, 1, 1), note(0)), late) == [(6, False)]
    assert heard(track(event(500, 0xC0, 40), note(0)), late) == [(40, False)]


def test_tracks_that_choose_on_one_tick_keep_their_own():
    assert heard(track(event(0, 0xC0, 40), note(0)), track(event(0, 0xC0, 41), note(0))) == [(40, False), (41, False)]


def test_of_its_own_track_only_what_stands_before_a_note_counts():
    own = track(on(0, 60), event(0, 0xC0, 9), on(0, 61), off(10, 60), off(0, 61))
    assert heard(own) == [(0, False), (9, False)]
    assert heard(track(event(0, 0xC0, 3)), own) == [(3, False), (9, False)]


# ---- drums -------------------------------------------------------------------------------------------


def bank(channel: int, msb: int, program: int = 0) -> bytes:
    return event(0, 0xB0 | channel, 0, msb) + event(0, 0xB0 | channel, 32, 0) + event(0, 0xC0 | channel, program)


@pytest.mark.parametrize(
    ("reset", "channel", "msb", "drums"),
    [
        (None, 9, None, True), (None, 3, None, False),
        (XG_ON, 3, 127, True), (XG_ON, 3, 126, True), (XG_ON, 3, 0, False), (XG_ON, 3, 64, False),
        (XG_ON, 9, 127, True), (XG_ON, 9, 0, False), (XG_ON, 9, None, True),
        (None, 3, 127, True), (None, 9, 0, True), (None, 3, 126, False),
        (GM2_ON, 3, 120, True), (GM2_ON, 3, 121, False), (GM2_ON, 9, 121, False), (GM2_ON, 9, 120, True),
        (None, 3, 120, True), (None, 9, 121, False), (GM_ON, 9, 8, True),
        (GS_RESET, 3, 127, False), (GS_RESET, 9, 0, True), (GS_RESET, 9, 8, True),
    ],
)  # fmt: skip
def test_banks_make_drums_and_melody(reset, channel, msb, drums):
    chosen = b"" if msb is None else bank(channel, msb, 1)
    events = (b"" if reset is None else sysex(0, reset)) + chosen + note(channel)
    assert heard(track(events)) == [(0 if msb is None else 1, drums)]
    # The same from other tracks, in any order.
    apart = [track(b"" if reset is None else sysex(0, reset)), track(chosen), track(note(channel))]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        assert heard(*(apart[k] for k in order)) == [(0 if msb is None else 1, drums)], order


def test_a_bank_counts_with_the_program_that_follows_it():
    assert heard(track(event(0, 0xC3, 7), event(0, 0xB3, 0, 127), note(3))) == [(7, False)]
    assert heard(track(event(0, 0xB3, 0, 127), note(3))) == [(0, False)]
    changing = track(bank(3, 127), note(3), bank(3, 0, 40), note(3), bank(3, 121, 40), note(3))
    assert heard(changing) == [(0, True), (40, True), (40, False)]  # bank 0 says nothing where XG isn't in force
    assert heard(track(sysex(0, XG_ON)), changing) == [(0, True), (40, False)]


@pytest.mark.parametrize("channel", range(16))
def test_roland_parts_become_drums_and_melody(channel):
    drum, melody = sysex(0, gs_rhythm(channel, 1)), sysex(0, gs_rhythm(channel, 0))
    assert heard(track(drum), track(note(channel))) == [(0, True)]
    assert heard(track(melody), track(note(channel))) == [(0, False)]
    assert heard(track(drum, note(channel), melody, note(channel))) == [(0, True), (0, False)]
    others = [c for c in range(16) if c != channel]
    assert [d for _, d in heard(track(drum), *(track(note(c)) for c in others))] == [c == 9 for c in others]


def test_longer_roland_messages_and_part_modes_of_yamaha():
    whole = bytes([0x41, 0x10, 0x42, 0x12, 0x40, 0x1A, 0x13, 1, 1, 2, 0, 0xF7])  # three bytes from 40 1A 13 on
    assert heard(track(sysex(0, whole), note(10))) == [(0, True)]
    xg = [sysex(0, bytes([0x43, 0x10, 0x4C, 0x08, 3, 7, value, 0xF7])) for value in (2, 0)]
    assert heard(track(xg[0], note(3), xg[1], note(3))) == [(0, True), (0, False)]


def test_a_system_reset_brings_back_what_was_at_first():
    later = sysex(0, GM_ON)
    assert heard(track(event(0, 0xC3, 7), note(3), later, note(3))) == [(7, False), (0, False)]
    assert heard(track(sysex(0, gs_rhythm(3, 1)), note(3), later, note(3))) == [(0, True), (0, False)]
    # On its own tick it comes first, wherever it stands.
    assert heard(track(event(0, 0xC3, 7), note(3)), track(sysex(0, GS_RESET))) == [(7, False)]


# ---- ports -------------------------------------------------------------------------------------------


def port(number: int) -> bytes:
    return meta(0, 0x21, bytes([number]))


def device(name: bytes) -> bytes:
    return meta(0, 0x09, name)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (port(0), port(1)),
        (b"", port(1)),
        (port(3), b""),
        (device(b"SC-88"), device(b"MU-80")),
        (device(b"SC-88"), b""),
        (device(b"SC-88") + port(0), device(b"SC-88") + port(1)),
        (port(1) + device(b"A"), port(1) + device(b"B")),
    ],
)
def test_ports_keep_channels_apart(first, second):
    setting = event(0, 0xC0, 40) + event(0, 0xB0, 64, 127) + event(0, 0xE0, 0, 0)
    one, two = read(track(first, setting, note(0)), track(second, note(0), event(0, 0xB0, 123, 0))).tracks
    assert (one.program, two.program) == (40, 0)
    assert (len(one.controls), len(one.bends), len(two.controls), len(two.bends)) == (1, 1, 1, 0)


@pytest.mark.parametrize("same", [(b"", port(0)), (port(2), port(2)), (device(b"A"), device(b"A")), (b"", b"")])
def test_one_port_is_one_channel(same):
    setting = event(0, 0xC0, 40) + event(0, 0xB0, 64, 127)
    one, two = read(track(same[0], setting, note(0)), track(same[1], note(0))).tracks
    assert (one.program, two.program) == (40, 40)
    assert one.controls.tolist() == two.controls.tolist() == [(0, 64, 127)]


def test_channel_10_is_drums_on_every_port_and_what_no_port_says_is_for_all():
    assert [d for _, d in heard(track(port(0), note(9)), track(port(1), note(9)))] == [True, True]
    message = sysex(0, gs_rhythm(9, 0))
    two = track(device(b"A"), note(9)), track(device(b"B"), note(9))
    assert [d for _, d in heard(track(message), *two)] == [False, False]
    assert [d for _, d in heard(track(device(b"B"), message), *two)] == [True, False]


def test_a_port_may_change_within_a_track():
    changing = track(port(1), note(0), port(2), note(0, 62))
    settings = track(port(2), event(0, 0xC0, 40)), track(port(1), event(0, 0xC0, 41))
    assert [(t.program, t.notes["pitch"].tolist()) for t in read(*settings, changing).tracks] == [
        (41, [60]),
        (40, [62]),
    ]
    assert part_homes(parse_smf(file(*settings, changing))) == [(2, 0), (2, 0)]


def test_the_port_that_a_track_names_first_holds_from_its_beginning():
    data = track(event(0, 0xC0, 40), port(1), note(0)), track(port(1), note(0)), track(note(0))
    assert heard(*data) == [(40, False), (40, False), (0, False)]


# ---- silence -----------------------------------------------------------------------------------------


def lengths(*tracks: bytes) -> list[tuple[int, int, int]]:
    return sorted((n[2], n[0], n[1]) for t in read(*tracks).tracks for n in t.notes.tolist())


@pytest.mark.parametrize("number", [120, 123, 124, 125, 126, 127])
def test_notes_end_where_their_channel_is_silenced(number):
    silence = event(480, 0xB0, number, 0)
    expected = [(60, 0, 480), (60, 480, 480), (64, 0, 480)]
    again = on(0, 60) + off(480, 60) + off(0, 64)
    assert lengths(track(on(0, 60), on(0, 64), silence, again)) == expected
    assert lengths(track(on(0, 60), on(0, 64), on(480, 60), off(480, 60)), track(silence)) == expected
    assert read(track(on(0, 60), silence)).warnings == ()
    other = event(480, 0xB1, number, 0)
    assert lengths(track(on(0, 60), other, off(480, 60))) == [(60, 0, 960)]


@pytest.mark.parametrize("number", [121, 122, 64, 119])
def test_other_controllers_end_nothing(number):
    assert lengths(track(on(0, 60), event(480, 0xB0, number, 0), off(480, 60))) == [(60, 0, 960)]


def test_a_system_reset_silences_its_port():
    assert lengths(track(on(0, 60)), track(sysex(480, GM_ON))) == [(60, 0, 480)]
    assert lengths(track(on(0, 60), off(960, 60)), track(port(1), sysex(480, GM_ON))) == [(60, 0, 960)]
    assert lengths(track(on(0, 60), off(960, 60)), track(sysex(0, GM_ON))) == [(60, 0, 960)]


# ---- controllers and bends ---------------------------------------------------------------------------


def test_a_part_carries_what_all_tracks_say_of_its_channel_in_time_order():
    pedals = track(event(100, 0xB0, 64, 127), event(300, 0xB0, 64, 0), event(0, 0xB1, 64, 9))
    wheel = track(event(50, 0xE0, 0, 80), event(350, 0xE0, 0, 64))
    one, two = read(track(event(0, 0xB0, 7, 90), note(0), event(0, 0xB0, 7, 80)), pedals, wheel, track(note(0))).tracks
    assert one.controls.tolist() == [(0, 7, 90), (100, 64, 127), (400, 64, 0), (480, 7, 80)]
    assert one.bends.tolist() == [(50, 2048), (400, 0)]
    assert (two.controls.tolist(), two.bends.tolist()) == (one.controls.tolist(), one.bends.tolist())


def test_a_wheel_that_a_reset_centres_on_its_tick_never_turned():
    def bends(events: bytes) -> list[tuple[int, int]]:
        return read(track(events, note(0))).tracks[0].bends.tolist()

    reset, turn = event(0, 0xB0, 121, 0), event(0, 0xE0, 0, 80)
    assert bends(turn + reset) == []
    assert bends(reset + turn) == [(0, 2048)]
    assert bends(turn + event(5, 0xB0, 121, 0)) == [(0, 2048)]


def test_a_system_reset_brings_controllers_back_where_any_was_moved():
    moved = track(event(0, 0xB0, 7, 5), event(0, 0xE0, 0, 0), note(0), note(0))
    (part,) = read(moved, track(sysex(480, GM_ON), sysex(1, GM_ON), sysex(1, GM_ON))).tracks
    ticks, numbers = part.controls["tick"].tolist(), part.controls["number"].tolist()
    assert (ticks, numbers) == ([0, 480, 480, 480], [7, 121, 7, 10])
    assert part.controls["value"][2] == 100
    tuned = event(0, 0xB0, 101, 0) + event(0, 0xB0, 100, 2) + event(0, 0xB0, 6, 76)
    (part,) = read(track(tuned, note(0), note(0)), track(sysex(480, GM_ON))).tracks
    assert transposition(part.controls, part.bends)[1].tolist() == [0, 12, 0]
    assert len(read(track(sysex(0, GM_ON)), moved).tracks[0].controls) == 1


# ---- names -------------------------------------------------------------------------------------------


def prefix(channel: int) -> bytes:
    return meta(0, 0x20, bytes([channel]))


def names(*tracks: bytes) -> list[str]:
    return [t.name for t in read(*tracks).tracks]


def test_a_channel_prefix_gives_names_to_channels():
    title, flute, bass = meta(0, 3, b"Title"), meta(0, 3, b"Flute"), meta(0, 3, b"Bass")
    whole = track(title, prefix(0), flute, prefix(1), bass, note(0), note(1), note(2))
    assert names(whole) == ["Flute", "Bass", "Title"]
    # It holds until something is sent; an instrument's name serves where there is no other.
    assert names(track(prefix(0), note(0), flute)) == ["Flute"]
    assert names(track(prefix(1), meta(0, 4, b"Tuba"), note(0), note(1))) == ["", "Tuba"]
    # In another track; of a channel that its own track names otherwise; for a channel that the track doesn't play.
    assert names(track(prefix(0), flute), track(note(0))) == ["Flute"]
    assert names(track(prefix(0), flute), track(bass, note(0))) == ["Bass"]
    assert names(track(prefix(5), flute, note(0))) == ["Flute"]
    assert names(track(meta(0, 0x20), flute, note(0))) == ["Flute"]


# ---- against plain searches --------------------------------------------------------------------------


def random_file(rng: random.Random) -> MidiFile:
    """Notes on few channels, among everything that sets channels, in a few tracks on short ticks."""
    tracks = []
    for _ in range(rng.randint(1, 4)):
        tick, rows = 0, []
        for _ in range(rng.randint(1, 25)):
            tick += rng.choice([0, 0, 1, 3])
            channel = rng.choice([0, 9])
            rows.append(
                rng.choice(
                    [
                        (tick, 0x90 | channel, rng.choice([60, 61]), rng.choice([0, 80]), None),
                        (tick, 0x90 | channel, rng.choice([60, 61]), 70, None),
                        (tick, 0x80 | channel, rng.choice([60, 61]), 0, None),
                        (tick, 0xC0 | channel, rng.randrange(3), 0, None),
                        (tick, 0xB0 | channel, rng.choice([0, 0, 7, 64, 120, 121, 123]), rng.choice([0, 120, 121, 127]), None),
                        (tick, 0xE0 | channel, 0, rng.choice([0, 64]), None),
                        (tick, 0xF0, 0, 0, rng.choice([GM_ON, GS_RESET, XG_ON, gs_rhythm(0, 1), gs_rhythm(9, 0)])),
                        (tick, 0xFF, 0x21, 0, bytes([rng.randrange(2)])),
                        (tick, 0xFF, 0x20, 0, bytes([channel])),
                        (tick, 0xFF, 3, 0, rng.choice([b"a", b"b"])),
                    ]
                )
            )  # fmt: skip
        tracks.append(events_from_rows([*rows, (tick + 9, 0xFF, 0x2F, 0, b"")]))
    return MidiFile(1, 480, tuple(tracks))


def test_what_is_read_stays_the_same_through_writing():
    rng = random.Random(1)
    sizes = []
    for _ in range(300):
        piece = piece_from_midi(random_file(rng), limits=NO_LIMITS)
        piece.validate()
        assert piece_from_midi(parse_smf(midi_bytes(piece)), limits=NO_LIMITS) == piece
        sizes.append(piece.n_notes)
    assert np.mean(sizes) > 4


def searched(channels: Channels, row: int, events: list[int], resets: list[tuple[int, int]]) -> int | None:
    """The one of `events` that is in force at a row, by its definition."""
    tick, home = channels.tick[row], channels.home[row]
    port = channels.channel[row] >> 4
    era = max((at for on, at in resets if on == port and at <= tick), default=-1)
    found = [
        (channels.tick[e], channels.home[e] == home, e)
        for e in events
        if channels.channel[e] == channels.channel[row]
        and era <= channels.tick[e]
        and (channels.tick[e] < tick or (channels.tick[e] == tick and (channels.home[e] != home or e < row)))
    ]
    return max(found)[2] if found else None


def test_programs_equal_a_search_through_all_events():
    rng = random.Random(2)
    compared = 0
    for _ in range(900):
        channels = Channels(random_file(rng))
        resets = []
        for row in np.flatnonzero(channels.rows["status"] == 0xF0).tolist():
            number = int(channels.track[row])
            if channels.midi.tracks[number].payload(channels.rows[row]) in (GM_ON, GS_RESET, XG_ON):
                own = int(channels.lane_port[channels.lane[row]])
                ports = range(channels.ports) if number in channels.silent else [own]
                resets += [(one, int(channels.tick[row])) for one in ports]
        changes = np.flatnonzero(channels.kind == 0xC0).tolist()
        rows = np.flatnonzero(channels.is_on)
        found = channels.programs(channels.places(rows)).tolist()
        for row, program in zip(rows.tolist(), found, strict=True):
            change = searched(channels, row, changes, resets)
            assert program == (0 if change is None else channels.rows["data1"][change])
            compared += change is not None
    assert compared > 1000


def test_many_messages_cost_little():
    """Ten thousand resets, banks and ports among the notes: array work, whatever a file repeats."""
    many = b"".join(sysex(1, XG_ON) + port(n % 3) + bank(0, 127) + note(0, length=1) for n in range(5000))
    piece = piece_from_midi(parse_smf(file(chunk(b"MTrk", many + END))), limits=NO_LIMITS)
    assert piece.n_notes == 5000
    assert {t.is_drum for t in piece.tracks} == {True}
