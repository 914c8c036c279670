"""All pieces of a score file, where none may be broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from musicgen.errors import UnreadableError
from musicgen.io.scores import iter_scores
from musicgen.piece import Piece


def read_scores(path: Path, **options: Any) -> list[tuple[str, Piece]]:
    """(name, piece) of each. Raises UnreadableError for one that can't be read."""
    pieces = []
    for name, piece in iter_scores(path, **options):
        if isinstance(piece, UnreadableError):
            raise piece
        pieces.append((name, piece))
    return pieces
