"""Rests that are too long for one delta time of a MIDI file, which is limited to 2^28 - 1 ticks.

They are broken up by sequencer-specific meta events without meaning, which readers ignore.
"""

from __future__ import annotations

import numpy as np

from musicgen.errors import MusicgenError

__all__ = ["LONGEST", "broken_up"]

LONGEST = (1 << 28) - 1  # ticks
MOST = 100_000  # events in all the rests of a track
_META, _OWN_DATA, _FILLER = 0xFF, 0x7F, b"\x7dmusicgen: the rest goes on"


def broken_up(rows: np.ndarray, blobs: list[bytes]) -> tuple[np.ndarray, list[bytes]]:
    """A track's rows (EVENT) and payloads with fillers inserted, so that no rest is longer than `LONGEST` ticks.

    Raises MusicgenError for events out of order, and for rests that need more than MOST fillers.
    """
    delta = np.diff(rows["tick"], prepend=0)
    if not len(delta) or (delta.min() >= 0 and delta.max() <= LONGEST):
        return rows, blobs
    if delta.min() < 0:
        raise MusicgenError("a MIDI file can't hold events out of order")
    needed = np.maximum(delta - 1, 0) // LONGEST
    if needed.sum() > MOST:
        raise MusicgenError(f"a rest of {delta.max():,} ticks is too long for a MIDI file", hint="use fewer ticks")
    at = np.flatnonzero(needed)
    which = np.repeat(at, needed[at])
    number = np.arange(len(which)) - np.repeat(np.cumsum(needed[at]) - needed[at], needed[at]) + 1
    fillers = np.zeros(len(which), rows.dtype)
    fillers["tick"] = rows["tick"][which] - delta[which] + number * LONGEST
    fillers["status"], fillers["data1"], fillers["blob"] = _META, _OWN_DATA, len(blobs)
    return np.insert(rows, which, fillers), [*blobs, _FILLER]
