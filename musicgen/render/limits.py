"""What is rendered of extreme pieces: so many hours, and so many notes that sound at once.

A sound file of a day is no piece of music, and a hundred thousand notes that hold for an hour take a player years. What
is within the limits takes minutes, whatever the piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.errors import ResourceError
from musicgen.piece import Piece

__all__ = ["MOST_HOURS", "MOST_VOICE_SECONDS", "check_hours", "check_voices", "without_copies"]

MOST_HOURS = 24
MOST_VOICE_SECONDS = 1_000_000  # a hundred voices for three hours


def check_hours(piece: Piece) -> None:
    """Raise ResourceError for a piece that lasts longer than MOST_HOURS, before anything is made of it."""
    hours = piece.seconds / 3600
    if hours > MOST_HOURS:
        raise ResourceError(f"the piece lasts {hours:,.1f} hours, and {MOST_HOURS} can be rendered", hint="cut it")


def without_copies(voices: np.ndarray) -> np.ndarray:
    """VOICE rows sorted by start, in which voices that sound the same from beginning to end are one, as loud as all.

    A file may strike one key a thousand times on one tick.
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
    """Raise ResourceError where the voices sound for more than MOST_VOICE_SECONDS, all together."""
    seconds = float((voices["end"] - voices["start"]).sum(dtype=np.float64)) / rate
    if seconds > MOST_VOICE_SECONDS:
        what = f"its notes sound for {seconds / 3600:,.0f} hours, one after the other"
        most = f"{MOST_VOICE_SECONDS / 3600:,.0f} can be rendered"
        raise ResourceError(f"{what}, and {most}", hint="leave out notes, or end them sooner")
