"""Humdrum written down for reading: two spaces or more part the columns."""

from __future__ import annotations

import re
import textwrap

from musicgen.io.midi import Limits
from musicgen.io.scores.assembly import assemble
from musicgen.io.scores.kern.piece import score_of
from musicgen.piece import Piece


def kern(text: str) -> str:
    """The table with tabs; a spine that is still open at the end is ended there."""
    lines = [re.sub(r" {2,}", "\t", line.strip(" ")) for line in textwrap.dedent(text).strip().split("\n")]
    return "\n".join(lines) + "\n"


def piece_of(text: str, **limits: int) -> Piece:
    """The piece in a table."""
    bounds = Limits(**limits)
    piece = assemble(score_of(kern(text), "t.krn", bounds), where="t.krn", limits=bounds)
    piece.validate()
    return piece


def notes_of(piece: Piece | str, track: int | None = None) -> list[tuple[float, float, int]]:
    """(onset, length) in quarters and pitch of all notes, or of those of one track, in order of time."""
    piece = piece_of(piece) if isinstance(piece, str) else piece
    per = piece.ticks_per_quarter
    tracks = piece.tracks if track is None else [piece.tracks[track]]
    return sorted(
        (float(n["start"] / per), float(n["duration"] / per), int(n["pitch"])) for t in tracks for n in t.notes
    )


def line_of(piece: Piece | str, track: int | None = None) -> list[tuple[float, int]]:
    """(onset, pitch) of all notes: for tests of order."""
    return [(onset, pitch) for onset, _, pitch in notes_of(piece, track)]


def warned(piece: Piece, name: str) -> str:
    """The one warning called `name`."""
    (found,) = [warning for warning in piece.warnings if warning.startswith(f"{name}: ")]
    return found
