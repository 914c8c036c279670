"""What is continued: the events of a MIDI file or a score, and the piece that a model is to hear in them."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from musicgen.errors import UsageError
from musicgen.io import SCORE_SUFFIXES, read_score
from musicgen.io.channels import Channels
from musicgen.io.midi import UNLIMITED, Limits, midi_from_piece, piece_and_homes, read_bytes
from musicgen.io.scores.files import read_texts
from musicgen.io.smf import MidiFile, parse_smf, smf_bytes
from musicgen.piece import METER, TEMPO, Piece
from musicgen.resources import piece_path
from musicgen.sampling.names import as_called

__all__ = ["Source"]

TEMPO_OF_NOTHING, METER_OF_NOTHING = 120.0, (4, 4)


@dataclass(frozen=True)
class Source:
    """The music before the new one: a file's events, the piece in them, and where they came from.

    `homes` are (track number, channel 0..15) of each part of the piece in the file. `text` is an ABC file's first tune
    as it stands there. `sha256` is that of the file, empty where there is nothing to continue; there `tempo` (quarters
    a minute) and `meter` are what was asked for, None where nobody asked.
    """

    midi: MidiFile
    piece: Piece
    homes: tuple[tuple[int, int], ...]
    name: str
    sha256: str
    text: str | None = None
    path: Path | None = None
    tempo: float | None = None
    meter: tuple[int, int] | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, limits: Limits | None = None) -> Source:
        """A MIDI file or a score (MusicXML, kern, ABC), or by its name a piece that comes along. Raises
        UnreadableError."""
        limits = limits or Limits()
        path = piece_path(path)
        where, suffix = os.fspath(path), Path(path).suffix.lower()
        data = read_bytes(path, max_megabytes=limits.megabytes)
        if suffix in SCORE_SUFFIXES:
            score = read_score(path, limits=limits)
            midi = midi_from_piece(score)
            piece, homes = piece_and_homes(midi, where=where, limits=limits)
            piece = replace(piece, warnings=score.warnings)
        else:
            midi = parse_smf(data, where=where, max_tracks=limits.tracks)
            piece, homes = piece_and_homes(midi, where=where, limits=limits)
        text = read_texts(where, limits=limits)[0].text if suffix == ".abc" else None
        digest = hashlib.sha256(data).hexdigest()
        return cls(midi, piece, homes, Path(where).name, digest, text, Path(path).absolute())

    @classmethod
    def of_piece(cls, piece: Piece, *, name: str = "(piece)") -> Source:
        """A piece as a MIDI file has it; the digest is that of the file."""
        midi = midi_from_piece(piece)
        written, homes = piece_and_homes(midi, limits=UNLIMITED)
        digest = hashlib.sha256(smf_bytes(midi)).hexdigest()
        return cls(midi, replace(written, warnings=piece.warnings), homes, name, digest)

    @classmethod
    def nothing(cls, *, tempo: float | None = None, meter: str | tuple[int, int] | None = None) -> Source:
        """No notes, in a tempo (quarters a minute, 4 to 1000; usually 120) and a meter, as in "6/8" (usually 4/4).

        Raises UsageError for a tempo or meter that there isn't.
        """
        if tempo is not None and not 4 <= tempo <= 1000:
            raise UsageError(f"the tempo is {tempo:g}", hint="give 4 to 1000 quarters a minute")
        asked = None if meter is None else _meter(meter)
        microseconds = round(60e6 / (TEMPO_OF_NOTHING if tempo is None else tempo))
        meters = np.array([(0, *(asked or METER_OF_NOTHING))], METER)
        piece = Piece(480, (), np.array([(0, microseconds)], TEMPO), meters)
        return cls(midi_from_piece(piece), piece, (), "(nothing)", "", tempo=tempo, meter=asked)

    @property
    def is_nothing(self) -> bool:
        """Whether there is no music to go on from."""
        return not self.sha256

    @cached_property
    def channels(self) -> Channels:
        """What the events make of each channel."""
        return Channels(self.midi)

    @cached_property
    def heard(self) -> Piece:
        """The piece as a model is to hear it: parts without a program of their own play what they are called."""
        return as_called(self.piece, self.channels, self.homes)


def _meter(meter: str | tuple[int, int]) -> tuple[int, int]:
    text = meter if isinstance(meter, str) else "{}/{}".format(*meter)
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text)
    numerator, denominator = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= numerator <= 64 or denominator not in (1, 2, 4, 8, 16, 32, 64):
        raise UsageError(f"{text!r} is not a meter", hint="write it like 4/4, 3/4 or 6/8")
    return numerator, denominator
