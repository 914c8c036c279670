"""System-exclusive messages that affect channels: system resets, drum parts, and master volume.

Sources: General MIDI 1 and 2; Roland SC-88 and Yamaha XG 1.26 MIDI implementations. Checksums are not verified: a
wrong one is an error of the program that wrote the file, and no other message has these bytes.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["GM", "GM2", "GS", "XG", "Exclusive", "master_volume", "meaning"]

GM, GM2, GS, XG = range(1, 5)
_RHYTHM_PART, _PART_MODE = 0x15, 0x07  # the last byte of the address within a part


class Exclusive(NamedTuple):
    """Either a system reset to `mode` (GM, GM2, GS, XG; else 0), or `channel` (0..15) becomes drums or melodic."""

    mode: int = 0
    channel: int | None = None
    drums: bool = False


NOTHING = Exclusive()


def meaning(payload: bytes) -> Exclusive:
    """Interpret a message, given as its bytes after F0, with or without the final F7.

    >>> meaning(bytes.fromhex("41 10 42 12 40 1a 15 01 10 f7"))
    Exclusive(mode=0, channel=10, drums=True)
    """
    body = payload[:-1] if payload[-1:] == b"\xf7" else payload
    if body[:1] == b"\x7e" and body[2:3] == b"\x09":
        return Exclusive({b"\x01": GM, b"\x03": GM2}.get(body[3:4], 0))
    if body[:1] == b"\x41" and body[2:4] == b"\x42\x12" and len(body) >= 9:
        return _roland(body[4], body[5], body[6], body[7:-1])
    if body[:1] == b"\x43" and body[1:2] and body[1] & 0xF0 == 0x10 and body[2:3] == b"\x4c" and len(body) >= 7:
        return _yamaha(body[3], body[4], body[5], body[6:])
    return NOTHING


def master_volume(payload: bytes) -> int | None:
    """The value 0..127 of a universal master volume message; None for other messages.

    >>> master_volume(bytes.fromhex("7f 7f 04 01 00 50 f7"))
    80
    """
    body = payload[:-1] if payload[-1:] == b"\xf7" else payload
    is_one = len(body) == 6 and body[:1] == b"\x7f" and body[2:4] == b"\x04\x01" and body[5] < 128
    return body[5] if is_one else None


def _roland(high: int, middle: int, low: int, data: bytes) -> Exclusive:
    if (high, middle, low) in ((0x40, 0x00, 0x7F), (0x00, 0x00, 0x7F)):
        return Exclusive(GS)
    if high == 0x40 and middle & 0xF0 == 0x10 and low <= _RHYTHM_PART < low + len(data):
        # Block 0 is channel 10, blocks 1 to 9 are channels 1 to 9, and A to F channels 11 to 16.
        block = middle & 15
        channel = 9 if block == 0 else block - 1 if block < 10 else block
        return Exclusive(0, channel, data[_RHYTHM_PART - low] > 0)
    return NOTHING


def _yamaha(high: int, middle: int, low: int, data: bytes) -> Exclusive:
    if (high, middle) == (0x00, 0x00) and low in (0x7E, 0x7F):
        return Exclusive(XG)
    if high == 0x08 and middle < 16 and low <= _PART_MODE < low + len(data):
        return Exclusive(0, middle, data[_PART_MODE - low] > 0)
    return NOTHING
