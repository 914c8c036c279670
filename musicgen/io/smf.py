"""Standard MIDI Files as bytes and as arrays of events, without interpretation or loss.

Conventions
-----------
A file is a `MidiFile`; each of its tracks is an `Events`: one EVENT row for each event, in file order, with absolute
ticks. Meta events have status 0xFF and their type in `data1`; meta and system-exclusive payloads lie in
`blobs`, indexed by a row's `blob` (-1: none). The end-of-track event is kept like any other.

Source: Standard MIDI Files 1.0 (RP-001). The reader accepts what the specification allows and repairs
common damage with a named warning ("name: what was done"); it never guesses notes.

For speed: where an event ends depends only on where it begins and on whether the running status takes one data byte
or two. So the successor of every byte position is computed for both cases in a few numpy passes over the whole file,
a three-line loop follows the chain of events, and numpy gathers their bytes.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError
from musicgen.io.foreign import kind_of
from musicgen.io.rests import broken_up
from musicgen.words import counted, was

__all__ = ["EVENT", "Events", "MidiFile", "parse_smf", "smf_bytes"]

EVENT = np.dtype([("tick", "<i8"), ("status", "u1"), ("data1", "u1"), ("data2", "u1"), ("blob", "<i4")])
META, SYSEX, ESCAPE = 0xFF, 0xF0, 0xF7
END_OF_TRACK = 0x2F
_FOOT = bytes([META, END_OF_TRACK, 0])
_STOP = 2**30


def _jumps() -> np.ndarray:
    """The distance from a status byte to the next state: row 0 if the running status takes two data bytes, row 1 if
    one; column: the byte. A state is 2 * position, plus 1 if the running status takes one data byte.
    """
    jump = np.empty((2, 256), np.int32)
    for one in (0, 1):
        jump[one, :0x80] = 2 * (2 - one) + one  # a data byte in place of a status: running status
        jump[one, 0xF0:] = 2 * 1 + one  # real-time and system common messages don't belong in files; skipped
        jump[one, [0xF1, 0xF3]] += 2
        jump[one, 0xF2] += 4
    jump[:, 0x80:0xF0] = 2 * 3
    jump[:, 0xC0:0xE0] = 2 * 2 + 1
    jump[:, [META, SYSEX, ESCAPE]] = _STOP
    return jump


_JUMP = _jumps()


@dataclass(frozen=True)
class Events:
    """The events of one track: `rows` (EVENT, in file order) and the payloads that rows point to."""

    rows: np.ndarray
    blobs: tuple[bytes, ...] = ()

    def payload(self, row: Any) -> bytes:
        """The payload bytes of a meta or system-exclusive row; empty for a channel event."""
        return self.blobs[row["blob"]] if row["blob"] >= 0 else b""

    def metas(self, kind: int) -> list[tuple[int, bytes]]:
        """(tick, payload) of every meta event of type `kind`, in file order."""
        rows = self.rows[(self.rows["status"] == META) & (self.rows["data1"] == kind)]
        return [(int(r["tick"]), self.payload(r)) for r in rows]


@dataclass(frozen=True)
class MidiFile:
    """A Standard MIDI File: `format` 0 or 1, the raw 16-bit `division`, and its tracks in order."""

    format: int
    division: int
    tracks: tuple[Events, ...]
    warnings: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The last tick of any event."""
        return max((int(t.rows["tick"].max()) for t in self.tracks if len(t.rows)), default=0)


# ---- reading -----------------------------------------------------------------------------------------


def parse_smf(data: bytes, *, where: object = "MIDI data", max_tracks: int = 256) -> MidiFile:
    """Parse the bytes of a Standard MIDI File.

    Raises UnreadableError when there is no header, no track, a format other than 0 or 1, or more than
    `max_tracks` tracks. Damage inside a track keeps the events before it and adds a warning.
    """
    warnings: list[str] = []
    data = _without_wrapper(data, where, warnings)
    if len(data) < 14:
        raise UnreadableError("the file ends inside its MIDI header", where=where, hint="export it again")
    header_length = int.from_bytes(data[4:8], "big")
    form, declared, division = (int.from_bytes(data[k : k + 2], "big") for k in (8, 10, 12))
    if header_length < 6 or header_length > len(data):
        warnings.append(f"header_length: the header claims {counted(header_length, 'byte')}; read as 6")
        header_length = 6
    if form == 2:
        raise UnreadableError(
            "a format 2 file holds separate patterns, not one piece", where=where, hint="export it as format 1"
        )
    if form > 2:
        warnings.append(f"format: unknown format {form}; read as format 1")
        form = 1
    if division & 0x7FFF == 0 or (division & 0x8000 and division & 0xFF == 0):
        warnings.append("division: the file gives no resolution; 480 ticks a quarter assumed")
        division = 480
    spans = _find_tracks(data, 8 + header_length, max_tracks + 1, warnings)
    if len(spans) > max_tracks:
        raise UnreadableError(
            f"more than {counted(max_tracks, 'track')}", where=where, hint="raise the limit with `Limits.tracks`"
        )
    if not spans:
        raise UnreadableError("no track in this MIDI file", where=where, hint="export it again")
    if len(spans) != declared:
        warnings.append(f"track_count: the header claims {counted(declared, 'track')}, {len(spans)} found")
    tracks = _parse_tracks(data, spans, warnings)
    return MidiFile(form, division, tuple(tracks), tuple(dict.fromkeys(warnings)))


def _without_wrapper(data: bytes, where: object, warnings: list[str]) -> bytes:
    """`data` from its MIDI header on. Raises UnreadableError if there is none."""
    if not data:
        raise UnreadableError("the file is empty", where=where, hint="export it again")
    if data[:4] == b"MThd":
        return data
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        kind = "this is a WAV audio file, not MIDI"
    else:
        # A RIFF wrapper (RMID) or a MacBinary header: the MIDI file begins a little later.
        at = data.find(b"MThd", 0, 4096)
        if at >= 0 and data[8:12] == b"RMID":
            return data[at : at + int.from_bytes(data[at - 4 : at], "little")]
        if at >= 0:
            warnings.append(f"leading_bytes: {counted(at, 'byte')} before the MIDI header {was(at)} skipped")
            return data[at:]
        found = kind_of(data)
        kind = f"this is {found}, not MIDI" if found else "not a MIDI file (it has no MThd header)"
    raise UnreadableError(kind, where=where, hint="give a file that a sequencer or notation program exported as MIDI")


def _find_tracks(data: bytes, at: int, most: int, warnings: list[str]) -> list[tuple[int, int]]:
    """(begin, stop) of the events of the first `most` tracks, as byte positions; chunks of other kinds are skipped."""
    spans: list[tuple[int, int]] = []
    while at + 8 <= len(data) and len(spans) < most:
        if _is_chunk(data, at):
            begin, at = at + 8, at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if data[begin - 8 : begin - 4] == b"MTrk":
                at = _track_stop(data, begin, end=at, number=len(spans), warnings=warnings)
                spans.append((begin, at))
        else:
            at = data.find(b"MTrk", at)
            warnings.append("stray_bytes: bytes between the chunks were skipped")
            if at < 0:
                break
    if 0 <= at < len(data) < at + 8 and data[at:].strip(b"\0"):
        warnings.append("stray_bytes: bytes after the last chunk were skipped")
    return spans


def _is_chunk(data: bytes, at: int) -> bool:
    """Whether a chunk begins at `at`: the header of a track, or of another chunk that ends within the file."""
    name, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
    return name == b"MTrk" or (name.replace(b" ", b"").isalnum() and at + 8 + length <= len(data))


def _track_stop(data: bytes, begin: int, *, end: int, number: int, warnings: list[str]) -> int:
    """The byte position at which a track stops.

    That is `end`, which follows from its length, or, if that is wrong, the next track's header or the end of the file.
    """
    following = data.find(b"MTrk", begin)
    swallowed = 0 <= following < end and data.endswith(_FOOT, begin, following)
    sound = end == len(data) or (end < len(data) and (data.endswith(_FOOT, begin, end) or _is_chunk(data, end)))
    if sound and not swallowed:
        return end
    if following < 0 and end > len(data):
        warnings.append(f"truncated: track {number} ends before its declared length")
    else:
        warnings.append(f"chunk_length: the length of track {number} is wrong; read up to the next track")
    return following if following >= 0 else len(data)


def _successors(bytes_: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For an event that begins at each of the first `n` bytes: the next state for both kinds of running status, the
    position of its status byte, and the length of its delta time in bytes, 1..4, or 5 if it is overlong.
    """
    more = bytes_ >= 0x80
    overlong = more[:n].copy()
    delta_length = overlong + np.uint8(1)
    for k in range(1, 4):
        overlong &= more[k : n + k]
        delta_length += overlong
    at_status = delta_length + np.arange(n, dtype=np.int32)
    status = bytes_[at_status]
    follow = np.empty((n, 2), np.int32)
    for one in (0, 1):
        np.add(_JUMP[one][status], 2 * at_status, out=follow[:, one])
    follow[overlong] = _STOP
    return follow.reshape(-1), at_status, delta_length


def _parse_tracks(data: bytes, spans: list[tuple[int, int]], warnings: list[str]) -> list[Events]:
    """The events of the tracks at `spans`. A track ends with a warning at the first byte that can't be parsed."""
    bytes_ = np.zeros(len(data) + 8, np.uint8)  # padding, to look ahead past the end
    bytes_[: len(data)] = np.frombuffer(data, np.uint8)
    follow, at_status, delta_length = _successors(bytes_, len(data))
    states = array("i")
    visit = states.append
    chain, status_at = follow.data, at_status.data  # indexing a memoryview is faster than indexing an array
    firsts: list[int] = []  # number of each track's first event
    blobs: list[list[bytes]] = []  # of each track
    owners, kinds = array("i"), array("i")  # for each blob: event number, meta type
    for number, (begin, stop) in enumerate(spans):
        firsts.append(len(states))
        own: list[bytes] = []
        blobs.append(own)
        state, limit, damage = 2 * begin, 2 * stop, ""
        while state < limit:
            last = state
            while state < limit:
                visit(state)
                last, state = state, chain[state]
            if state < _STOP:
                break
            # A meta event, a system-exclusive event, or damage.
            start = status_at[last >> 1]
            at = start + 1 + (start < stop and data[start] == META)
            length, at = _variable_length(data, at, stop)
            if length is None or at + length > stop or start - (last >> 1) > 4:
                what = "a delta time" if start - (last >> 1) > 4 else "a length" if length is None and at < stop else ""
                damage = f"{what} is longer than four bytes" if what else "it ends inside an event"
                states.pop()
                break
            kind = data[start + 1] if data[start] == META else 0
            owners.append(len(states) - 1)
            kinds.append(kind)
            own.append(data[at : at + length])
            if kind == END_OF_TRACK:
                break
            state = 2 * (at + length) + (last & 1)
        if limit + 1 < state < _STOP:
            states.pop()
            damage = "it ends inside an event"
        if damage:
            warnings.append(f"damaged_track: track {number}: {damage}; what was before is kept")
    del chain, follow  # they take eight times the memory of the file
    visited = np.array(states, np.int32)
    counts = np.diff(firsts, append=len(visited))
    rows = _gather(
        bytes_,
        visited,
        delta_length=delta_length,
        at_status=at_status,
        track_first=np.repeat(np.array(firsts, np.int32), counts),
    )
    numbers = np.array(owners, np.int32)
    rows["data1"][numbers], rows["data2"][numbers] = kinds, 0
    rows["blob"][numbers] = np.concatenate([np.arange(len(own)) for own in blobs])
    by_track = np.split(rows, firsts[1:])
    if not _is_sound(rows).all():
        by_track = [_sound_rows(part, number, warnings) for number, part in enumerate(by_track)]
    return [Events(part, tuple(own)) for part, own in zip(by_track, blobs, strict=True)]


def _gather(
    bytes_: np.ndarray, visited: np.ndarray, *, delta_length: np.ndarray, at_status: np.ndarray, track_first: np.ndarray
) -> np.ndarray:
    """EVENT rows of the visited states, without blobs. Data bytes before the first status of a track get status 0."""
    position = visited >> 1
    length, start = delta_length[position], at_status[position]
    delta = (bytes_[position] & 0x7F).astype(np.int64)
    for k in range(1, 4):
        wide = np.flatnonzero(length > k)
        if not len(wide):
            break
        delta[wide] = (delta[wide] << 7) | (bytes_[position[wide] + k] & 0x7F)
    tick = np.cumsum(delta)
    status = bytes_[start]
    running = status < 0x80
    # Running status: the last channel status. Meta and system events don't cancel it here, as in other readers.
    numbers = np.arange(len(status), dtype=np.int32)
    source = np.maximum.accumulate(np.where(running | (status >= 0xF0), -1, numbers))
    rows = np.zeros(len(visited), EVENT)
    rows["tick"] = tick - (tick - delta)[track_first]
    rows["status"] = np.where(running, np.where(source >= track_first, status[source], 0), status)
    rows["data1"] = bytes_[start + ~running]
    rows["data2"] = bytes_[start + ~running + 1]
    rows["data2"][(rows["status"] >= 0xC0) & (rows["status"] < 0xE0)] = 0
    rows["blob"] = -1
    return rows


def _is_sound(rows: np.ndarray) -> np.ndarray:
    status, data = rows["status"], rows["data1"] | rows["data2"]
    channel = (status >= 0x80) & (status < 0xF0) & (data < 0x80)
    sound: np.ndarray = channel | (status == META) | (status == SYSEX) | (status == ESCAPE)
    return sound


def _sound_rows(rows: np.ndarray, number: int, warnings: list[str]) -> np.ndarray:
    """The valid rows of one track; adds a warning for the others."""
    orphans = np.flatnonzero(rows["status"] == 0)
    if len(orphans):
        rows = rows[: orphans[0]]
        warnings.append(f"damaged_track: track {number}: data without a status byte; what was before is kept")
    sound, channel = _is_sound(rows), rows["status"] < 0xF0
    if bad := int((channel & ~sound).sum()):
        warnings.append(
            f"bad_data_byte: {counted(bad, 'event')} with a data byte above 127 dropped from track {number}"
        )
    if (~channel & ~sound).any():
        warnings.append("system_message: real-time messages inside a track were skipped")
    kept: np.ndarray = rows[sound]
    return kept


def _variable_length(data: bytes, at: int, stop: int) -> tuple[int | None, int]:
    """(value, position after it) of a variable-length quantity; the value is None past four bytes or at `stop`."""
    if at < stop and data[at] < 0x80:
        return data[at], at + 1
    value, most = 0, min(at + 4, stop)
    for k in range(at, most):
        value = (value << 7) | (data[k] & 0x7F)
        if data[k] < 0x80:
            return value, k + 1
    return None, most


# ---- writing -----------------------------------------------------------------------------------------


def smf_bytes(midi: MidiFile) -> bytes:
    """The file as bytes, without running status, which some readers get wrong; each track ends with an end-of-track."""
    chunks = [b"MThd" + (6).to_bytes(4, "big")]
    chunks += [v.to_bytes(2, "big") for v in (midi.format, len(midi.tracks), midi.division)]
    for track in midi.tracks:
        body = _track_bytes(track)
        chunks += [b"MTrk", len(body).to_bytes(4, "big"), body]
    return b"".join(chunks)


def _track_bytes(track: Events) -> bytes:
    rows, blobs = track.rows, list(track.blobs)
    if not len(rows) or (rows["status"][-1], rows["data1"][-1]) != (META, END_OF_TRACK):
        end = np.zeros(1, EVENT)
        end[0] = (rows["tick"][-1] if len(rows) else 0, META, END_OF_TRACK, 0, len(blobs))
        rows = np.concatenate([rows, end])
        blobs.append(b"")
    rows, blobs = broken_up(rows, blobs)
    delta = np.diff(rows["tick"], prepend=0)
    delta_length = 1 + (delta >= 1 << 7) + (delta >= 1 << 14) + (delta >= 1 << 21)
    channel = rows["status"] < 0xF0
    two = channel & ~((rows["status"] >= 0xC0) & (rows["status"] < 0xE0))
    payloads = {i: _with_head(rows[i], blobs) for i in np.flatnonzero(~channel).tolist()}
    size = delta_length + np.where(channel, 2 + two, 0)
    if payloads:
        size[list(payloads)] += [len(p) for p in payloads.values()]
    begin = np.concatenate([[0], np.cumsum(size)])
    out = np.zeros(int(begin[-1]), np.uint8)
    at = begin[:-1]
    for k in range(4):  # byte k of a delta time, from its last byte
        has = np.flatnonzero(delta_length > k)
        byte = (delta[has] >> (7 * k)) & 0x7F
        out[at[has] + delta_length[has] - 1 - k] = byte | (0x80 if k else 0)
    at = at + delta_length
    out[at[channel]] = rows["status"][channel]
    out[at[channel] + 1] = rows["data1"][channel]
    out[at[two] + 2] = rows["data2"][two]
    whole = bytearray(out.tobytes())
    for i, payload in payloads.items():
        whole[at[i] : at[i] + len(payload)] = payload
    return bytes(whole)


def _with_head(row: Any, blobs: list[bytes]) -> bytes:
    payload = blobs[row["blob"]] if row["blob"] >= 0 else b""
    head = bytes([row["status"], row["data1"]]) if row["status"] == META else bytes([row["status"]])
    length, septets = len(payload), [len(payload) & 0x7F]
    while length := length >> 7:
        septets.append(length & 0x7F | 0x80)
    return head + bytes(reversed(septets)) + payload
