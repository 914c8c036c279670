"""Apply a function to many items in worker processes that may crash or hang.

A pool of the standard library loses all its work when one process dies, and can't give up on one item. Here an item
that crashes its process, takes too long or needs too much memory is returned with a `Failure`, the process is
replaced, and the other items continue:

    for path, got in Pool(jobs=4, wall_s=60).each(notes_of, paths):
        print(path, got.reason if isinstance(got, Failure) else got)

Function, items and results must be picklable.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import connection, get_context
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from musicgen.errors import MusicgenError, ResourceError, printable

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Engine", "Failure", "Message", "Pool", "Processes", "bound_memory", "cores"]

T = TypeVar("T")
R = TypeVar("R")
MOST_MEMORY = 4 << 30  # bytes of address space of a process
POLL_S = 0.25  # seconds between two calls of `check`
START_S = 120.0  # time for a process to start: imports from a cold disk may be slow
AHEAD = 4  # most unfinished items for each process, which bounds the results held for `in_order`
LEFT_TO_PARENT = (signal.SIGINT, signal.SIGTERM)  # signals that may reach the whole process group


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an item gave no result, or no more: its process crashed or took too long, or the function raised."""

    reason: str


class Message(NamedTuple):
    """A message about the item `key`: a result, or, if it is the item's `last`, None or a Failure."""

    key: int
    value: Any
    last: bool


class Engine(Protocol):
    """The interface that runs items, constructed from (function, pool).

    `Processes` runs them on this machine. An engine for many machines needs the same methods: `give` calls a remote
    generator, `wait` collects what is ready and cancels what is late.
    """

    def free(self) -> bool:
        """Whether it takes another item now."""

    def give(self, key: int, item: Any) -> None:
        """Start an item."""

    def wait(self) -> Iterator[Message]:
        """Wait for messages, for POLL_S at most, and yield them; those of one item in their order."""

    def close(self) -> None:
        """End everything at once."""


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Processes:
    """`pool.jobs` processes on this machine, each with a pipe, an item and a deadline."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], pool: Pool) -> None:
        self._workers = [_Worker(function, pool) for _ in range(pool.jobs)]

    def free(self) -> bool:
        return any(worker.key is None for worker in self._workers)

    def give(self, key: int, item: Any) -> None:
        next(worker for worker in self._workers if worker.key is None).give(key, item)

    def wait(self) -> Iterator[Message]:
        busy = [worker for worker in self._workers if worker.key is not None]
        pause = max(0.0, min(worker.deadline for worker in busy) - time.monotonic())
        connection.wait([worker.pipe for worker in busy], timeout=min(pause, POLL_S))
        for worker in busy:
            message = worker.receive()
            if message is not None:
                yield message

    def close(self) -> None:
        for worker in self._workers:
            worker.stop()


@dataclass(frozen=True)
class Pool:
    """The number of processes, the limits on one result of an item, and the engine that runs them.

    `wall_s` is wall-clock time; `cpu_s` is CPU time of the process (None: no limit). If a function gives several
    results for an item, the limits apply to each. `memory` limits a process's address space in bytes (None: no limit).
    Neither CPU time nor memory is limited on Windows. `in_order` gives results in the order of the items, else they
    come as they are ready. `check` is called several times a second while results are waited for, and may raise to end
    the work.
    """

    jobs: int = 1
    wall_s: float = 600.0
    cpu_s: float | None = None
    memory: int | None = MOST_MEMORY
    in_order: bool = False
    check: Callable[[], None] = lambda: None
    engine: Callable[[Callable[[Any], Iterable[Any]], Pool], Engine] = Processes

    def each(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R | Failure]]:
        """Every item with what `function(item)` returns for it, or with a Failure."""
        return self.stream(_Once(function), items)

    def stream(
        self, function: Callable[[T], Iterable[R]], items: Iterable[T]
    ) -> Generator[tuple[T, R | Failure], None, None]:
        """Every item with each of the results that `function(item)` yields for it, those of one item in their order.

        A Failure is the last result of its item. Items are taken from the iterable only when a process is free.
        All processes end with the iterator. Raises ResourceError if no process can be started.
        """
        engine = self.engine(function, self)
        begun: dict[int, T] = {}  # items whose last message hasn't been given back
        try:
            messages = self._messages(engine, enumerate(items), begun)
            for key, value, last in _by_key(messages) if self.in_order else messages:
                item = begun.pop(key) if last else begun[key]
                if not last or isinstance(value, Failure):
                    yield item, value
        finally:
            engine.close()

    def _messages(self, engine: Engine, waiting: Iterator[tuple[int, T]], begun: dict[int, T]) -> Iterator[Message]:
        """Messages about all items; `begun` holds the started ones, at most AHEAD times `jobs` at a time."""
        most = AHEAD * self.jobs
        working = 0

        def fill() -> None:
            nonlocal working
            while engine.free() and len(begun) < most:
                for key, item in waiting:
                    begun[key] = item
                    engine.give(key, item)
                    working += 1
                    break
                else:
                    return

        fill()
        while working:
            self.check()
            for message in engine.wait():
                if message.last:
                    working -= 1
                    fill()  # before the consumer of the message runs, which may take long
                yield message
            fill()


def _by_key(messages: Iterable[Message]) -> Iterator[Message]:
    """Messages in the order of their keys 0, 1, ..; those of one key in the order in which they come."""
    held: dict[int, list[Message]] = {}
    oldest = 0
    for message in messages:
        held.setdefault(message.key, []).append(message)
        while oldest in held:
            ready = held.pop(oldest)
            yield from ready
            oldest += ready[-1].last


class _Once(Generic[T, R]):
    """A function that returns one result, as one that yields results."""

    def __init__(self, function: Callable[[T], R]) -> None:
        self.function = function

    def __call__(self, item: T) -> tuple[R]:
        return (self.function(item),)


class _Worker:
    """A process with its pipe and current item; started for its first item, and again for the next after a crash."""

    def __init__(self, function: Callable[[Any], Iterable[Any]], pool: Pool) -> None:
        self._function, self._pool = function, pool
        self.key: int | None = None
        self.deadline = 0.0
        self._process: Any = None
        self._started = False  # whether it has said that it is ready

    def give(self, key: int, item: Any) -> None:
        if self._process is None:
            self._start()
        self.key = key
        self.deadline = time.monotonic() + (self._pool.wall_s if self._started else max(START_S, self._pool.wall_s))
        with suppress(OSError):  # a dead process is found when its pipe is read
            self.pipe.send(item)

    def receive(self) -> Message | None:
        """The next message, or a Failure if the process died or is late; None if there is nothing yet.

        Raises ResourceError if the process never started.
        """
        key = self.key
        assert key is not None
        if not self.pipe.poll():  # asked anew: whoever took the message before may have taken long
            return self._lost(f"took longer than {self._pool.wall_s:g} s") if time.monotonic() > self.deadline else None
        try:
            value, last = self.pipe.recv()
        except (EOFError, OSError):
            return self._lost(self._obituary())
        self.deadline = time.monotonic() + self._pool.wall_s
        if not self._started:  # what it says first is that it is ready
            self._started = True
            return None
        if last:
            self.key = None
        return Message(key, value, last)

    def stop(self) -> None:
        if self._process is not None:
            self.pipe.close()
            self._process.kill()
            self._process.join()
            self._process, self._started = None, False

    def _start(self) -> None:
        # Not forked: the caller may have threads, and a fork would copy its memory and its accelerator.
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        arguments = (theirs, self._function, self._pool.cpu_s, self._pool.memory)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        with _deaf():
            process.start()
        self._process = process
        theirs.close()

    def _lost(self, reason: str) -> Message:
        if not self._started:
            raise ResourceError(
                f"a worker process didn't start ({reason})",
                hint="in a script, call this under `if __name__ == '__main__':`",
            )
        assert self.key is not None
        message = Message(self.key, Failure(reason), last=True)
        self.key = None
        self.stop()
        return message

    def _obituary(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is not None and code < 0:
            if self._pool.cpu_s is not None and -code == signal.SIGPROF:
                return f"took longer than {self._pool.cpu_s:g} s of CPU time"
            with suppress(ValueError):
                return f"crashed its worker ({signal.Signals(-code).name})"
        return f"crashed its worker (exit code {code})"


@contextmanager
def _deaf() -> Iterator[None]:
    """Block SIGINT and SIGTERM while a process starts, until it can ignore them; the parent gets them afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Any, function: Callable[[Any], Iterable[Any]], cpu_s: float | None, memory: int | None) -> None:
    """The main loop of a process: receive items, and send the results of each and a last message."""
    for number in LEFT_TO_PARENT:
        signal.signal(number, signal.SIG_IGN)
    bound_memory(memory)
    with suppress(EOFError, OSError):  # of the pipe, when the parent is gone
        pipe.send((None, False))
        while True:
            for message in _results(function, pipe.recv(), cpu_s):
                pipe.send(message)


def _results(function: Callable[[Any], Iterable[Any]], item: Any, cpu_s: float | None) -> Iterator[tuple[Any, bool]]:
    """(value, whether it is the last) of each message about an item."""
    failure = None
    try:
        _allow(cpu_s)
        for value in function(item):
            yield value, False
            _allow(cpu_s)
    except MemoryError:
        failure = Failure("needs more memory than there is")
    except MusicgenError as error:
        failure = Failure(printable(error))
    except Exception as error:  # one item must not end the others
        failure = Failure(printable(f"{type(error).__name__}: {error}")[:300])
    yield failure, True


def bound_memory(most: int | None = MOST_MEMORY) -> None:
    """Limit this process to `most` bytes of address space; allocations beyond raise MemoryError."""
    if resource is not None and most is not None:
        with suppress(OSError, ValueError):  # where the system knows no such limit, or one that is lower
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _allow(cpu_s: float | None) -> None:
    """End this process (SIGPROF) after `cpu_s` more seconds of CPU time, even if it hangs in a C library."""
    if cpu_s is not None and hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
