"""XML through the standard library's expat, chunk by chunk: no tree, no second file, and no more memory than a chunk.

What a score never needs is refused: entities of its own, a tag or comment of megabytes, millions of tags. A DOCTYPE is
harmless, as what it points at is never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from musicgen.errors import UnreadableError

__all__ = ["NotWellFormed", "parse"]

# Expat holds a tag or comment until it is whole, and looks at all of it again with each chunk.
MAX_TOKEN = 4_000_000  # bytes
MAX_TAGS = 4_000_000  # of begin and end; the longest symphonic movements have a third of it
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
    """Run expat over `chunks()`; `connect(parser)` sets its handlers, before each try. Gives warnings.

    What `connect` returns, if anything, is called behind each chunk with its size; `change` makes of a chunk what expat
    is given. Bytes that aren't in the encoding which they claim are tried again as UTF-8, then as Latin-1. Raises
    UnreadableError.
    """
    encoding: str | None = None
    for _ in range(3):
        parser = _parser(encoding, where)
        ended = connect(parser)
        try:
            _feed(parser, (map(change, chunks()) if change else chunks()), where, ended)
        except (LookupError, ValueError):  # an encoding that nobody knows, or that expat can't take
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
        finally:  # a parser and what its handlers hold would keep each other alive
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
    """The error in the chunks as they are: its line is that of the file."""
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
    """Whether there is a letter beyond ASCII in or near the line that expat stumbled over."""
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
