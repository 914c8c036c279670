"""The melody of a piece: its highest line (skyline), one note at a time.

Source: Uitdenbogerd and Zobel 1998, "Manipulation of music for melody matching", ACM Multimedia (of the ways they
tried, listeners found the highest notes of all parts most like the melody).
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import NOTE, Piece

__all__ = ["melody_of", "skyline"]


def skyline(start: np.ndarray, end: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Indices of the notes of the highest line, by onset; all arrays are (n,) integers in one unit of time.

    Of notes that begin together the highest is kept, and of equals the longest. A note below one that still sounds is
    accompaniment and is left out.

    >>> skyline(np.array([0, 0, 2, 4]), np.array([8, 4, 3, 6]), np.array([48, 72, 60, 74])).tolist()
    [1, 3]
    """
    order = np.lexsort((end, pitch, start))
    top = order[np.append(start[order][1:] != start[order][:-1], True)] if len(order) else order
    keep, reach, height = [], 0, -1
    for i, a, b, p in zip(top.tolist(), start[top].tolist(), end[top].tolist(), pitch[top].tolist(), strict=True):
        if a < reach and p < height:
            continue
        keep.append(i)
        reach, height = b, p
    return np.array(keep, np.int64)


def melody_of(piece: Piece) -> np.ndarray:
    """The notes (NOTE, in ticks) of the highest line over all parts but drums; a note ends where the next begins."""
    tables = [track.notes for track in piece.tracks if not track.is_drum]
    notes = np.concatenate([np.empty(0, NOTE), *tables])
    start, end = notes["start"], notes["start"] + notes["duration"]
    line: np.ndarray = notes[skyline(start, end, notes["pitch"].astype(np.int64))]
    line["duration"][:-1] = np.minimum(line["duration"][:-1], np.diff(line["start"]))
    return line
