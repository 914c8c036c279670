"""Split ABC files into tunes and tunes into lines; handle comments, free text, continued fields and macros.

Source: ABC standard 2.1, sections 2.2 (files and tunes), 3.3 (continued fields), 9 (macros).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from musicgen.errors import UnreadableError

__all__ = ["Line", "Macros", "lines_of", "split_tunes"]

MAX_TUNES = 100_000
SHARED = "ILMQRUm"  # fields of the file header that apply to all tunes (Q: by custom)
MAX_SHARED = 20_000_000  # characters of the file header times the number of tunes
HEADER_FIELD = re.compile(r"([A-Zmrsw+])[ \t]*:[ \t]*(.*)", re.DOTALL)
FIELD = re.compile(r"([A-Zmrsw+])[ \t]*:(?![|:])[ \t]*(.*)", re.DOTALL)  # `A:|` is a note before a repeat sign
BLANK = re.compile(r"\n[ \t]*\n")
# Blocks of text to print, which hold no music.
BLOCKS = re.compile(r"^%%begin(\w+)[^\n]*\n.*?(?:^%%end\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"(?<!\\)%.*")
LONGEST_FIELD = 2000  # characters; the rest of a field is ignored
LONGEST = 10  # how many times longer macros may make a line


@dataclass(frozen=True)
class Line:
    """One line: `kind` is a field's letter, `%` for a directive, or empty for music."""

    kind: str
    text: str


def split_tunes(text: str, where: str | Path) -> list[tuple[str, str]]:
    """(name, text) of each tune: the name is number and title, and the file header's fields are inserted behind `X:`.

    Tunes begin at `X:` and end at a blank line; a blank line just behind a tune's header is ignored if music follows.
    Raises UnreadableError if there is no tune.
    """
    text = BLOCKS.sub("%", text) if "%%begin" in text else text
    starts = [m.start() for m in re.finditer(r"^X[ \t]*:", text, re.MULTILINE)]
    if len(starts) > MAX_TUNES:
        what = f"has {len(starts):,} tunes, the limit is {MAX_TUNES:,}"
        raise UnreadableError(what, where=where, hint="split the file")
    if not starts:
        if not re.search(r"^K[ \t]*:", text, re.MULTILINE):
            raise UnreadableError("has no tune", where=where, hint="an ABC tune has the fields X: and K:")
        return [(Path(where).stem, _whole(text))]
    head = text[: starts[0]]
    shared = "".join(f"{line}\n" for line in head.split("\n") if re.match(rf"(?:[{SHARED}][ \t]*:|%%)", line))
    if len(shared) * len(starts) > MAX_SHARED:
        raise UnreadableError("says too much before its first tune", where=where, hint="split the file")
    tunes = []
    for number, (begin, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True), start=1):
        first, _, rest = text[begin:end].partition("\n")
        title = re.search(r"^T[ \t]*:(.{0,200})", rest, re.MULTILINE)
        tunes.append((f"{number} {title[1].strip() if title else ''}".strip(), f"{first}\n{shared}{_whole(rest)}\n"))
    return tunes


def _whole(text: str) -> str:
    """A tune's text up to the blank line that ends it."""
    key = re.search(r"^K[ \t]*:.*\n?", text, re.MULTILINE)
    if key is None:
        return BLANK.split(text, maxsplit=1)[0]
    header, body = text[: key.end()], text[key.end() :]
    begun = body.lstrip(" \t\n")
    if "\n" in body[: len(body) - len(begun)]:  # behind a blank line is free text, unless it looks like music
        body = begun if "|" in begun.partition("\n")[0] else ""
    blank = re.search(r"\n[ \t]*(?:\n|\Z)", body)
    return header + (body[: blank.start()] if blank else body)


def lines_of(text: str) -> Iterator[Line]:
    """The lines of a tune without comments; `+:` lines are joined to the field that they continue."""
    waiting: Line | None = None
    pattern = HEADER_FIELD
    for raw in text.split("\n"):
        if raw.startswith("%%"):
            line = Line("%", raw[2:].strip())
        else:
            raw = (COMMENT.sub("", raw) if "%" in raw else raw).strip()
            if not raw:
                continue
            found = pattern.match(raw)
            if found is None:
                line = Line("", raw)
            elif found[1] == "+":
                if waiting is not None:
                    waiting = Line(waiting.kind, f"{waiting.text} {found[2]}"[:LONGEST_FIELD])
                continue
            else:
                line = Line(found[1], found[2][:LONGEST_FIELD])
                pattern = FIELD if line.kind == "K" else pattern
        if waiting is not None:
            yield waiting
            waiting = None
        if line.kind:
            waiting = line
        else:
            yield line
    if waiting is not None:
        yield waiting


@dataclass
class Macros:
    """Macros (`m:` fields), which replace text in the music. Transposing ones (with `n`) are counted, not expanded."""

    known: dict[str, str] = field(default_factory=dict)
    transposing: int = 0
    _pattern: re.Pattern[str] | None = None

    def add(self, text: str) -> bool:
        """Add the macro `target = replacement`; False if `text` isn't one, or past 100 macros."""
        target, sign, replacement = (part.strip() for part in text.partition("="))
        if not (sign and target and len(target) <= 31 and len(replacement) <= 200):
            return False
        if target.rstrip("0123456789/").endswith("n"):
            self.transposing += 1
            return True
        if len(self.known) >= 100:
            return False
        self.known[target] = replacement
        longest = sorted(self.known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest)))
        return True

    def expand(self, music: str) -> str:
        """A line of music with its macros expanded, or unchanged if that would be too long."""
        if self._pattern is None:
            return music
        made = self._pattern.sub(lambda m: self.known[m[0]], music)
        return made if len(made) <= LONGEST * len(music) + 1000 else music
