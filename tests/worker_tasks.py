"""What tests have done in other processes, which must find it by name: work that ends its process, hangs or raises."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from musicgen.corpus.encode import Encoder
from musicgen.corpus.scan import Found, iter_pieces
from musicgen.errors import MusicgenError, UnreadableError
from musicgen.io.midi import Limits
from musicgen.piece import Piece


def act(what: str) -> str:
    """Do as the item says; give it back in capitals, with the process that did so."""
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "exit":
        sys.exit(7)
    elif what == "sleep":
        time.sleep(60)
    elif what == "burn":
        while True:
            pass
    elif what == "grow":
        bytearray(1 << 40)
    elif what == "raise":
        raise ValueError("not\nthis")
    elif what == "refuse":
        raise UnreadableError("is no music", where="x.mid", hint="take another")
    elif what == "slow":
        time.sleep(0.3)
    return f"{what.upper()} {os.getpid()}"


def letters(text: str) -> Iterator[str]:
    """Each letter; at a `!` the process dies."""
    for letter in text:
        if letter == "!":
            os.kill(os.getpid(), signal.SIGKILL)
        yield letter


def sizes(data: bytes, wanted: list[str]) -> dict[str, int]:
    """A reader of scores that counts bytes."""
    if data == b"die":
        os.kill(os.getpid(), signal.SIGKILL)
    return dict.fromkeys(wanted, len(data))


class EvilEncoder(Encoder):
    """One file ends its process, and another never comes to an end."""

    def __call__(self, file: Found) -> Iterator:
        if file.name == "music/sub/p1.mid":
            os.kill(os.getpid(), signal.SIGKILL)
        while file.name == "music/sub/p2.mid":
            time.sleep(1)
        yield from super().__call__(file)


def pieces(path: Path, *, limits: Limits | None) -> Iterator[tuple[str, Piece | MusicgenError]]:
    """As `iter_pieces`, but the process dies of a file called `die`, and hangs with one called `sleep`."""
    act(path.stem)
    yield from iter_pieces(path, limits=limits)
