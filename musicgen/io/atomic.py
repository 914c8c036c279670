"""Write files whole or not at all; files that belong together appear together.

The data goes to a hidden temporary file in the target's own folder (same suffix, so that libraries which
choose a format by it work), is synced to disk, and is then renamed in one step. A failure leaves neither
a half-written target nor the temporary file behind. The temporary files of a killed process are removed by the next
process that writes to the folder: a temporary file is locked as long as its writer lives.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicgen.errors import MusicgenError, UsageError, explained, printable
from musicgen.io.locks import let_go, try_lock

__all__ = ["atomic_path", "clear_leftovers", "json_bytes", "keep_inputs", "together", "write_bytes", "write_text"]

# File systems without hard links (FAT, some network mounts) answer os.link with one of these.
NO_LINKS = frozenset((errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV))
OURS = re.compile(r"\..*\.musicgen-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)


@dataclass
class _File:
    """A file being written: its target, its temporary file, and a copy of the file that it replaces, to undo that."""

    path: Path  # as the caller named it
    target: Path  # symbolic links resolved, as an ordinary write would do: the link stays
    temporary: Path
    lock: int | None
    before: Path | None = None


_live: dict[Path, _File] = {}  # by their temporary paths


@contextmanager
def together(paths: Sequence[str | Path], *, overwrite: bool = False) -> Iterator[list[Path]]:
    """Temporary paths to write to; on success they become `paths`, in that order, and on any error none of them does.

    Raises UsageError when one exists and `overwrite` is False (also when it appeared meanwhile), when it is
    something other than a regular file, or when its folder is missing or not writable; ResourceError when the
    disk or quota is full. A kill while they are put in place, in order, may leave only the first ones: so name last the
    file whose presence means that all are there.
    """
    files: list[_File] = []
    at, ours = Path(paths[0]), True  # whether an OSError comes from here, about `at`, or from the caller
    try:
        for at in map(Path, paths):
            files.append(_begin(at, overwrite=overwrite))
        ours = False
        yield [file.temporary for file in files]
        ours = True
        for file in files:
            at = file.path
            with open(file.temporary, "rb+") as written:
                os.fsync(written.fileno())
        with _undoing(files):
            for file in files:
                at = file.path
                if overwrite:
                    if file is not files[-1]:
                        _remember(file)
                    os.replace(file.temporary, file.target)
                else:
                    _put(file.temporary, file.target)
    except OSError as error:
        met = None if error.filename is None else _live.get(Path(os.fsdecode(error.filename)))
        raise explained(error, met.path if met else at, ours=ours) from error
    except MusicgenError as error:
        raise _renamed(error) from None
    finally:
        for file in files:
            _end(file)


@contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path to write to; on success it becomes `path`, on any error it is removed. Raises as `together`.

    A path that is itself a temporary path of `together` is yielded as it is, since that call will rename it.
    """
    if Path(path) in _live:
        yield Path(path)
        return
    with together([path], overwrite=overwrite) as (temporary,):
        yield temporary


def write_bytes(path: str | Path, data: bytes, *, overwrite: bool = False) -> None:
    """Write `data` to `path` whole or not at all; raises as `atomic_path` does."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def write_text(path: str | Path, text: str, *, overwrite: bool = False) -> None:
    """Write `text` as UTF-8, line ends as they are, whole or not at all; raises as `atomic_path` does."""
    write_bytes(path, text.encode("utf-8"), overwrite=overwrite)


def json_bytes(value: Any) -> bytes:
    r"""`value` as the bytes of an indented JSON file. Unprintable characters are escaped: surrogates, which stand for
    undecodable bytes in file names, and control characters, which a terminal would obey.

    >>> json_bytes({"source": "caf\udce9.mid"})
    b'{\n  "source": "caf\\udce9.mid"\n}\n'
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    safe = "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return safe.encode("utf-8")


def keep_inputs(outputs: Iterable[str | os.PathLike[str]], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Raise UsageError if one of `outputs` is the same file as one of `inputs`, under any name or link.

    Call it before any work is done, also if files may be overwritten.
    """
    read: dict[tuple[int, int], str | os.PathLike[str]] = {}
    for path in inputs:
        if path is not None:
            with suppress(OSError):  # reading the file will report the error
                info = os.stat(path)
                read.setdefault((info.st_dev, info.st_ino), path)
    for path in outputs:
        with suppress(OSError):
            info = os.stat(path)
            if (same := read.get((info.st_dev, info.st_ino))) is not None:
                what = f"is the input {printable(same)} itself, which is never written over"
                raise UsageError(what, where=path, hint="choose another name for the output")


def clear_leftovers(folder: str | Path) -> None:
    """Remove the temporary files in a folder whose writers no longer run."""
    with suppress(OSError):
        for name in [name for name in os.listdir(folder) if OURS.fullmatch(name)]:
            path = Path(folder, name)
            if path not in _live and (lock := try_lock(path)) is not None:
                with suppress(OSError):  # it may be a folder with such a name
                    path.unlink()
                let_go(lock)


def _begin(path: Path, *, overwrite: bool) -> _File:
    target = Path(os.path.realpath(path)) if overwrite else path
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(target).st_mode):  # never rename over a folder or a device
            raise UsageError("is not a regular file, so it can't be written to", where=path, hint="choose another name")
    clear_leftovers(target.parent)
    file = _File(path, target, *_create_beside(target))
    _live[file.temporary] = file
    return file


def _end(file: _File) -> None:
    _live.pop(file.temporary, None)
    for path in filter(None, (file.temporary, file.before)):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    let_go(file.lock)


def _create_beside(target: Path) -> tuple[Path, int | None]:
    """A new empty file next to `target`, with the permissions an ordinary new file would have, and its lock."""
    while True:
        temporary = _beside(target)
        with suppress(FileExistsError):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            lock = try_lock(temporary)
            if temporary.exists():
                return temporary, lock
            let_go(lock)  # another process removed it as a leftover before it was locked


def _beside(target: Path) -> Path:
    # The stem is shortened, in bytes: a name near the file system's limit leaves no room for the addition.
    stem = os.fsdecode(os.fsencode(target.stem)[:64]).encode("utf-8", "ignore").decode()
    return target.with_name(f".{stem}.musicgen-{secrets.token_hex(4)}{target.suffix}")


def _put(temporary: Path, target: Path) -> None:
    """Rename `temporary` to `target` unless that exists: a hard link fails then, whereas a rename would replace it."""
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


def _remember(file: _File) -> None:
    """Keep a copy of the target that a file is about to replace, until all files of the group are in place."""
    if file.target.exists():
        file.before = _beside(file.target)
        try:
            os.link(file.target, file.before)
        except OSError:
            shutil.copy2(file.target, file.before)


@contextmanager
def _undoing(files: list[_File]) -> Iterator[None]:
    """On any error or Ctrl-C before all files are in place, remove those that are and restore those they replaced."""
    mine = [os.stat(file.temporary) for file in files]

    def has_come(number: int) -> bool:
        with suppress(OSError):
            return os.path.samestat(mine[number], os.stat(files[number].target))
        return False

    try:
        yield
    except BaseException:
        come = [file for number, file in enumerate(files) if has_come(number)]
        for file in come if len(come) < len(files) else ():
            with suppress(OSError):
                if file.before is not None:
                    os.replace(file.before, file.target)
                else:
                    file.target.unlink()
        raise


def _renamed(error: MusicgenError) -> MusicgenError:
    """An error about a temporary path, as one about the path that the caller gave."""
    file = _live.get(Path(error.where)) if isinstance(error.where, str | Path) else None
    return error if file is None else type(error)(error.what, where=file.path, hint=error.hint)


def _exists(path: Path) -> UsageError:
    return UsageError("already exists", where=path, hint="pass `overwrite` to replace it")
