"""What is continued: a MIDI file or a score with its events, and the piece that a model is to hear in them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from musicgen.io import SCORE_SUFFIXES, read_score
from musicgen.io.midi import Limits, midi_from_piece, piece_from_midi, read_bytes
from musicgen.io.scores.files import read_texts
from musicgen.io.smf import MidiFile, parse_smf
from musicgen.piece import Piece
from musicgen.resources import piece_path
from musicgen.sampling.names import as_called

__all__ = ["Source", "read_source"]


@dataclass(frozen=True)
class Source:
    """What is continued: the file's events, the piece in them, and where they came from."""

    midi: MidiFile
    piece: Piece
    name: str
    sha256: str
    text: str | None = None  # of an ABC file: its first tune, as it stands there
    path: Path | None = None  # where it was read from

    @cached_property
    def heard(self) -> Piece:
        """The piece as a model is to hear it; see `names.as_called`."""
        return as_called(self.piece, self.midi)


def read_source(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Source:
    """Read a MIDI file or a score (MusicXML, kern, ABC), or a piece that comes along by its name, to continue it.

    Raises UnreadableError.
    """
    limits = limits or Limits()
    path = piece_path(path)
    name = os.fspath(path)
    data = read_bytes(path, max_megabytes=limits.megabytes)
    text = None
    if Path(name).suffix.lower() in SCORE_SUFFIXES:
        piece = read_score(path, limits=limits)
        midi = midi_from_piece(piece)
        piece = replace(piece_from_midi(midi, where=name, limits=limits), warnings=piece.warnings)
        if Path(name).suffix.lower() == ".abc":
            text = read_texts(name, limits=limits)[0].text
    else:
        midi = parse_smf(data, where=name, max_tracks=limits.tracks)
        piece = piece_from_midi(midi, where=name, limits=limits)
    return Source(midi, piece, Path(name).name, hashlib.sha256(data).hexdigest(), text, Path(path).absolute())
