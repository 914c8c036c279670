"""Tricky MIDI files, built byte by byte.

`LEGAL` obeys the specification or at least says what it plays; `DAMAGED` is broken; `HEAVY` is large or extreme;
`NOT_MUSIC` is something else under the name of a MIDI file. All map a name to bytes. `NOTES` and `WARNINGS` hold,
for the files of the first three that have a certain reading, the notes (start, duration, pitch, velocity) sorted by
(start, pitch), over all parts, and the names of the reader's warnings.
"""

from __future__ import annotations

import random
import zlib

from midi_bricks import END, chunk, event, file, header, key, meta, meter, off, on, sysex, tempo, track, varlen

Note = tuple[int, int, int, int]

LEGAL: dict[str, bytes] = {}
DAMAGED: dict[str, bytes] = {}
HEAVY: dict[str, bytes] = {}
NOT_MUSIC: dict[str, bytes] = {}
NOTES: dict[str, list[Note]] = {}
WARNINGS: dict[str, set[str]] = {}

TUNE = on(0, 60) + off(480, 60) + on(0, 62, 90) + off(480, 62) + on(0, 64, 100) + off(480, 64)
TUNE_NOTES: list[Note] = [(0, 480, 60, 80), (480, 480, 62, 90), (960, 480, 64, 100)]
BASS = on(0, 36, channel=1) + off(960, 36, channel=1)
BASS_NOTES: list[Note] = [(0, 960, 36, 80)]
# The tune with running status and note-offs as note-ons of velocity 0, as most programs write it.
TIGHT_TUNE = (
    on(0, 60) + event(480, 60, 0) + event(0, 62, 90) + event(480, 62, 0) + event(0, 64, 100) + event(480, 64, 0)
)


def _add(
    group: dict[str, bytes], name: str, data: bytes, notes: list[Note] | None = TUNE_NOTES, warns: str = ""
) -> None:
    group[name] = data
    if notes is not None:
        NOTES[name] = sorted(notes, key=lambda n: (n[0], n[2]))
        WARNINGS[name] = set(warns.split())


def _legal(name: str, data: bytes, notes: list[Note] | None = TUNE_NOTES, warns: str = "") -> None:
    _add(LEGAL, name, data, notes, warns)


def _damaged(name: str, data: bytes, notes: list[Note] | None = None, warns: str = "") -> None:
    _add(DAMAGED, name, data, notes, warns)


# ---- legal: the container ----------------------------------------------------------------------------

PLAIN = file(track(TUNE))
_legal("plain", PLAIN)
_legal("format_1", file(track(tempo(0, 400_000), meter(0, 3, 2)), track(TUNE), track(BASS)), TUNE_NOTES + BASS_NOTES)
_legal("long_header", header(0, 1, extra=b"\x01\x02\x03\x04") + track(TUNE))
_legal(
    "alien_chunks",
    header(1, 2) + chunk(b"XFIH", b"abc") + track(TUNE) + chunk(b"XFKM", b"") + track(BASS) + chunk(b"CASM", b"12345"),
    TUNE_NOTES + BASS_NOTES,
)


def _riff(data: bytes) -> bytes:
    padded = data + b"\0" * (len(data) % 2)
    body = b"RMIDdata" + len(data).to_bytes(4, "little") + padded
    return b"RIFF" + len(body).to_bytes(4, "little") + body


_legal("riff_rmid", _riff(PLAIN))
_legal("riff_rmid_with_info", _riff(PLAIN) + b"LIST" + (12).to_bytes(4, "little") + b"INFOINAM\0\0\0\0")
_legal("leading_bytes", b"\0\x08song.mid" + b"\0" * 118 + PLAIN, warns="leading_bytes")
_legal("trailing_zeros", PLAIN + b"\0" * 5)
_legal("format_0_several_channels", file(track(TUNE[:4], BASS, TUNE[4:])), [(0, 1440, 60, 80), *BASS_NOTES] + [
    (1440, 480, 62, 90),
    (1920, 480, 64, 100),
])  # fmt: skip
_legal("format_0_several_tracks", file(track(TUNE), track(BASS), form=0), TUNE_NOTES + BASS_NOTES)
_legal("format_1_one_track", file(track(TUNE), form=1))
_legal("unknown_format", file(track(TUNE), form=7), warns="format")
_legal("no_end_of_track", file(chunk(b"MTrk", TUNE)))
_legal("events_after_end_of_track", file(chunk(b"MTrk", TUNE + END + on(0, 99) + off(10, 99))))
_legal("no_notes", file(track(tempo(0, 400_000))), [])
_legal("empty_track_chunk", file(chunk(b"MTrk", b""), track(TUNE)))
_legal("track_count_too_high", file(track(TUNE), declared=9), warns="track_count")
_legal("track_count_too_low", file(track(TUNE), track(BASS), declared=1), TUNE_NOTES + BASS_NOTES, "track_count")
_legal(
    "sixteen_channels", file(*(track(on(0, 60, 80, c), off(480, 60, c)) for c in range(16))), [(0, 480, 60, 80)] * 16
)

# ---- legal: events -----------------------------------------------------------------------------------

_legal("running_status", file(track(TIGHT_TUNE)))
_legal(
    "running_status_across_metas",
    file(track(on(0, 60), meta(240, 1, b"la"), event(240, 60, 0), event(0, 62, 90), meta(0, 5, b"li"),
               event(480, 62, 0), event(0, 64, 100), sysex(0, b"\x43\xf7"), event(480, 64, 0))),
)  # fmt: skip
_legal(
    "running_status_of_one_data_byte",
    file(track(event(0, 0xC0, 5), event(0, 6), event(0, 0xD0, 9), event(0, 10), event(0, 11), TUNE)),
)
_legal(
    "running_status_of_one_data_byte_across_metas", file(track(event(0, 0xC0, 5), meta(0, 1, b"x"), event(0, 6), TUNE))
)
_legal("escape", file(track(sysex(0, b"\x90\x3c\x50", 0xF7), TUNE, sysex(0, b"\xf3\x01", 0xF7))))
_legal("sysex", file(track(sysex(0, b"\x7e\x7f\x09\x01\xf7"), TUNE)))
_legal(
    "split_sysex",
    file(track(sysex(0, b"\x43\x12\x00"), sysex(0, b"\x43\x12\x00", 0xF7), sysex(0, b"\x43\xf7", 0xF7), TUNE)),
)
_legal("long_sysex", file(track(sysex(0, bytes(range(128)) * 200 + b"\xf7"), TUNE)))
_legal(
    "four_byte_delta",
    file(
        track(tempo(0, 60_000), on(0, 60), off(2_100_000, 60), on(3_000_000, 61), off(0x0FFFFFF, 61)), division=0x7FFF
    ),
    [(0, 2_100_000, 60, 80), (5_100_000, 0x0FFFFFF, 61, 80)],
)
_legal("padded_delta", file(track(on(0, 60), b"\x80\x80\x83\x60" + off(0, 60)[1:])), [(0, 480, 60, 80)])
_legal(
    "extreme_pitches",
    file(track(on(0, 0, 1), on(0, 127, 127), off(9, 0), off(0, 127))),
    [(0, 9, 0, 1), (0, 9, 127, 127)],
)
_legal("velocity_0_is_off", file(track(on(0, 60), on(480, 60, 0))), [(0, 480, 60, 80)])
_legal("off_velocities", file(track(on(0, 60), event(480, 0x80, 60, 0), on(0, 60), event(480, 0x80, 60, 127))),
       [(0, 480, 60, 80), (480, 480, 60, 80)])  # fmt: skip
_legal(
    "overlapping_one_pitch",
    file(track(on(0, 60, 70), on(100, 60, 80), on(100, 60, 90), off(100, 60), off(100, 60), off(100, 60))),
    [(0, 300, 60, 70), (100, 300, 60, 80), (200, 300, 60, 90)],
)
_legal("one_pitch_two_channels", file(track(on(0, 60, 70), on(10, 60, 80, 1), off(10, 60, 1), off(10, 60))),
       [(0, 30, 60, 70), (10, 10, 60, 80)])  # fmt: skip
_legal("unmatched_offs", file(track(off(0, 60), off(0, 61), TUNE, off(0, 60), off(10, 64))))
_legal("hanging", file(track(on(0, 60), on(480, 64), off(480, 64), meta(480, 1, b"end"))),
       [(0, 960, 60, 80), (480, 480, 64, 80)], "hanging_notes")  # fmt: skip
_legal("hanging_repeated", file(track(on(0, 60), on(480, 60), on(480, 60), off(480, 60))),
       [(0, 480, 60, 80), (480, 480, 60, 80), (960, 480, 60, 80)], "hanging_notes")  # fmt: skip
_legal("zero_length", file(track(on(0, 60), off(0, 60), on(480, 62), off(480, 62))),
       [(0, 1, 60, 80), (480, 480, 62, 80)], "zero_length")  # fmt: skip
_legal(
    "zero_length_at_the_end",
    file(track(TUNE, on(0, 70))),
    [*TUNE_NOTES, (1440, 1, 70, 80)],
    "hanging_notes zero_length",
)
_legal("same_tick_off_then_on", file(track(on(0, 60), off(480, 60), on(0, 60, 90), off(480, 60))),
       [(0, 480, 60, 80), (480, 480, 60, 90)])  # fmt: skip
_legal("same_tick_on_then_off", file(track(on(0, 60), on(480, 60, 90), off(0, 60), off(480, 60))),
       [(0, 480, 60, 80), (480, 480, 60, 90)])  # fmt: skip
_legal("unison", file(track(on(0, 60), on(0, 60, 90), off(480, 60), off(0, 60))), [(0, 480, 60, 80), (0, 480, 60, 90)])
_legal("bends", file(track(event(0, 0xE0, 0, 0), on(0, 60), event(100, 0xE0, 127, 127), event(0, 0, 64), off(380, 60))),
       [(0, 480, 60, 80)])  # fmt: skip
_legal("pedal", file(track(event(0, 0xB0, 64, 127), TUNE, event(0, 0xB0, 64, 0), event(0, 1, 5))))
_legal("aftertouch", file(track(on(0, 60), event(100, 0xA0, 60, 33), event(0, 61, 34), event(0, 0xD0, 50), off(380, 60))),
       [(0, 480, 60, 80)])  # fmt: skip
_legal("program_change_in_mid_track", file(track(event(0, 0xC0, 40), TUNE[:9], event(0, 0xC0, 73), TUNE[9:])))
_legal("program_in_another_track", file(track(event(0, 0xC0, 40), event(480, 0xC0, 41)), track(TUNE)))
_legal("drums", file(track(event(0, 0xC9, 8), on(0, 36, 99, 9), off(10, 36, 9), on(0, 60), off(480, 60))),
       [(0, 10, 36, 99), (10, 480, 60, 80)])  # fmt: skip
_legal("two_names", file(track(meta(0, 3, b"first"), meta(0, 3, b"second"), TUNE)))
_legal("odd_metas", file(track(meta(0, 0, b"\0\1"), meta(0, 0x20, b"\3"), meta(0, 0x21, b"\1"), meta(0, 0x54, b"\x60\0\0\0\0"),
                               meta(0, 0x7F, b"\0\0\x41" + b"x" * 300), meta(0, 0x60, b"?"), meta(0, 0x04), TUNE)))  # fmt: skip

# ---- legal: metadata ---------------------------------------------------------------------------------

for _name, _events, _warns in (
    ("tempo_zero", tempo(0, 0), "bad_tempo"),
    ("tempo_empty", meta(0, 0x51), "bad_tempo"),
    ("tempo_short", meta(0, 0x51, b"\x07\xa1"), "bad_tempo"),
    ("tempo_too_fast", tempo(0, 1), "bad_tempo"),
    ("tempo_too_slow", tempo(0, 0xFFFFFF), "bad_tempo"),
    ("tempo_fastest", tempo(0, 60_000), ""),
    ("tempo_slowest", tempo(0, 15_000_000), ""),
    ("tempo_long", meta(0, 0x51, b"\x07\xa1\x20\x00"), ""),
    ("meter_0_4", meter(0, 0, 2), "bad_meter"),
    ("meter_255_4", meter(0, 255, 2), "bad_meter"),
    ("meter_denominator_2_to_255", meter(0, 4, 255), "bad_meter"),
    ("meter_4_128", meter(0, 4, 7), "bad_meter"),
    ("meter_short", meta(0, 0x58, b"\x04"), "bad_meter"),
    ("meter_two_bytes", meta(0, 0x58, b"\x03\x02"), ""),
    ("meter_5_8", meter(0, 5, 3), ""),
    ("meter_64_64", meter(0, 64, 6), ""),
    ("pickup", meter(0, 1, 2) + meter(480, 4, 2) + b"\0\xb0\1\0", ""),
    ("key_fifths_8", key(0, 8), "bad_key"),
    ("key_fifths_minus_128", key(0, -128), "bad_key"),
    ("key_mode_2", key(0, 0, 2), "bad_key"),
    ("key_empty", meta(0, 0x59), "bad_key"),
    ("key_seven_flats_minor", key(0, -7, 1), ""),
):
    _legal(_name, file(track(_events), track(TUNE)), warns=_warns)

_legal("maps_in_a_later_track", file(track(), track(TUNE, tempo(0, 300_000), meter(0, 6, 3), key(0, 2))))
_legal("two_tempos_on_a_tick", file(track(tempo(0, 300_000), tempo(0, 400_000)), track(TUNE)))
_legal("timecode_25_40", file(track(TUNE), division=(256 - 25) << 8 | 40))
_legal("timecode_30_drop", file(track(TUNE), division=(256 - 29) << 8 | 100))
_legal("timecode_with_tempo", file(track(tempo(0, 400_000), TUNE), division=(256 - 24) << 8 | 80), warns="timecode")
_legal("division_zero", file(track(TUNE), division=0), warns="division")
_legal("timecode_without_ticks", file(track(TUNE), division=0xE700), warns="division")
_legal("division_one", file(track(on(0, 60), off(1, 60)), division=1), [(0, 1, 60, 80)])
_legal("division_largest", file(track(TUNE), division=0x7FFF))

ESCAPES = b"\x1b]0;owned\x07\x1b[31m\r\nred\x9b2J"  # a terminal obeys these; nothing of ours may print them raw
for _name, _text in (
    ("names_utf8", "Głos Ré 声".encode()),
    ("names_latin1", "Flöte Nº 1".encode("latin-1")),
    ("names_shift_jis", "ピアノ".encode("shift-jis")),
    ("names_terminal_escapes", ESCAPES),
    ("names_nul", b"Piano\0\0"),
    ("names_every_byte", bytes(range(256))),
):
    _legal(_name, file(track(*(meta(0, kind, _text) for kind in range(1, 8)), TUNE, meta(0, 5, _text))))

# ---- damaged -----------------------------------------------------------------------------------------

_WHOLE = file(track(tempo(0, 400_000), meta(0, 3, b"name")), track(TIGHT_TUNE), track(sysex(0, b"\x43\xf7"), BASS))
for _at in range(len(_WHOLE)):
    _damaged(f"truncated_at_{_at:03d}", _WHOLE[:_at])

_damaged("data_byte_above_127", file(track(TUNE, event(0, 0x90, 60, 200), off(480, 60))), TUNE_NOTES, "bad_data_byte")
_damaged("pitch_above_127", file(track(TUNE, event(0, 0x90, 200, 60), off(480, 72))), TUNE_NOTES, "bad_data_byte")
_damaged("program_above_127", file(track(event(0, 0xC0, 200), TUNE)), TUNE_NOTES, "bad_data_byte")
_BODY, _BASS_BODY = TUNE + END, BASS + END
_damaged("length_too_short", file(chunk(b"MTrk", _BODY, 20), track(BASS)), TUNE_NOTES + BASS_NOTES, "chunk_length")
_damaged("length_too_long", file(chunk(b"MTrk", _BODY, 48), track(BASS)), TUNE_NOTES + BASS_NOTES, "chunk_length")
_damaged("length_zero", file(chunk(b"MTrk", _BODY, 0), track(BASS)), TUNE_NOTES + BASS_NOTES, "chunk_length")
_damaged(
    "length_endless", file(chunk(b"MTrk", _BODY, 0xFFFFFFFF), track(BASS)), TUNE_NOTES + BASS_NOTES, "chunk_length"
)
_damaged("length_swallows_next_track", file(chunk(b"MTrk", _BODY, len(_BODY) + 8 + len(_BASS_BODY)), track(BASS)),
         TUNE_NOTES + BASS_NOTES, "chunk_length")  # fmt: skip
_damaged(
    "last_length_too_short", file(track(TUNE), chunk(b"MTrk", _BASS_BODY, 4)), TUNE_NOTES + BASS_NOTES, "chunk_length"
)
_damaged(
    "last_length_too_long", file(track(TUNE), chunk(b"MTrk", _BASS_BODY, 99)), TUNE_NOTES + BASS_NOTES, "truncated"
)
_damaged(
    "alien_length_endless", header(0, 1) + chunk(b"XFIH", b"abc", 0xFFFFFFF0) + track(TUNE), TUNE_NOTES, "stray_bytes"
)
_damaged("header_length_endless", header(0, 1, length=0xFFFFFFFF) + track(TUNE), TUNE_NOTES, "header_length")
_damaged("header_length_short", header(0, 1, length=2) + track(TUNE), TUNE_NOTES, "header_length")
_damaged(
    "junk_between_chunks",
    header(1, 2) + track(TUNE) + b"\0\1\2\3\4" + track(BASS),
    TUNE_NOTES + BASS_NOTES,
    "stray_bytes",
)
_damaged("junk_at_the_end", PLAIN + b"\x01\x02\x03 some words that are no chunk", TUNE_NOTES, "stray_bytes")
_damaged("line_ends_converted", file(track(TUNE, meta(0, 1, b"a\nb"))).replace(b"\n", b"\r\n"))
_damaged("high_bits_stripped", bytes(b & 0x7F for b in PLAIN))
_damaged("format_2", file(track(TUNE), track(BASS), form=2))
_damaged("only_an_empty_track", file(chunk(b"MTrk", b"")), [])
_damaged("header_only", header(1, 3))
_damaged("magic_only", b"MThd")
_damaged("begins_with_data_bytes", file(chunk(b"MTrk", event(0, 60, 80) + TUNE)), [], "damaged_track")
_damaged("data_after_a_meta", file(track(meta(0, 1, b"x"), event(0, 60, 80), event(9, 60, 0))), [], "damaged_track")
_damaged(
    "data_after_a_sysex", file(track(sysex(0, b"\x43\xf7"), event(0, 60, 80), event(9, 60, 0))), [], "damaged_track"
)
_damaged(
    "data_after_a_clock", file(track(b"\0\xf8", event(0, 60, 80), event(9, 60, 0))), [], "damaged_track system_message"
)
_damaged("clock_in_the_track", file(track(b"\0\xf8", TUNE, b"\x0a\xfe")), TUNE_NOTES, "system_message")
_damaged(
    "song_position_in_the_track",
    file(track(b"\0\xf2\x01\x02", b"\0\xf3\x01", b"\0\xf1\x01", TUNE)),
    TUNE_NOTES,
    "system_message",
)
_damaged("five_byte_delta", file(track(TUNE, b"\x80\x80\x80\x80\x00" + on(0, 70)[1:])), TUNE_NOTES, "damaged_track")
_damaged(
    "five_byte_delta_before_a_meta",
    file(track(TUNE, b"\x80\x80\x80\x80\x00\xff\x01\x00", on(0, 70), off(9, 70))),
    TUNE_NOTES,
    "damaged_track",
)
_damaged("endless_delta", file(track(TUNE, b"\xff" * 5000)), TUNE_NOTES, "damaged_track")
_damaged("endless_meta_length", file(track(TUNE, b"\0\xff\x01" + b"\xff" * 5000)), TUNE_NOTES, "damaged_track")
_damaged("meta_past_the_end", file(track(TUNE, b"\0\xff\x01\x7fabc")), TUNE_NOTES, "damaged_track")
_damaged("meta_of_256_megabytes", file(track(TUNE, b"\0\xff\x01\xff\xff\xff\x7fabc")), TUNE_NOTES, "damaged_track")
_damaged("ends_in_a_delta", file(chunk(b"MTrk", TUNE + b"\x81")), TUNE_NOTES, "damaged_track")
_damaged("ends_in_a_note", file(chunk(b"MTrk", TUNE + b"\0\x90\x3c")), TUNE_NOTES, "damaged_track")
_damaged("ends_in_a_meta_head", file(chunk(b"MTrk", TUNE + b"\0\xff")), TUNE_NOTES, "damaged_track")
_damaged("ends_before_a_status", file(chunk(b"MTrk", TUNE + b"\0")), TUNE_NOTES, "damaged_track")
for _seed in range(12):
    _noise = random.Random(_seed).randbytes(700)
    _damaged(f"random_track_{_seed:02d}", file(track(_noise)))
    _damaged(f"random_file_{_seed:02d}", b"MThd" + _noise)

# ---- heavy -------------------------------------------------------------------------------------------

_LONG = varlen(0x0FFFFFFF)
_add(
    HEAVY,
    "ticks_past_2_to_31",
    file(track(tempo(0, 60_000), *([_LONG + b"\xff\x01\x00"] * 20), on(0, 60), off(480, 60)), division=0x7FFF),
    [(20 * 0x0FFFFFFF, 480, 60, 80)],
)
_add(HEAVY, "a_year_of_silence", file(track(*([_LONG + b"\xff\x01\x00"] * 9), TUNE)), None)
_add(HEAVY, "tempo_changes_100_000", file(track(tempo(1, 400_000) * 100_000), track(TUNE)))
_HIT = on(0, 60) + event(1, 60, 0)
_add(HEAVY, "notes_199_999", file(track(_HIT * 199_999)), [(i, 1, 60, 80) for i in range(199_999)])
_add(HEAVY, "notes_200_001", file(track(_HIT * 200_001)), None)
_add(HEAVY, "hanging_150_000", file(track(on(1, 60) * 150_000)), None)
_add(HEAVY, "tracks_256", file(*[track(TUNE)] * 256), TUNE_NOTES * 256)
_add(HEAVY, "tracks_60_000", file(*[track()] * 60_000), None)
_add(HEAVY, "program_changes_1_000_000", file(track(event(0, 0xC0, 1) + event(0, 2) * 1_000_000, TUNE)))
_add(HEAVY, "controls_2_000_000", file(track(event(0, 0xB0, 1, 2) + event(0, 1, 3) * 2_000_000, TUNE)))
_add(HEAVY, "metas_2_000_000", file(track(meta(0, 1) * 2_000_000, TUNE)), None)
_add(HEAVY, "clocks_4_000_000", file(track(b"\0\xf8" * 4_000_000, TUNE)), None)
_add(HEAVY, "delta_of_9_megabytes", file(track(TUNE, b"\x80" * 9_000_000)), TUNE_NOTES, "damaged_track")
_add(HEAVY, "text_of_9_megabytes", file(track(meta(0, 1, b"x" * 9_000_000), TUNE)))
_add(HEAVY, "random_9_megabytes", file(track(TUNE, random.Random(9).randbytes(9_000_000))), None)
_add(HEAVY, "ones_9_megabytes", file(track(TUNE, b"\x01" * 9_000_000)), None)
_add(HEAVY, "track_names_in_noise", header(1, 2) + (b"MTrk\0\0\0\0\1" * 100_000), None)

# ---- other kinds of file -----------------------------------------------------------------------------


def _png() -> bytes:
    def part(name: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")

    size = part(b"IHDR", b"\0\0\0\1\0\0\0\1\x08\0\0\0\0")
    return b"\x89PNG\r\n\x1a\n" + size + part(b"IDAT", zlib.compress(b"\0\0")) + part(b"IEND", b"")


NOT_MUSIC.update(
    empty=b"",
    one_byte=b"M",
    text=b"Dear diary,\nno music today.\n",
    html=b"<!DOCTYPE html><title>404</title>",
    xml=b"<?xml version='1.0'?><score-partwise/>",
    wav=b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data\0\0\0\0",
    riff_without_midi=b"RIFF\x04\0\0\0RMID",
    png=_png(),
    zip=b"PK\x03\x04\x14\0\0\0\0\0" + b"\0" * 50,
    mp3=b"ID3\x04\0\0\0\0\0\0" + b"\xff\xfb\x90\x64" * 50,
    flac=b"fLaC\0\0\0\x22" + b"\0" * 34,
    ogg=b"OggS\0\2" + b"\0" * 50,
    pdf=b"%PDF-1.7\n",
    gzip=b"\x1f\x8b\x08\0" + b"\0" * 50,
    zeros=b"\0" * 5000,
    noise=random.Random(0).randbytes(5000),
)
