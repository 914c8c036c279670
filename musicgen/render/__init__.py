"""Render pieces as sound."""

from __future__ import annotations

import os
from pathlib import Path

from musicgen.piece import Piece

__all__ = ["check_soundfont", "render_file"]


def check_soundfont(path: str | Path | None) -> None:
    """Raise UnreadableError if `path` isn't a SoundFont, or if it is None and no SoundFont is found on this machine.

    >>> check_soundfont("nowhere.sf2")
    Traceback (most recent call last):
        ...
    musicgen.errors.UnreadableError: nowhere.sf2: ...
    """
    from musicgen.render.soundfont import SoundFont, find_soundfont

    SoundFont(find_soundfont(path))


def render_file(
    piece: Piece,
    path: str | os.PathLike[str],
    *,
    soundfont: str | Path | None = None,
    rate: int = 44100,
    engine: str = "auto",
    overwrite: bool = False,
) -> float:
    """Write a piece as WAV, FLAC or OGG, by the suffix of `path`, and return its length in seconds.

    Memory is bounded whatever the length. Raises UsageError for a suffix or rate that can't be written and an
    output that exists or is the SoundFont, UnreadableError for a SoundFont that isn't one, ResourceError on a full
    disk.

    >>> render_file(Piece(), "piece.mp3")
    Traceback (most recent call last):
        ...
    musicgen.errors.UsageError: piece.mp3: ...
    """
    from musicgen.io.atomic import keep_inputs
    from musicgen.io.audio import write_audio
    from musicgen.render.soundfont import find_soundfont
    from musicgen.render.synth import synthesize

    keep_inputs([path], [find_soundfont(soundfont)])
    blocks = synthesize(piece, soundfont=soundfont, rate=rate, engine=engine)
    return write_audio(Path(path), blocks, rate=rate, overwrite=overwrite) / rate
