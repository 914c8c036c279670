"""Conversion to symusic scores, without a MIDI file in between: symusic would read some of it otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import Piece

__all__ = ["to_symusic"]

MOST_TICKS = 2**31 - 1  # of symusic's times


def to_symusic(piece: Piece) -> Any:
    """A Piece as a `symusic.Score` in ticks: see `Piece.to_symusic`."""
    try:
        import symusic
    except ImportError:
        raise UsageError("scores of symusic need symusic", hint="install it with pip install symusic") from None
    maps = (
        piece.tempos,
        piece.meters,
        piece.keys,
        *(t.controls for t in piece.tracks),
        *(t.bends for t in piece.tracks),
    )
    if max(piece.end, *(int(table["tick"].max(initial=0)) for table in maps)) > MOST_TICKS:
        raise UsageError("symusic can't hold ticks past 2^31 - 1", hint="cut the silence out")
    score: Any = symusic.Score(piece.ticks_per_quarter)  # its types don't know what is set below
    for part in piece.tracks:
        track: Any = symusic.Track(part.name, part.program, part.is_drum)
        track.notes = symusic.Note.from_numpy(*_columns(part.notes, "start", "duration", "pitch", "velocity"))
        track.controls = symusic.ControlChange.from_numpy(*_columns(part.controls, "tick", "number", "value"))
        track.pitch_bends = symusic.PitchBend.from_numpy(*_columns(part.bends, "tick", "value"))
        score.tracks.append(track)
    for tick, microseconds in piece.tempos.tolist():
        score.tempos.append(symusic.Tempo(tick, mspq=microseconds))
    for tick, numerator, denominator in piece.meters.tolist():
        score.time_signatures.append(symusic.TimeSignature(tick, numerator, denominator))
    for tick, fifths, minor in piece.keys.tolist():
        score.key_signatures.append(symusic.KeySignature(tick, fifths, int(minor)))
    return score


def _columns(table: np.ndarray, *names: str) -> list[np.ndarray]:
    """Columns in the types that symusic takes: times and bends in 32 bits, what MIDI counts to 127 in 8."""
    return [table[name].astype(np.int8 if table.dtype[name] == np.uint8 else np.int32) for name in names]
