"""The track, channel, port and part name of each event in a MIDI file.

Conventions
-----------
A channel number is 16 * port + channel, with sixteen channels to a port. A *lane* is a track on one port; a *home* is
a channel on one lane, numbered 16 * lane + channel. A device name and a port number together identify a port; the first
port that a track names applies from the track's beginning, and a track that names none is on the first port.
A channel prefix assigns the names after it to a channel, until the track's next channel event.

Sources: Standard MIDI Files 1.0; RP-019 (device names); the unofficial port number (meta event 0x21).
"""

from __future__ import annotations

import numpy as np

from musicgen.io.smf import META, MidiFile

__all__ = ["SAME_PART", "TRACK_NAME", "Homes"]

TRACK_NAME, INSTRUMENT_NAME, DEVICE_NAME, CHANNEL_PREFIX, PORT, OWN_DATA = 0x03, 0x04, 0x09, 0x20, 0x21, 0x7F
SAME_PART = b"\x7dmusicgen: more of the part before"  # sequencer-specific meta event at the head of a track we wrote


class Homes:
    """The events of all tracks: `rows` (EVENT, in file order), and for each row its `track`, `tick`, `kind` (the status
    byte's upper four bits), `channel` and `home`."""

    def __init__(self, midi: MidiFile) -> None:
        count = len(midi.tracks)
        self.midi = midi
        self.rows = np.concatenate([t.rows for t in midi.tracks])
        self.track = np.repeat(np.arange(count), [len(t.rows) for t in midi.tracks])
        status = self.rows["status"]
        self.tick, self.kind = self.rows["tick"], status & 0xF0
        self._metas_at = np.flatnonzero(status == META)
        self.ports, self.lane, self.silent = 1, self.track, frozenset(range(count))
        self.lane_port, self.lane_track = np.zeros(count, np.int64), np.arange(count)
        self._find_ports(self.metas(DEVICE_NAME, PORT))
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

    def _sent(self, rows: np.ndarray) -> np.ndarray:
        """The number of channel events before each of `rows`."""
        sent: np.ndarray = np.concatenate([[0], np.cumsum(self.kind < 0xF0)])[rows]
        return sent

    # ---- ports -----------------------------------------------------------------------------------

    def _find_ports(self, events: list[tuple[int, int, int, int, bytes]]) -> None:
        """Set the port attributes from `events`, the device-name and port meta events in file order (see `metas`).

        They are `ports` (the number of ports), `lane` of each row, `lane_port`, `lane_track`, and `silent`, the tracks
        that name no port.
        """
        events = [meta for meta in events if meta[3] == DEVICE_NAME or meta[4]]
        self.silent -= {meta[1] for meta in events}
        if all((kind == PORT and payload[:1] == b"\0") or not payload for _, _, _, kind, payload in events):
            return
        row, track = (np.array([meta[k] for meta in events]) for k in (0, 1))
        is_device = np.array([meta[3] == DEVICE_NAME for meta in events])
        numbers: dict[bytes, int] = {b"": 0}
        value = np.array([numbers.setdefault(p, len(numbers)) if k == DEVICE_NAME else p[0] for *_, k, p in events])
        device, number = (_carried(np.where(mine, value, -1), track) for mine in (is_device, ~is_device))
        keys, port = np.unique(np.append(0, 128 * device + number), return_inverse=True)
        # Metas before a track's first channel event count as one; a track's first port applies from its beginning.
        begin = np.searchsorted(self.track, np.arange(len(self.midi.tracks) + 1))
        at_head = self._sent(row) == self._sent(begin[track])
        last = ~(at_head & np.append((track[1:] == track[:-1]) & at_head[1:], False))
        row, track, port = row[last], track[last], port[1:][last]
        first = np.append(True, track[1:] != track[:-1])
        silent = np.array(sorted(self.silent), np.int64)
        row = np.concatenate([np.where(first, begin[track], row), begin[silent]])
        track, port = np.append(track, silent), np.append(port, np.zeros(len(silent), np.int64))
        order = np.lexsort((row, track))
        row, track, port = row[order], track[order], port[order]
        lanes, lane = np.unique(len(keys) * track + port, return_inverse=True)
        self.ports, self.lane_track, self.lane_port = len(keys), lanes // len(keys), lanes % len(keys)
        self.lane = np.repeat(lane, np.diff(np.append(row, len(self.rows))))

    def port_of(self, track: int) -> int:
        """The port in effect at the end of a track."""
        rows = np.flatnonzero(self.track == track)
        lane = self.lane[rows[-1]] if len(rows) else np.flatnonzero(self.lane_track == track)[-1]
        return int(self.lane_port[lane])

    def whole_parts(self, home: np.ndarray) -> np.ndarray:
        """`home` with tracks marked SAME_PART (continuations of a part) mapped to the track of that part."""
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
        places: np.ndarray = 16 * lane[home >> 4] + (home & 15)
        return places

    # ---- names -----------------------------------------------------------------------------------

    def names(self, playing: list[int]) -> dict[int, str]:
        """The name of each home in `playing`; empty where there is none.

        That is the name after a channel prefix on its own track, else the track's name, else the name after a prefix
        for its channel on another track. Of several the first is taken, and a track name before an instrument name.
        """
        of_home: dict[int, bytes] = {}
        of_track: dict[int, bytes] = {}
        of_channel: dict[int, bytes] = {}
        prefixes: dict[int, tuple[int, bytes]] = {}  # by track
        metas = self.metas(TRACK_NAME, INSTRUMENT_NAME, CHANNEL_PREFIX)
        sent = [0] * len(metas)
        if any(kind == CHANNEL_PREFIX for _, _, _, kind, _ in metas):
            sent = self._sent(np.array([meta[0] for meta in metas])).tolist()
        instruments: list[tuple[int, bytes]] = []
        plays = set(playing)
        for (row, track, _, kind, payload), count in zip(metas, sent, strict=True):
            if kind == CHANNEL_PREFIX:
                prefixes[track] = count, payload
                continue
            before, prefix = prefixes.get(track, (-1, b""))
            if prefix and before == count:
                home = (int(self.home[row]) & ~15) + (prefix[0] & 15)
                if kind == INSTRUMENT_NAME:
                    instruments.append((home, payload))
                    continue
                of_home.setdefault(home, payload)
                if home in plays:
                    continue
            if kind == TRACK_NAME:
                of_track.setdefault(track, payload)
        for home, payload in instruments:
            of_home.setdefault(home, payload)
        for home, payload in of_home.items():
            of_channel.setdefault(self.channel_of(home), payload)
        lane_track = self.lane_track.tolist()
        return {
            home: text(of_home.get(home, b""))
            or text(of_track.get(lane_track[home >> 4], b""))
            or text(of_channel.get(self.channel_of(home), b""))
            for home in playing
        }

    def channel_of(self, home: int) -> int:
        """The channel number (16 * port + channel) of a home."""
        return 16 * int(self.lane_port[home >> 4]) + (home & 15)


def _carried(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Forward fill: each -1 becomes the last other value before it in its group, else 0. Groups are contiguous."""
    at = np.maximum.accumulate(np.where(values >= 0, np.arange(len(values)), -1))
    return np.where((at >= 0) & (group[at] == group), values[at], 0)


def text(raw: bytes) -> str:
    """Decode a MIDI text as UTF-8 where that is valid, else as Latin-1; trailing NULs and spaces are removed."""
    try:
        found = raw.decode("utf-8")
    except UnicodeDecodeError:
        found = raw.decode("latin-1")
    return found.rstrip("\0 ")
