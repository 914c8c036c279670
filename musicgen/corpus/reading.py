"""Read the pieces in many files, in worker processes that may crash or hang: then only that file is lost.

For music that is used at once, such as pieces to study; `build.py` makes corpora.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from musicgen.corpus.scan import iter_pieces
from musicgen.errors import MusicgenError, UnreadableError
from musicgen.events import Began, Finished, Listener, Progress, Warned, ignore
from musicgen.io.midi import Limits
from musicgen.piece import Piece
from musicgen.stopping import Cancel, cancellable
from musicgen.workers import Failure, Pool, cores

__all__ = ["Readings", "read_pieces"]

WALL_S = 60.0  # for a piece: a hundred times what the largest score of the test corpora takes


@dataclass(frozen=True)
class Readings:
    """The pieces read from the first `files` files; `full` says that the next piece would have too many notes."""

    pieces: tuple[Piece, ...]
    files: int
    full: bool


def read_pieces(
    files: Sequence[Path],
    *,
    required: Collection[Path] = (),
    limits: Limits | None = None,
    most_notes: int | None = None,
    wall_s: float = WALL_S,
    listener: Listener = ignore,
    cancel: Cancel | None = None,
) -> Readings:
    """The pieces in `files`, in their order, as long as they have at most `most_notes` notes in all.

    `limits` are those of a MIDI file, `wall_s` is the time for a piece in seconds. What can't be read is left out with
    a warning to `listener`, which also gets the progress in files (`events.py`); `cancel` ends the work with Cancelled.
    Raises the error of a file in `required` that gives no piece: UnreadableError where it crashed its reader or took
    too long.
    """
    pieces: list[Piece] = []
    notes = done = 0
    full = False
    listener = cancellable(listener, cancel)
    pool = Pool(min(cores(), len(files)), wall_s, in_order=True, check=(cancel or Cancel()).check)
    listener(Began("reading", "file", len(files)))
    with closing(pool.stream(partial(iter_pieces, limits=limits), files)) as read:
        for path, results in groupby(read, key=itemgetter(0)):
            before, errors = len(pieces), []
            for _, result in results:
                piece = _lost(path, result) if isinstance(result, Failure) else result[1]
                if isinstance(piece, MusicgenError):
                    errors.append(piece)
                    continue
                full = most_notes is not None and notes + piece.n_notes > most_notes
                if full:
                    break
                notes += piece.n_notes
                pieces.append(piece)
            if errors and path in required and len(pieces) == before:
                raise errors[0]
            for error in errors:
                listener(Warned(str(error)))
            if full:
                break
            done += 1
            listener(Progress(done, len(files), "file", path.name))
    listener(Finished("reading"))
    return Readings(tuple(pieces), done, full=full)


def _lost(path: Path, failure: Failure) -> UnreadableError:
    """The error for a file that its worker process couldn't read to its end."""
    return UnreadableError(failure.reason, where=path, hint="leave it out")
