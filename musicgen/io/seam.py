"""The cut at which new notes join a file: the channel of each new part, and the events that prepare that channel.

Conventions
-----------
The state at the cut is taken from `channels`, over all tracks. Pedals that are down are released, on every channel. On
the channels of new notes the pitch bend is centred; a volume or expression faded to near silence, or the device's
master volume, is set back to its median; and a program change is inserted where another program is in effect. These
events are placed on the cut's tick, before the new notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from musicgen.io.channels import DRUM_CHANNEL, Channels, Places
from musicgen.io.controllers import BANK, EXPRESSION, PEDALS, VOLUME, changes, wheel
from musicgen.io.exclusive import master_volume
from musicgen.io.homes import DEVICE_NAME, PORT
from musicgen.io.smf import META, SYSEX, MidiFile
from musicgen.piece import CONTROL

__all__ = ["NewPart", "Row", "Seam", "Seat"]

NEARLY_SILENT = 0.16  # fraction of the usual level below which new notes would be inaudible
FAINT = 16  # volumes and expressions below this don't count towards the usual level
MELODIC_BANK, DRUM_BANK = 121, 120  # of General MIDI 2

Row = tuple[int, int, int, bytes | None]  # status, both data bytes, payload


@dataclass(frozen=True)
class NewPart:
    """New notes (NOTE, ticks of the file) for a track and channel of the file, and their controllers.

    `track` None asks for a new track called `name`; in a format 0 file the notes go into its only track. `controls` are
    the channel's controllers from the cut on; each of several parts on one channel holds all of them.
    """

    notes: np.ndarray
    program: int
    is_drum: bool
    track: int | None = None
    channel: int | None = None
    name: str = ""
    controls: np.ndarray = field(default_factory=lambda: np.empty(0, CONTROL))


@dataclass(frozen=True)
class Seat:
    """Where a new part goes: `track` of the file (None: a new one), `channel` 0..15, `port`, and the events to insert
    `before` its notes."""

    track: int | None
    channel: int
    port: int = 0
    before: tuple[Row, ...] = ()


class Seam:
    """A file cut at tick `cut`: `kept` is the part of the file up to there, `used` the channels used by the whole file.

    If not `is_open`, the file continues after the new notes: then no events are inserted on channels in use.
    """

    def __init__(self, kept: MidiFile, *, cut: int, used: set[int], is_open: bool = True) -> None:
        self.cut, self.file, self.used, self.is_open = cut, kept, used, is_open
        self.channels = Channels(kept)
        c = self.channels
        moved = (c.kind == 0xB0) | (c.kind == 0xE0)
        self._moved = np.flatnonzero(moved)
        playing = np.unique(c.channel[moved])
        controls, bends = c.settings(playing)
        self.controls = dict(zip(playing.tolist(), controls, strict=True))
        self._bends = dict(zip(playing.tolist(), bends, strict=True))
        self._taken = set(used)

    # ---- choosing tracks and channels ------------------------------------------------------------

    def seats(self, parts: Sequence[NewPart]) -> list[Seat]:
        """A seat for each part. If another part or instrument now holds its channel, it gets a free one."""
        wanted = [self._own_seat(part) for part in parts]
        self._taken |= {16 * seat.port + seat.channel for seat in wanted if seat is not None}
        sounds = [(part.program, part.is_drum) for part in parts]
        owners: dict[tuple[int, int], tuple[int, bool]] = {}
        for seat, mine in zip(wanted, sounds, strict=True):
            if seat is not None and self._in_force(seat) == mine:
                owners[seat.port, seat.channel] = mine
        alone = not self.file.format and len(self.file.tracks) == 1
        seats = []
        for part, seat, mine in zip(parts, wanted, sounds, strict=True):
            if seat is None:
                seats.append(self._free_seat(part, 0 if alone else None, self.new_port))
                continue
            now = self._in_force(seat)
            if now == mine or (not self.is_open and not self._has_free(part, seat.port)):
                seats.append(seat)
            elif not self.is_open:
                seats.append(self._free_seat(part, seat.track, seat.port))
            elif owners.setdefault((seat.port, seat.channel), mine) == mine or not self._has_free(part, seat.port):
                seats.append(replace(seat, before=self._instrument(part, seat, now)))
            else:
                seats.append(self._free_seat(part, seat.track, seat.port))
        return seats

    def _own_seat(self, part: NewPart) -> Seat | None:
        if part.channel is None or part.track is None:
            return None
        return Seat(part.track, part.channel, self.channels.port_of(part.track))

    def _at_cut(self, track: int | None, channels: list[int]) -> Places:
        """Places at the cut on each of `channels`, behind all events of `track` (None: of no track)."""
        c = self.channels
        rows = np.flatnonzero(c.track == (-1 if track is None else track))
        lane = int(c.lane[rows[-1]]) if len(rows) else -1
        channel = np.array(channels)
        row = np.full(len(channels), len(c.rows))
        return Places(16 * lane + channel % 16, channel, np.full(len(channels), self.cut), row)

    def _in_force(self, seat: Seat) -> tuple[int, bool]:
        """(program, whether drums) in effect on a seat's channel at the cut, as seen from its track."""
        place = self._at_cut(seat.track, [16 * seat.port + seat.channel])
        return int(self.channels.programs(place)[0]), bool(self.channels.drums(place)[0])

    def _drums_here(self, port: int) -> list[bool]:
        places = self._at_cut(None, [16 * port + channel for channel in range(16)])
        drums: list[bool] = self.channels.drums(places).tolist()
        return drums

    @property
    def new_port(self) -> int:
        """The port for new tracks: that of the first note in the file, 0 if there is none."""
        played = self.channels.lane[self.channels.is_on]
        return int(self.channels.lane_port[played[0]]) if len(played) else 0

    def port_metas(self) -> list[Row]:
        """The device-name and port meta events with which a new track begins, to be on `new_port`."""
        c, wanted = self.channels, self.new_port
        metas: dict[int, bytes] = {}
        if wanted:
            track = int(c.lane_track[np.flatnonzero(c.lane_port == wanted)[0]])
            metas = {kind: payload for _, on, _, kind, payload in c.metas(DEVICE_NAME, PORT) if on == track}
        return [(META, kind, 0, payload) for kind, payload in metas.items()]

    def _free(self, port: int) -> list[int]:
        """The unused channels 0..15 of a port, without channel 10 (number 9) and other drum channels."""
        drums = self._drums_here(port)
        return [c for c in range(16) if 16 * port + c not in self._taken and c != DRUM_CHANNEL and not drums[c]]

    def _has_free(self, part: NewPart, port: int) -> bool:
        return bool(self._free(port)) or (part.is_drum and any(self._drums_here(port)))

    def _free_seat(self, part: NewPart, track: int | None, port: int) -> Seat:
        """A seat on a free channel, for drums on a drum channel if there is one. If all are taken, channel 15 (counted
        from 0) is shared."""
        drums, free = self._drums_here(port), self._free(port)
        if part.is_drum and any(drums):
            return Seat(track, DRUM_CHANNEL if drums[DRUM_CHANNEL] else drums.index(True), port)
        seat = Seat(track, free[0] if free else 15, port)
        self._taken.add(16 * port + seat.channel)
        if not free and not self.is_open:
            return seat
        return replace(seat, before=self._instrument(part, seat, (-1, drums[seat.channel])))

    def _instrument(self, part: NewPart, seat: Seat, now: tuple[int, bool]) -> tuple[Row, ...]:
        """The events that give a seat's channel the part's instrument; `now` is its (program, whether drums) before."""
        rows: list[Row] = []
        would = self.channels.banks(self._at_cut(seat.track, [16 * seat.port + seat.channel]))
        if part.is_drum != now[1] and self.channels.ports == 1:
            # Roland GS "use for rhythm part", beside the General MIDI 2 bank; it names no port, so only with one port.
            block = 0 if seat.channel == DRUM_CHANNEL else seat.channel + (seat.channel < DRUM_CHANNEL)
            body = bytes([0x40, 0x10 | block, 0x15, int(part.is_drum)])
            rows.append((SYSEX, 0, 0, b"\x41\x10\x42\x12" + body + bytes([-sum(body) % 128, 0xF7])))
        if part.is_drum != now[1] or would[0 if not part.is_drum else 1].any():
            rows.append((0xB0 | seat.channel, BANK, DRUM_BANK if part.is_drum else MELODIC_BANK, None))
        if part.program != now[0] or rows:
            rows.append((0xC0 | seat.channel, part.program, 0, None))
        return tuple(rows)

    # ---- restoring levels and pedals -------------------------------------------------------------

    def lifts(self) -> dict[int, list[Row]]:
        """{16 * port + channel: the controllers that release the pedals held down on it}."""
        found: dict[int, list[Row]] = {}
        for channel, controls in self.controls.items():
            for pedal in PEDALS:
                values = changes(controls, pedal)[1]
                if len(values) and values[-1] >= 64:
                    found.setdefault(channel, []).append((0xB0 | channel % 16, pedal, 0, None))
        return found

    def restored(self, channel: int) -> list[Row]:
        """Events that bring back volume and expression from near silence, and centre the pitch bend, on a channel
        (16 * port + channel)."""
        if channel not in self.controls:
            return []
        rows: list[Row] = []
        controls, low = self.controls[channel], channel % 16
        levels = []
        for number, default in ((VOLUME, 100), (EXPRESSION, 127)):
            values = changes(controls, number)[1]
            audible = values[values >= FAINT]
            typical = int(np.median(audible)) if len(audible) else default
            levels.append((number, int(values[-1]) if len(values) else default, typical))
        if levels[0][1] * levels[1][1] < NEARLY_SILENT * levels[0][2] * levels[1][2]:
            rows += [(0xB0 | low, number, typical, None) for number, now, typical in levels if now < typical]
        turned = wheel(controls, self._bends[channel])[1]
        if len(turned) and turned[-1]:
            rows.append((0xE0 | low, 0, 64, None))
        return rows

    def master(self) -> list[Row]:
        """A master volume message with the median audible value, if the device is faded to near silence; else none."""
        c = self.channels
        rows = np.flatnonzero(c.rows["status"] == SYSEX)
        rows = rows[np.argsort(c.tick[rows], kind="stable")]
        messages = [c.midi.tracks[t].payload(c.rows[row]) for t, row in zip(c.track[rows].tolist(), rows, strict=True)]
        values = [value for message in messages if (value := master_volume(message)) is not None]
        audible = [value for value in values if value >= FAINT]
        usual = int(np.median(audible)) if audible else 127
        if not values or values[-1] >= NEARLY_SILENT * usual:
            return []
        return [(SYSEX, 0, 0, bytes([0x7F, 0x7F, 0x04, 0x01, 0x00, usual, 0xF7]))]

    def last_track(self, channel: int, *, on_the_cut: bool = False) -> int | None:
        """The track with the channel's last controller or bend, or None; with `on_the_cut`, only those on its tick."""
        c = self.channels
        rows = self._moved[c.channel[self._moved] == channel]
        if on_the_cut:
            rows = rows[c.tick[rows] == self.cut]
        if not len(rows):
            return None
        return int(c.track[rows[np.lexsort((rows, c.tick[rows]))[-1]]])
