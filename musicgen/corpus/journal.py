"""What a build has done so far, on disk: it holds no pieces in memory, and goes on where it was killed.

    .NAME.part/           beside the corpus folder NAME, as long as it is not whole
        key               a digest of all that a piece's ids depend on but its file: options, tokenizer, this program
        ids.bin           the ids of pieces as they came, little-endian uint16
        files.jsonl       a line a file that is done, behind the line's own digest: what it was read from (size, time,
                          sha256), and for each of its pieces where its ids lie and what else is known of it

A file is read again where it, or its stored ids, are no longer what its line says. Work of another key is removed.
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
READS = ("io", "tokenizers", "corpus", ".")  # rooms of the package on whose code ids depend


@dataclass(frozen=True, slots=True)
class Kept:
    """One encoded piece: where its ids lie in the journal, in bytes, and what is known of it."""

    source: str
    offset: int
    size: int
    notes: int
    fingerprint: str
    split: str | None
    content: str
    sha256: str


def part_of(out: str | Path) -> Path:
    """Where the work of a build lies as long as the corpus isn't whole."""
    real = Path(os.path.realpath(out))
    return real.with_name(f".{real.name}.part")


def key_of(**options: Any) -> str:
    """A digest of options, and of the program that turns files into ids."""
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
    """The work of one build, open; a context that closes it, and removes it where nothing is done.

    `dropped` says whether work of another key lay there. Raises ResourceError on a full disk.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self._results: dict[tuple[str, str], list[Kept | Rejected]] = {}
        self._open: dict[tuple[str, str], list[Kept | Rejected]] = {}  # of files that are not done
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
        """Go on with what is done of these files, where they and their stored ids are what they were."""
        known = dict(self._read())
        lines = []
        for file in files:
            line = known.get(_name(file))
            if line is not None and self._holds(file, line):
                self._results[_name(file)] = _results(line)
                lines.append(_signed(line))
        self._lines.close()
        # Without what no longer holds, and what a kill cut short.
        new = self.folder / "files.new"
        try:
            new.write_bytes(b"".join(lines))
            os.replace(new, self.folder / "files.jsonl")
        except OSError as error:
            raise explained(error, self.folder, ours=True) from error
        self._lines = open(self.folder / "files.jsonl", "ab")  # noqa: SIM115

    def add(self, file: Found, result: Work | Rejected) -> None:
        """Note what came of a file, or of one of its pieces."""
        if isinstance(result, Work):
            try:
                self._ids.write(result.ids)
            except OSError as error:
                raise explained(error, self.folder, ours=True) from error
            known = (result.notes, result.fingerprint, result.split, result.content, result.sha256)
            kept: Kept | Rejected = Kept(result.source, self._end, len(result.ids), *known)
            self._end += len(result.ids)
        else:
            kept = result
        self._open.setdefault(_name(file), []).append(kept)

    def done(self, file: Found, seen: Seen | None) -> None:
        """All of a file is there. Without `seen` a later build reads it again."""
        name = _name(file)
        results = self._results[name] = self._open.pop(name, [])
        if seen is None:
            return
        line = {"name": name, "seen": astuple(seen), "results": [astuple(result) for result in results]}
        try:
            self._ids.flush()  # before the line that says where they lie
            self._lines.write(_signed(line))
            self._lines.flush()
        except OSError as error:
            raise explained(error, self.folder, ours=True) from error

    def has(self, file: Found) -> bool:
        """Whether a file is done."""
        return _name(file) in self._results

    def results(self, file: Found) -> list[Kept | Rejected]:
        """What came of a file that is done, in its order."""
        return self._results[_name(file)]

    def ids(self, piece: Kept) -> bytes:
        """The ids of a piece."""
        self._ids.flush()
        self._ids.seek(piece.offset)
        return self._ids.read(piece.size)

    def close(self) -> None:
        for file in (self._ids, self._lines):
            with suppress(OSError):  # a full disk was told before
                file.close()

    def remove(self) -> None:
        """The work is done, or worth nothing."""
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
