"""A piece at a glance: its notes as one table, and its sizes in one line."""

from __future__ import annotations

import numpy as np

from musicgen.chords import key_name
from musicgen.errors import ResourceError
from musicgen.piece import NOTE, Piece
from musicgen.words import counted

__all__ = ["PART_NOTE", "in_words", "note_table"]

# A note with the part that plays it: its index among the tracks, its program, and whether it is drums.
PART_NOTE = np.dtype([("part", "<i4"), ("program", "u1"), ("is_drum", "?"), *NOTE.descr])


def note_table(piece: Piece) -> np.ndarray:
    """The notes of all tracks as one PART_NOTE array: see `Piece.notes`."""
    table = np.empty(piece.n_notes, PART_NOTE)
    sizes = [len(track.notes) for track in piece.tracks]
    table["part"] = np.repeat(np.arange(len(sizes)), sizes)
    table["program"] = np.repeat(np.array([track.program for track in piece.tracks], np.uint8), sizes)
    table["is_drum"] = np.repeat(np.array([track.is_drum for track in piece.tracks], bool), sizes)
    notes = np.concatenate([np.empty(0, NOTE), *(track.notes for track in piece.tracks)])
    for name in NOTE.names or ():
        table[name] = notes[name]
    return table[np.argsort(table["start"], kind="stable")]  # by part and pitch already


def in_words(piece: Piece) -> str:
    """Parts with notes, notes, bars, seconds, the meter that lasts longest and the first key that is written.

    >>> from musicgen.piece import KEY
    >>> in_words(Piece(480, keys=np.array([(0, -2, True)], KEY)))
    '0 parts, 0 notes, 0 bars, 0.0 s, 4/4, G minor'
    """
    parts = sum(len(track.notes) > 0 for track in piece.tracks)
    said = [counted(parts, "part"), counted(piece.n_notes, "note")]
    try:
        said.append(counted(len(piece.bar_starts(piece.end - 1)[0]) if piece.end else 0, "bar"))
    except ResourceError:
        said.append("too many bars")
    ticks, numerators, denominators = piece.meter_segments()
    # Not the first: that of a score's upbeat is often a bar of its own.
    longest = int(np.argmax(np.diff(np.append(np.minimum(ticks, piece.end), piece.end))))
    said += [f"{piece.seconds:,.1f} s", f"{numerators[longest]}/{denominators[longest]}"]
    if len(piece.keys):
        said.append(key_name(int(piece.keys["fifths"][0]), minor=bool(piece.keys["minor"][0])))
    return ", ".join(said)
