"""Limits on rendering: the length of a piece in hours, and the total sounding time of its notes.

A hundred thousand notes that are held for an hour would take a player years; rendering within the limits takes minutes.
"""

from __future__ import annotations

import numpy as np

from musicgen.errors import ResourceError
from musicgen.piece import Piece

__all__ = ["MOST_HOURS", "MOST_VOICE_SECONDS", "check_hours", "check_voices", "without_copies"]

MOST_HOURS = 24
MOST_VOICE_SECONDS = 1_000_000  # a hundred voices for three hours


def check_hours(piece: Piece) -> None:
    """Raise ResourceError for a piece longer than MOST_HOURS; to be called before rendering begins."""
    hours = piece.seconds / 3600
    if hours > MOST_HOURS:
        raise ResourceError(f"the piece lasts {hours:,.1f} hours, and {MOST_HOURS} can be rendered", hint="cut it")


def without_copies(voices: np.ndarray) -> np.ndarray:
    """VOICE rows sorted by start, with voices that differ only in gain merged into one with the sum of their gains.

    A file may have a thousand note-ons of one key on one tick.
    """
    names = [name for name in voices.dtype.names or () if name not in ("left", "right")]
    same = voices[names]
    order = np.lexsort([voices[name] for name in reversed(names)])
    fresh = np.append(True, same[order][1:] != same[order][:-1])[: len(order)]
    if fresh.all():
        return voices
    group = np.cumsum(fresh) - 1
    result = voices[order[fresh]]
    for side in ("left", "right"):
        result[side] = np.bincount(group, voices[side][order])
    ordered: np.ndarray = result[np.argsort(result["start"], kind="stable")]
    return ordered


def check_voices(voices: np.ndarray, *, rate: int) -> None:
    """Raise ResourceError if the voices' durations add up to more than MOST_VOICE_SECONDS."""
    seconds = float((voices["end"] - voices["start"]).sum(dtype=np.float64)) / rate
    if seconds > MOST_VOICE_SECONDS:
        what = f"its notes sound for {seconds / 3600:,.0f} hours, one after the other"
        most = f"{MOST_VOICE_SECONDS / 3600:,.0f} can be rendered"
        raise ResourceError(f"{what}, and {most}", hint="leave out notes, or end them sooner")
