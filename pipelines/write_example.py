"""Write the bundled unfinished piece: the cello theme of Schubert's Unfinished Symphony (D 759, first movement).

The notes are facts: onset and length in quarters, MIDI pitch. The theme breaks off in mid-phrase.

    python pipelines/write_example.py corpora/examples/schubert-unfinished.mid
"""

from __future__ import annotations

import sys

import numpy as np

from musicgen import Piece, Track, write
from musicgen.piece import KEY, METER, TEMPO, notes_array

TICKS = 480
THEME = [
    (0, 1, 67), (1, 1.5, 62), (2.5, 0.5, 67), (3, 0.75, 66), (3.75, 0.25, 67), (4, 1.5, 69), (5.5, 0.5, 67),
    (6, 0.75, 66), (6.75, 0.25, 67), (7, 0.5, 69), (7.5, 0.5, 62), (8, 0.5, 64), (8.5, 0.5, 66), (9, 1, 67),
    (10, 2, 62), (12, 1, 67), (13, 1.5, 62), (14.5, 0.5, 67), (15, 0.75, 68), (15.75, 0.25, 69), (16, 1.5, 71),
    (17.5, 0.5, 69), (18, 0.75, 68), (18.75, 0.25, 69), (19, 0.5, 71), (19.5, 0.5, 64), (20, 0.5, 66),
    (20.5, 0.5, 68), (21, 1, 69), (22, 1.5, 64), (23.5, 0.5, 68), (24, 1, 69), (25, 1, 62), (26, 0.5, 64),
    (26.5, 0.5, 66), (27, 0.5, 67),
]  # fmt: skip
CELLO, VELOCITY = 42, 80


def theme() -> Piece:
    """The theme as a piece: one cello, 3/4, G major, quarter = 108."""
    notes = notes_array([(round(on * TICKS), round(length * TICKS), pitch, VELOCITY) for on, length, pitch in THEME])
    return Piece(
        TICKS,
        (Track("Violoncello", CELLO, notes=notes),),
        np.array([(0, round(60e6 / 108))], TEMPO),
        np.array([(0, 3, 4)], METER),
        np.array([(0, 1, False)], KEY),
    )


if __name__ == "__main__":
    write(theme(), sys.argv[1], overwrite=True)
