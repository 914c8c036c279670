"""The score in a .mxl archive, inflated piece by piece, so that an archive of nothing but spaces costs no memory.

Source: MusicXML 4.0 (W3C), "Compressed .mxl files": META-INF/container.xml names the score, which comes first. Archives
of other hands name it otherwise than it is called, with backslashes, in other case, percent-encoded, or not at all.
"""

from __future__ import annotations

import io
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from musicgen.errors import UnreadableError
from musicgen.io.scores.musicxml.stream import NotWellFormed, parse

__all__ = ["score_chunks"]

MAX_UNPACKED = 64_000_000  # bytes of the score in a .mxl
MAX_MEMBERS = 1000
CHUNK = 1 << 16
HINT = "export it again, or unpack it to .musicxml"
SCORES = (".xml", ".musicxml")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, ValueError)

Opener = Callable[[], Iterator[bytes]]


def score_chunks(data: bytes, path: str | Path) -> tuple[Opener, list[str]]:
    """What opens the bytes of the score in `data`, an archive or a score itself, and warnings.

    Each call of the opener begins anew. Raises UnreadableError, and so do the chunks, for a damaged or hostile archive.
    """
    if data[:2] != b"PK":
        return lambda: (data[i : i + CHUNK] for i in range(0, len(data), CHUNK)), []
    # Each file has an entry in the directory at the end; a Python object for each is made when it is opened.
    if data.count(b"PK\x01\x02") > MAX_MEMBERS:
        raise UnreadableError(f"holds more than {MAX_MEMBERS:,} files", where=path, hint=HINT)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        name, warnings = _score_name(archive, path)
        member = archive.getinfo(name)
    except _BROKEN as error:
        raise _damaged(error, path) from None
    return lambda: _inflated(archive, member, path), warnings


def _inflated(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: str | Path) -> Iterator[bytes]:
    """The bytes of a member. The sizes in the directory may lie, so what comes out is counted."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnreadableError("is packed in another way than .mxl allows", where=path, hint=HINT)
    size = 0
    try:
        with archive.open(member) as file:
            while chunk := file.read(CHUNK):
                size += len(chunk)
                if size > MAX_UNPACKED:
                    what = f"unpacks to more than {MAX_UNPACKED // 10**6} MB"
                    raise UnreadableError(what, where=path, hint=HINT)
                yield chunk
    except _BROKEN as error:
        raise _damaged(error, path) from None


def _damaged(error: Exception, path: str | Path) -> UnreadableError:
    reason = str(error).strip("'\"").partition("\n")[0][:100]
    return UnreadableError(f"is a damaged archive ({reason or type(error).__name__})", where=path, hint=HINT)


def _score_name(archive: zipfile.ZipFile, path: str | Path) -> tuple[str, list[str]]:
    """The member that holds the score, and warnings where the archive doesn't name it."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    container = next((name for name in names if _plain(name) == "meta-inf/container.xml"), None)
    listed = _listed(archive, container, path) if container else []
    for name in listed:
        for match in (lambda text: text, _plain):
            found = next((n for n in names if match(n) == match(name)), None)
            if found is not None:
                return found, []
    # Folders and files that begin with a dot or an underscore are what some systems put beside the others.
    others = [n for n in names if n.lower().endswith(SCORES) and not _plain(n).startswith(("meta-inf/", "__macosx/"))]
    others = [n for n in others if not n.replace("\\", "/").rpartition("/")[2].startswith(".")] or others
    if not others:
        raise UnreadableError("has no score in its archive", where=path, hint=HINT)
    if len(others) > 1:
        which = f"it names {listed[0]!r}, which isn't there" if listed else "it names none of its scores"
        return others[0], [f"archive: {which}; of {len(others)} the first was read, {others[0]!r}"]
    return others[0], []


def _plain(name: str) -> str:
    """A member's name as others may spell it: case, slashes, percent signs, forms of letters, bytes of UTF-8."""
    with suppress(UnicodeError):  # written in UTF-8 without saying so, which is taken for the letters of an old PC
        name = name.encode("cp437").decode("utf-8")
    name = unquote(name, errors="replace").replace("\\", "/")
    return unicodedata.normalize("NFC", name).casefold().removeprefix("./").lstrip("/")


def _listed(archive: zipfile.ZipFile, container: str, path: str | Path) -> list[str]:
    """What the container calls its scores, those that it says are MusicXML first. Broken ones tell nothing."""
    files: list[tuple[bool, str]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "rootfile" and attributes.get("full-path") and len(files) < MAX_MEMBERS:
            kind = attributes.get("media-type", "xml")
            files.append(("xml" not in kind or "svg" in kind, attributes["full-path"]))

    member = archive.getinfo(container)
    try:
        parse(
            lambda: _inflated(archive, member, path), path, lambda parser: setattr(parser, "StartElementHandler", start)
        )
    except NotWellFormed:
        return []
    return [name for _, name in sorted(files, key=lambda file: file[0])]
