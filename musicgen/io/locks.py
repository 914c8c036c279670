"""Locks for one writer at a time, which also tell the leftovers of a killed process from the work of a living one.

Locks are the kernel's (`flock`), so that they end with the process that holds them. The lock of a place is a hidden
file beside it, never inside it, which names the holder and is removed afterwards. Where such locks aren't available
(Windows, some network mounts, a folder that isn't writable) work continues without them, with a note to the user, and
nothing is treated as a leftover.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

from musicgen.errors import UsageError, explained, printable

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Hold", "let_go", "try_lock"]

LONGEST = 180  # bytes of a place's name in the lock file's name: file systems allow 255
MOST_SHOWN = 300  # characters of the holder's description of itself

_held: set[int] = set()


def _forget() -> None:
    # A forked child shares its parent's locks, and would keep them if the parent is killed.
    for descriptor in _held:
        with suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def try_lock(path: str | Path) -> int | None:
    """Lock a file or folder until `let_go` or the end of this process, and return the lock's file descriptor; None if
    another process holds it, or nothing can be locked here."""
    if fcntl is None:
        return None
    careful = os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # a pipe by that name must not block us
    try:
        descriptor = os.open(path, (os.O_RDONLY if os.path.isdir(path) else os.O_RDWR) | careful)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    _held.add(descriptor)
    return descriptor


def let_go(descriptor: int | None) -> None:
    """Release a lock of `try_lock`; None does nothing."""
    if descriptor is not None:
        _held.discard(descriptor)
        os.close(descriptor)


class Hold:
    """A context in which only this process writes at `place`; missing parent folders are made.

    Raises UsageError, which names the holder, if another process has the lock. `note` is a line for the user if nothing
    can be locked, else None.
    """

    def __init__(self, place: str | Path) -> None:
        self.place = place
        real = Path(os.path.realpath(place))
        self.path = real.with_name(f".{os.fsdecode(os.fsencode(real.name)[:LONGEST])}.lock")
        self.note: str | None = None
        self._lock: int | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        try:
            self._made = [folder for folder in self.path.parents if not folder.exists()]
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise UsageError("its folder is a file", where=self.place, hint="choose another folder") from None
        except OSError as error:
            raise explained(error, Path(self.place), ours=True) from error
        why = "this system has no file locks" if fcntl is None else None
        while why is None and self._lock is None:
            why = self._try()
        if why is not None:
            self.note = f"{self.place}: can't be locked ({why}); see to it that nothing else writes there meanwhile"
        return self

    def __exit__(self, *exc: object) -> None:
        if self._lock is not None:
            with suppress(OSError):
                self.path.unlink()
            let_go(self._lock)
            self._lock = None
        for folder in self._made:
            with suppress(OSError):  # something lies in it
                folder.rmdir()

    def _try(self) -> str | None:
        """Try to lock the file without waiting. Returns the reason if locks aren't available, else None."""
        try:
            made = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            return error.strerror
        try:
            fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(made, MOST_SHOWN, 0).decode("utf-8", "replace").strip()
            os.close(made)
            what = f"another process writes here ({printable(holder or 'it has only begun')})"
            raise UsageError(what, where=self.place, hint="wait until it is done, or choose another folder") from None
        except OSError as error:
            os.close(made)
            with suppress(OSError):
                self.path.unlink()
            return error.strerror
        try:
            ours = os.path.samestat(os.fstat(made), os.stat(self.path))
        except FileNotFoundError:
            ours = False
        if not ours:  # the previous holder removed the file on release
            os.close(made)
            return None
        _held.add(made)
        self._lock = made
        os.ftruncate(made, 0)
        os.pwrite(made, (_oneself()[:MOST_SHOWN] + "\n").encode("utf-8", "replace"), 0)
        return None


def _oneself() -> str:
    program = Path(sys.argv[0] if sys.argv else "python")
    name = program.parent.name if program.name == "__main__.py" else program.name
    command = shlex.join([name, *sys.argv[1:]])
    when = time.strftime("%Y-%m-%d %H:%M")
    return f"process {os.getpid()} on {socket.gethostname()} since {when}: {command}"
