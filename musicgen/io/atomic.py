"""Files are written whole or not at all.

The data goes to a hidden temporary file in the target's own folder (same suffix, so that libraries which
choose a format by it work), reaches the disk, and is then put in place in one step. A failure leaves neither
a half-written target nor the temporary file behind.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from musicgen.errors import MusicgenError, ResourceError, UsageError, printable

__all__ = ["atomic_path", "explained", "keep_inputs", "write_bytes", "write_text"]

FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
# File systems without hard links (FAT, some network mounts) answer os.link with one of these.
NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path to write to; on success it becomes `path`, on any error it is removed.

    Raises UsageError when `path` exists and `overwrite` is False (also when it appeared meanwhile), when it is
    something other than a regular file, or when its folder is missing or not writable; ResourceError when the
    disk or quota is full.
    """
    path = Path(path)
    # Through a symbolic link, as an ordinary write would go: the link stays.
    target = Path(os.path.realpath(path)) if overwrite else path
    temporary: Path | None = None
    ours = True  # whether an OSError now would be about the target, not about what the caller does meanwhile
    try:
        if not overwrite and os.path.lexists(path):
            raise _exists(path)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(target).st_mode):  # never rename over a folder or a device
                raise UsageError(
                    "is not a regular file, so it can't be written to", where=path, hint="choose another name"
                )
        temporary = _create_beside(target)
        ours = False
        yield temporary
        ours = True
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if overwrite:
            os.replace(temporary, target)
        else:
            _put(temporary, target)
    except OSError as error:
        raise explained(error, path, ours=ours) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` to `path` whole or not at all; raises as `atomic_path` does."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> None:
    """Write `text` as UTF-8, line ends as they are, whole or not at all; raises as `atomic_path` does."""
    write_bytes(path, text.encode("utf-8"), overwrite=overwrite)


def keep_inputs(outputs: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Raise UsageError where a file to be written is one of those that are read, by whatever name or link.

    To be asked before any work is done, whatever the user says of overwriting.
    """
    read: dict[tuple[int, int], str | os.PathLike[str]] = {}
    for path in inputs:
        if path is not None:
            with suppress(OSError):  # whoever reads it will tell
                info = os.stat(path)
                read.setdefault((info.st_dev, info.st_ino), path)
    for path in outputs:
        with suppress(OSError):
            info = os.stat(path)
            if (same := read.get((info.st_dev, info.st_ino))) is not None:
                what = f"is the input {printable(same)} itself, which is never written over"
                raise UsageError(what, where=path, hint="choose another name for the output")


def _create_beside(target: Path) -> Path:
    """A new empty file next to `target`, with the permissions an ordinary new file would have."""
    while True:
        # The stem is shortened, in bytes: a name near the file system's limit leaves no room for the addition.
        stem = os.fsdecode(os.fsencode(target.stem)[:64]).encode("utf-8", "ignore").decode()
        temporary = target.with_name(f".{stem}.{secrets.token_hex(4)}{target.suffix}")
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return temporary


def _put(temporary: Path, target: Path) -> None:
    """Give `temporary` the name `target` unless that exists: linking fails then, where renaming would not."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(target):
            raise _exists(target) from None
        os.replace(temporary, target)


def _exists(path: Path) -> UsageError:
    return UsageError("already exists", where=path, hint="pass --overwrite to replace it")


def explained(error: OSError, path: Path, *, ours: bool) -> Exception:
    """The error to show for `error`; errors of the caller's own work pass unless the disk is full."""
    if error.errno in FULL:
        return ResourceError("no space left on device", where=path, hint="free some space or choose another folder")
    reasons: dict[int | None, MusicgenError] = {
        errno.ENOENT: UsageError("its folder does not exist", where=path, hint=f"create {path.parent} first"),
        errno.ENOTDIR: UsageError("its folder is a file", where=path, hint="choose another folder"),
        errno.EACCES: UsageError("permission denied", where=path, hint="choose a folder you may write to"),
        errno.EPERM: UsageError("permission denied", where=path, hint="choose a folder you may write to"),
        errno.EBUSY: UsageError("is in use and can't be replaced", where=path, hint="choose another name"),
        errno.EROFS: UsageError("its folder is read-only", where=path, hint="choose a folder you may write to"),
        errno.ENAMETOOLONG: UsageError("the file name is too long", where=path, hint="choose a shorter name"),
    }
    return reasons.get(error.errno, error) if ours else error
