"""From folders of music to a corpus folder: read, tokenize, drop duplicates, split by work, write.

Worker processes read and tokenize; their results are taken in the order of the file names, so that the bytes
written depend neither on the number of workers nor on the order in which the file system lists files.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.corpus.catalog import find_entry, package_files
from musicgen.corpus.scan import find_music, load
from musicgen.corpus.split import assign_splits, fingerprint, group_works, work_key
from musicgen.corpus.store import Corpus, StoredPiece, check_room, write_corpus
from musicgen.errors import MusicgenError, UnreadableError, UsageError

__all__ = ["BuildSettings", "build_corpus"]

CHUNK = 8  # files a task: enough to make the hand-over cheap, few enough to share the work evenly
AHEAD = 64  # tasks in flight; bounds the memory that finished ones hold


@dataclass(frozen=True)
class BuildSettings:
    """How to build: shares of works for valid and test, what makes a work (file or folder), the fewest notes a
    piece needs, the licence of files that aren't from the catalogue, and the splits' seed."""

    valid: float = 0.05
    test: float = 0.05
    works_by: str = "file"
    fewest_notes: int = 8
    licence: str = "unknown"
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.valid < 1 and 0 <= self.test < 1 and self.valid + self.test < 1):
            raise UsageError(f"the shares valid {self.valid} and test {self.test} leave nothing to train on")
        if self.works_by not in ("file", "folder"):
            raise UsageError(f"works_by is {self.works_by!r}", hint="choose file or folder")


@dataclass(frozen=True)
class _Read:
    """What a worker found in a file: (name, ids, notes, fingerprint) of each piece, and (name, reason) of the rest."""

    pieces: list[tuple[str, np.ndarray, int, str | None]]
    rejected: list[tuple[str, str]]


def build_corpus(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    tokenizer: Any,
    settings: BuildSettings | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Corpus:
    """Build a corpus from folders, files or catalogue names.

    `jobs` worker processes (default: one a core). Raises UsageError for an unknown source or an existing `out`,
    UnreadableError when nothing usable is found. A file that can't be read is rejected with its reason.
    """
    settings, out = settings or BuildSettings(), Path(out)
    check_room(out, overwrite=overwrite)
    files = _files(sources, settings)
    jobs = max(1, min(jobs or len(os.sched_getaffinity(0)), len(files)))
    kept: list[tuple[StoredPiece, np.ndarray]] = []
    rejected: list[dict[str, str]] = []
    duplicates: list[dict[str, str]] = []
    keys: list[str] = []
    marks: list[str | None] = []
    first: dict[str, str] = {}
    paths = [str(path) for _, path, _ in files]
    for i, found in enumerate(_results(paths, tokenizer.spec, settings.fewest_notes, jobs)):
        name, _, licence = files[i]
        for inner, reason in found.rejected:
            rejected.append({"source": _joined(name, inner), "reason": reason})
        for inner, ids, notes, mark in found.pieces:
            source = _joined(name, inner)
            digest = hashlib.sha256(ids.tobytes()).hexdigest()
            if digest in first:
                duplicates.append({"source": source, "same_as": first[digest]})
                continue
            first[digest] = source
            keys.append(work_key(name, by=settings.works_by) + (f"#{inner}" if inner else ""))
            marks.append(mark)
            kept.append((StoredPiece(0, len(ids), notes, source, digest, "", "", licence), ids))
        progress(i + 1, len(files))
    if not kept:
        reason = f"; the first of {len(rejected)} rejected: {rejected[0]['reason']}" if rejected else ""
        raise UnreadableError(f"no usable piece among {len(files)} files{reason}", where=sources[0], hint="check the files")
    works = group_works(keys, marks)
    splits = assign_splits(works, seed=settings.seed, valid=settings.valid, test=settings.test)
    final = [
        (StoredPiece(0, p.length, p.notes, p.source, p.sha256, work, split, p.licence), ids)
        for (p, ids), work, split in zip(kept, works, splits, strict=True)
    ]
    return write_corpus(
        out, pieces=final, tokenizer=tokenizer.spec, rejected=rejected, duplicates=duplicates, overwrite=overwrite
    )


def _files(sources: Sequence[str | Path], settings: BuildSettings) -> list[tuple[str, Path, str]]:
    """(name, path, licence) of every file, sorted by name; with several sources each name begins with its source's."""
    if not sources:
        raise UsageError("no source to build from", hint="name a folder, a file or a catalogue entry")
    files: dict[Path, tuple[str, Path, str]] = {}
    for source in sources:
        prefix = f"{Path(source).name}/" if len(sources) > 1 else ""
        if Path(source).exists():
            for name, path in find_music(source):
                files.setdefault(path.resolve(), (prefix + name, path, settings.licence))
            continue
        if os.sep in str(source):
            raise UnreadableError("no such file or folder", where=source, hint="check the path")
        entry = find_entry(str(source))
        if entry.kind != "package":
            raise UsageError(
                "this corpus has to be fetched first",
                where=entry.name,
                hint=f"musicgen corpus fetch {entry.name}, then build from the folder",
            )
        for path in package_files(entry):
            files.setdefault(path.resolve(), (prefix + path.name, path, entry.licence))
    return sorted(files.values(), key=lambda row: (row[0], str(row[1])))


def _joined(name: str, inner: str) -> str:
    return f"{name}#{inner}" if inner else name


def _results(paths: list[str], spec: dict[str, Any], fewest: int, jobs: int) -> Iterator[_Read]:
    """What is in each file, in the order of `paths`."""
    chunks = [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    if jobs == 1:
        for chunk in chunks:
            yield from _read_chunk(chunk, spec, fewest)
        return
    # Fresh processes: a fork of a program that has threads (torch's, say) can deadlock.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context)
    try:
        waiting: list[tuple[list[str], Future[list[_Read]]]] = []
        rest = iter(chunks)
        while True:
            while len(waiting) < AHEAD and (chunk := next(rest, None)) is not None:
                waiting.append((chunk, pool.submit(_read_chunk, chunk, spec, fewest)))
            if not waiting:
                return
            chunk, future = waiting.pop(0)
            try:
                yield from future.result()
            except BrokenProcessPool:
                # A file took its worker down (memory, a crash in a library). Find it: one file a process.
                pool.shutdown(wait=False, cancel_futures=True)
                for path in chunk:
                    yield _read_alone(path, spec, fewest, context)
                pool = ProcessPoolExecutor(jobs, mp_context=context)
                waiting = [(c, pool.submit(_read_chunk, c, spec, fewest)) for c, _ in waiting]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _read_alone(path: str, spec: dict[str, Any], fewest: int, context: Any) -> _Read:
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(_read_chunk, [path], spec, fewest).result()[0]
        except BrokenProcessPool:
            return _Read([], [("", "reading it ended the worker process")])


def _read_chunk(paths: list[str], spec: dict[str, Any], fewest: int) -> list[_Read]:
    from musicgen.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(spec)
    return [_read(path, tokenizer, fewest) for path in paths]


def _read(path: str, tokenizer: Any, fewest: int) -> _Read:
    try:
        pieces = load(path)
    except MusicgenError as error:
        return _Read([], [("", error.what)])
    except (RecursionError, MemoryError) as error:
        return _Read([], [("", f"too deep or too large to read ({type(error).__name__})")])
    read, rejected = [], []
    for name, piece in pieces:
        inner = name if len(pieces) > 1 else ""
        ids = tokenizer.encode(piece)
        notes = tokenizer.count_notes(ids)
        if notes < fewest:
            rejected.append((inner, f"too short: {notes} notes"))
            continue
        read.append((inner, ids, notes, fingerprint(piece)))
    return _Read(read, rejected)
