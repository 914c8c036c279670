"""The parts of a run that its users need, replaced atomically as far as readers can see.

New parts are written to `.export` in the run's folder, with a manifest of their digests, before the first old part is
replaced. A reader that finds parts that don't match their manifest, as a process was killed while replacing them or is
still replacing them, reads those in `.export` instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from musicgen.errors import UnreadableError, explained
from musicgen.io.atomic import json_bytes
from musicgen.runs.checked import FORMAT, PARTS
from musicgen.runs.files import make_folder, read_json, sha256, sync

__all__ = ["damaged_parts", "replace_parts", "settle_parts", "stamp", "whole_parts"]

MANIFEST = "manifest.json"
NEW = ".export"


def replace_parts(run: str | Path, write: Callable[[Path], None]) -> None:
    """Replace the parts of a run folder by those that `write` puts into the folder it is given.

    Raises ResourceError on a full disk, with the old ones as they were.
    """
    folder = Path(run)
    make_folder(folder)
    settle_parts(folder)
    new = folder / NEW
    try:
        make_folder(new)
        write(new)
        digests = {part: sha256(new / part) for part in PARTS}
        (new / MANIFEST).write_bytes(json_bytes({"format": FORMAT, "sha256": digests}))
        for part in (*PARTS, MANIFEST):
            sync(new / part)
        sync(new)
        _move_in(folder)
    except OSError as error:
        raise explained(error, folder, ours=True) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def settle_parts(run: str | Path) -> None:
    """Finish an interrupted replacement: new parts are moved in where the old ones don't match, and else deleted."""
    folder = Path(run)
    if (folder / NEW).is_dir():
        if whole_parts(folder) != folder:
            _move_in(folder)
        shutil.rmtree(folder / NEW, ignore_errors=True)


def whole_parts(run: str | Path) -> Path:
    """The folder from which to read the parts of a run: the run's own, or `.export` in it where only that matches its
    manifest. Readers check the parts themselves (`checked.py`)."""
    folder = Path(run)
    new = folder / NEW
    return new if new.is_dir() and not _is_whole(folder) and _is_whole(new) else folder


def damaged_parts(run: str | Path) -> list[str]:
    """The names of the parts of a run that don't match its manifest, or that of a damaged manifest; empty for a run
    without parts."""
    folder = Path(run)
    if not (folder / MANIFEST).exists():
        return [MANIFEST] if (folder / "model.safetensors").exists() else []
    try:
        manifest, data = read_json(folder / MANIFEST), (folder / MANIFEST).read_bytes()
    except (OSError, UnreadableError):
        return [MANIFEST]
    digests = manifest.get("sha256")
    if data != json_bytes(manifest) or not isinstance(digests, dict) or manifest.get("format") != FORMAT:
        return [MANIFEST]
    return [part for part in PARTS if not (folder / part).is_file() or sha256(folder / part) != digests.get(part)]


def stamp(run: str | Path) -> tuple[int, ...]:
    """A value that changes whenever the parts of a run are replaced."""
    folder = Path(run)
    with suppress(OSError):
        info = os.stat(folder / MANIFEST)
        return info.st_ino, info.st_mtime_ns, (folder / NEW).is_dir()
    return ()


def _is_whole(folder: Path) -> bool:
    """Whether the parts in a folder match their manifest's digests."""
    try:
        digests = read_json(folder / MANIFEST).get("sha256")
        return isinstance(digests, dict) and all(sha256(folder / part) == digests.get(part) for part in PARTS)
    except (OSError, UnreadableError):
        return False


def _move_in(folder: Path) -> None:
    """Replace the old parts by the new ones, one by one, the manifest last; `.export` stays complete."""
    for part in (*PARTS, MANIFEST):
        between = folder / NEW / f"{part}.moving"
        between.unlink(missing_ok=True)
        try:
            os.link(folder / NEW / part, between)
        except OSError:  # a file system without links
            shutil.copyfile(folder / NEW / part, between)
        os.replace(between, folder / part)
    sync(folder)
