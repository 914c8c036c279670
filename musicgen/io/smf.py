"""Standard MIDI Files as bytes and as event arrays: nothing is interpreted here, nothing is lost.

Conventions
-----------
A file is a `MidiFile`; each of its tracks is an `Events`: one EVENT row an event, ticks absolute, in file
order. Meta events have status 0xFF and their type in `data1`; meta and system-exclusive payloads lie in
`blobs`, to which a row's `blob` points (-1: none). The end-of-track event is kept like any other.

Source: Standard MIDI Files 1.0 (RP-001). The reader accepts what the specification allows and salvages
common damage with a named warning ("name: what was done"); it never guesses notes.

How it is fast: where an event ends depends only on where it begins and on whether the running status takes
one data byte or two. So the successor of every byte position is computed for both cases in a few numpy
passes, and a three-line loop follows the chain; all else is array work again.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

import numpy as np

from musicgen.errors import UnreadableError

__all__ = ["EVENT", "Events", "MidiFile", "events_from_rows", "parse_smf", "smf_bytes"]

EVENT = np.dtype([("tick", "<i8"), ("status", "u1"), ("data1", "u1"), ("data2", "u1"), ("blob", "<i4")])
META, SYSEX, ESCAPE = 0xFF, 0xF0, 0xF7
END_OF_TRACK = 0x2F
_STOP = np.int32(2**31 - 1)
# Data bytes of the system messages that don't belong into a file but are met there.
_STRAY = {0xF1: 1, 0xF2: 2, 0xF3: 1}


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


def events_from_rows(rows: list[tuple[int, int, int, int, bytes | None]]) -> Events:
    """`Events` from Python tuples (tick, status, data1, data2, payload or None); for headers and small tracks."""
    blobs: list[bytes] = []
    packed = []
    for tick, status, data1, data2, payload in rows:
        if payload is not None:
            blobs.append(payload)
        packed.append((tick, status, data1, data2, len(blobs) - 1 if payload is not None else -1))
    return Events(np.array(packed, dtype=EVENT), tuple(blobs))


# ---- reading -----------------------------------------------------------------------------------------


def parse_smf(data: bytes, *, where: object = "MIDI data", max_tracks: int = 256) -> MidiFile:
    """Parse the bytes of a Standard MIDI File.

    Raises UnreadableError when there is no header, no track, a format other than 0 or 1, or more than
    `max_tracks` tracks. Damage inside a track keeps the events before it and adds a warning.
    """
    warnings: list[str] = []
    at = _find_header(data, where, warnings)
    if len(data) < at + 14:
        raise UnreadableError("the file ends inside its MIDI header", where=where, hint="export it again")
    header_length = int.from_bytes(data[at + 4 : at + 8], "big")
    form, declared, division = (int.from_bytes(data[at + k : at + k + 2], "big") for k in (8, 10, 12))
    if header_length < 6:
        warnings.append(f"header_length: the header claims {header_length} bytes; read as 6")
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

    tracks: list[Events] = []
    at += 8 + header_length
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "big")
        if kind != b"MTrk" and not _is_chunk_name(kind):
            again = data.find(b"MTrk", at)
            warnings.append("stray_bytes: bytes between the chunks were skipped")
            if again < 0:
                break
            at = again
            continue
        end = at + 8 + length
        if kind == b"MTrk":
            if len(tracks) == max_tracks:
                raise UnreadableError(
                    f"more than {max_tracks} tracks", where=where, hint="raise the limit with --max-tracks"
                )
            body, end = _track_body(data, at + 8, end, len(tracks), warnings)
            tracks.append(_parse_track(body, len(tracks), warnings))
        at = end
    if at < len(data) and len(data) - at < 8 and data[at:].strip(b"\0"):
        warnings.append("stray_bytes: bytes after the last chunk were skipped")
    if not tracks:
        raise UnreadableError("no track in this MIDI file", where=where, hint="export it again")
    if len(tracks) != declared:
        warnings.append(f"track_count: the header claims {declared} tracks, {len(tracks)} found")
    return MidiFile(form, division, tuple(tracks), tuple(dict.fromkeys(warnings)))


_OTHER_KINDS = (
    (b"ID3", "an MP3 audio file"),
    (b"\xff\xfb", "an MP3 audio file"),
    (b"fLaC", "a FLAC audio file"),
    (b"OggS", "an Ogg audio file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x89PNG", "a picture"),
    (b"%PDF", "a PDF"),
    (b"<?xml", "an XML text"),
)


def _find_header(data: bytes, where: object, warnings: list[str]) -> int:
    if not data:
        raise UnreadableError("the file is empty", where=where, hint="export it again")
    if data[:4] == b"MThd":
        return 0
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        kind = "this is a WAV audio file, not MIDI"
    else:
        # A RIFF wrapper (RMID) or a MacBinary header: the MIDI file begins a little later.
        at = data.find(b"MThd", 0, 4096)
        if at >= 0:
            if data[8:12] != b"RMID":
                warnings.append(f"leading_bytes: {at} bytes before the MIDI header were skipped")
            return at
        found = [name for magic, name in _OTHER_KINDS if data.startswith(magic)]
        kind = f"this is {found[0]}, not MIDI" if found else "not a MIDI file (it has no MThd header)"
    raise UnreadableError(kind, where=where, hint="give a file that a sequencer or notation program exported as MIDI")


def _is_chunk_name(kind: bytes) -> bool:
    return len(kind) == 4 and all(32 <= c < 127 for c in kind)


def _track_body(data: bytes, begin: int, end: int, number: int, warnings: list[str]) -> tuple[bytes, int]:
    """The bytes of a track whose length may lie, and where the next chunk begins."""
    plausible = end == len(data) or (end + 8 <= len(data) and _is_chunk_name(data[end : end + 4]))
    if plausible or (end < len(data) and data.find(b"MTrk", begin) < 0):
        return data[begin:end], end
    following = data.find(b"MTrk", begin)
    stop = following if following >= 0 else len(data)
    if following < 0:
        warnings.append(f"truncated: track {number} ends before its declared length")
    else:
        warnings.append(f"chunk_length: the length of track {number} is wrong; read up to the next track")
    return data[begin:stop], stop


def _parse_track(body: bytes, number: int, warnings: list[str]) -> Events:
    """The events of one MTrk chunk's bytes. Stops with a warning at the first byte that makes no sense."""
    n = len(body)
    bytes_ = np.zeros(n + 8, np.uint8)  # room to look ahead
    bytes_[:n] = np.frombuffer(body, np.uint8)
    more = bytes_ >= 0x80
    # Length of the delta time that would begin at each byte: 1..4; 5 stands for an overlong one.
    delta_length = np.ones(n, np.uint8)
    going = np.ones(n, bool)
    for k in range(4):
        going &= more[k : n + k]
        delta_length += going
    at_status = delta_length + np.arange(n, dtype=np.int32)
    status = bytes_[at_status]
    one_data = (status >= 0xC0) & (status < 0xE0)
    # State 2 * position + (1 when the running status takes one data byte); follow[state] is the next state.
    follow = np.empty(2 * n, np.int32)
    for one in (0, 1):
        after = at_status + (2 - one)
        follow[one::2] = 2 * after + one
    explicit = status >= 0x80
    after = 2 * (at_status + 3 - one_data) + one_data
    follow[0::2][explicit] = after[explicit]
    follow[1::2][explicit] = after[explicit]
    special = (status >= 0xF0) | (delta_length > 4)
    follow[0::2][special] = _STOP
    follow[1::2][special] = _STOP

    states = array("i")
    visit = states.append
    chain = memoryview(follow)  # type: ignore[arg-type]  # numpy's stubs lack the buffer protocol
    blobs: dict[int, tuple[int, bytes]] = {}  # event number -> (meta type, payload)
    stray: list[int] = []
    limit, state, damage = 2 * n, 0, ""
    if n and (status[0] < 0x80) and not special[0]:
        damage, state = "it begins without a status byte", limit
    while state < limit:
        last = state
        while state < limit:
            visit(state)
            last, state = state, chain[state]
        if state != _STOP:
            break
        # A meta event, a system-exclusive event, or nonsense.
        position = last >> 1
        if delta_length[position] > 4:
            states.pop()
            damage = "a delta time is longer than four bytes"
            break
        start = int(at_status[position])
        kind = bytes_[start]
        if kind in (META, SYSEX, ESCAPE):
            begin = start + (2 if kind == META else 1)
            length, begin = _variable_length(body, begin)
            if length is None or begin + length > n:
                states.pop()
                damage = "it ends inside an event" if length is not None else "a length is longer than four bytes"
                break
            blobs[len(states) - 1] = (body[start + 1] if kind == META else 0, body[begin : begin + length])
            if kind == META and body[start + 1] == END_OF_TRACK:
                break
            state = 2 * (begin + length) + (last & 1)
        else:  # a real-time or system common message: skipped
            stray.append(len(states) - 1)
            state = 2 * (start + 1 + _STRAY.get(int(kind), 0)) + (last & 1)

    visited = np.frombuffer(states, np.int32) if len(states) else np.zeros(0, np.int32)
    if len(visited) and not damage:  # the last event may reach past the end of the chunk
        last = int(visited[-1])
        if chain[last] != _STOP and chain[last] > 2 * n + 1:
            visited, damage = visited[:-1], "it ends inside an event"
    if damage:
        warnings.append(f"damaged_track: track {number}: {damage}; what was before is kept")
    rows = _gather(bytes_, visited, delta_length, at_status, blobs)
    keep = np.ones(len(rows), bool)
    if stray:
        keep[stray] = False
        warnings.append("system_message: real-time messages inside a track were skipped")
    bad = (rows["status"] < 0xF0) & ((rows["data1"] > 127) | (rows["data2"] > 127))
    if bad.any():
        keep &= ~bad
        warnings.append(f"bad_data_byte: {int(bad.sum())} events of track {number} with a data byte above 127 dropped")
    return Events(rows[keep], tuple(payload for _, payload in blobs.values()))


def _gather(
    bytes_: np.ndarray, visited: np.ndarray, delta_length: np.ndarray, at_status: np.ndarray, blobs: dict
) -> np.ndarray:
    """EVENT rows of the visited states."""
    position = visited >> 1
    length, start = delta_length[position], at_status[position]
    delta = (bytes_[position] & 0x7F).astype(np.int64)
    for k in range(1, 4):
        wide = np.flatnonzero(length > k)
        if not len(wide):
            break
        delta[wide] = (delta[wide] << 7) | (bytes_[position[wide] + k] & 0x7F)
    status = bytes_[start]
    running = status < 0x80
    # Running status: the last channel status before it. Meta and system events leave it in force, as readers do.
    source = np.maximum.accumulate(np.where(running | (status >= 0xF0), 0, np.arange(len(status))))
    rows = np.zeros(len(visited), EVENT)
    rows["tick"] = np.cumsum(delta)
    rows["status"] = np.where(running, status[source], status)
    rows["data1"] = bytes_[start + ~running]
    rows["data2"] = bytes_[start + ~running + 1]
    rows["data2"][(rows["status"] >= 0xC0) & (rows["status"] < 0xE0)] = 0
    rows["blob"] = -1
    if blobs:
        numbers = np.fromiter(blobs, np.int64, len(blobs))
        rows["data1"][numbers] = [kind for kind, _ in blobs.values()]
        rows["data2"][numbers] = 0
        rows["blob"][numbers] = np.arange(len(blobs))
    return rows


def _variable_length(body: bytes, at: int) -> tuple[int | None, int]:
    """(value, position after it) of a variable-length quantity; the value is None past four bytes or the end."""
    value = 0
    for k in range(at, min(at + 4, len(body))):
        value = (value << 7) | (body[k] & 0x7F)
        if body[k] < 0x80:
            return value, k + 1
    return None, at


# ---- writing -----------------------------------------------------------------------------------------


def smf_bytes(midi: MidiFile) -> bytes:
    """The file as bytes: no running status, so that any reader gets it right; tracks end with an end-of-track."""
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
    for k in range(4):  # byte k of a delta time, counted from its end
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
