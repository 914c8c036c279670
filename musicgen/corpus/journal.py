"""The finished work of a corpus build, on disk, so that it needs no pieces in memory and can be resumed when killed.

    .NAME.part/           beside the corpus folder NAME, until that is complete
        key               a digest of all that ids depend on besides the files: options, tokenizer, this program
        ids.bin           the ids of pieces in order of completion, little-endian uint16
        files.jsonl       a line for each finished file, after the line's own digest: the file's size, time and sha256,
                          and for each of its pieces the position of its ids and its metadata

A file is read again if it, or its stored ids, no longer match its line. Work with another key is removed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO, Self

from musicgen.corpus.encode import Rejected, Seen, Work, seen_now
from musicgen.corpus.scan import Found
from musicgen.errors import explained

__all__ = ["Journal", "Kept", "key_of", "part_of"]

FORMAT = 1
PACKAGE = Path(__file__).resolve().parents[1]
READS = ("io", "tokenizers", "corpus", ".")  # subpackages on whose code ids depend


@dataclass(frozen=True, slots=True)
class Kept:
    """One encoded piece: the position of its ids in ids.bin, in bytes, and its metadata (see `Work`)."""

    source: str
    offset: int
    size: int
    notes: int
    fingerprint: str
    split: str | None
    content: str
    sha256: str
    said: dict[str, str]


def part_of(out: str | Path) -> Path:
    """The folder for the work in progress of a build."""
    real = Path(os.path.realpath(out))
    return real.with_name(f".{real.name}.part")


def key_of(**options: Any) -> str:
    """A digest of options and of the code and libraries that turn files into ids."""
    digest = hashlib.sha256(json.dumps([FORMAT, options], sort_keys=True).encode())
    for room in READS:
        folder = PACKAGE / room
        for path in sorted(folder.glob("*.py") if room == "." else folder.rglob("*.py")):
            digest.update(path.read_bytes())
    for name in ("numpy", "music21", "scipy"):
        with suppress(metadata.PackageNotFoundError):
            digest.update(f"{name} {metadata.version(name)}\n".encode())
    return digest.hexdigest()


class Journal:
    """The open journal of one build; a context that closes it, and removes it if no file is finished.

    `dropped` says whether work with another key was removed. Raises ResourceError on a full disk.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self._results: dict[tuple[str, str], list[Kept | Rejected]] = {}
        self._open: dict[tuple[str, str], list[Kept | Rejected]] = {}  # of unfinished files
        self.dropped = self._prepare(key)
        self._ids: BinaryIO = open(folder / "ids.bin", "ab+")  # noqa: SIM115
        self._lines: BinaryIO = open(folder / "files.jsonl", "ab")  # noqa: SIM115
        self._end = self._ids.seek(0, os.SEEK_END)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        if not self._results:
            self.remove()

    def __len__(self) -> int:
        return len(self._results)

    def take_up(self, files: Sequence[Found]) -> None:
        """Load the finished work on these files, as far as the files and their stored ids are unchanged."""
        known = dict(self._read())
        lines = []
        for file in files:
            line = known.get(_name(file))
            if line is not None and self._holds(file, line):
                self._results[_name(file)] = _results(line)
                lines.append(_signed(line))
        self._lines.close()
        # Rewrite the file without outdated or truncated lines.
        new = self.folder / "files.new"
        try:
            new.write_bytes(b"".join(lines))
            os.replace(new, self.folder / "files.jsonl")
        except OSError as error:
            raise explained(error, self.folder, ours=True) from error
        self._lines = open(self.folder / "files.jsonl", "ab")  # noqa: SIM115

    def add(self, file: Found, result: Work | Rejected) -> None:
        """Store a piece of a file, or a rejection."""
        if isinstance(result, Work):
            try:
                self._ids.write(result.ids)
            except OSError as error:
                raise explained(error, self.folder, ours=True) from error
            known = (result.notes, result.fingerprint, result.split, result.content, result.sha256, result.said)
            kept: Kept | Rejected = Kept(result.source, self._end, len(result.ids), *known)
            self._end += len(result.ids)
        else:
            kept = result
        self._open.setdefault(_name(file), []).append(kept)

    def done(self, file: Found, seen: Seen | None) -> None:
        """Mark a file as finished. Without `seen` a later build reads it again."""
        name = _name(file)
        results = self._results[name] = self._open.pop(name, [])
        if seen is None:
            return
        line = {"name": name, "seen": astuple(seen), "results": [astuple(result) for result in results]}
        try:
            self._ids.flush()  # before the line that refers to them
            self._lines.write(_signed(line))
            self._lines.flush()
        except OSError as error:
            raise explained(error, self.folder, ours=True) from error

    def has(self, file: Found) -> bool:
        """Whether a file is finished."""
        return _name(file) in self._results

    def results(self, file: Found) -> list[Kept | Rejected]:
        """The pieces and rejections of a finished file, in their order."""
        return self._results[_name(file)]

    def ids(self, piece: Kept) -> bytes:
        """The ids of a piece."""
        self._ids.flush()
        self._ids.seek(piece.offset)
        return self._ids.read(piece.size)

    def close(self) -> None:
        for file in (self._ids, self._lines):
            with suppress(OSError):  # a full disk was reported before
                file.close()

    def remove(self) -> None:
        """Close and delete the journal."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _prepare(self, key: str) -> bool:
        path, other = self.folder / "key", False
        try:
            if self.folder.is_dir() and (
                not path.is_file() or path.read_text(encoding="ascii", errors="replace") != key
            ):
                other = (self.folder / "files.jsonl").exists()
                shutil.rmtree(self.folder)
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(key, encoding="ascii")
        except OSError as error:
            raise explained(error, self.folder, ours=True) from error
        return other

    def _read(self) -> Iterator[tuple[tuple[str, str], dict[str, Any]]]:
        with open(self.folder / "files.jsonl", "rb") as lines:
            for text in lines:
                with suppress(ValueError, KeyError, TypeError):  # cut short or damaged: that file is read again
                    line = json.loads(text[65:])
                    if text == _signed(line):
                        name, path = line["name"]
                        yield (name, path), line

    def _holds(self, file: Found, line: dict[str, Any]) -> bool:
        seen = Seen(*line["seen"])
        try:
            now = seen_now(file.path)
        except OSError:
            return False
        if seen != now and (seen.size, seen.sha256) != (now.size, now.sha256 or "unknown"):
            return False
        pieces = (result for result in _results(line) if isinstance(result, Kept))
        return all(hashlib.sha256(self.ids(piece)).hexdigest() == piece.sha256 for piece in pieces)


def _name(file: Found) -> tuple[str, str]:
    return file.name, os.path.realpath(file.path)


def _signed(line: dict[str, Any]) -> bytes:
    text = json.dumps(line).encode("ascii")
    return hashlib.sha256(text).hexdigest().encode("ascii") + b" " + text + b"\n"


def _results(line: dict[str, Any]) -> list[Kept | Rejected]:
    return [Kept(*values) if len(values) > 2 else Rejected(*values) for values in line["results"]]
