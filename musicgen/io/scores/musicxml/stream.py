"""Parse XML in chunks with the standard library's expat: no tree, and no more memory than a chunk.

What no score needs is refused: entity declarations, tags or comments of megabytes, millions of tags. A DOCTYPE is
harmless, as the file it refers to is never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from musicgen.errors import UnreadableError

__all__ = ["NotWellFormed", "parse"]

# Expat keeps an incomplete tag or comment and scans all of it again with each chunk.
MAX_TOKEN = 4_000_000  # bytes
MAX_TAGS = 4_000_000  # start and end tags; the longest symphonic movements have a third as many
MAX_ATTRIBUTES = 4_000_000
WRONG_ENCODING = (
    expat.errors.codes[expat.errors.XML_ERROR_INCORRECT_ENCODING],
    expat.errors.codes[expat.errors.XML_ERROR_UNKNOWN_ENCODING],
)
NO_TOKEN = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]
HINT = "export it again from a notation program"


class NotWellFormed(UnreadableError):
    """The text breaks the rules of XML."""


def parse(
    chunks: Callable[[], Iterable[bytes]],
    where: str | Path,
    connect: Callable[[Any], Callable[[int], None] | None],
    change: Callable[[bytes], bytes] | None = None,
) -> list[str]:
    """Run expat over `chunks()` and return warnings; `connect(parser)` sets the handlers, before each attempt.

    If `connect` returns a function, it is called after each chunk with the chunk's size; `change` transforms a chunk
    before expat gets it. If the bytes don't fit their declared encoding, UTF-8 and then Latin-1 are tried. Raises
    UnreadableError.
    """
    encoding: str | None = None
    for _ in range(3):
        parser = _parser(encoding, where)
        ended = connect(parser)
        try:
            _feed(parser, (map(change, chunks()) if change else chunks()), where, ended)
        except (LookupError, ValueError):  # an unknown encoding, or one that expat doesn't support
            if encoding is not None:
                raise NotWellFormed("is not well-formed XML (its encoding)", where=where, hint=HINT) from None
            encoding = "utf-8"
        except expat.ExpatError as error:
            error = _as_written(chunks, encoding, where) or error if change else error
            if encoding is None and error.code in WRONG_ENCODING:
                encoding = "utf-8"
            elif encoding != "iso-8859-1" and error.code == NO_TOKEN and _is_high(chunks(), error):
                encoding = "iso-8859-1"
            else:
                reason = expat.errors.messages.get(error.code, str(error))
                what = f"is not well-formed XML (line {error.lineno}: {reason})"
                raise NotWellFormed(what, where=where, hint=HINT) from None
        else:
            return [] if encoding is None else [f"encoding: its letters were read as {encoding.upper()}"]
        finally:  # break the reference cycle of the parser and its handlers
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
    raise NotWellFormed("is not well-formed XML (its encoding)", where=where, hint=HINT)


def _parser(encoding: str | None, where: str | Path) -> Any:
    parser = expat.ParserCreate(encoding)
    parser.EntityDeclHandler = lambda *_: _refuse_entities(where)
    parser.buffer_text = True
    return parser


def _as_written(
    chunks: Callable[[], Iterable[bytes]], encoding: str | None, where: str | Path
) -> expat.ExpatError | None:
    """The error that expat meets in the unchanged chunks, for the line number in the file; None without one."""
    try:
        _feed(_parser(encoding, where), chunks(), where, None)
    except expat.ExpatError as error:
        return error
    return None


def _feed(parser: Any, chunks: Iterable[bytes], where: str | Path, ended: Callable[[int], None] | None) -> None:
    fed = tags = attributes = 0
    for chunk in chunks:
        tags += chunk.count(b"<") + chunk.count(b"/>")
        attributes += chunk.count(b"=")
        if tags > MAX_TAGS or attributes > MAX_ATTRIBUTES:
            what = f"has more than {MAX_TAGS / 1e6:g} million tags"
            if tags <= MAX_TAGS:
                what = f"has more than {MAX_ATTRIBUTES / 1e6:g} million attributes"
            raise UnreadableError(what, where=where, hint="export a part or a movement of it")
        parser.Parse(chunk, False)
        if ended is not None:
            ended(len(chunk))
        fed += len(chunk)
        if fed - parser.CurrentByteIndex > MAX_TOKEN:
            what = f"has a tag, a comment or a gap of more than {MAX_TOKEN / 1e6:g} MB"
            raise UnreadableError(what, where=where, hint=HINT)
    parser.Parse(b"", True)


def _is_high(chunks: Iterable[bytes], error: expat.ExpatError) -> bool:
    """Whether a non-ASCII byte stands in or near the line of expat's error: then the encoding may be wrong."""
    line = 1
    for chunk in chunks:
        before, line = line, line + chunk.count(b"\n")
        if line >= error.lineno:
            lines = chunk.split(b"\n")[max(0, error.lineno - before) :][:2]
            return any(byte > 127 for part in lines for byte in part)
    return False


def _refuse_entities(where: str | Path) -> NoReturn:
    hint = "remove the <!ENTITY declarations"
    raise UnreadableError("declares XML entities, which no score needs", where=where, hint=hint)
