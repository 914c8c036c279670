"""The state of a MIDI file's channels over all its tracks: programs, drums, silencing, controllers and pitch bends.

Conventions
-----------
A program change, controller or bend applies to its channel on every track, in order of ticks. Events of different
tracks on one tick have no order in the file: here a track's own events are applied after those of other tracks, and all
of them before the note-ons on that tick. System resets are applied first on their tick and undo all earlier settings.

Channel 10 of each port is drums unless a bank select or a system-exclusive message changes that. Banks (which take
effect at the next program change): 120 is General MIDI 2 drums, 121 is melodic; 127 is drums unless GS is in force;
where XG is in force, 126 (effects) counts as drums and banks below 120 are melodic. System-exclusive messages on a
track that names no port apply to all ports.

Sources: MIDI 1.0; General MIDI 1 and 2; and those of `exclusive`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.io.controllers import ALL_NOTES_OFF, ALL_SOUND_OFF, BANK, RESET, RPN, RPN_FINE
from musicgen.io.exclusive import GS, XG, meaning
from musicgen.io.homes import Homes
from musicgen.io.pairing import count_of, last_of, narrow
from musicgen.io.smf import SYSEX, MidiFile
from musicgen.piece import BEND, CONTROL

__all__ = ["DRUM_CHANNEL", "NEVER", "Channels", "Places"]

DRUM_CHANNEL = 9
NEVER = int(np.iinfo(np.int64).max)
MOST_PORTS = 16  # a message for all ports is applied to no more than these
NO_BANK = 255
# System resets as controller events: reset all controllers (121), volume, pan; then through registered parameters the
# pitch bend range and fine and coarse tuning, and at last the null parameter.
_DEFAULTS = ((121, 0), (7, 100), (10, 64))
_PARAMETERS = ((101, 0), (100, 0), (6, 2), (100, 1), (6, 64), (100, 2), (6, 64), (101, 127), (100, 127))
_NONE = np.zeros(0, np.int64)
_NO_CONTROLS, _NO_BENDS = np.zeros(0, CONTROL), np.zeros(0, BEND)


@dataclass(frozen=True)
class Places:
    """Locations of events: arrays of each event's home, channel, tick and row number (see `homes`)."""

    home: np.ndarray
    channel: np.ndarray
    tick: np.ndarray
    row: np.ndarray

    def of(self, which: np.ndarray) -> Places:
        """The subset selected by a mask or an index array."""
        return Places(self.home[which], self.channel[which], self.tick[which], self.row[which])


class Channels(Homes):
    """The events of a file (`is_on` marks note-ons) and the channel state that results from them."""

    def __init__(self, midi: MidiFile) -> None:
        super().__init__(midi)
        self.is_on = (self.kind == 0x90) & (self.rows["data2"] > 0)
        self._controls = np.flatnonzero(self.kind == 0xB0)
        self._number = self.rows["data1"][self._controls]
        self._programs = np.flatnonzero(self.kind == 0xC0)
        self._reset_port = self._reset_tick = self._modes = _NONE
        self._parts, self._parts_drum = Places(_NONE, _NONE, _NONE, _NONE), _NONE > 0
        at = np.flatnonzero(self.rows["status"] == SYSEX)
        if len(at):
            self._find_exclusives(at)

    def places(self, rows: np.ndarray) -> Places:
        """The locations of the events with these row numbers."""
        return Places(self.home[rows], self.channel[rows], self.tick[rows], rows)

    def _find_exclusives(self, at: np.ndarray) -> None:
        """Interpret the system-exclusive events at rows `at`.

        Sets `_reset_port`, `_reset_tick` and `_modes` of system resets, sorted by port and tick; and `_parts` (Places)
        with `_parts_drum` of messages that turn a channel into drums or back.
        """
        known: dict[bytes, tuple[int, int, bool]] = {}  # payload -> meaning, as files repeat the same messages
        meanings: list[tuple[int, int, bool]] = []
        for track, blob in zip(self.track[at].tolist(), self.rows["blob"][at].tolist(), strict=True):
            payload = self.midi.tracks[track].blobs[blob]
            if payload not in known:
                found = meaning(payload)
                known[payload] = found.mode, -1 if found.channel is None else found.channel, found.drums
            meanings.append(known[payload])
        mode, channel, drums = np.array(meanings, np.int64).reshape(-1, 3).T
        port = self.lane_port[self.lane[at]]
        if self.ports > 1:
            for_all = np.isin(self.track[at], list(self.silent))
            count = np.where(for_all, min(self.ports, MOST_PORTS), 1)
            repeated = np.repeat(np.arange(len(at)), count)
            number = np.arange(len(repeated)) - np.repeat(np.cumsum(count) - count, count)
            port = np.where(for_all[repeated], number, port[repeated])
            at, mode, channel, drums = (column[repeated] for column in (at, mode, channel, drums))
        resets = np.flatnonzero(mode)
        resets = resets[np.lexsort((self.tick[at[resets]], port[resets]))]  # stable: the last on a tick wins
        self._reset_port, self._reset_tick, self._modes = port[resets], self.tick[at[resets]], mode[resets]
        parts = np.flatnonzero(channel >= 0)
        rows, channel = at[parts], channel[parts]
        home = 16 * self.lane[rows] + channel
        self._parts, self._parts_drum = (
            Places(home, 16 * port[parts] + channel, self.tick[rows], rows),
            drums[parts] > 0,
        )

    # ---- state at a place ------------------------------------------------------------------------

    def programs(self, places: Places) -> np.ndarray:
        """The program (0..127) in effect at each place; 0 before any program change."""
        found = self._in_force(self.places(self._programs), places)
        return np.where(found >= 0, np.append(self.rows["data1"][self._programs], 0)[found], 0)

    def used(self) -> set[int]:
        """The channels that have at least one channel event."""
        return set(np.unique(self.channel[self.kind < 0xF0]).tolist())

    def chosen(self) -> set[int]:
        """The channels that have at least one program change."""
        return set(np.unique(self.channel[self._programs]).tolist())

    def drums(self, places: Places) -> np.ndarray:
        """Whether the channel is drums at each place."""
        default: np.ndarray = places.channel & 15 == DRUM_CHANNEL
        banked, banked_drum = self._drum_banks()
        if not len(banked.row) and not len(self._parts.row):
            return default
        order = np.argsort(np.concatenate([banked.row, self._parts.row]), kind="stable")
        columns = zip(vars(banked).values(), vars(self._parts).values(), strict=True)
        events = Places(*(np.concatenate(pair)[order] for pair in columns))
        is_drum = np.concatenate([banked_drum, self._parts_drum])[order]
        found = self._in_force(events, places)
        drums: np.ndarray = np.where(found >= 0, is_drum[found], default)
        return drums

    def _drum_banks(self) -> tuple[Places, np.ndarray]:
        """(program changes whose bank makes the channel drums or melodic, boolean array: True for drums)."""
        banks = self._controls[self._number == BANK]
        if not (self.rows["data2"][banks] >= 120).any() and not (len(banks) and (self._modes == XG).any()):
            return self.places(banks[:0]), np.zeros(0, bool)
        places = self.places(self._programs)
        drums, melody = self.banks(places)
        is_set = drums | melody
        return places.of(is_set), drums[is_set]

    def banks(self, places: Places) -> tuple[np.ndarray, np.ndarray]:
        """(drums, melody): whether the bank selected at each place makes the channel drums, or melodic, at a program
        change there. Both are False where the bank decides nothing."""
        at = self._controls[self._number == BANK]
        found = self._in_force(self.places(at), places)
        bank = np.where(found >= 0, np.append(self.rows["data2"][at], 0)[found], NO_BANK)
        era = self._era(places)
        mode = np.where(era >= 0, np.append(self._modes, 0)[era], 0)
        drums = (bank == 120) | ((bank == 127) & (mode != GS)) | ((bank == 126) & (mode == XG))
        return drums, (bank == 121) | ((bank < 120) & (mode == XG))

    def _in_force(self, events: Places, places: Places) -> np.ndarray:
        """For each place the index of the event in effect there, or -1 for none. `events` are in file order.

        That is the latest event on the place's channel; on equal ticks the last of its own track, else the last of
        any track. Events of its own track count only if their row precedes the place.
        """
        found = last_of(events.home, events.row, places.home, places.row)
        if not len(events.row):
            return found
        if (found < 0).any() or len(set(events.home.tolist())) > len(set(events.channel.tolist())):
            anywhere = last_of(events.channel, events.tick, places.channel, places.tick)
            behind = (anywhere >= 0) & (events.home[anywhere] == places.home) & (events.row[anywhere] > places.row)
            if behind.any():
                anywhere[behind] = _before_own(events, places.of(behind), anywhere[behind])
            newer = (anywhere >= 0) & (events.tick[anywhere] > np.where(found >= 0, events.tick[found], -1))
            found = np.where(newer, anywhere, found)
        if (self._reset_tick > events.tick.min()).any():
            void = (found >= 0) & (self._era(events.of(found)) != self._era(places))
            found = np.where(void, -1, found)
        return found

    def _era(self, places: Places) -> np.ndarray:
        """The index of the last system reset up to each place, or -1 for none."""
        return last_of(self._reset_port, self._reset_tick, places.channel >> 4, places.tick)

    def silenced(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """(how many times the channel of each row has been silenced so far, the tick of the next time or NEVER).

        None if that never happens from the first row's tick on. Controllers 120 and 123 to 127 and system resets
        silence a channel; those of other tracks are applied first on their tick.
        """
        first = int(self.tick[rows].min(initial=NEVER))
        cuts = self._controls[(self._number == ALL_SOUND_OFF) | (self._number >= ALL_NOTES_OFF)]
        at, later = cuts[self.tick[cuts] >= first], self._reset_tick > first
        if not len(at) and not later.any():
            return None
        places, cuts = self.places(rows), self.places(at)
        count, until = _passed(cuts.channel, cuts.tick, places.channel, places.tick)
        # Events of the place's own track on its tick count only if their row precedes the place.
        late = count_of(cuts.home, cuts.tick, places.home, places.tick)
        late = late - count_of(cuts.home, cuts.row, places.home, places.row)
        count, until = count - late, np.where(late > 0, places.tick, until)
        if later.any():
            port = places.channel >> 4
            resets, end = _passed(self._reset_port[later], self._reset_tick[later], port, places.tick)
            count, until = count + resets, np.minimum(until, end)
        return count, until

    def silences(self) -> tuple[np.ndarray, np.ndarray]:
        """(channel, tick) of all that silences channels, in no order; a reset silences all of its port."""
        cuts = self._controls[(self._number == ALL_SOUND_OFF) | (self._number >= ALL_NOTES_OFF)]
        reset = (16 * np.asarray(self._reset_port)[:, None] + np.arange(16)).ravel()
        channel = np.concatenate([self.channel[cuts], reset]).astype(np.int64)
        return channel, np.concatenate([self.tick[cuts], np.repeat(np.asarray(self._reset_tick), 16)]).astype(np.int64)

    # ---- controllers and bends -------------------------------------------------------------------

    def settings(self, channels: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """(CONTROL arrays, BEND arrays): the controllers and pitch bends of each of `channels` (ascending), by time."""
        turns = np.flatnonzero(self.kind == 0xE0)
        if not (len(turns) or len(self._controls)) or not len(channels):
            return [_NO_CONTROLS] * len(channels), [_NO_BENDS] * len(channels)
        if (resets := self._controls[self._number == RESET]).size:  # drop bends that 121 resets on their own tick
            reset = self.places(resets)
            undo = last_of(reset.channel, reset.tick, self.channel[turns], self.tick[turns])
            undone = (undo >= 0) & (reset.tick[undo] == self.tick[turns]) & (reset.row[undo] > turns)
            turns = turns[~undone]
        at, turns = (self.in_order(rows, channels) for rows in (self._controls, turns))
        controls, bends = np.zeros(len(at), CONTROL), np.zeros(len(turns), BEND)
        events = self.rows[at]
        controls["tick"], controls["number"], controls["value"] = events["tick"], events["data1"], events["data2"]
        events = self.rows[turns]
        bends["tick"] = events["tick"]
        bends["value"] = 128 * events["data2"].astype(np.int16) + events["data1"] - 8192
        of_controls, of_bends = self.channel[at], self.channel[turns]
        if len(self._reset_tick):
            controls, of_controls = self._with_defaults(controls, of_controls, bends, of_bends)
        return _by_channel(controls, of_controls, channels), _by_channel(bends, of_bends, channels)

    def in_order(self, rows: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """Those of `rows` (ascending) that are on one of `channels`, sorted by channel and time."""
        if not len(rows):
            return rows
        wanted = np.zeros(16 * self.ports, bool)
        wanted[channels] = True
        rows = rows[wanted[self.channel[rows]]]
        channel = narrow(self.channel[rows])
        order = np.argsort(channel, kind="stable")
        channel, tick = channel[order], self.tick[rows][order]
        if ((tick[1:] < tick[:-1]) & (channel[1:] == channel[:-1])).any():
            order = order[np.lexsort((tick, channel))]
        return rows[order]

    def _with_defaults(
        self, controls: np.ndarray, of_controls: np.ndarray, bends: np.ndarray, of_bends: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(controllers, their channels) with default values inserted at each system reset that follows any controller
        or bend on the channel."""
        channel = np.concatenate([of_controls, of_bends]).astype(np.int64)
        tick = np.concatenate([controls["tick"], bends["tick"]])
        _, until = _passed(self._reset_port, self._reset_tick, channel >> 4, tick)
        asked = np.unique(np.stack([channel, until])[:, until < NEVER], axis=1)
        defaults = _DEFAULTS + (_PARAMETERS if np.isin(controls["number"], (RPN, RPN_FINE)).any() else ())
        more = np.zeros((asked.shape[1], len(defaults)), CONTROL)
        more["tick"] = asked[1][:, None]
        more["number"], more["value"] = np.array(defaults).T
        of_all = np.concatenate([np.repeat(asked[0], len(defaults)), of_controls])
        both = np.concatenate([more.ravel(), controls])
        order = np.lexsort((both["tick"], of_all))
        return both[order], of_all[order]


def _before_own(events: Places, places: Places, found: np.ndarray) -> np.ndarray:
    """For each place, the last event on its channel before the events of its own track on its tick; -1 if none.

    `found` is the index of the channel's last event up to the place's tick, which is one of its own track.
    """
    order = np.lexsort((events.tick, events.channel))
    number = np.empty(len(order), np.int64)
    number[order] = np.arange(len(order))
    own = [count_of(events.home, events.tick, places.home, places.tick - k) for k in (0, 1)]
    before = number[found] - (own[0] - own[1])
    earlier = order[np.maximum(before, 0)]
    return np.where((before >= 0) & (events.channel[earlier] == places.channel), earlier, -1)


def _by_channel(rows: np.ndarray, of_rows: np.ndarray, channels: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.searchsorted(of_rows, channels[1:])) if len(channels) > 1 else [rows]


def _passed(group: np.ndarray, tick: np.ndarray, places: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(number of events of each place's group up to and including its tick, tick of the next one or NEVER)."""
    order = np.lexsort((tick, group))
    group, tick = group[order], tick[order]
    begin, end = np.searchsorted(group, places), np.searchsorted(group, places, side="right")
    count = count_of(group, tick, places, at)
    following = np.where(begin + count < end, begin + count, len(tick))
    return count, np.append(tick, NEVER)[following]
