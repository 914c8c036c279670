"""The numbered parts of a piece for the `parts` tokenizer, and whether a piece is a performance or a score."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from musicgen.piece import Piece
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["MOST_PARTS", "Voice", "is_kit", "is_played", "voices_of"]

MOST_PARTS = 64
# Share of onsets off the grid of 32nds and triplets above which a piece is a performance. In scores about 2 in 100
# are, in performances more than half.
PLAYED_SHARE = 0.25


@dataclass(frozen=True)
class Voice:
    """One part of a piece: its program value (128 for drums) and the numbers of the tracks it contains."""

    program: int
    tracks: tuple[int, ...] = ()


def voices_of(piece: Piece) -> tuple[Voice, ...]:
    """The parts of a piece in the order of their numbers: melodic parts by ascending mean pitch, then drums.

    Every track with notes is a part. If there are more than MOST_PARTS, the last ones are merged: drums with drums, and
    the highest melodic parts with one another.
    """
    found = []
    for number, track in enumerate(piece.tracks):
        if len(track.notes):
            found.append((track.is_drum, float(track.notes["pitch"].mean()), number))
    found.sort()
    voices = [Voice(DRUMS if drums else piece.tracks[n].program, (n,)) for drums, _, n in found]
    while len(voices) > MOST_PARTS:
        # Merge the last part that is of the same kind (drums or melodic) as the one before it.
        n = next(n for n in range(len(voices) - 1, 0, -1) if is_kit(voices[n]) == is_kit(voices[n - 1]))
        last = voices.pop(n)
        voices[n - 1] = replace(voices[n - 1], tracks=(*voices[n - 1].tracks, *last.tracks))
    return tuple(voices)


def is_kit(voice: Voice) -> bool:
    return voice.program == DRUMS


def is_played(piece: Piece) -> bool:
    """Whether a piece is a performance and not a score: more than PLAYED_SHARE of its onsets lie off the grid of 32nds
    and triplets."""
    starts = [t.notes["start"] for t in piece.tracks if len(t.notes)]
    if not starts:
        return False
    quarters = np.unique(np.concatenate(starts)) / piece.ticks_per_quarter
    off = np.minimum(*(np.abs(quarters * n - np.rint(quarters * n)) / n for n in (8, 6)))
    return bool((off > 1 / 96).mean() > PLAYED_SHARE)
