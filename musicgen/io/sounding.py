"""The start and end of each note in a MIDI file: note-ons paired with note-offs.

Conventions
-----------
A note-on is ended by the first note-off of its pitch on its own track and channel that isn't paired with an earlier
note-on, or earlier where its channel is silenced.
Where some note of a pitch has no note-off, that pitch is treated as monophonic from where it was last silent: a note
ends at the next note-on or note-off, including unpaired note-offs of other tracks on the channel. A note after which
nothing follows (it *hangs*) ends with the last of the other notes, or with its track if that is earlier. If hanging
notes begin after all others have ended, they end four quarters after the last of them begins.
A note of zero length is given one tick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.io.channels import NEVER, Channels
from musicgen.io.pairing import one_at_a_time, pair_notes

__all__ = ["Sounding", "sounding"]

LONGEST_LAST = 4  # quarters


@dataclass(frozen=True)
class Sounding:
    """The notes in file order: row of the note-on, row of the note-off that ends it (-1 for none), end tick, and
    whether the note hangs, so that only the end of the music ends it."""

    on: np.ndarray
    off: np.ndarray
    end: np.ndarray
    hangs: np.ndarray
    warnings: tuple[str, ...] = ()


def sounding(channels: Channels, *, ticks_per_quarter: int) -> Sounding:
    """Find the end of every note of a file, with warnings about hanging notes and notes of zero length."""
    on = np.flatnonzero(channels.is_on)
    if not len(on):
        return Sounding(on, on, channels.tick[on], np.zeros(0, bool))
    # Homes with notes are renumbered consecutively, so that keys stay small and sort fast.
    plays = np.bincount(channels.home[on], minlength=int(channels.home.max()) + 1) > 0
    at = np.flatnonzero(channels.is_on | (channels.kind == 0x80) | (channels.kind == 0x90))
    pitch = channels.rows["data1"][at]
    key = 128 * np.where(plays, np.cumsum(plays) - 1, plays.sum())[channels.home[at]] + pitch
    silenced = channels.silenced(at)
    if silenced is not None:
        key = key * (int(silenced[0].max()) + 1) + silenced[0]
    is_on = channels.is_on[at]
    pair = pair_notes(key, is_on)
    warnings = []
    if (pair < 0).any():
        broken = _Hanging(channels, at, is_on=is_on, key=key, silenced=silenced)
        off, end, hangs, struck = broken.resolve(pair, LONGEST_LAST * ticks_per_quarter)
        if struck or hangs.any():
            warnings.append(
                "hanging_notes: notes that are never switched off end where their pitch sounds again, or with the music"
            )
    else:
        off, hangs = at[pair], np.zeros(len(on), bool)
        end = channels.tick[off]
    start = channels.tick[on]
    if (end <= start).any():
        warnings.append("zero_length: notes without length were given one tick")
        end = np.maximum(end, start + 1)
    return Sounding(on, off, end, hangs, tuple(warnings))


class _Hanging:
    """Pairing where note-offs are missing: the rows of the note events, whether each is a note-on, and their keys."""

    def __init__(
        self,
        channels: Channels,
        at: np.ndarray,
        *,
        is_on: np.ndarray,
        key: np.ndarray,
        silenced: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        self.channels, self.at, self.is_on, self.key = channels, at, is_on, key
        self.tick = channels.tick[at]
        self.count: np.ndarray = np.zeros(len(at), np.int64) if silenced is None else silenced[0]
        self.until: np.ndarray | None = None if silenced is None else silenced[1]
        self.notes = np.flatnonzero(is_on)

    def resolve(self, pair: np.ndarray, longest: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        """(rows of note-offs or -1, end ticks, which notes hang, whether any note ends at a note-on of its pitch).

        `pair` is the note-off of each note within its track, or -1; `longest` (ticks) bounds notes after which nothing
        follows.
        """
        pair, end, struck = self._one_at_a_time(pair)
        if self.until is not None:
            end = np.minimum(end, self.until[self.notes])
        hangs = end == NEVER
        open_ = self.at[self.notes[hangs]]
        if len(open_):
            tick = self.channels.tick
            rest, last = int(end[~hangs].max(initial=0)), int(tick[open_].max())
            last_rows = np.cumsum([len(track.rows) for track in self.channels.midi.tracks]) - 1
            of_track = tick[last_rows[self.channels.track[open_]]]
            end[hangs] = np.minimum(of_track, rest if last < rest else last + longest)
        return np.where(pair >= 0, self.at[pair], -1), end, hangs, struck

    def _one_at_a_time(self, pair: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """(pairs, end ticks or NEVER, whether any note ends at a note-on of its pitch).

        Keys that have an unpaired note-on are resolved one note at a time, using also the unpaired note-offs of other
        tracks on the channel.
        """
        pair, end, struck = pair.copy(), np.where(pair >= 0, self.tick[pair], NEVER), False
        free = ~self.is_on
        free[pair[pair >= 0]] = False
        number = np.cumsum(self.is_on) - 1  # index of each note-on among the notes
        shared = self._shared()
        left = _groups(shared, np.flatnonzero(free))
        events = np.flatnonzero(np.isin(self.key, self.key[self.notes[pair < 0]]))
        _, which, count = np.unique(self.key[events], return_inverse=True, return_counts=True)
        # A note-on that is the only event of its key, with no unpaired note-off elsewhere, can't be ended here.
        events = events[(count[which] > 1) | np.isin(shared[events], list(left))]
        for key, places in _groups(self.key, events).items():
            others = left.get(int(shared[places[0]]), places[:0])
            others = others[self.key[others] != key]
            if len(others):
                places = np.concatenate([others, places])  # stable: on one tick those of other tracks come first
                places = places[np.argsort(self.tick[places], kind="stable")]
            ticks, is_on = self.tick[places].tolist(), self.is_on[places].tolist()
            for place, ender in one_at_a_time(ticks, is_on).items():
                note = number[places[place]]
                if ender < 0 or ticks[ender] >= end[note]:
                    continue
                struck = struck or is_on[ender]
                pair[note] = -1 if is_on[ender] else places[ender]
                end[note] = ticks[ender]
        return pair, end, struck

    def _shared(self) -> np.ndarray:
        """As `key`, but the same for all tracks of a channel."""
        place = self.channels.channel[self.at].astype(np.int64) * 128 + self.channels.rows["data1"][self.at]
        key: np.ndarray = place * (int(self.count.max()) + 1) + self.count
        return key


def _groups(key: np.ndarray, places: np.ndarray) -> dict[int, np.ndarray]:
    """{key: the indices in `places` that have it, in their order}."""
    if not len(places):
        return {}
    places = places[np.argsort(key[places], kind="stable")]
    keys, first = np.unique(key[places], return_index=True)
    return dict(zip(keys.tolist(), np.split(places, first[1:]), strict=True))
