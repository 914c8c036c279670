"""Which keys of which channels are down when, and how new notes fit between.

A note-off ends whatever sounds on its channel and pitch, in whichever track, so two notes of one key can't overlap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np

__all__ = ["Keys"]


class Keys:
    """The notes that stay in a file, by key: 128 * (16 * port + channel) + pitch."""

    def __init__(self, *, end: int) -> None:
        """`end`: the tick from which on a track's own old events come after its new ones on the same tick."""
        self._end = end
        self._notes: dict[int, list[tuple[int, int, int]]] = defaultdict(list)  # (start, end, track)
        self._offs: dict[int, list[int]] = defaultdict(list)  # note-offs that end no note
        self._silences: dict[int, list[int]] = defaultdict(list)  # by channel
        self.refused = 0  # notes left out by `fitted` so far

    def add(self, key: int, start: int, end: int, *, track: int) -> None:
        """Add a note that sounds from tick `start` to `end`."""
        self._notes[key].append((start, end, track))

    def add_offs(self, keys: Iterable[int], ticks: Iterable[int]) -> None:
        """Add note-offs that end no note, as they would end a new one."""
        for key, tick in zip(keys, ticks, strict=True):
            self._offs[key].append(tick)

    def add_silences(self, channels: Iterable[int], ticks: Iterable[int]) -> None:
        """Add ticks at which a channel is silenced: a note-off that comes later would end another note."""
        for channel, tick in zip(channels, ticks, strict=True):
            self._silences[channel].append(tick)

    def fitted(self, notes: np.ndarray, channel: int, *, track: int) -> np.ndarray:
        """The `notes` (NOTE, by onset, none overlapping another) that can be played on a channel from a track.

        As on a keyboard, a note ends where its key is struck by another, and one whose key is down already is left out.
        Those returned count as down from then on.
        """
        notes = notes.copy()
        for note in notes:
            key, start = 128 * channel + int(note["pitch"]), int(note["start"])
            end = min(start + int(note["duration"]), self._free_until(key, start, track))
            note["duration"] = max(0, end - start)
            if end > start:
                self.add(key, start, end, track=track)
        fits = notes["duration"] > 0
        self.refused += int((~fits).sum())
        kept: np.ndarray = notes[fits]
        return kept

    def _free_until(self, key: int, at: int, track: int) -> int:
        """The latest tick at which a note of `track` that begins at tick `at` may end; `at` if it may not begin."""
        latest = min((tick for tick in self._offs[key] if tick > at), default=2**62)
        latest = min([latest, *(tick - 1 for tick in self._silences[key // 128] if tick > at)])
        for start, end, other in self._notes[key]:
            # On one tick a file's tracks follow one another: an off from a later track would end what has just begun.
            if start <= at < end or (at == end and other > track):
                return at
            if start > at:
                is_after = other > track or (other == track and start >= self._end)
                latest = min(latest, start if is_after else start - 1)
        return latest
