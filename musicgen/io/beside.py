"""Replace a folder atomically: the new one takes the old one's place only when it is complete.

The new folder is made under a hidden name beside its place and moved there by two renames, so that a failure, Ctrl-C or
a kill leaves either the old folder or the new one. Other contents of the old folder, such as a user's notes and takes,
are kept. The next process that writes there removes what a killed one left behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

from musicgen.errors import UsageError, explained
from musicgen.io.locks import let_go, try_lock

__all__ = ["Beside", "refuse_here", "settle", "within"]


class Beside:
    """A new folder at `path`, hidden beside `place` until `swap`; a context that removes it if it isn't swapped in.

    `parts` are the names in the old folder that are replaced. Raises UsageError if `place` can't be replaced.
    """

    def __init__(self, place: str | Path, *, parts: Collection[str]) -> None:
        self.place, self.parts = Path(os.path.realpath(place)), frozenset(parts)
        refuse_here(place)
        settle(self.place)
        self.path = self.place.with_name(f".{self.place.name}.new-{secrets.token_hex(4)}")
        self._made = [folder for folder in self.path.parents if not folder.exists()]
        try:
            self.path.mkdir(parents=True)
        except OSError as error:
            raise explained(error, self.place, ours=True) from error
        self._lock = try_lock(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._unlock()
        shutil.rmtree(self.path, ignore_errors=True)  # after a swap there is none
        for folder in self._made:
            with suppress(OSError):  # something lies in it
                folder.rmdir()

    def swap(self) -> Path:
        """Move the new folder to its place and return that. If that fails, restore the old one and raise UsageError."""
        old = self.place.with_name(f".{self.place.name}.old-{secrets.token_hex(4)}")
        replaces = self.place.exists()
        try:
            if replaces:
                self._bring_along()
                os.rename(self.place, old)
            os.rename(self.path, self.place)
        except BaseException as error:  # Ctrl-C between the two, too
            if old.exists() and not self.place.exists():
                os.rename(old, self.place)
            if isinstance(error, OSError):
                raise explained(error, self.place, ours=True) from error
            raise
        self._unlock()
        if replaces:
            with suppress(OSError):
                os.rename(old, self.path)  # a half-removed folder must never be taken for the old one
            shutil.rmtree(self.path, ignore_errors=True)
        return self.place

    def _bring_along(self) -> None:
        """Link the old folder's other contents into the new one, so that the old one stays complete until the swap."""
        shutil.copymode(self.place, self.path)
        for entry in sorted(self.place.iterdir()):
            target = self.path / entry.name
            if entry.name in self.parts or os.path.lexists(target):
                continue
            try:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.copytree(entry, target, symlinks=True, copy_function=_link)
                else:
                    _link(entry, target)
            except OSError as error:
                what, hint = f"can't be kept ({error.strerror or error})", "move it away, or choose another output"
                raise UsageError(what, where=entry, hint=hint) from None

    def _unlock(self) -> None:
        let_go(self._lock)
        self._lock = None


def refuse_here(place: str | Path) -> None:
    """Raise UsageError if the working directory is in the folder that is to be replaced, as it would be removed."""
    real, here = Path(os.path.realpath(place)), Path(os.path.realpath(os.curdir))
    if real in (here, *here.parents):
        raise UsageError("can't be replaced by a command that runs in it", where=place, hint="run it from elsewhere")


def within(path: str | Path, folder: str | Path) -> bool:
    """Whether a path is the folder itself or inside it, with links resolved."""
    try:
        mine = os.stat(folder)
    except OSError:
        return False
    real = Path(os.path.realpath(path))
    return any(os.path.samestat(mine, os.stat(at)) for at in (real, *real.parents) if at.exists())


def settle(place: str | Path) -> None:
    """Clean up beside `place` after a killed process: restore the old folder if there is no new one, remove the rest.

    Folders that a living process is still making are kept.
    """
    place = Path(os.path.realpath(place))
    if not place.parent.is_dir():
        return
    names = sorted(os.listdir(place.parent))
    for name in names:
        path = place.with_name(name)
        if name.startswith(f".{place.name}.old-"):
            if place.exists():
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.rename(path, place)
    for name in names:
        path = place.with_name(name)
        if name.startswith(f".{place.name}.new-") and (lock := try_lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            let_go(lock)


def _link(source: str | Path, target: str | Path) -> None:
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or files of others
        shutil.copy2(source, target)
