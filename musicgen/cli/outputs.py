"""Output files of takes: names, formats, folders. Used by `continue` and `generate`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from musicgen.errors import UsageError

__all__ = ["Outputs", "check_folder", "made", "plan_outputs"]

WRITABLE = "mid, wav, flac, ogg and html can be written, and abc by models of ABC text"
MOST_ON_A_PAGE = 32  # a copy of page.MOST_TAKES, whose module imports numpy; a test compares them


@dataclass(frozen=True)
class Outputs:
    """The files of all takes: in `folder`, named `stem`, or `stem.N` with N from `first` on if they are numbered.

    `ours` says that the user didn't choose the name, so that the number may be changed.
    """

    folder: Path
    stem: str
    formats: tuple[str, ...]
    takes: int
    ours: bool
    first: int | None = None  # the number of the first take; None: a single take without a number

    @property
    def _names(self) -> list[str]:
        return [self.stem if self.first is None else f"{self.stem}.{self.first + k}" for k in range(self.takes)]

    @property
    def files(self) -> list[dict[str, Path]]:
        """For each take, its file by format; several takes have their page in common."""
        kinds = [kind for kind in self.formats if kind != "html" or self.takes == 1]
        return [{kind: self.folder / f"{name}.{kind}" for kind in kinds} for name in self._names]

    @property
    def page(self) -> Path | None:
        """The page of several takes, if one is asked for."""
        if "html" not in self.formats or self.takes == 1:
            return None
        first = self.first or 1
        numbers = "" if first == 1 else f".{first}-{first + self.takes - 1}"
        return self.folder / f"{self.stem}{numbers}.html"

    @property
    def sidecars(self) -> list[Path]:
        """For each take, its JSON file of facts."""
        return [self.folder / f"{name}.json" for name in self._names]

    def paths(self, begin: int = 0) -> list[Path]:
        """All files to be written, from take `begin` on; a page of all takes comes last."""
        takes = list(zip(self.files, self.sidecars, strict=True))[begin:]
        pages = [] if self.page is None else [self.page]
        return [*(path for files, sidecar in takes for path in (*files.values(), sidecar)), *pages]

    def settled(self, *, overwrite: bool, begin: int = 0) -> Outputs:
        """The outputs with names that can be written now.

        If some files exist and may not be replaced, the takes from `begin` on get the next free numbers, or UsageError
        is raised if the user chose the name.
        """
        taken = [path for path in self.paths(begin) if os.path.lexists(path)]
        if overwrite or not taken:
            return self
        if not self.ours:
            raise UsageError("already exists", where=taken[0], hint="pass --overwrite to replace it")
        return replace(self, first=self._last_number() + 1 - begin)

    def _last_number(self) -> int:
        """The highest number of a take with this name in the folder; a take without a number counts as 1."""
        pattern = re.compile(rf"{re.escape(self.stem)}(?:\.([1-9][0-9]{{0,8}}))?\.(?:json|{'|'.join(self.formats)})")
        found = [match for name in os.listdir(self.folder) if (match := pattern.fullmatch(name))]
        return max((int(match[1] or 1) for match in found), default=0)


def plan_outputs(
    stem: str,
    *,
    output: str | None,
    formats: str | None,
    takes: int,
    overwrite: bool,
    inputs: Iterable[str | Path | None],
    usual: tuple[str, ...] = ("mid",),
) -> Outputs:
    """Determine all output paths. `Outputs.settled` checks later, once the request is known to be valid, if they exist.

    `usual` are the formats if none is asked for. `output` is a folder (an existing one, or with a trailing slash), or
    a file, whose suffix is removed if it is a format. Raises UsageError for a format that can't be written, for more
    takes than a page holds, for a folder that can't be made and, even with overwriting allowed, for an output that
    would replace an input.
    """
    from musicgen.io import TAKE_FORMATS
    from musicgen.io.atomic import keep_inputs

    folder, ours = Path(), True
    chosen = [f.strip().lower().lstrip(".") for f in formats.split(",")] if formats else []
    if output is not None:
        path = Path(output)
        if output.endswith(("/", os.sep)) or path.is_dir():
            folder = path
        else:
            folder, stem, ours = path.parent, path.name, False
            suffix = path.suffix.lower().lstrip(".").replace("midi", "mid")
            if suffix in TAKE_FORMATS:
                stem = path.name[: -len(path.suffix)]
                chosen = [suffix, *chosen]
            elif _is_format(path.suffix):
                raise UsageError(f"can't be written as {path.suffix}", where=output, hint=WRITABLE)
    chosen = list(dict.fromkeys(chosen)) or list(usual)
    if chosen == ["html"]:  # a page is nothing that other commands and sequencers read
        chosen = ["mid", "html"]
    for name in chosen:
        if name not in TAKE_FORMATS:
            raise UsageError(f"can't write the format {name!r}", where="--formats", hint=WRITABLE)
    if "html" in chosen and takes > MOST_ON_A_PAGE:
        what = f"{takes:,} takes are too many for a page, which holds {MOST_ON_A_PAGE}"
        raise UsageError(what, where="--formats", hint="ask for fewer takes, or leave html out")
    check_folder(folder)
    outputs = Outputs(folder, stem, tuple(chosen), takes, ours, None if takes == 1 else 1)
    if ours and folder.is_dir():
        outputs = outputs.settled(overwrite=overwrite)
    keep_inputs(outputs.paths(), inputs)
    return outputs


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Make `folder` for the duration of the context; after an error, folders made for it are removed if empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in new:
            with suppress(OSError):
                path.rmdir()
        raise


def _is_format(suffix: str) -> bool:
    """Whether a suffix is that of a music, sound, picture or facts file; any other may be part of the name."""
    from musicgen.io import MIDI_SUFFIXES, SCORE_SUFFIXES
    from musicgen.io.foreign import FOREIGN_SUFFIXES

    return suffix.lower() in (*MIDI_SUFFIXES, *SCORE_SUFFIXES, *FOREIGN_SUFFIXES, ".json", ".txt", ".html")


def check_folder(folder: Path) -> None:
    """Raise UsageError if `folder` isn't a folder or can't be made."""
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path())
    if not there.is_dir():
        raise UsageError("is a file, not a folder", where=there, hint="choose another name")
    if not folder.exists() and not os.access(there, os.W_OK):
        raise UsageError("no folder can be made here", where=there, hint="choose a folder you may write to")
