"""The bricks that MIDI files are built of: bytes of events, tracks and headers, right or wrong as one likes."""

from __future__ import annotations

import numpy as np

from musicgen.io.midi import UNLIMITED, piece_and_homes
from musicgen.io.smf import EVENT, Events, MidiFile


def part_homes(midi: MidiFile) -> list[tuple[int, int]]:
    """(track number, channel 0..15) of every part of a file."""
    return list(piece_and_homes(midi, limits=UNLIMITED)[1])


def varlen(value: int) -> bytes:
    """A variable-length quantity."""
    septets = [value & 0x7F]
    while value := value >> 7:
        septets.append(value & 0x7F | 0x80)
    return bytes(reversed(septets))


def event(delta: int, *data: int) -> bytes:
    """`delta` ticks, then the bytes of a channel event as they are."""
    return varlen(delta) + bytes(data)


def on(delta: int, pitch: int, velocity: int = 80, channel: int = 0) -> bytes:
    return event(delta, 0x90 | channel, pitch, velocity)


def off(delta: int, pitch: int, channel: int = 0) -> bytes:
    return event(delta, 0x80 | channel, pitch, 64)


def meta(delta: int, kind: int, payload: bytes = b"") -> bytes:
    return varlen(delta) + bytes([0xFF, kind]) + varlen(len(payload)) + payload


def sysex(delta: int, payload: bytes, status: int = 0xF0) -> bytes:
    return varlen(delta) + bytes([status]) + varlen(len(payload)) + payload


def tempo(delta: int, microseconds: int) -> bytes:
    return meta(delta, 0x51, microseconds.to_bytes(3, "big"))


def meter(delta: int, numerator: int, power: int) -> bytes:
    return meta(delta, 0x58, bytes([numerator, power, 24, 8]))


def key(delta: int, fifths: int, minor: int = 0) -> bytes:
    return meta(delta, 0x59, bytes([fifths & 0xFF, minor]))


def chunk(name: bytes, body: bytes, length: int | None = None) -> bytes:
    return name + (len(body) if length is None else length).to_bytes(4, "big") + body


def header(form: int, tracks: int, division: int = 480, extra: bytes = b"", length: int | None = None) -> bytes:
    return chunk(b"MThd", b"".join(v.to_bytes(2, "big") for v in (form, tracks, division)) + extra, length)


END = b"\x00\xff\x2f\x00"


def track(*events: bytes) -> bytes:
    return chunk(b"MTrk", b"".join(events) + END)


def file(*tracks: bytes, form: int | None = None, division: int = 480, declared: int | None = None) -> bytes:
    """A file of whole chunks; format 0 when it has one track."""
    form = (0 if len(tracks) == 1 else 1) if form is None else form
    return header(form, len(tracks) if declared is None else declared, division) + b"".join(tracks)


def events_from_rows(rows: list[tuple[int, int, int, int, bytes | None]]) -> Events:
    """`Events` from Python tuples (tick, status, data1, data2, payload or None)."""
    blobs: list[bytes] = []
    packed = []
    for tick, status, data1, data2, payload in rows:
        if payload is not None:
            blobs.append(payload)
        packed.append((tick, status, data1, data2, len(blobs) - 1 if payload is not None else -1))
    return Events(np.array(packed, dtype=EVENT), tuple(blobs))
