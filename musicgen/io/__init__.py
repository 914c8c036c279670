"""Read and write files: MIDI, scores, audio.

`read` and `write` choose the format by the suffix.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from musicgen.errors import UsageError
from musicgen.piece import Piece
from musicgen.resources import piece_path

__all__ = ["MIDI_SUFFIXES", "SCORE_SUFFIXES", "TAKE_FORMATS", "read", "read_score", "write"]

MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".smf")
TAKE_FORMATS = ("mid", "abc", "wav", "flac", "ogg", "html")  # abc: of models that write text; html: see page/
SCORE_SUFFIXES = (".mxl", ".musicxml", ".xml", ".krn", ".hum", ".abc")


def read(path: str | os.PathLike[str], *, limits: Any = None) -> Piece:
    """Read a MIDI file or a score, or a piece included with musicgen by its name. Raises UnreadableError.

    >>> read("schubert-unfinished").ticks_per_quarter
    480
    """
    path = piece_path(path)
    if Path(path).suffix.lower() in SCORE_SUFFIXES:
        return read_score(path, limits=limits)
    from musicgen.io.midi import read_midi

    return read_midi(path, limits=limits)


def read_score(path: str | os.PathLike[str], *, limits: Any = None) -> Piece:
    """The first piece of a MusicXML, kern or ABC file.

    >>> read_score("nowhere.abc")
    Traceback (most recent call last):
        ...
    musicgen.errors.UnreadableError: nowhere.abc: no such file; ...
    """
    from musicgen.io.scores import read_score as read_first

    return read_first(Path(path), limits=limits)


def write(piece: Piece, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a piece as a MIDI file. Raises UsageError where the file exists or the suffix is another kind's.

    >>> write(read("schubert-unfinished"), "piece.xml")
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: piece.xml: only MIDI files are written here; end the name in .mid
    """
    from musicgen.io.atomic import write_bytes
    from musicgen.io.midi import midi_bytes

    if Path(path).suffix.lower() not in MIDI_SUFFIXES:
        raise UsageError("only MIDI files are written here", where=path, hint="end the name in .mid")
    write_bytes(Path(path), midi_bytes(piece), overwrite=overwrite)
