"""The corpus folder: tokens in one memory-mapped array, a line a piece, and a summary.

    tokens.npy     uint16, all pieces one after the other
    pieces.jsonl   offset, length, notes, source, sha256, work, split, licence
    corpus.json    format version, tokenizer, counts, rejected files with reasons, digest of the tokens
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import ResourceError, UnreadableError, UsageError

__all__ = ["FORMAT", "SPLITS", "Corpus", "StoredPiece", "write_corpus"]

FORMAT = 1
SPLITS = ("train", "valid", "test")
_FULL = (28, 122)  # ENOSPC, EDQUOT


@dataclass(frozen=True)
class StoredPiece:
    """A piece's place in the tokens and where it came from; `sha256` is of its tokens."""

    offset: int
    length: int
    notes: int
    source: str
    sha256: str
    work: str
    split: str
    licence: str


class Corpus:
    """An open corpus folder. `tokens` is a read-only memory map."""

    def __init__(self, folder: Path, summary: dict[str, Any], pieces: tuple[StoredPiece, ...], tokens: np.ndarray) -> None:
        self.folder, self.summary, self.all_pieces, self.tokens = folder, summary, pieces, tokens

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open a corpus. Raises UnreadableError when a file is missing, damaged, or of an unknown format."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UnreadableError("no such corpus folder", where=folder, hint="make it with `musicgen corpus build`")
        for name in ("corpus.json", "pieces.jsonl", "tokens.npy"):
            if not (folder / name).is_file():
                raise UnreadableError(
                    f"{name} is missing: not a whole corpus", where=folder, hint="make it with `musicgen corpus build`"
                )
        again = "build the corpus again"
        try:
            summary = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
            if summary.get("format") != FORMAT:
                raise UnreadableError(f"unknown corpus format {summary.get('format')!r}", where=folder, hint=again)
            with open(folder / "pieces.jsonl", encoding="utf-8") as lines:
                pieces = tuple(StoredPiece(**json.loads(line)) for line in lines)
            tokens = np.load(folder / "tokens.npy", mmap_mode="r", allow_pickle=False)
        except (ValueError, TypeError, AttributeError, OSError) as error:
            raise UnreadableError(f"damaged ({error})", where=folder, hint=again) from None
        if tokens.ndim != 1 or sum(p.length for p in pieces) != len(tokens):
            raise UnreadableError("pieces.jsonl and tokens.npy don't fit together", where=folder, hint=again)
        return cls(folder, summary, pieces, tokens)

    @property
    def tokenizer_spec(self) -> dict[str, Any]:
        """The spec that rebuilds the tokenizer."""
        spec: dict[str, Any] = self.summary["tokenizer"]
        return spec

    @property
    def sha256(self) -> str:
        """Digest of the tokens."""
        digest: str = self.summary["sha256"]
        return digest

    def pieces(self, split: str | None = None) -> list[StoredPiece]:
        """The pieces of a split, or all."""
        return [p for p in self.all_pieces if split is None or p.split == split]

    def spans(self, split: str) -> np.ndarray:
        """(n, 2) int64: offset and length of every piece of the split."""
        return np.array([(p.offset, p.length) for p in self.pieces(split)], np.int64).reshape(-1, 2)

    def info(self) -> dict[str, Any]:
        """What scripts rely on: pieces, notes, tokens, splits, rejected, licences, tokenizer."""
        return {k: v for k, v in self.summary.items() if k != "format"}


def write_corpus(
    folder: str | Path,
    *,
    pieces: Iterable[tuple[StoredPiece, np.ndarray]],
    tokenizer: dict[str, Any],
    rejected: list[dict[str, str]],
    duplicates: list[dict[str, str]],
    overwrite: bool = False,
) -> Corpus:
    """Write a corpus folder whole or not at all: beside its place first, then renamed into it.

    Offsets are filled in here. Raises UsageError when the folder exists, ResourceError on a full disk.
    """
    folder = Path(folder)
    check_room(folder, overwrite=overwrite)
    work = folder.with_name(f".{folder.name}.part-{os.getpid()}")
    try:
        work.mkdir(parents=True)
        _write(work, list(pieces), tokenizer, rejected, duplicates)
        if folder.exists():
            shutil.rmtree(folder)
        os.rename(work, folder)
    except OSError as error:
        kind = ResourceError if error.errno in _FULL else UsageError
        raise kind(f"can't be written ({error.strerror})", where=folder, hint="choose another folder") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Corpus.open(folder)


def check_room(folder: Path, *, overwrite: bool) -> None:
    """Raise UsageError unless a corpus may be written to `folder`."""
    if not folder.exists():
        return
    if not overwrite:
        raise UsageError("already exists", where=folder, hint="pass --overwrite to replace it")
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / "corpus.json").is_file()):
        # --overwrite must never delete somebody's music folder.
        raise UsageError("is not a corpus, so it is not replaced", where=folder, hint="choose another folder")


def _write(
    work: Path,
    pieces: list[tuple[StoredPiece, np.ndarray]],
    tokenizer: dict[str, Any],
    rejected: list[dict[str, str]],
    duplicates: list[dict[str, str]],
) -> None:
    total = sum(len(ids) for _, ids in pieces)
    digest, offset = hashlib.sha256(), 0
    splits = {name: {"pieces": 0, "notes": 0, "tokens": 0} for name in SPLITS}
    licences: Counter[str] = Counter()
    with open(work / "tokens.npy", "wb") as tokens, open(work / "pieces.jsonl", "w", encoding="utf-8") as lines:
        header = {"descr": "<u2", "fortran_order": False, "shape": (total,)}
        np.lib.format.write_array_header_1_0(tokens, header)
        for piece, ids in pieces:
            raw = ids.astype("<u2").tobytes()
            tokens.write(raw)
            digest.update(raw)
            row = {**asdict(piece), "offset": offset, "length": len(ids)}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")
            offset += len(ids)
            counts = splits[piece.split]
            for key, value in (("pieces", 1), ("notes", piece.notes), ("tokens", len(ids))):
                counts[key] += value
            licences[piece.licence] += 1
    summary = {
        "format": FORMAT,
        "pieces": len(pieces),
        "notes": sum(p.notes for p, _ in pieces),
        "tokens": total,
        "splits": splits,
        "rejected": rejected,
        "duplicates": duplicates,
        "licences": dict(sorted(licences.items())),
        "tokenizer": tokenizer,
        "sha256": digest.hexdigest(),
    }
    (work / "corpus.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
