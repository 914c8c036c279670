"""The parts of a piece as `parts` numbers them, and whether hands play it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicgen.piece import Piece
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["MOST_PARTS", "Voice", "is_kit", "is_played", "voices_of"]

MOST_PARTS = 64
# Of scores 2 onsets in 100 lie between sixteenths and triplets, of what hands play more than half.
PLAYED_SHARE = 0.25


@dataclass(frozen=True)
class Voice:
    """One part of a piece: its program value, 128 for drums, and the tracks whose notes it plays."""

    program: int
    tracks: tuple[int, ...] = ()


def voices_of(piece: Piece) -> tuple[Voice, ...]:
    """The parts of a piece in the order of their numbers: melodic ones by mean pitch from below, then drums.

    A track with notes is a part. Where there are more than fit, the last numbers share: drums with drums, and the
    highest of the melodic ones with one another.
    """
    found = []
    for number, track in enumerate(piece.tracks):
        if len(track.notes):
            found.append((track.is_drum, float(track.notes["pitch"].mean()), number))
    found.sort()
    voices = [Voice(DRUMS if drums else piece.tracks[n].program, (n,)) for drums, _, n in found]
    while len(voices) > MOST_PARTS:
        # The last one with a neighbour of its kind: a single part of drums must not join a melody.
        n = next(n for n in range(len(voices) - 1, 0, -1) if is_kit(voices[n]) == is_kit(voices[n - 1]))
        last = voices.pop(n)
        voices[n - 1] = replace(voices[n - 1], tracks=(*voices[n - 1].tracks, *last.tracks))
    return tuple(voices)


def is_kit(voice: Voice) -> bool:
    return voice.program == DRUMS


def is_played(piece: Piece) -> bool:
    """Whether the onsets are those of hands rather than of a score: many lie off the grid of 32nds and triplets."""
    starts = [t.notes["start"] for t in piece.tracks if len(t.notes)]
    if not starts:
        return False
    quarters = np.unique(np.concatenate(starts)) / piece.ticks_per_quarter
    off = np.minimum(*(np.abs(quarters * n - np.rint(quarters * n)) / n for n in (8, 6)))
    return bool((off > 1 / 96).mean() > PLAYED_SHARE)
