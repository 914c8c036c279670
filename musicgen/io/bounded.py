"""Read small untrusted JSON and TOML files, with limits that are checked before parsing.

A file must be a regular one and no larger than a given limit. The number of values and the depth of nesting are limited
too, as parsers and printers recurse. Every fault raises UnreadableError.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from typing import Any

from musicgen.errors import UnreadableError, printable

__all__ = ["DEEPEST", "read_json", "read_small", "read_toml"]

KILOBYTE, MEGABYTE = 1000, 1_000_000
DEEPEST = 32  # levels of nesting; files of musicgen have five
BYTES_A_VALUE = 8  # fewest bytes of text for each value on average; a parsed value takes ten times as much
MOST_DOTS = 500  # in a line of TOML: a path has some
COPY = "copy the folder again"


def read_small(path: str | os.PathLike[str], *, most: int, hint: str = COPY) -> bytes:
    """The bytes of a regular file of at most `most` bytes. Raises UnreadableError for anything else."""
    where = os.fspath(path)
    try:
        info = os.stat(where)
        if not stat.S_ISREG(info.st_mode):  # to open a pipe would wait for whoever writes to it
            kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
            raise UnreadableError(f"is {kind}", where=where, hint=hint)
        with open(where, "rb") as file:
            data = file.read(most + 1)
    except FileNotFoundError:
        raise UnreadableError("is missing", where=where, hint=hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"can't be read ({reason.lower()})", where=where, hint=hint) from None
    if len(data) > most:
        size = f"{most / MEGABYTE:g} MB" if most >= MEGABYTE else f"{most / KILOBYTE:g} kB"
        raise UnreadableError(f"is larger than {size}, which such a file never is", where=where, hint=hint)
    return data


def read_json(path: str | os.PathLike[str], *, most: int = MEGABYTE, hint: str = COPY) -> dict[str, Any]:
    """The object in a JSON file of at most `most` bytes, which is UTF-8 without NaN or Infinity."""
    value = parse_json(read_small(path, most=most, hint=hint), where=path, hint=hint)
    if not isinstance(value, dict):
        raise UnreadableError("is not a JSON object", where=path, hint=hint)
    return value


def parse_json(data: bytes, *, where: object, hint: str = COPY) -> Any:
    """Parse JSON bytes, whose number the caller has limited; see `read_json`."""
    if sum(map(data.count, (b",", b"[", b"{"))) > max(10_000, len(data) // BYTES_A_VALUE):
        raise UnreadableError("holds more values than such a file ever does", where=where, hint=hint)
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_number)
        if b"\\u" in data:
            # A lone surrogate isn't text, unless it stands for a byte of a file name that isn't UTF-8.
            json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
    except RecursionError:
        raise _too_deep(where, hint) from None
    except ValueError as error:
        raise UnreadableError(f"is not JSON ({_short(error)})", where=where, hint=hint) from None
    _check_depth(value, where, hint)
    return value


def read_toml(path: str | os.PathLike[str], *, most: int = 64 * KILOBYTE) -> dict[str, Any]:
    """The tables of a TOML file of at most `most` bytes."""
    data, hint = read_small(path, most=most, hint="check the path"), "mend the line it names"
    if max(line.count(b".") for line in data.split(b"\n")) > MOST_DOTS:  # a.b.c: parsing takes quadratic time
        raise _too_deep(path, hint)
    try:
        value = tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise _too_deep(path, hint) from None
    except ValueError as error:
        raise UnreadableError(f"not a TOML file ({_short(error)})", where=path, hint=hint) from None
    _check_depth(value, path, hint)
    return value


def _check_depth(value: Any, where: object, hint: str) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inside: list[Any] = []
        for each in level:
            if isinstance(each, dict | list):
                inside += each.values() if isinstance(each, dict) else each
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise _too_deep(where, hint)


def _too_deep(where: object, hint: str) -> UnreadableError:
    return UnreadableError(f"is nested more than {DEEPEST} deep", where=where, hint=hint)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def _short(error: Exception) -> str:
    """A parser's error message, shortened."""
    return printable(error)[:200]
