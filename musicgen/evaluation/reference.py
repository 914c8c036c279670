"""What people's music of a kind is like: statistics of eight-bar stretches that no training saw, by kind.

The table, `reference.json`, is built by `pipelines/build_reference.py` from the held-out pieces of the default model's
corpus. Kinds are told by instruments alone, of the table's pieces and of new ones alike.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.piece import Piece

__all__ = ["KINDS", "kind_of", "reference"]

KINDS = ("drums", "band", "piano", "tune", "ensemble")
TABLE = Path(__file__).with_name("reference.json")
PIANOS = range(8)  # General MIDI programs


def kind_of(piece: Piece) -> str:
    """The kind of a piece, one of KINDS: drums alone, a band with drums, keyboard, one line, or several parts."""
    parts = [track for track in piece.tracks if len(track.notes)]
    pitched = [track for track in parts if not track.is_drum]
    if parts and not pitched:
        return "drums"
    if len(pitched) < len(parts):
        return "band"
    if len(pitched) == 1 and _is_line(pitched[0].notes):
        return "tune"
    return "piano" if all(track.program in PIANOS for track in pitched) else "ensemble"


def _is_line(notes: np.ndarray) -> bool:
    """Whether at most one onset in twenty has a second note."""
    return len(np.unique(notes["start"])) >= 0.95 * len(notes)


def reference(kind: str) -> dict[str, Any]:
    """The statistics of a kind: `kind`, `pieces`, and for each number of `statistics` its 10th percentile, median and
    90th percentile over the pieces. Empty for a kind that the table lacks."""
    table = _table().get(kind)
    return {} if table is None else {"kind": kind, **table}


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return found
