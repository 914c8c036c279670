"""MIDI files that were damaged by chance: each gives a valid piece that is written and read back as it is, or
UnreadableError, within two seconds of CPU.

    python pipelines/torture --only midi_files

A mutant is a small good file after one to four changes: bits flipped, bytes set to what means something in MIDI, a
stretch cut out, doubled, or taken from another file, the end cut off. Mutant `n` of a seed is always the same.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from table import Plan, Row, count

from musicgen.errors import UnreadableError
from musicgen.io.midi import midi_bytes, piece_from_midi
from musicgen.io.smf import parse_smf
from musicgen.piece import BEND, CONTROL, METER, TEMPO, Piece, Track, notes_array

SLOWEST_S = 2.0
LARGEST = 6000  # bytes of the real files that are damaged
MEANING = (0x00, 0x01, 0x7F, 0x80, 0x81, 0x90, 0x99, 0xB0, 0xC0, 0xE0, 0xF0, 0xF7, 0xFF, 0x2F, 0x51, 0x58, 0x20, 0x21)
WORDS = (b"MThd", b"MTrk", b"\xff\x2f\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff",
         b"\xf0\x7e\x7f\x09\x01\xf7", b"\x00\xb0\x7b\x00", b"\x00\xff\x21\x01\x01", b"\x00\xc9\x00")  # fmt: skip


def sources(data: Path, most: int = 200) -> list[bytes]:
    """Small pieces of our own, with all that a piece may hold, and the smallest of some real files."""
    own = [midi_bytes(_piece(seed)) for seed in range(24)]
    found = sorted(data.glob("*/**/*.mid"))[::7] if data.is_dir() else []
    return own + [path.read_bytes() for path in found if path.stat().st_size <= LARGEST][:most]


def _piece(seed: int) -> Piece:
    draw = np.random.default_rng(seed)
    tracks = []
    for number in range(draw.integers(1, 5)):
        rows = [
            (int(start), int(draw.integers(1, 900)), int(draw.integers(30, 90)), int(draw.integers(1, 128)))
            for start in np.sort(draw.integers(0, 9000, draw.integers(1, 25)))
        ]
        controls = np.zeros(3, CONTROL)
        controls["tick"] = np.sort(draw.integers(0, 9000, 3))
        controls["number"], controls["value"] = draw.choice([1, 7, 10, 11, 64, 66, 101, 6], 3), draw.integers(0, 128, 3)
        bends = np.array([(int(draw.integers(0, 9000)), int(draw.integers(-8192, 8192)))], BEND)
        tracks.append(Track(f"part {number}", int(draw.integers(128)), number == 3, notes_array(rows), controls, bends))
    maps = np.array([(0, 500_000), (4000, 400_000)], TEMPO), np.array([(0, 3, 4), (1440, 6, 8)], METER)
    return Piece(int(draw.choice([1, 24, 96, 480, 960])), tuple(tracks), *maps)


def mutant(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """`data` after one to four changes, some of which take from `other`."""
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(CHANGES)(data, other, rng)
    return data


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    begin = rng.randrange(len(data) + 1)
    return begin, min(len(data), begin + rng.choice((1, 2, 3, 4, 8, 30, 200)))


def _flip(data: bytes, _: bytes, rng: random.Random) -> bytes:
    bent = bytearray(data)
    for _n in range(rng.choice((1, 1, 1, 4, 30))):
        if bent:
            bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    return bytes(bent)


def _put(data: bytes, _: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    new = bytes([rng.choice(MEANING)]) if rng.random() < 0.7 else rng.choice(WORDS)
    return data[:at] + new + data[at + rng.choice((0, len(new))) :]


def _cut_out(data: bytes, _: bytes, rng: random.Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:begin] + data[end:]


def _double(data: bytes, _: bytes, rng: random.Random) -> bytes:
    begin, end = _span(data, rng)
    return data[:end] + data[begin:end] * rng.choice((1, 2, 40)) + data[end:]


def _borrow(data: bytes, other: bytes, rng: random.Random) -> bytes:
    begin, end = _span(other, rng)
    at, behind = _span(data, rng)
    return data[:at] + other[begin:end] + data[rng.choice((at, behind)) :]


def _end(data: bytes, _: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


CHANGES = (_flip, _flip, _put, _put, _put, _cut_out, _double, _borrow, _end)


def fault(data: bytes) -> str | None:
    """What is wrong with how the bytes are read, or None."""
    begun = time.process_time()
    try:
        piece = piece_from_midi(parse_smf(data, where="mutant"), where="mutant")
        piece.validate()
    except UnreadableError as error:
        return None if "\n" not in str(error) and error.hint else f"not one line with a hint: {str(error)!r}"
    seconds = time.process_time() - begun
    if seconds > SLOWEST_S:
        return f"took {seconds:.1f} s"
    again = piece_from_midi(parse_smf(midi_bytes(piece), where="written"), where="written")
    return None if again == piece else "is another piece when it is written and read"


def rows(plan: Plan) -> Iterator[Row]:
    """One row."""
    files = sources(plan.data)

    def case(n: int) -> Callable[[], str | None]:
        def run() -> str | None:
            rng = random.Random(f"{plan.seed}/{n}")
            wrong = fault(mutant(files[n % len(files)], rng.choice(files), rng))
            return None if wrong is None else f"mutant '{plan.seed}/{n}': {wrong}"

        return run

    yield count("mutants of MIDI", (case(n) for n in range(plan.of(200_000))))
