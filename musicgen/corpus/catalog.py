"""What can be had: one TOML in `corpora/` for each known corpus, with its source, commit and licence.

Nothing is downloaded until `fetch` is called; a corpus in an installed package needs no network at all.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import unicodedata
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from musicgen.errors import MusicgenError, ResourceError, UnreadableError, UsageError
from musicgen.resources import resource

__all__ = ["CorpusEntry", "Source", "catalogue", "default_folder", "fetch", "find_entry", "package_files"]


@dataclass(frozen=True)
class Source:
    """Where the files come from: an installed `package`, or `commit` of the git repository at `address`."""

    kind: str  # package, git
    package: str = ""
    address: str = ""
    commit: str = ""  # seven hex digits or more
    subfolder: str = ""
    suffixes: tuple[str, ...] = ()
    recursive: bool = True
    only: tuple[str, ...] = ()  # paths below `subfolder`; empty: all of them
    without: tuple[str, ...] = ()  # endings of names that don't count

    def holds(self, path: str) -> bool:
        """Whether the file at `path` (POSIX, below `subfolder`) is part of the corpus."""
        # Some systems give accented letters as two characters.
        kept = not self.only or unicodedata.normalize("NFC", path) in self.only
        return kept and not (self.without and path.endswith(self.without))


@dataclass(frozen=True)
class CorpusEntry:
    """One corpus. `pieces` and `notes` are what to expect, roughly; `licence` is that of the scores."""

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
    """The corpus `name`. Raises UsageError which offers the nearest name."""
    entries = {entry.name: entry for entry in catalogue()}
    if name in entries:
        return entries[name]
    near = difflib.get_close_matches(name, entries, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(entries)}"
    raise UsageError(f"no corpus {name!r} in the catalogue", hint=hint)


def _entry(path: Path) -> CorpusEntry:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        source = _checked(Source, table.pop("source"))
        for key in ("suffixes", "only", "without"):
            source[key] = tuple(unicodedata.normalize("NFC", text) for text in source.get(key, ()))
        entry = CorpusEntry(**_checked(CorpusEntry, {**table, "source": Source(**source)}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UnreadableError(f"is not a corpus description ({reason})", where=path, hint="see corpora/") from None
    if entry.source.kind not in ("package", "git") or entry.name != path.stem:
        raise UnreadableError("is not a corpus description (kind or name)", where=path, hint="see corpora/")
    return entry


def _checked(kind: type, table: dict[str, Any]) -> dict[str, Any]:
    known = [f.name for f in fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0)[0]
            raise ValueError(f"no key {key!r}; did you mean {near!r}?")
    return dict(table)


# ---- from an installed package -------------------------------------------------------------------------


def package_files(entry: CorpusEntry) -> list[Path]:
    """The files of a corpus that an installed package carries, sorted. No network.

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
    """Where fetched corpora are kept unless told otherwise: $MUSICGEN_CORPORA, else the user's cache folder."""
    named = os.environ.get("MUSICGEN_CORPORA")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(cache) / "musicgen" / "corpora"


def fetch(entry: CorpusEntry, folder: str | Path | None = None, *, timeout_s: float = 3600) -> Path:
    """Check out the entry's commit as `folder/NAME` (default: below `default_folder()`), and give that path.

    An existing checkout of the right commit is kept as it is. Raises UsageError when something else lies there,
    ResourceError without git, UnreadableError when the repository or the commit can't be had.
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
        if target.is_dir() and _head(git, target).startswith(source.commit):
            return target
        raise UsageError("already exists and is something else", where=target, hint="move it or choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}.", dir=folder))
    except OSError as error:
        raise UsageError(f"can't be written to ({error.strerror})", where=folder, hint="choose another") from None
    try:
        _check_out(git, source, temporary, timeout_s)
        head = _head(git, temporary)
        if not head.startswith(source.commit):
            what = f"gave commit {head[:12]} where {source.commit} was asked for"
            raise UnreadableError(what, where=source.address, hint="don't use these files")
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except OSError as error:
        raise ResourceError(f"can't be written ({error.strerror})", where=folder, hint="check the disk") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _check_out(git: str, source: Source, folder: Path, timeout_s: float) -> None:
    def run(*arguments: str) -> None:
        _git(git, folder, arguments, address=source.address, timeout_s=timeout_s)

    # The commit goes to git as an argument: a '-' at its head would be an option.
    if not re.fullmatch(r"[0-9a-f]{7,40}", source.commit) or source.address.startswith("-"):
        raise UsageError(f"{source.commit!r} is not a commit", where=source.address, hint="give 7 to 40 hex digits")
    run("init", "--quiet")
    run("remote", "add", "origin", source.address)
    try:
        run("fetch", "--quiet", "--depth", "1", "origin", source.commit)
        run("checkout", "--quiet", "FETCH_HEAD")
    except MusicgenError:
        # Servers give single commits by their full number only: take the history without its files instead.
        run("fetch", "--quiet", "--filter=blob:none", "origin", "+refs/heads/*:refs/remotes/origin/*")
        run("checkout", "--quiet", source.commit)


def _git(git: str, folder: Path, arguments: tuple[str, ...], *, address: str, timeout_s: float) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_LFS_SKIP_SMUDGE": "1"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)
    # Hooks and filters of the user's templates have no business in a folder of data.
    command = [git, "-c", "core.hooksPath=/dev/null", "-c", "core.autocrlf=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        what = f"git {arguments[0]} took longer than {timeout_s:.0f} s"
        raise UnreadableError(what, where=address, hint="check the network and try again") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        reason = next((x for x in lines if x.startswith(("fatal:", "error:"))), lines[-1])
        raise UnreadableError(f"git {arguments[0]} failed ({reason[:200]})", where=address, hint="check the network")
    return done.stdout.decode("utf-8", "replace").strip()


def _head(git: str, folder: Path) -> str:
    """The checked-out commit of `folder` itself; empty when it is no repository."""
    if not (folder / ".git").exists():
        return ""
    try:
        return _git(git, folder, ("rev-parse", "HEAD"), address=str(folder), timeout_s=60)
    except MusicgenError:
        return ""
