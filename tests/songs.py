"""A song in four parts."""

from __future__ import annotations

import numpy as np

from musicgen.piece import METER, TEMPO, Piece, Track, notes_array

BAR = 1920


def song(*, tonic: int = 0, minor: bool = False, bars: int = 12) -> Piece:
    """A melody over a bass line and chords, with drums: I IV V I, all in one key."""
    scale = (0, 2, 3, 5, 7, 8, 11) if minor else (0, 2, 4, 5, 7, 9, 11)
    roots = (0, 3, 4, 0)
    melody, bass, chords, kit = [], [], [], []
    for bar in range(bars):
        root = roots[bar % 4]
        bass += [(bar * BAR + half * 960, 900, 36 + tonic + scale[root], 80) for half in range(2)]
        chords += [(bar * BAR, 1900, 60 + tonic + scale[(root + third) % 7], 70) for third in (0, 2, 4)]
        melody += [(bar * BAR + i * 480, 470, 72 + tonic + scale[(root + 2 * i) % 7], 90) for i in range(4)]
        kit += [(bar * BAR + i * 480, 100, (36, 38)[i % 2], 90) for i in range(4)]
    tracks = (
        Track("Melody", 40, notes=notes_array(melody)),
        Track("Bass", 33, notes=notes_array(bass)),
        Track("Piano", 0, notes=notes_array(chords)),
        Track("Kit", 0, True, notes_array(kit)),
    )
    return Piece(480, tracks, np.array([(0, 500_000)], TEMPO), np.array([(0, 4, 4)], METER))
