"""Encode one music file in a worker process: its pieces as ids, and the file's size, time and digest when read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from musicgen.corpus.frames import FRAME_SUFFIXES, frame_pieces
from musicgen.corpus.said import said_of
from musicgen.corpus.scan import Found, iter_pieces
from musicgen.corpus.split import fingerprint
from musicgen.errors import MusicgenError, printable
from musicgen.io.midi import Limits
from musicgen.io.scores.files import read_texts
from musicgen.piece import Piece
from musicgen.tokenizers.base import TextForm, Tokenizer

__all__ = ["Encoder", "Rejected", "Seen", "Work", "seen_now"]

LARGEST = 1 << 30  # bytes; no digest is taken of larger files


@dataclass(frozen=True)
class Work:
    """One encoded piece: `ids` are its tokens as little-endian uint16, `split` the one its file gives, or None."""

    source: str
    ids: bytes
    notes: int
    fingerprint: str
    split: str | None = None
    content: str = ""  # a key that is equal for copies of the piece; empty: compare sha256
    said: dict[str, str] = field(default_factory=dict)  # see `said_of`
    sha256: str = field(init=False)  # of the ids; computed in the worker processes

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.ids).hexdigest())


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or tune that couldn't be encoded, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """The state of a source file when it was read: bytes, modification time, and the sha256 of its content, which is
    empty for files that aren't regular or are larger than LARGEST."""

    size: int
    mtime_ns: int
    sha256: str


NEVER = Seen(-1, -1, "")  # matches no file, so that the file is read again next time


def seen_now(path: str | Path) -> Seen:
    """The current state of a source file. Raises OSError."""
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
        return Seen(info.st_size, info.st_mtime_ns, "")
    with open(path, "rb") as file:
        return Seen(info.st_size, info.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True)
class Encoder:
    """Reads files and encodes their pieces with a tokenizer; the function that worker processes run."""

    tokenizer: Tokenizer
    limits: Limits | None = None

    def __call__(self, file: Found) -> Iterator[Work | Rejected | Seen]:
        """Yield each piece of the file, or the reason for its rejection, and last the file's state when it was read.

        Raises MemoryError.
        """
        path = str(file.path)
        seen = _seen(path)
        try:
            yield from self._pieces(file.name, path)
        except MusicgenError as error:
            yield Rejected(file.name, printable(error.what))
        except Exception as error:  # one file must not end the build; the reason is kept in corpus.json
            if isinstance(error, MemoryError):  # not a fault of the file: a later build tries again
                raise
            yield Rejected(file.name, printable(f"can't be encoded ({type(error).__name__}: {error})")[:300])
        yield seen

    def _pieces(self, name: str, path: str) -> Iterator[Work | Rejected]:
        if path.lower().endswith(FRAME_SUFFIXES):
            yield from self._frames(name, path)
            return
        if self.tokenizer.as_text is not None and path.lower().endswith(".abc"):
            yield from self._tunes(name, path, self.tokenizer.as_text)
            return
        for tune, piece in iter_pieces(path, limits=self.limits):
            source = f"{name}#{tune}" if tune else name
            if isinstance(piece, Piece):
                ids = np.asarray(self.tokenizer.encode(piece)).astype("<u2")
                notes = int(self.tokenizer.count_notes(ids))
                yield Work(source, ids.tobytes(), notes, fingerprint(piece), said=said_of(piece))
            else:
                yield Rejected(source, printable(piece.what))

    def _frames(self, name: str, path: str) -> Iterator[Work]:
        for part in frame_pieces(path, frames_per_quarter=self.tokenizer.frames_per_quarter, limits=self.limits):
            ids = np.asarray(self.tokenizer.encode(part.piece, until=part.end)).astype("<u2")
            notes = int(self.tokenizer.count_notes(ids))
            yield Work(f"{name}#{part.name}", ids.tobytes(), notes, fingerprint(part.piece), part.split)

    def _tunes(self, name: str, path: str, as_text: TextForm) -> Iterator[Work]:
        # The opening notes identify a work, and the text without its number (X:) and transcriber (Z:) a copy.
        texts = read_texts(path, limits=self.limits or Limits())
        for tune in texts:
            ids = np.asarray(as_text.encode_text(tune.text)).astype("<u2")
            opening = as_text.opening(tune.text)
            text = as_text.text(ids)
            copy = "".join(line for line in text.splitlines(True) if not line.startswith(("X:", "Z:")))
            yield Work(
                name if len(texts) == 1 else f"{name}#{tune.name}",
                ids.tobytes(),
                int(self.tokenizer.count_notes(ids)),
                _digest(opening) if opening else "",
                content=_digest(copy),
            )


def _seen(path: str) -> Seen:
    try:
        return seen_now(path)
    except OSError:  # reported when the file is read
        return NEVER


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
