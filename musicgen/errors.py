"""The errors a user can cause, in one place.

Every error says what went wrong, where, and what to do about it, on one line. The command line prints
that line and leaves with the class's `exit_code`; nothing else in the library decides exit codes.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

__all__ = [
    "FULL",
    "CheckError",
    "MusicgenError",
    "ResourceError",
    "UnreadableError",
    "UsageError",
    "explained",
    "printable",
]


def printable(text: object) -> str:
    r"""`text` on one line and safe to show on a terminal: control characters and line breaks are escaped.

    File names and MIDI texts come from strangers; an escape sequence in one must not reach the terminal.

    >>> printable("a\nb")
    'a\\nb'
    """
    string = os.fsdecode(text) if isinstance(text, (bytes, os.PathLike)) else str(text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in string)


class MusicgenError(Exception):
    """Something that the user can put right: `what` happened, `where`, and a `hint` of what to do.

    >>> str(MusicgenError("bars is 0", where="a.mid", hint="ask for 1 to 1000 bars"))
    'a.mid: bars is 0; ask for 1 to 1000 bars'
    """

    exit_code = 2

    def __init__(self, what: str, *, where: object | None = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, where, hint
        parts = [] if where is None else [f"{printable(where)}: "]
        parts.append(printable(what))
        if hint:
            parts.append(f"; {printable(hint)}")
        super().__init__("".join(parts))


class UsageError(MusicgenError):
    """The request itself doesn't fit: an option out of range, an output that exists.

    >>> UsageError("what happened").exit_code
    2
    """

    exit_code = 2


class UnreadableError(MusicgenError):
    """An input can't be read as what it should be.

    >>> UnreadableError("what happened").exit_code
    3
    """

    exit_code = 3


class CheckError(MusicgenError):
    """The result was made, but failed a check of the tool's own.

    >>> CheckError("what happened").exit_code
    4
    """

    exit_code = 4


class ResourceError(MusicgenError):
    """Disk, memory or a published limit ran out.

    >>> ResourceError("what happened").exit_code
    5
    """

    exit_code = 5


# ---- what the system says no to ---------------------------------------------------------------------------

# No room: on the disk, in the quota, or in a file (ulimit -f).
FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def explained(error: OSError, path: Path, *, ours: bool) -> Exception:
    """The error to show for `error`, which met what is written at `path`.

    Where it is not `ours` but of the caller's own work, it passes as it is unless there is no room.
    """
    if error.errno == errno.EFBIG:
        hint = "raise the limit (ulimit -f), or ask for less"
        return ResourceError("the file would be larger than is allowed here", where=path, hint=hint)
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
