"""What a piece says of itself besides its notes: facts that its tokens may not tell, for labels and for counting."""

from __future__ import annotations

import numpy as np

from musicgen.chords import key_name
from musicgen.piece import Piece
from musicgen.tokenizers.bars.voices import is_played

__all__ = ["said_of"]


def said_of(piece: Piece) -> dict[str, str]:
    """The first written key (`key`, `mode`), the meter that lasts longest (`meter`), and by its onsets whether it is
    `played` or quantised. What the piece doesn't write is left out.

    >>> from musicgen.piece import KEY, METER, Track, notes_array
    >>> keys, meters = np.array([(0, -1, True)], KEY), np.array([(0, 6, 8)], METER)
    >>> said_of(Piece(480, (Track(notes=notes_array([(0, 240, 62, 80)])),), meters=meters, keys=keys))
    {'key': 'D minor', 'mode': 'minor', 'meter': '6/8', 'played': 'quantised'}
    """
    said = {}
    if len(piece.keys):
        fifths, minor = int(piece.keys["fifths"][0]), bool(piece.keys["minor"][0])
        said = {"key": key_name(fifths, minor=minor), "mode": "minor" if minor else "major"}
    if len(piece.meters):
        ticks, numerators, denominators = piece.meter_segments()
        longest = int(np.argmax(np.diff(np.append(np.minimum(ticks, piece.end), piece.end))))
        said["meter"] = f"{numerators[longest]}/{denominators[longest]}"
    return {**said, "played": "played" if is_played(piece) else "quantised"}
