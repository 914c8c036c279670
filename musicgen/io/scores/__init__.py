"""Read MusicXML, Humdrum **kern and ABC files as pieces.

Conventions: each part is one track (the staves of a piano are one part), tied notes are one note, repeats are
written out, and bar lines lie where the score has them: a pickup bar gets a meter of its real length. Grace and
cue notes are left out with a warning: they take no time in the bar. Pitches are sounding pitches. Chord symbols
are kept with the piece but not played. Time is 480 ticks a quarter if that represents every onset and duration
exactly, else 10080 = 2^5*3^2*5*7, which is exact for 128ths, triplets, quintuplets, septuplets and nonuplets;
anything finer is rounded to it. Velocity follows the last dynamic mark of the part, 72 before the first one.

Reading gives pieces that satisfy `Piece.validate`, with named warnings, or raises UnreadableError.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits
from musicgen.io.scores.abc import tune
from musicgen.io.scores.assembly import assemble
from musicgen.io.scores.files import SCORE_SUFFIXES, ScoreText, abc_tunes, read_texts
from musicgen.io.scores.kern import piece
from musicgen.io.scores.musicxml import walk
from musicgen.piece import Piece

__all__ = ["SCORE_SUFFIXES", "iter_scores", "read_score", "read_tune"]


def read_score(path: str | Path, *, limits: Limits | None = None) -> Piece:
    """The first piece in a score file. Raises UnreadableError."""
    texts = read_texts(path, limits=limits or Limits())
    return _piece(texts[0], Path(path), limits or Limits())


def read_tune(text: str, *, where: str | Path = "tune.abc", limits: Limits | None = None) -> Piece:
    """The first tune in ABC text. Raises UnreadableError, which names it `where`."""
    return _piece(abc_tunes(text, Path(where))[0], Path(where), limits or Limits())


def iter_scores(path: str | Path, *, limits: Limits | None = None) -> Iterator[tuple[str, Piece | UnreadableError]]:
    """(name, piece) for each piece in a score file; the name is the file's stem, or a tune's number and title.

    For a tune that can't be read, the error takes the piece's place. Yields at least one item. Raises UnreadableError
    for a file that is no score.
    """
    for text in read_texts(path, limits=limits or Limits()):
        try:
            yield text.name, _piece(text, Path(path), limits or Limits())
        except UnreadableError as error:
            yield text.name, error


def _piece(source: ScoreText, where: Path, limits: Limits) -> Piece:
    if source.format == "abc":
        score = tune.score_of(source.text, where, limits)
    elif source.format == "humdrum":
        score = piece.score_of(source.text, where, limits, before=source.before)
    else:
        score = walk.score_of(source.data, where, limits)
    return assemble(score, where=where, limits=limits)
