"""Conversion to pandas tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from musicgen.errors import UsageError
from musicgen.piece import Piece

__all__ = ["to_dataframe"]


def to_dataframe(piece: Piece) -> Any:
    """The notes of a piece as a `pandas.DataFrame`: see `Piece.to_dataframe`."""
    try:
        import pandas
    except ImportError:
        raise UsageError("tables of notes need pandas", hint="install it with pip install pandas") from None
    notes = piece.notes
    columns: dict[str, Any] = {name: notes[name] for name in notes.dtype.names or ()}
    columns["name"] = np.array([track.name for track in piece.tracks], object)[notes["part"]]
    columns["start_s"] = piece.to_seconds(notes["start"])
    # By the tempo map: a note across a change of tempo is as long as it sounds.
    columns["duration_s"] = piece.to_seconds(notes["start"] + notes["duration"]) - columns["start_s"]
    return pandas.DataFrame(columns)
