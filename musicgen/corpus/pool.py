"""Worker processes that read and encode files, one file at a time, and survive what files do to them.

A pool of the standard library loses all its work when one process dies, and can't give up on one item. Here
each worker has a pipe and a deadline: a worker that dies or is late is replaced and its file rejected.
"""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

import numpy as np

from musicgen.corpus.frames import FRAME_SUFFIXES, frame_pieces
from musicgen.corpus.scan import Found, iter_pieces
from musicgen.corpus.split import fingerprint
from musicgen.errors import MusicgenError, ResourceError, printable
from musicgen.io.midi import Limits
from musicgen.io.scores.files import read_texts
from musicgen.piece import Piece
from musicgen.tokenizers.base import TextForm, Tokenizer

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Rejected", "Seen", "Work", "bound_memory", "run_workers", "seen_now"]

LARGEST = 1 << 30  # bytes of a file whose digest is taken; no music is larger
NO_MEMORY = "needs more memory than there is"
LEFT_TO_PARENT = (signal.SIGINT, signal.SIGTERM)  # which may reach the whole group
MOST_MEMORY = 4 << 30  # bytes of addresses that a worker may have: no file's affair is to fill the machine
START_S = 120.0  # for a worker to start: a cold disk may take its time over numpy


@dataclass(frozen=True)
class Work:
    """One encoded piece: `ids` are its tokens as little-endian uint16, `split` its file's own, if that has any."""

    source: str
    ids: bytes
    notes: int
    fingerprint: str
    split: str | None = None
    content: str = ""  # what copies of it share; empty: the ids
    sha256: str = field(init=False)  # of the ids; made where the piece is, so that the workers share the work

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", hashlib.sha256(self.ids).hexdigest())


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or tune that gave no piece, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a source file was when it was read: bytes, time of change, and the sha256 of its content, empty for what is
    no ordinary file."""

    size: int
    mtime_ns: int
    sha256: str


NEVER = Seen(-1, -1, "")  # no file is ever so: it is read again next time


def seen_now(path: str | Path) -> Seen:
    """What a source file is now. Raises OSError."""
    info = os.stat(path)
    if not stat.S_ISREG(info.st_mode) or info.st_size > LARGEST:
        return Seen(info.st_size, info.st_mtime_ns, "")
    with open(path, "rb") as file:
        return Seen(info.st_size, info.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest())


def run_workers(
    files: Sequence[Found],
    spec: dict[str, Any],
    *,
    jobs: int,
    timeout_s: float,
    limits: Limits | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[tuple[Found, Work | Rejected | Seen | None]]:
    """The pieces of `files`, encoded by `jobs` processes, as they come: of one file in order, of several mixed.

    Behind the last of a file comes what the file was seen to be; None where its worker crashed or was too late, which
    another time may go well. All processes end with the iterator.
    """
    waiting = iter(range(len(files)))
    done = 0
    workers = [_Worker(spec, limits) for _ in range(jobs)]
    try:
        for worker in workers:
            worker.give(next(waiting, None), files, timeout_s)
        while done < len(files):
            busy = [w for w in workers if w.index is not None]
            pause = max(0.0, min(w.deadline for w in busy) - time.monotonic())
            ready = connection.wait([w.pipe for w in busy], timeout=pause)
            for place, worker in enumerate(workers):
                if worker.index is None:
                    continue
                file, reason, seen = files[worker.index], None, None
                if worker.pipe in ready:
                    try:
                        message = worker.pipe.recv()
                    except (EOFError, OSError):
                        reason = worker.obituary()
                    else:
                        worker.deadline = time.monotonic() + timeout_s
                        worker.started = True
                        if not isinstance(message, Seen):
                            if not isinstance(message, str):  # "ready" says only that it lives
                                yield file, message
                            continue
                        seen = message
                elif time.monotonic() > worker.deadline:
                    reason = f"took longer than {timeout_s:g} s"
                else:
                    continue
                if reason is not None:
                    if not worker.started:
                        raise ResourceError(
                            f"a worker process didn't start ({reason})",
                            hint="in a script, call this under `if __name__ == '__main__':`",
                        )
                    yield file, Rejected(file.name, reason)
                    worker.stop()
                    workers[place] = worker = _Worker(spec, limits)
                yield file, seen
                done += 1
                if progress is not None:
                    progress(done, len(files), file.name)
                worker.give(next(waiting, None), files, timeout_s)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """One process, its pipe, and the file it is at."""

    def __init__(self, spec: dict[str, Any], limits: Limits | None) -> None:
        # Not forked: the caller may have threads, and a fork would copy its memory and its accelerator.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, spec, limits), daemon=True)
        with _deaf():
            self.process.start()
        theirs.close()
        self.index: int | None = None
        self.started = False
        self.deadline = 0.0

    def give(self, index: int | None, files: Sequence[Found], timeout_s: float) -> None:
        self.index = index
        if index is not None:
            self.deadline = time.monotonic() + (timeout_s if self.started else max(START_S, timeout_s))
            with suppress(OSError):  # a dead worker is found when its pipe is read
                self.pipe.send((files[index].name, str(files[index].path)))

    def obituary(self) -> str:
        self.process.join(5)
        code = self.process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                return f"crashed its worker ({signal.Signals(-code).name})"
        return f"crashed its worker (exit code {code})"

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


@contextmanager
def _deaf() -> Iterator[None]:
    """A process that starts meanwhile hears no Ctrl-C before it can leave it to its parent, which hears it after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Any, spec: dict[str, Any], limits: Limits | None) -> None:
    """The life of a worker: files in, pieces out, after each file what it was."""
    for number in LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    bound_memory()
    from musicgen.tokenizers import load_tokenizer

    tokenizer = load_tokenizer(spec)
    try:
        pipe.send("ready")
        while True:
            name, path = pipe.recv()
            seen = _seen(path)
            for result in _encode(name, path, tokenizer, limits):
                pipe.send(result)
                if isinstance(result, Rejected) and result.reason == NO_MEMORY:
                    seen = NEVER
            pipe.send(seen)
    except (EOFError, OSError):
        return


def bound_memory() -> None:
    """Let no more than MOST_MEMORY be taken by this process from now on: what asks for more gets a MemoryError."""
    if resource is not None:
        with suppress(OSError, ValueError):  # where the system knows no such limit, or one that is lower
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, most))


def _seen(path: str) -> Seen:
    try:
        return seen_now(path)
    except OSError:  # told by whoever reads it
        return NEVER


def _encode(name: str, path: str, tokenizer: Tokenizer, limits: Limits | None) -> Iterator[Work | Rejected]:
    try:
        if path.lower().endswith(FRAME_SUFFIXES):
            yield from _encode_frames(name, path, tokenizer, limits)
            return
        if tokenizer.as_text is not None and path.lower().endswith(".abc"):
            yield from _encode_tunes(name, path, tokenizer, tokenizer.as_text, limits)
            return
        for tune, piece in iter_pieces(path, limits=limits):
            source = f"{name}#{tune}" if tune else name
            if isinstance(piece, Piece):
                ids = np.asarray(tokenizer.encode(piece)).astype("<u2")
                yield Work(source, ids.tobytes(), int(tokenizer.count_notes(ids)), fingerprint(piece))
            else:
                yield Rejected(source, printable(piece.what))
    except MemoryError:
        yield Rejected(name, NO_MEMORY)
    except MusicgenError as error:
        yield Rejected(name, printable(error.what))
    except Exception as error:  # one file must not end the build; the reason is kept in corpus.json
        yield Rejected(name, printable(f"can't be encoded ({type(error).__name__}: {error})")[:300])


def _encode_frames(name: str, path: str, tokenizer: Tokenizer, limits: Limits | None) -> Iterator[Work]:
    for part in frame_pieces(path, frames_per_quarter=tokenizer.frames_per_quarter, limits=limits):
        ids = np.asarray(tokenizer.encode(part.piece, until=part.end)).astype("<u2")
        notes = int(tokenizer.count_notes(ids))
        yield Work(f"{name}#{part.name}", ids.tobytes(), notes, fingerprint(part.piece), part.split)


def _encode_tunes(
    name: str, path: str, tokenizer: Tokenizer, as_text: TextForm, limits: Limits | None
) -> Iterator[Work]:
    # A tune is known by the notes it opens with, and a copy by its text: number and source are another setting's.
    texts = read_texts(path, limits=limits or Limits())
    for tune in texts:
        ids = np.asarray(as_text.encode_text(tune.text)).astype("<u2")
        opening = as_text.opening(tune.text)
        copy = "".join(line for line in as_text.text(ids).splitlines(True) if not line.startswith(("X:", "Z:")))
        yield Work(
            name if len(texts) == 1 else f"{name}#{tune.name}",
            ids.tobytes(),
            int(tokenizer.count_notes(ids)),
            _digest(opening) if opening else "",
            content=_digest(copy),
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
