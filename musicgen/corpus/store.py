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
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.errors import FULL, MusicgenError, ResourceError, UnreadableError, UsageError
from musicgen.io.beside import Beside, refuse_here

__all__ = ["FORMAT_VERSION", "Corpus", "PieceRecord", "is_corpus", "own_corpus", "write_corpus"]

FORMAT, FORMAT_VERSION = "musicgen corpus", 1
FILES = ("tokens.npy", "pieces.jsonl", "corpus.json")
HINT = "build it again with musicgen corpus build"


@dataclass(frozen=True)
class PieceRecord:
    """One piece: where its ids lie in tokens.npy, and where it comes from."""

    offset: int
    length: int
    notes: int
    source: str
    sha256: str  # of its ids as little-endian uint16
    work: str
    split: str
    licence: str
    weight: float = 1.0  # how often training draws from it, beside others of its length


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
    """Write a corpus folder whole or not at all. `tokens` are the pieces' ids in the order of `pieces`.

    They are of shape (T,), or (T, fields) for more than one field.

    `about` goes into corpus.json beside the counts: `tokenizer` (its spec), `rejected`, `duplicates`, ...
    What else lies in the folder stays.
    Raises UsageError when `folder` exists and isn't a corpus to overwrite, ResourceError when the disk is full.
    """
    target = Path(folder)
    check_target(target, overwrite=overwrite)
    try:
        with Beside(target, parts=FILES) as new:
            total = sum(p.length for p in pieces)
            _write_tokens(new.path / "tokens.npy", tokens, (total,) if fields == 1 else (total, fields))
            with open(new.path / "pieces.jsonl", "w", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(asdict(p)) + "\n" for p in pieces)
            table = {"format": FORMAT, "format_version": FORMAT_VERSION, **_counts(pieces), **about}
            text = json.dumps(table, indent=1, sort_keys=True) + "\n"
            (new.path / "corpus.json").write_text(text, encoding="utf-8", newline="\n")
            for name in FILES:
                with open(new.path / name, "rb+") as written:
                    os.fsync(written.fileno())
            check_target(target, overwrite=overwrite)  # something may have come there meanwhile
            new.swap()
    except OSError as error:
        if error.errno in FULL:
            raise ResourceError("no space left on device", where=folder, hint="free some space") from None
        raise UsageError(f"can't be written ({error.strerror})", where=folder, hint="choose another folder") from None


def check_target(folder: str | Path, *, overwrite: bool) -> None:
    """Raise UsageError unless a corpus may be written to `folder`; worth asking before hours of work."""
    target = Path(folder)
    if not os.path.lexists(target):
        return
    refuse_here(target)
    # Only what is a corpus is ever replaced: a slip of -o must not cost a folder of music.
    if not (target.is_dir() and not target.is_symlink() and (_is_ours(target) or not any(target.iterdir()))):
        raise UsageError("exists and is not a corpus folder", where=folder, hint="choose another name")
    if is_corpus(target) and not overwrite:
        raise UsageError("already exists", where=folder, hint="pass --overwrite to replace it")


def _is_ours(folder: Path) -> bool:
    """Whether a corpus of ours lies there, be it damaged: others have files called corpus.json, too."""
    if all((folder / name).is_file() for name in FILES):
        return True
    try:
        meta = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and meta.get("format") == FORMAT


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


class Corpus:
    """A corpus folder, open for reading. `tokens` is memory-mapped; `meta` is corpus.json."""

    def __init__(self, folder: Path, tokens: np.ndarray, records: tuple[PieceRecord, ...], meta: dict[str, Any]):
        self.folder, self.tokens, self.records, self.meta = folder, tokens, records, meta

    @classmethod
    def open(cls, folder: str | Path) -> Corpus:
        """Open and check a corpus folder. Raises UnreadableError (what, where, what to do)."""
        folder = Path(folder)
        if not folder.is_dir():
            raise UnreadableError("no such corpus folder", where=folder, hint="check the path")
        meta = _read_meta(folder / "corpus.json")
        records = _read_records(folder / "pieces.jsonl")
        path = folder / "tokens.npy"
        try:
            # numpy can't map an empty array, and a corpus always has tokens.
            tokens = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise UnreadableError("is missing", where=path, hint=HINT) from None
        except (OSError, ValueError, EOFError) as error:
            raise UnreadableError(f"is damaged ({error})", where=path, hint=HINT) from None
        if tokens.dtype != np.dtype("<u2") or tokens.ndim not in (1, 2):
            raise UnreadableError("doesn't hold an array or rows of uint16", where=path, hint=HINT)
        if len(tokens) != meta.get("tokens"):
            what = f"has {len(tokens):,} tokens, corpus.json says {meta.get('tokens')}"
            raise UnreadableError(what, where=path, hint=HINT)
        offset = 0
        for record in records:
            if record.offset != offset or record.length < 1:
                what = f"{record.source!r} doesn't begin where the piece before it ends"
                raise UnreadableError(what, where=folder / "pieces.jsonl", hint=HINT)
            offset += record.length
        if offset != len(tokens):
            what = f"accounts for {offset:,} of {len(tokens):,} tokens"
            raise UnreadableError(what, where=folder / "pieces.jsonl", hint=HINT)
        return cls(folder, tokens, records, meta)

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
        """A digest of all tokens and splits: what a model was trained on."""
        lines = "".join(f"{r.sha256} {r.split}\n" for r in self.records)
        return hashlib.sha256(lines.encode()).hexdigest()

    def spans(self, split: str) -> np.ndarray:
        """(n, 2) int64: offset and length in `tokens` of every piece of the split."""
        return np.array([(r.offset, r.length) for r in self.pieces(split)], np.int64).reshape(-1, 2)

    def weights(self, split: str) -> np.ndarray:
        """(n,) how often each piece of the split is to be drawn, beside others of its length."""
        return np.array([r.weight for r in self.pieces(split)], np.float64)

    def info(self) -> dict[str, Any]:
        """Counts and lineage: pieces, notes, tokens, splits, rejected, licences, tokenizer, and more."""
        first = ("pieces", "notes", "tokens", "splits", "rejected", "licences", "tokenizer")
        return {
            **{k: self.meta[k] for k in first},
            "sha256": self.sha256,
            **{k: v for k, v in sorted(self.meta.items()) if k not in first},
        }


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableError("is missing: this is not a corpus folder", where=path, hint=HINT) from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"is not JSON ({error})", where=path, hint=HINT) from None
    if not isinstance(meta, dict) or "format_version" not in meta:
        raise UnreadableError("is not a description of a corpus", where=path, hint=HINT)
    if meta["format_version"] != FORMAT_VERSION:
        what = f"has format version {meta['format_version']}, this program reads {FORMAT_VERSION}"
        raise UnreadableError(what, where=path, hint=HINT)
    needed = ("pieces", "notes", "tokens", "splits", "rejected", "licences", "tokenizer")
    if lacking := [key for key in needed if key not in meta]:
        raise UnreadableError(f"lacks {lacking[0]!r}", where=path, hint=HINT)
    return meta


def _read_records(path: Path) -> tuple[PieceRecord, ...]:
    names = {f.name for f in fields(PieceRecord)}
    records = []
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                table = json.loads(line)
                records.append(PieceRecord(**{k: v for k, v in table.items() if k in names}))
    except FileNotFoundError:
        raise UnreadableError("is missing", where=path, hint=HINT) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UnreadableError(f"line {len(records) + 1} is damaged ({error})", where=path, hint=HINT) from None
    return tuple(records)
