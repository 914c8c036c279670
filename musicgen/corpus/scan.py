"""Find music files in folders, and read the pieces in a file.

A file's name in a corpus is its folder's own name and the path below it, with '/' on every system, so that
it doesn't depend on the folder's location. Hidden files and folders are skipped; each folder is entered once,
so that cycles of links end. Links that lead out of the folder aren't followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from musicgen.errors import MusicgenError, UnreadableError, UsageError
from musicgen.io import MIDI_SUFFIXES, SCORE_SUFFIXES
from musicgen.io.foreign import BUNDLES, refuse_foreign, what_is
from musicgen.io.midi import Limits, read_midi
from musicgen.piece import Piece

__all__ = ["MIDI_SUFFIXES", "MUSIC_SUFFIXES", "Found", "find_files", "iter_pieces"]

MUSIC_SUFFIXES = (*MIDI_SUFFIXES, *SCORE_SUFFIXES)


@dataclass(frozen=True)
class Found:
    """A file: its `name` in the corpus (folder and relative path, POSIX) and where it is."""

    name: str
    path: Path
    licence: str = "unknown"


def find_files(
    sources: Iterable[str | Path],
    *,
    suffixes: tuple[str, ...] = MUSIC_SUFFIXES,
    recursive: bool = True,
    licence: str = "unknown",
    label: str | None = None,
    outside: list[Path] | None = None,
) -> list[Found]:
    """The music files in `sources` (folders and files), sorted by name, each once.

    `label` replaces the folder's own name. Files given as sources are included whatever their suffix. Links that lead
    out of their folder are left out, and added to `outside`. Raises UsageError for a source that doesn't exist.
    """
    outside = [] if outside is None else outside
    found: dict[str, Found] = {}  # by real path
    for source in sources:
        path = Path(source)
        if path.is_dir() and not path.name.lower().endswith(BUNDLES):
            head = Path(os.path.realpath(path)).name if label is None else label
            files = [(f"{head}/{below}", file) for below, file in _walk(path, suffixes, recursive, outside)]
        elif os.path.lexists(path):
            head = Path(os.path.realpath(path.parent)).name if label is None else label
            files = [(f"{head}/{path.name}", path)]
        else:
            raise UsageError("no such file or folder", where=path, hint="check the path, or see musicgen corpus list")
        for name, file in files:
            real = os.path.realpath(file)
            # The smaller name wins, whatever the order of the sources.
            if real not in found or name < found[real].name:
                found[real] = Found(name, file, licence)
    return sorted(found.values(), key=lambda f: (f.name, str(f.path)))


def _walk(folder: Path, suffixes: tuple[str, ...], recursive: bool, outside: list[Path]) -> Iterator[tuple[str, Path]]:
    seen: set[tuple[int, int]] = set()
    root = os.path.join(os.path.realpath(folder), "")

    def stays(path: Path) -> bool:
        if not path.is_symlink() or os.path.join(os.path.realpath(path), "").startswith(root):
            return True
        outside.append(path)
        return False

    for at, folders, files in os.walk(folder, followlinks=True):
        info = os.stat(at)
        if (info.st_dev, info.st_ino) in seen:
            folders.clear()
            continue
        seen.add((info.st_dev, info.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in folders if stays(Path(at, name))]
        bundles = [name for name in folders if name.lower().endswith(BUNDLES)]  # files, to their programs
        folders[:] = [name for name in folders if name not in bundles] if recursive else []
        for name in sorted([*files, *bundles]):
            if name.startswith(".") or not name.lower().endswith(suffixes):
                continue
            path = Path(at, name)
            if not stays(path):
                continue
            yield path.relative_to(folder).as_posix(), path


def iter_pieces(path: str | Path, *, limits: Limits | None = None) -> Iterator[tuple[str, Piece | MusicgenError]]:
    """(name, piece) for each piece in a file, or (name, error) where it can't be read. At least one item.

    The name is empty if the file holds one piece, else the tune's number and title.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix in MIDI_SUFFIXES:
            yield "", read_midi(path, limits=limits)
        elif suffix in SCORE_SUFFIXES:
            from musicgen.io.scores import iter_scores

            for name, result in iter_scores(path, limits=limits):
                yield "" if name == path.stem else name, result
        elif what_is(path):
            refuse_foreign(path)
            yield "", read_midi(path, limits=limits)  # MIDI after all, under another's name
        else:
            raise UnreadableError("is not a music file", where=path, hint=f"known are {', '.join(MUSIC_SUFFIXES)}")
    except MusicgenError as error:
        yield "", error
