"""The catalogue of known corpora: one TOML in `corpora/` for each, with its source, commit and licence.

Nothing is downloaded until `fetch` is called; a corpus in an installed package needs no network at all.
"""

from __future__ import annotations

import difflib
import os
import shutil
import tempfile
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from musicgen.corpus.checkout import check_out, differs
from musicgen.errors import ResourceError, UnreadableError, UsageError
from musicgen.io.bounded import MEGABYTE, read_toml
from musicgen.resources import resource
from musicgen.schemas import filled

__all__ = [
    "CorpusEntry",
    "Source",
    "catalogue",
    "check_cached",
    "default_folder",
    "fetch",
    "find_entry",
    "package_files",
]


@dataclass(frozen=True)
class Source:
    """Where the files come from: an installed `package`, or `commit` of the git repository at `address`."""

    kind: str  # package, git
    package: str = ""
    address: str = ""
    commit: str = ""  # all its 40 hex digits
    subfolder: str = ""
    suffixes: tuple[str, ...] = ()
    recursive: bool = True
    only: tuple[str, ...] = ()  # paths below `subfolder`; empty: all of them
    without: tuple[str, ...] = ()  # endings of paths to leave out

    def holds(self, path: str) -> bool:
        """Whether the file at `path` (POSIX, below `subfolder`) is part of the corpus."""
        # Some systems store accented letters as two characters.
        kept = not self.only or unicodedata.normalize("NFC", path) in self.only
        return kept and not (self.without and path.endswith(self.without))


@dataclass(frozen=True)
class CorpusEntry:
    """One corpus. `pieces` and `notes` are approximate counts; `licence` is that of the scores."""

    name: str
    title: str
    description: str
    pieces: int
    notes: int
    licence: str
    licence_url: str
    shippable: bool  # whether a model trained on it may be given away under the project's licence
    source: Source
    attribution: str = ""


def catalogue() -> list[CorpusEntry]:
    """All known corpora by name. Raises UnreadableError for a broken TOML, ResourceError when there are none."""
    entries = sorted((_entry(path) for path in resource("corpora").glob("*.toml")), key=lambda entry: entry.name)
    if not entries:
        raise ResourceError("the catalogue is missing", where=resource("corpora"), hint="install musicgen again")
    return entries


def find_entry(name: str) -> CorpusEntry:
    """The corpus called `name`. Raises UsageError, with the nearest name, if there is none."""
    entries = {entry.name: entry for entry in catalogue()}
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(entries)}"
    raise UsageError(f"no corpus {name!r} in the catalogue", hint=hint)


def _entry(path: Path) -> CorpusEntry:
    table = read_toml(path, most=MEGABYTE)
    source = table.pop("source", {})
    for key in ("suffixes", "only", "without") if isinstance(source, dict) else ():
        if isinstance(source.get(key), list):
            source[key] = tuple(unicodedata.normalize("NFC", str(text)) for text in source[key])
    how = {"where": path, "hint": "see corpora/"}
    entry = filled(CorpusEntry, {**table, "source": filled(Source, source, prefix="[source] ", **how)}, **how)
    if entry.source.kind not in ("package", "git") or entry.name != path.stem:
        raise UnreadableError("is not a corpus description (kind or name)", where=path, hint="see corpora/")
    return entry


# ---- from an installed package -------------------------------------------------------------------------


def package_files(entry: CorpusEntry) -> list[Path]:
    """The files of a corpus that is part of an installed package, sorted. Needs no network.

    For music21: the chorales in its Riemenschneider and BWV lists, each once, whatever the file's format.
    """
    if entry.source.kind != "package" or entry.source.package != "music21":
        raise UsageError(f"{entry.name} doesn't come with a package", hint=f"musicgen corpus fetch {entry.name}")
    try:
        from music21 import common
        from music21.corpus import chorales
    except ImportError:
        raise ResourceError("music21 is not installed", hint="pip install music21") from None
    root = Path(common.getCorpusFilePath())
    names: set[str] = set()
    for system in ("riemenschneider", "bwv"):
        names.update(chorales.Iterator(numberingSystem=system, returnType="filename"))
    files = []
    for name in sorted(names):
        found = (root / f"{name}{suffix}" for suffix in (".mxl", ".xml", ".musicxml", ".krn"))
        files.extend([path for path in found if path.is_file()][:1])
    if not files:
        hint = "some packagings of music21 leave its corpus out: install it with pip"
        raise UnreadableError("has no chorales", where=root, hint=hint)
    return sorted(files)


# ---- from a git repository -----------------------------------------------------------------------------


def default_folder() -> Path:
    """The default folder for fetched corpora: $MUSICGEN_CORPORA, else one in the user's cache folder."""
    named = os.environ.get("MUSICGEN_CORPORA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache) / "musicgen" / "corpora"


def fetch(entry: CorpusEntry, folder: str | Path | None = None, *, timeout_s: float = 3600) -> Path:
    """Check out the entry's commit as `folder/NAME` (default: below `default_folder()`), and return that path.

    An existing checkout is kept if every file in it matches the commit. Raises UsageError if something else is there,
    ResourceError without git, UnreadableError if the repository or the commit can't be fetched, or an existing
    checkout has changed.
    """
    source = entry.source
    if source.kind != "git":
        raise UsageError(f"{entry.name} comes with {source.package}", hint="there is nothing to fetch")
    folder = Path(folder or default_folder())
    target = folder / entry.name
    git = shutil.which("git")
    if git is None:
        raise ResourceError("the program git is needed to fetch a corpus", hint="install git, or copy the files here")
    if os.path.lexists(target):
        if target.is_symlink() or not (target / ".git").is_dir():
            hint = "move it or choose another folder"
            raise UsageError("already exists and is something else", where=target, hint=hint)
        check_cached(entry, target)
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=folder))
    except OSError as error:
        raise UsageError(f"can't be written to ({error.strerror})", where=folder, hint="choose another") from None
    try:
        check_out(git, source.address, commit=source.commit, folder=temporary, timeout_s=timeout_s)
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except OSError as error:
        raise ResourceError(f"can't be written ({error.strerror})", where=folder, hint="check the disk") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def check_cached(entry: CorpusEntry, folder: Path) -> None:
    """Raise UnreadableError if a fetched folder differs from its commit. Reads every file.

    A folder without `.git`, such as a copy made by hand, isn't checked.
    """
    git = shutil.which("git")
    if git is not None and (folder / ".git").is_dir() and (what := differs(git, folder, entry.source.commit)):
        hint = f"move it away, then musicgen corpus fetch {entry.name}"
        raise UnreadableError(f"is not what was fetched: {what}", where=folder, hint=hint)
