"""Checks of an untrusted corpus folder: its three files against each other, and the tokens against their digests.

Opening a corpus checks `corpus.json`, the header of `tokens.npy` and `pieces.jsonl`, which costs no more than reading
`pieces.jsonl`. Whether the tokens match their digests and are all in the tokenizer's vocabulary needs reading every
token: `check_tokens` does so once for an open corpus, before training or evaluation.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.corpus.split import SPLITS
from musicgen.errors import UnreadableError
from musicgen.io.bounded import MEGABYTE, parse_json, read_json
from musicgen.schemas import CorpusTable, check, reader
from musicgen.tokenizers.vocabulary import Field

__all__ = ["FORMAT_VERSION", "HINT", "PieceRecord", "check_tokens", "open_tokens", "read_meta", "read_records"]

FORMAT_VERSION = 1
HINT = "build it again with musicgen corpus build"
MOST_META = 64 * MEGABYTE  # largest corpus.json, which has a line for every rejected file
LONGEST_LINE = 16_384  # bytes of a line of pieces.jsonl: names may be long
AT_ONCE = 2**20  # tokens checked at a time


@dataclass(frozen=True)
class PieceRecord:
    """One piece: the position of its ids in tokens.npy, and its source."""

    offset: int
    length: int
    notes: int
    source: str
    sha256: str  # of its ids as little-endian uint16
    work: str
    split: str
    licence: str
    weight: float = 1.0  # relative sampling weight in training, among pieces of its length
    said: dict[str, str] = field(default_factory=dict)  # what the piece says of itself: see `corpus/said.py`


def read_meta(path: Path) -> dict[str, Any]:
    """Read corpus.json. Raises UnreadableError if it isn't of the form that this version writes."""
    if not path.exists():
        raise UnreadableError("is missing: this is not a corpus folder", where=path, hint=HINT)
    meta = read_json(path, most=MOST_META, hint=HINT)
    if "format_version" not in meta:
        raise UnreadableError("is not a description of a corpus", where=path, hint=HINT)
    if meta["format_version"] != FORMAT_VERSION:
        what = f"has format version {str(meta['format_version'])[:20]}, this program reads {FORMAT_VERSION}"
        raise UnreadableError(what, where=path, hint=HINT)
    check(CorpusTable, meta, where=path, hint=HINT)
    for split in SPLITS:
        if lacking := {"pieces", "notes", "tokens"} - set(meta["splits"].get(split, ())):
            raise UnreadableError(f"splits.{split} lacks {min(lacking)!r}", where=path, hint=HINT)
    return meta


def open_tokens(path: Path, *, count: int) -> np.ndarray:
    """The ids of all pieces, memory-mapped: (N,) or (N, F) uint16. Raises UnreadableError unless N is `count` and
    the file has exactly that size."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        raise UnreadableError("is missing", where=path, hint=HINT) from None
    except OSError as error:
        raise UnreadableError(f"can't be read ({error.strerror})", where=path, hint=HINT) from None
    if not stat.S_ISREG(info.st_mode):
        raise UnreadableError("is not a regular file", where=path, hint=HINT)
    try:
        # Not np.load: that opens archives, too. numpy can't map an empty array, and a corpus always has tokens.
        tokens: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # the header is an expression of Python, whose parser gives up in many ways
        what = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UnreadableError(f"is damaged ({what})", where=path, hint=HINT) from None
    if tokens.dtype != np.dtype("<u2") or tokens.ndim not in (1, 2) or not tokens.flags.c_contiguous:
        raise UnreadableError("doesn't hold an array or rows of uint16", where=path, hint=HINT)
    if len(tokens) != count:
        raise UnreadableError(f"has {len(tokens):,} tokens, corpus.json says {count:,}", where=path, hint=HINT)
    if tokens.offset + tokens.nbytes != info.st_size:  # type: ignore[attr-defined]  # a memmap has an offset
        raise UnreadableError("is longer than its header says", where=path, hint=HINT)
    return tokens


def read_records(path: Path, *, count: int) -> tuple[PieceRecord, ...]:
    """Read pieces.jsonl. Raises UnreadableError at the first line that is malformed, whose piece doesn't begin where
    the one before ends, or doesn't end within `count` tokens; and if the pieces don't cover all `count` tokens."""
    read = reader(PieceRecord)
    records: list[PieceRecord] = []
    offset = 0
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnreadableError("is not a regular file", where=path, hint=HINT)
        with open(path, "rb") as file:
            while line := file.readline(LONGEST_LINE + 1):
                place = f"line {len(records) + 1}"
                if len(line) > LONGEST_LINE:
                    raise UnreadableError(f"{place} is longer than {LONGEST_LINE:,} bytes", where=path, hint=HINT)
                record = _record(line, read(line), place, path)
                if record.offset != offset or not 1 <= record.length <= count - offset:
                    what = f"{record.source!r} doesn't begin where the piece before it ends, or reaches beyond the last"
                    raise UnreadableError(what, where=path, hint=HINT)
                offset += record.length
                records.append(record)
    except FileNotFoundError:
        raise UnreadableError("is missing", where=path, hint=HINT) from None
    except OSError as error:
        raise UnreadableError(f"can't be read ({error.strerror})", where=path, hint=HINT) from None
    if offset != count:
        raise UnreadableError(f"accounts for {offset:,} of {count:,} tokens", where=path, hint=HINT)
    return tuple(records)


def _record(line: bytes, values: dict[str, Any] | None, place: str, path: Path) -> PieceRecord:
    if values is None:  # wrong, or the name of a file that isn't UTF-8
        try:
            table = parse_json(line, where=path, hint=HINT)
        except UnreadableError as error:
            raise UnreadableError(f"{place} is damaged ({error.what})", where=path, hint=HINT) from None
        table = check(PieceRecord, table, where=path, hint=HINT, prefix=f"{place}: ")
        values = {each.name: table[each.name] for each in fields(PieceRecord) if each.name in table}
    # A corpus from before says nothing of its pieces.
    record = PieceRecord(**{name: value for name, value in values.items() if value is not None})
    if record.split not in SPLITS or record.notes < 0 or record.weight < 0:
        what = f"{place}: has a split, count or weight that can't be"
        raise UnreadableError(what, where=path, hint=HINT)
    return record


def check_tokens(tokens: np.ndarray, records: Sequence[PieceRecord], spans: Sequence[Field], *, where: Path) -> None:
    """Raise UnreadableError unless every piece matches its digest, and all its ids are in the vocabulary.

    `spans` are the tokenizer's fields: in each column an id is `pad` (0) or one of that field. Reads every token once,
    in order.
    """
    if tokens.ndim != (1 if len(spans) == 1 else 2) or tokens.shape[1:] not in ((), (len(spans),)):
        what = f"holds {tokens.shape[-1] if tokens.ndim == 2 else 1} ids a token, the tokenizer has {len(spans)}"
        raise UnreadableError(what, where=where, hint=HINT)
    low, high = (np.array(column) for column in zip(*((f.first, f.first + f.size - 1) for f in spans), strict=True))
    for record in records:
        digest = hashlib.sha256()
        for begin in range(record.offset, record.offset + record.length, AT_ONCE):
            part = np.ascontiguousarray(tokens[begin : min(begin + AT_ONCE, record.offset + record.length)])
            digest.update(part.data)
            table = part.reshape(len(part), len(spans))
            wrong = ((table < low) & (table != 0)) | (table > high)
            if wrong.any():
                row, column = (int(n) for n in np.argwhere(wrong)[0])
                what = f"{record.source!r} has the id {table[row, column]} at token {begin + row:,}"
                raise UnreadableError(f"{what}, which the tokenizer hasn't", where=where, hint=HINT)
        if digest.hexdigest() != record.sha256:
            what = f"{record.source!r} is not what its digest in pieces.jsonl says"
            raise UnreadableError(what, where=where, hint=HINT)
