"""Score files as checked text, ABC split into tunes; MusicXML, which declares its own encoding, stays bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from musicgen.errors import UnreadableError
from musicgen.io.midi import Limits, read_bytes
from musicgen.io.scores.abc.text import split_tunes
from musicgen.io.scores.kern.spines import pieces_in

__all__ = ["SCORE_SUFFIXES", "ScoreText", "abc_tunes", "read_texts"]

FORMATS = {
    **dict.fromkeys((".mxl", ".musicxml", ".xml"), "musicxml"),
    **dict.fromkeys((".krn", ".hum"), "humdrum"),
    ".abc": "abc",
}
SCORE_SUFFIXES = tuple(FORMATS)


@dataclass(frozen=True)
class ScoreText:
    """One piece as text, or the bytes of a MusicXML file."""

    name: str
    text: str
    format: str  # musicxml, humdrum, abc
    data: bytes = b""
    before: int = 0  # lines of the file that precede it, for line numbers in errors


def read_texts(path: str | Path, *, limits: Limits) -> list[ScoreText]:
    """The pieces in a score file as text: one, or as many as an ABC file has tunes. Raises UnreadableError."""
    path = Path(path)
    data = read_bytes(path, max_megabytes=limits.megabytes)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        hint = f"scores end in {', '.join(SCORE_SUFFIXES)}"
        raise UnreadableError("is not a score that can be read", where=path, hint=hint)
    if kind == "musicxml":
        return [ScoreText(path.stem, "", "musicxml", data=data)]
    text = _decoded(data).replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise UnreadableError("is not text", where=path, hint=f"a {path.suffix} file is plain text")
    if kind == "abc":
        return abc_tunes(text, path)
    if "**kern" not in text:
        raise UnreadableError("has no **kern spine", where=path, hint="only Humdrum kern scores can be read")
    pieces = pieces_in(text, path.stem, path)
    return [ScoreText(name, piece, "humdrum", before=before) for name, piece, before in pieces]


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")  # the encoding of old ABC collections


# ---- ABC -----------------------------------------------------------------------------------------------


def abc_tunes(text: str, path: Path) -> list[ScoreText]:
    """The tunes of an ABC file as texts of their own. Raises UnreadableError where there is none."""
    return [ScoreText(name, tune, "abc") for name, tune in split_tunes(text, path)]
