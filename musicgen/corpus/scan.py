"""Music files under folders, in an order that does not depend on the file system, and pieces out of them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io import MIDI_SUFFIXES, SCORE_SUFFIXES
from musicgen.piece import Piece

__all__ = ["find_music", "load"]

SUFFIXES = frozenset((*MIDI_SUFFIXES, *SCORE_SUFFIXES))


def find_music(source: str | Path, *, suffixes: Iterable[str] = SUFFIXES) -> list[tuple[str, Path]]:
    """(name, path) of every music file below a folder, or of one file, sorted by name.

    The name is the path relative to the folder, with slashes. Hidden files and folders are skipped; a linked
    folder is entered once. Raises UnreadableError when there is no such place or no music in it.
    """
    root, wanted = Path(source), {s.lower() for s in suffixes}
    if root.is_file():
        return [(root.name, root)]
    if not root.is_dir():
        raise UnreadableError("no such file or folder", where=source, hint="check the path")
    found, entered = [], set()
    for folder, folders, files in os.walk(root, followlinks=True):
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in entered:
            folders.clear()
            continue
        entered.add((here.st_dev, here.st_ino))
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in files:
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix.lower() in wanted:
                found.append((path.relative_to(root).as_posix(), path))
    if not found:
        kinds = " ".join(sorted(wanted))
        raise UnreadableError("no music files in this folder", where=source, hint=f"files that count: {kinds}")
    return sorted(found)


def load(path: str | Path) -> list[tuple[str, Piece]]:
    """The pieces in a file, each with a name: one for MIDI, one a tune for ABC. Raises UnreadableError."""
    path = Path(path)
    if path.suffix.lower() in SCORE_SUFFIXES:
        from musicgen.io.score import read_scores

        return read_scores(path)
    from musicgen.io.midi import read_midi

    return [(path.stem, read_midi(path))]
