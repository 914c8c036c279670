"""The corpus folder: what a build writes and training reads.

`tokens.npy` holds the ids of all pieces one after the other (uint16, memory-mapped when read): (N,), or (N, F)
where a step of the tokenizer has F fields; a row counts as one token. `pieces.jsonl` has a line a piece in the
same order, `corpus.json` everything else. Nothing in it depends on the machine, the time
or the number of workers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from musicgen.corpus.checks import (
    FORMAT_VERSION,
    HINT,
    MOST_META,
    PieceRecord,
    check_tokens,
    open_tokens,
    read_meta,
    read_records,
)
from musicgen.errors import FULL, MusicgenError, ResourceError, UnreadableError, UsageError
from musicgen.io.beside import Beside, refuse_here
from musicgen.io.bounded import read_json
from musicgen.tokenizers import load_tokenizer

__all__ = ["FORMAT_VERSION", "Corpus", "PieceRecord", "TokenSource", "is_corpus", "own_corpus", "write_corpus"]

FORMAT = "musicgen corpus"
MOST_ROWS = 100_000  # rejected files, and duplicates, that are listed: about 20 MB
FILES = ("tokens.npy", "pieces.jsonl", "corpus.json")


def is_corpus(folder: str | Path) -> bool:
    """Whether `folder` looks like a built corpus."""
    return Path(folder, "corpus.json").is_file()


def own_corpus(run: str | Path, recorded: str) -> Path:
    """The corpus folder that a run was trained on: built inside its folder, or where its recipe recorded it.

    Raises UsageError when it is at neither place.
    """
    for folder in (Path(run, "corpus"), Path(recorded)):
        if is_corpus(folder):
            return folder
    raise UsageError("the corpus of this run is not here", where=run, hint="name a corpus folder after the run")


# ---- writing -------------------------------------------------------------------------------------------


def write_corpus(
    folder: str | Path,
    pieces: Sequence[PieceRecord],
    *,
    tokens: Iterable[np.ndarray],
    about: dict[str, Any],
    fields: int = 1,
    overwrite: bool = False,
) -> None:
    """Write a corpus folder atomically. `tokens` are the pieces' ids in the order of `pieces`.

    They are of shape (T,), or (T, fields) for more than one field.

    `about` is written to corpus.json beside the counts: `tokenizer` (its spec), `rejected`, `duplicates`, ...
    Other files in the folder are kept.
    Raises UsageError if `folder` exists and isn't a corpus to overwrite, ResourceError if the disk is full.
    """
    target = Path(folder)
    check_target(target, overwrite=overwrite)
    try:
        with Beside(target, parts=FILES) as new:
            total = sum(p.length for p in pieces)
            _write_tokens(new.path / "tokens.npy", tokens, (total,) if fields == 1 else (total, fields))
            with open(new.path / "pieces.jsonl", "w", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(_row(p)) + "\n" for p in pieces)
            table = {"format": FORMAT, "format_version": FORMAT_VERSION, **_counts(pieces), **_bounded(about)}
            text = json.dumps(table, indent=1, sort_keys=True) + "\n"
            (new.path / "corpus.json").write_text(text, encoding="utf-8", newline="\n")
            for name in FILES:
                with open(new.path / name, "rb+") as written:
                    os.fsync(written.fileno())
            check_target(target, overwrite=overwrite)  # something may have been created there meanwhile
            new.swap()
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError("no space left on device", where=folder, hint="free some space") from None
        raise UsageError(f"can't be written ({error.strerror})", where=folder, hint="choose another folder") from None


def _row(piece: PieceRecord) -> dict[str, Any]:
    """A piece's line; without what it says of itself where that is nothing."""
    row = asdict(piece)
    return row if row["said"] else {key: value for key, value in row.items() if key != "said"}


def _bounded(about: dict[str, Any]) -> dict[str, Any]:
    """`about` with its lists cut to MOST_ROWS, and their full lengths as `all_rejected` and `all_duplicates`."""
    long = {key: len(about[key]) for key in ("rejected", "duplicates") if len(about.get(key, ())) > MOST_ROWS}
    return {**about, **{key: about[key][:MOST_ROWS] for key in long}, **{f"all_{key}": n for key, n in long.items()}}


def check_target(folder: str | Path, *, overwrite: bool) -> None:
    """Raise UsageError unless a corpus may be written to `folder`; to be called before hours of work."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    refuse_here(target)
    # Only a corpus is ever replaced: a mistyped -o must not delete a folder of music.
    if not (target.is_dir() and not target.is_symlink() and (_is_ours(target) or not any(target.iterdir()))):
        raise UsageError("exists and is not a corpus folder", where=folder, hint="choose another name")
    if is_corpus(target) and not overwrite:
        raise UsageError("already exists", where=folder, hint="pass `overwrite` to replace it")


def _is_ours(folder: Path) -> bool:
    """Whether the folder is a corpus of this program, even a damaged one; others use the name corpus.json too."""
    if all((folder / name).is_file() for name in FILES):
        return True
    try:
        return bool(read_json(folder / "corpus.json", most=MOST_META).get("format") == FORMAT)
    except UnreadableError:
        return False


def _write_tokens(path: Path, tokens: Iterable[np.ndarray], shape: tuple[int, ...]) -> None:
    with open(path, "wb") as file:
        header = {"descr": "<u2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for ids in tokens:
            file.write(np.ascontiguousarray(ids, dtype="<u2").data)
            written += len(ids)
    if written != shape[0]:
        raise MusicgenError(f"the pieces have {written} tokens, their records say {shape[0]}")


def _counts(pieces: Sequence[PieceRecord]) -> dict[str, Any]:
    def count(chosen: list[PieceRecord]) -> dict[str, int]:
        return {
            "pieces": len(chosen),
            "works": len({p.work for p in chosen}),
            "notes": sum(p.notes for p in chosen),
            "tokens": sum(p.length for p in chosen),
        }

    splits = {name: count([p for p in pieces if p.split == name]) for name in ("train", "valid", "test")}
    return {**count(list(pieces)), "splits": splits, "licences": dict(Counter(p.licence for p in pieces))}


# ---- reading -------------------------------------------------------------------------------------------


class TokenSource(Protocol):
    """The interface of a corpus for training and evaluation: all tokens in one array, and the pieces of a split."""

    tokens: np.ndarray

    def spans(self, split: str) -> np.ndarray:
        """(n, 2): offset and length of every piece of the split."""


class Corpus:
    """A corpus folder, open for reading. `tokens` is memory-mapped; `meta` is corpus.json.

    >>> corpus = Corpus.open("corpus")  # doctest: +SKIP
    >>> corpus.tokens.shape, len(corpus.spans("valid"))  # doctest: +SKIP
    ((184213, 5), 6)
    """

    def __init__(self, folder: Path, tokens: np.ndarray, records: tuple[PieceRecord, ...], meta: dict[str, Any]):
        self.folder, self.tokens, self.records, self.meta = folder, tokens, records, meta
        self._checked = False

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open a corpus folder and check its descriptions. Raises UnreadableError if it is missing or damaged."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UnreadableError("no such corpus folder", where=folder, hint="check the path")
        meta = read_meta(folder / "corpus.json")
        try:
            load_tokenizer(meta["tokenizer"])
        except UsageError as error:
            raise UnreadableError(error.what, where=folder / "corpus.json", hint=HINT) from None
        tokens = open_tokens(folder / "tokens.npy", count=meta["tokens"])
        records = read_records(folder / "pieces.jsonl", count=len(tokens))
        return cls(folder, tokens, records, meta)

    def check(self) -> None:
        """Raise UnreadableError if a piece doesn't match its digest or an id isn't in the tokenizer's vocabulary.

        Reads every token; further calls do nothing. To be called before training and evaluation.
        """
        if not self._checked:
            fields = load_tokenizer(self.spec).fields
            check_tokens(self.tokens, self.records, fields, where=self.folder / "tokens.npy")
            self._checked = True

    def pieces(self, split: str | None = None) -> list[PieceRecord]:
        """The records of `split` (train, valid, test), or of all; in the order of `tokens`."""
        if split is not None and split not in ("train", "valid", "test"):
            raise UsageError(f"no split {split!r}", hint="splits are train, valid, test")
        return [r for r in self.records if split in (None, r.split)]

    def ids(self, record: PieceRecord) -> np.ndarray:
        """The ids of one piece: shape (T,) or (T, F), uint16, a view of the file."""
        return self.tokens[record.offset : record.offset + record.length]

    @property
    def spec(self) -> dict[str, Any]:
        """The tokenizer's spec, for `load_tokenizer`."""
        return dict(self.meta["tokenizer"])

    @property
    def sha256(self) -> str:
        """A digest of all tokens and splits, which identifies what a model was trained on."""
        lines = "".join(f"{r.sha256} {r.split}\n" for r in self.records)
        return hashlib.sha256(lines.encode()).hexdigest()

    def spans(self, split: str) -> np.ndarray:
        """(n, 2) int64: offset and length in `tokens` of every piece of the split."""
        return np.array([(r.offset, r.length) for r in self.pieces(split)], np.int64).reshape(-1, 2)

    def weights(self, split: str) -> np.ndarray:
        """(n,) float64: the relative sampling weight of each piece of the split among pieces of its length."""
        return np.array([r.weight for r in self.pieces(split)], np.float64)

    def info(self) -> dict[str, Any]:
        """Counts and provenance: pieces, notes, tokens, splits, rejected, licences, tokenizer, and more."""
        first = ("pieces", "notes", "tokens", "splits", "rejected", "licences", "tokenizer")
        return {
            **{k: self.meta[k] for k in first},
            "sha256": self.sha256,
            **{k: v for k, v in sorted(self.meta.items()) if k not in first},
        }
