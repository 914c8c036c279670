"""Score files that were damaged by chance: each gives a valid piece, or UnreadableError, within two seconds of CPU.

    python pipelines/torture --only scores

A mutant is a good file after one to four changes: bytes flipped; a piece cut out, doubled, moved or swapped; a number
or a word exchanged for another of the file or for an absurd one; a piece repeated into a nest; the end cut off. Pieces
are tags, lines, words or bytes, so that most mutants get past the first look. Mutant `n` of a seed is always the same.
A format is a line of FORMATS.
"""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abc_sources import ABC_TUNES
from kern_sources import KERN_PIECES
from musicxml_sources import MUSICXML_SCORES, unpacked
from table import Plan, Row, count

from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.scores import iter_scores

SLOWEST_S = 2.0
GIVEN_UP_S = 20.0
PLACES = {
    "tags": re.compile(rb"<[^<>]*>[^<]*"),
    "lines": re.compile(rb"[^\n]*\n"),
    "words": re.compile(rb"\S+"),
    "numbers": re.compile(rb"\d+"),
}
# Of XML mostly whole elements, or hardly a mutant would get past its first look.
ELEMENT = re.compile(rb"<([a-z-]+)\b[^<>]*(?:/>|>(?:(?!<\1\b).)*?</\1>)\s*", re.DOTALL)
XML_PLACES = ("elements",) * 60 + (*PLACES, "bytes")
ABSURD = (
    b"0", b"-1", b"1", b"-7", b"64", b"65", b"128", b"999999999", b"2147483648", b"-99999999999999999999", b"9" * 5000,
    b"0.5", b"1e9", b"nan", b"inf", b"", b" ", b"x", b"\xff\xfe", "²".encode(), b"%", b"\\", b"\t", b"\0",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """A kind of score: its name, its suffix, where real ones lie under the data folder, and small ones of our own."""

    name: str
    suffix: str
    pattern: str
    own: tuple[bytes, ...] = ()
    unpack: Callable[[bytes], bytes] = bytes
    tries: int = 5000


def mutant(data: bytes, rng: random.Random) -> bytes:
    """`data` after one to four changes."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(XML_CHANGES if is_xml(data) else CHANGES)(data, rng)
    return data


def is_xml(data: bytes) -> bool:
    return data[:40].lstrip(b"\xef\xbb\xbf \r\n").startswith(b"<")


def _place(data: bytes, rng: random.Random, kind: str | None = None) -> tuple[int, int]:
    """(begin, end) of a piece of the file: a tag with its text, a line, a word, a number, or some bytes."""
    # Of a window, not of the whole: a file has many thousands.
    begin = rng.randrange(len(data) + 1)
    kind = kind or rng.choice(XML_PLACES if is_xml(data) else (*PLACES, "bytes"))
    pattern = ELEMENT if kind == "elements" else PLACES.get(kind)
    found = None if pattern is None else pattern.search(data, begin)
    if found is None:
        return begin, min(len(data), begin + rng.choice((1, 2, 7, 60, 900)))
    return found.span()


def _flip(data: bytes, rng: random.Random) -> bytes:
    bent = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 5, 40))):
        if bent:
            bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    return bytes(bent)


def _cut_out(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:begin] + data[end:]


def _double(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    return data[:end] + data[begin:end] * rng.choice((1, 1, 2, 30)) + data[end:]


def _move(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng)
    piece, rest = data[begin:end], data[:begin] + data[end:]
    at = _place(rest, rng, "elements" if is_xml(data) else None)[0]
    return rest[:at] + piece + rest[at:]


def _swap(data: bytes, rng: random.Random) -> bytes:
    (a, b), (c, d) = sorted((_place(data, rng), _place(data, rng)))
    return data if c < b else data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _exchange(data: bytes, rng: random.Random) -> bytes:
    kind = rng.choice(
        ("numbers", "numbers", "elements", "elements") if is_xml(data) else ("numbers", "numbers", "words", "tags")
    )
    begin, end = _place(data, rng, kind)
    other = _place(data, rng, kind)
    new = data[slice(*other)] if rng.random() < 0.5 else rng.choice(ABSURD)
    return data[:begin] + new + data[end:]


def _nest(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng, rng.choice(("tags", "words", "bytes")))
    return data[:end] + data[begin : min(end, begin + 40)] * rng.choice((100, 5000)) + data[end:]


def _many(data: bytes, rng: random.Random) -> bytes:
    begin, end = _place(data, rng, "elements")
    return data[:end] + data[begin:end][:4000] * rng.choice((20, 500)) + data[end:]


def _end(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


CHANGES = (_flip, _flip, _cut_out, _cut_out, _double, _move, _swap, _exchange, _exchange, _exchange, _nest, _end)
XML_CHANGES = (*CHANGES, *(_cut_out, _double, _move, _swap, _exchange, _exchange, _many) * 8)


def fault(path: Path) -> str | None:
    """What is wrong with how a file is read, or None: a valid piece in time, or UnreadableError."""
    begun = time.process_time()  # a busy machine is no fault of the file
    try:
        for _, piece in iter_scores(path):
            if isinstance(piece, UnreadableError):
                raise piece
            piece.validate()
    except UnreadableError as error:
        if "\n" in str(error) or not error.hint:
            return f"an error that isn't one line with a hint: {str(error)!r}"
    except MusicgenError as error:
        return f"not an UnreadableError: {error}"
    seconds = time.process_time() - begun
    return f"took {seconds:.1f} s" if seconds > SLOWEST_S else None


def tried(source: bytes, number: str, path: Path) -> str | None:
    """Mutant `number` of `source`, written to `path` and read; what is wrong with it, or None."""
    path.write_bytes(mutant(source, random.Random(number)))
    previous = signal.signal(signal.SIGALRM, _give_up)
    signal.setitimer(signal.ITIMER_REAL, GIVEN_UP_S)
    try:
        wrong = fault(path)
    except Exception as error:  # whatever it is, it names the mutant
        wrong = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return None if wrong is None else f"mutant {number!r}: {wrong[:300]}"


def _give_up(*_: Any) -> None:
    raise TimeoutError(f"went on for {GIVEN_UP_S:g} s")


def sources(form: Format, data: Path, most: int = 24) -> list[bytes]:
    """Our own files of a format and the smallest of up to 200 real ones, unpacked."""
    found = sorted(data.glob(form.pattern)) if form.pattern and data.is_dir() else []
    real = sorted(found[:: max(1, len(found) // 200)], key=lambda path: (path.stat().st_size, path))[:most]
    return [*form.own, *(form.unpack(path.read_bytes()) for path in real)]


def rows(plan: Plan) -> Iterator[Row]:
    """A row a format."""
    for form in FORMATS:
        files = sources(form, plan.data)
        path = plan.scratch / f"mutant{form.suffix}"

        def case(n: int, files: list[bytes] = files, path: Path = path) -> Callable[[], str | None]:
            return lambda: tried(files[n % len(files)], f"{plan.seed}/{n}", path)

        yield count(f"mutants of {form.name}", (case(n) for n in range(plan.of(form.tries))))


FORMATS: tuple[Format, ...] = (
    Format("MusicXML", ".musicxml", "openewld_pd/*.mxl", MUSICXML_SCORES, unpack=unpacked),
    Format(".mxl archives", ".mxl", "openewld_pd/*.mxl", (), tries=1000),
    Format("ABC", ".abc", "nottingham/*/*.abc", ABC_TUNES, unpack=lambda data: data[:4000]),
    Format("kern", ".krn", "", KERN_PIECES),
)
