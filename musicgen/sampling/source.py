"""The music to be continued: the events of a MIDI file or a score, and the piece that is encoded for the model."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

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
    """The music to be continued: a file's events, the piece read from them, and the file's name, path and digest.

    `homes` are the (track number, channel 0..15) of each part of the piece in the file. `text` is the unchanged first
    tune of an ABC file. `sha256` is the file's digest, empty if there is nothing to continue; then `tempo` (quarters
    per minute) and `meter` are those requested, or None.

    >>> Source.read("schubert-unfinished").name
    'schubert-unfinished.mid'
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
        """Read a MIDI file or a score (MusicXML, kern, ABC), or a bundled piece by its name. Raises UnreadableError."""
        limits = limits or Limits()
        path = piece_path(path)
        where, suffix = os.fspath(path), Path(path).suffix.lower()
        data = read_bytes(path, max_megabytes=limits.megabytes)
        if suffix in SCORE_SUFFIXES:
            score = read_score(path, limits=limits)
            midi = midi_from_piece(score)
            piece, homes = piece_and_homes(midi, where=where, limits=limits)
            piece = replace(piece, warnings=score.warnings, chords=score.chords)
        else:
            midi = parse_smf(data, where=where, max_tracks=limits.tracks)
            piece, homes = piece_and_homes(midi, where=where, limits=limits)
        text = read_texts(where, limits=limits)[0].text if suffix == ".abc" else None
        digest = hashlib.sha256(data).hexdigest()
        return cls(midi, piece, homes, Path(where).name, digest, text, Path(path).absolute())

    @classmethod
    def of(cls, music: Piece | Source | str | os.PathLike[str]) -> Source:
        """The source of a piece or a path; a source is itself. Raises UnreadableError."""
        if isinstance(music, Source):
            return music
        return cls.of_piece(music) if isinstance(music, Piece) else cls.read(music)

    @classmethod
    def of_piece(cls, piece: Piece, *, name: str = "(piece)") -> Source:
        """A source from a piece, converted to MIDI; the digest is that of the resulting file."""
        midi = midi_from_piece(piece)
        written, homes = piece_and_homes(midi, limits=UNLIMITED)
        digest = hashlib.sha256(smf_bytes(midi)).hexdigest()
        return cls(midi, replace(written, warnings=piece.warnings, chords=piece.chords), homes, name, digest)

    @classmethod
    def nothing(cls, *, tempo: float | None = None, meter: str | tuple[int, int] | None = None) -> Source:
        """An empty source with a tempo (4 to 1000 quarters per minute, default 120) and a meter like "6/8" (default
        4/4).

        Raises UsageError for an invalid tempo or meter.
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
        """Whether this is an empty source, made by `nothing`."""
        return not self.sha256

    def listed(self) -> dict[str, Any]:
        """What was asked of an empty source, as plain values for a sidecar."""
        tempo = None if self.tempo is None else float(self.tempo)
        meter = None if self.meter is None else "{}/{}".format(*self.meter)
        return {name: value for name, value in (("tempo", tempo), ("meter", meter)) if value is not None}

    @cached_property
    def channels(self) -> Channels:
        """The state of each channel (programs, controllers) according to the file's events."""
        return Channels(self.midi)

    @cached_property
    def encoded_piece(self) -> Piece:
        """The piece as models encode it: parts whose program nobody chose get the instrument of their name."""
        return as_called(self.piece, self.channels, self.homes)


def _meter(meter: str | tuple[int, int]) -> tuple[int, int]:
    text = meter if isinstance(meter, str) else "{}/{}".format(*meter)
    match = re.fullmatch(r"(\d{1,2})/(\d{1,2})", text)
    numerator, denominator = (int(part) for part in match.groups()) if match else (0, 0)
    if not 1 <= numerator <= 64 or denominator not in (1, 2, 4, 8, 16, 32, 64):
        raise UsageError(f"{text!r} is not a meter", hint="write it like 4/4, 3/4 or 6/8")
    return numerator, denominator
