"""The score in a .mxl archive, inflated in chunks, so that a decompression bomb costs no memory.

Source: MusicXML 4.0 (W3C), "Compressed .mxl files": META-INF/container.xml names the score; of several
the first counts. In real archives that name may differ from the member's in slashes, case or encoding, or be missing.
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

MAX_UNPACKED = 64_000_000  # bytes of the inflated score
MAX_MEMBERS = 1000
CHUNK = 1 << 16
HINT = "export it again, or unpack it to .musicxml"
SCORES = (".xml", ".musicxml")
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, OSError, RuntimeError, ValueError)

Opener = Callable[[], Iterator[bytes]]


def score_chunks(data: bytes, path: str | Path) -> tuple[Opener, list[str]]:
    """(opener, warnings) for `data`, an archive or a plain score; the opener gives the bytes of the score in chunks.

    Each call of the opener starts from the begin. This function and iterating over the chunks raise UnreadableError for
    a damaged or hostile archive.
    """
    if data[:2] != b"PK":
        return lambda: (data[i : i + CHUNK] for i in range(0, len(data), CHUNK)), []
    # ZipFile makes an object for each entry of the directory, so entries are counted before it is opened.
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
    """The bytes of a member in chunks; they are counted here, as the sizes in the directory may be false."""
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
    """(name of the member that holds the score, warnings); a warning if the container doesn't name it."""
    names = [name for name in archive.namelist() if not name.endswith("/")]
    container = next((name for name in names if _plain(name) == "meta-inf/container.xml"), None)
    listed = _listed(archive, container, path) if container else []
    for name in listed:
        for match in (lambda text: text, _plain):
            found = next((n for n in names if match(n) == match(name)), None)
            if found is not None:
                return found, []
    # Some systems add hidden files (.name) and folders (__MACOSX) of their own.
    others = [n for n in names if n.lower().endswith(SCORES) and not _plain(n).startswith(("meta-inf/", "__macosx/"))]
    others = [n for n in others if not n.replace("\\", "/").rpartition("/")[2].startswith(".")] or others
    if not others:
        raise UnreadableError("has no score in its archive", where=path, hint=HINT)
    if len(others) > 1:
        which = f"it names {listed[0]!r}, which isn't there" if listed else "it names none of its scores"
        return others[0], [f"archive: {which}; of {len(others)} the first was read, {others[0]!r}"]
    return others[0], []


def _plain(name: str) -> str:
    """A member's name normalized for comparison: case, slashes, percent-encoding, Unicode form, undeclared UTF-8."""
    with suppress(UnicodeError):  # undeclared UTF-8, which zipfile decodes as cp437
        name = name.encode("cp437").decode("utf-8")
    name = unquote(name, errors="replace").replace("\\", "/")
    return unicodedata.normalize("NFC", name).casefold().removeprefix("./").lstrip("/")


def _listed(archive: zipfile.ZipFile, container: str, path: str | Path) -> list[str]:
    """The names of scores in the container, those declared as MusicXML first; none if the container is broken."""
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
