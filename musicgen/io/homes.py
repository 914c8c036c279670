"""Where the events of a file stand: on which track, channel and port, and by which name.

Conventions
-----------
A channel is one of sixteen of a port, as a number 16 * port + channel; a *home* is a channel on one track, 16 * lane
+ channel, a lane being a track on a port. A port is told by a device name and a port number together; the first that a
track names holds from its beginning, a track that names none is on the first port.
A channel prefix gives the names after it to a channel, until something is sent.

Sources: Standard MIDI Files 1.0; RP-019 (device names); the unofficial port number (meta event 0x21).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicgen.io.smf import META, MidiFile

__all__ = ["SAME_PART", "TRACK_NAME", "Homes", "Meta"]

TRACK_NAME, INSTRUMENT_NAME, DEVICE_NAME, CHANNEL_PREFIX, PORT, OWN_DATA = 0x03, 0x04, 0x09, 0x20, 0x21, 0x7F
SAME_PART = b"\x7dmusicgen: more of the part before"  # own data at the head of a track that we wrote
_FIRST_PORT = (b"", b"\0")


class Meta(NamedTuple):
    """A meta event: its row, its track, its tick, its type and its payload."""

    row: int
    track: int
    tick: int
    kind: int
    payload: bytes


class Homes:
    """The events of all tracks: `rows` (EVENT, in file order), of each its `track`, `tick`, `kind` (the upper half of
    its status), `channel` and `home`."""

    def __init__(self, midi: MidiFile) -> None:
        count = len(midi.tracks)
        self.midi = midi
        self.rows = np.concatenate([t.rows for t in midi.tracks])
        self.track = np.repeat(np.arange(count), [len(t.rows) for t in midi.tracks])
        status = self.rows["status"]
        self.tick, self.kind = self.rows["tick"], status & 0xF0
        self._metas_at = np.flatnonzero(status == META)
        self._naming = [
            Meta(*meta) for meta in self.metas(TRACK_NAME, INSTRUMENT_NAME, DEVICE_NAME, CHANNEL_PREFIX, PORT)
        ]
        self.ports, self.lane = 1, self.track
        self.lane_port, self.lane_track = np.zeros(count, np.int64), np.arange(count)
        self._find_ports()
        low = status & 15
        self.home = 16 * self.lane + low
        self.channel = low if self.ports == 1 else 16 * self.lane_port[self.lane] + low

    def metas(self, *kinds: int) -> list[tuple[int, int, int, int, bytes]]:
        """(row, track, tick, type, payload) of the meta events of these types, in file order."""
        wanted = np.zeros(256, bool)
        wanted[list(kinds)] = True
        at = self._metas_at[wanted[self.rows["data1"][self._metas_at]]]
        tracks = self.midi.tracks
        return [
            (row, track, tick, kind, tracks[track].blobs[blob] if blob >= 0 else b"")
            for row, track, (tick, _, kind, _, blob) in zip(
                at.tolist(), self.track[at].tolist(), self.rows[at].tolist(), strict=True
            )
        ]

    def _sent(self) -> np.ndarray:
        """How much has been sent to channels before each row."""
        return np.concatenate([[0], np.cumsum(self.kind < 0xF0)])

    # ---- ports -----------------------------------------------------------------------------------

    def _find_ports(self) -> None:
        """Set `ports`, their number, `lane` of each row, `lane_port` and `lane_track`, and `silent`, the tracks that
        name no port."""
        count = len(self.midi.tracks)
        said: dict[int, list[tuple[int, tuple[bytes, bytes]]]] = {}  # by track: (row, device and number from there on)
        for meta in self._naming:
            if meta.kind == DEVICE_NAME or (meta.kind == PORT and meta.payload):
                past = said.setdefault(meta.track, [])
                device, number = past[-1][1] if past else _FIRST_PORT
                new = (meta.payload, number) if meta.kind == DEVICE_NAME else (device, meta.payload[:1])
                past.append((meta.row, new))
        self.silent = frozenset(range(count)) - set(said)
        if all(key == _FIRST_PORT for past in said.values() for _, key in past):
            return
        ports: dict[tuple[bytes, bytes], int] = {_FIRST_PORT: 0}
        lanes: dict[tuple[int, int], int] = {}
        begin, sent = np.searchsorted(self.track, np.arange(count + 1)).tolist(), self._sent()
        self.lane = np.zeros(len(self.rows), np.int64)
        for track in range(count):
            past = said.get(track, [(begin[track], _FIRST_PORT)])
            # Up to the first event that is sent, a device, its number and what corrects them are one statement.
            head = sum(bool(sent[row] == sent[begin[track]]) for row, _ in past)
            past = past[max(0, head - 1) :]
            bounds = [begin[track], *(row for row, _ in past[1:]), begin[track + 1]]
            for (_, key), first, last in zip(past, bounds, bounds[1:], strict=False):
                port = ports.setdefault(key, len(ports))
                self.lane[first:last] = lanes.setdefault((track, port), len(lanes))
        self.ports = len(ports)
        self.lane_track, self.lane_port = (np.array(column) for column in zip(*lanes, strict=True))

    def port_of(self, track: int) -> int:
        """The port that holds at the end of a track."""
        rows = np.flatnonzero(self.track == track)
        lane = self.lane[rows[-1]] if len(rows) else np.flatnonzero(self.lane_track == track)[-1]
        return int(self.lane_port[lane])

    def whole_parts(self, home: np.ndarray) -> np.ndarray:
        """`home` with tracks that are more of the part before them counted as that part's track."""
        more = [
            SAME_PART in track.blobs and any(payload == SAME_PART for _, payload in track.metas(OWN_DATA))
            for track in self.midi.tracks
        ]
        if not any(more):
            return home
        owner = np.maximum.accumulate(np.where(more, 0, np.arange(len(more))))[self.lane_track]
        lanes = {pair: n for n, pair in enumerate(zip(self.lane_track.tolist(), self.lane_port.tolist(), strict=True))}
        pairs = zip(owner.tolist(), self.lane_port.tolist(), strict=True)
        lane = np.array([lanes.get(pair, n) for n, pair in enumerate(pairs)])
        return 16 * lane[home >> 4] + (home & 15)

    # ---- names -----------------------------------------------------------------------------------

    def names(self, playing: list[int]) -> dict[int, str]:
        """The name of each home in `playing`: what a channel prefix in its track says, else the track's name, else
        what a prefix elsewhere says of its channel. The first of several holds, a track name before an instrument."""
        lane_track = self.lane_track.tolist()
        plays = set(playing)
        of_home: dict[int, str] = {}
        of_track: dict[int, str] = {}
        of_channel: dict[int, str] = {}
        prefixes: dict[int, Meta] = {}  # by track
        sent = self._sent() if any(meta.kind == CHANNEL_PREFIX for meta in self._naming) else np.zeros(0)
        for kind in (TRACK_NAME, INSTRUMENT_NAME):
            prefixes.clear()
            for meta in self._naming:
                if meta.kind == CHANNEL_PREFIX:
                    prefixes[meta.track] = meta
                if meta.kind != kind:
                    continue
                prefix = prefixes.get(meta.track)
                if prefix is not None and prefix.payload and sent[prefix.row] == sent[meta.row]:
                    home = (int(self.home[meta.row]) & ~15) + (prefix.payload[0] & 15)
                    of_home.setdefault(home, text(meta.payload))
                    of_channel.setdefault(self.channel_of(home), text(meta.payload))
                    if home in plays:
                        continue
                if kind == TRACK_NAME:
                    of_track.setdefault(meta.track, text(meta.payload))
        return {
            home: of_home.get(home) or of_track.get(lane_track[home >> 4]) or of_channel.get(self.channel_of(home), "")
            for home in playing
        }

    def channel_of(self, home: int) -> int:
        """The channel of a home."""
        return 16 * int(self.lane_port[home >> 4]) + (home & 15)


def text(raw: bytes) -> str:
    """A MIDI text: UTF-8 where it is valid, else Latin-1, which the specification's ASCII is a part of."""
    try:
        found = raw.decode("utf-8")
    except UnicodeDecodeError:
        found = raw.decode("latin-1")
    return found.rstrip("\0 ")
