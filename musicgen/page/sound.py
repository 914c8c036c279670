"""The sound of pieces as Ogg Vorbis in data: addresses, small enough to be sent by mail.

libsndfile encodes at a variable bit rate (quality 0.4), so the size follows the sampling rate and the channels.
Measured: a minute of a band with drums takes 0.80 MB at 32 kHz in stereo, 0.52 at 24 kHz, 0.40 in mono; a piano 0.55,
0.38 and 0.30. In base64 it is a third more.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from musicgen.io.audio import write_audio
from musicgen.piece import Piece
from musicgen.render.synth import synthesize

__all__ = ["sounds"]

# (rate in Hz, channels, the fewest bytes a second that music takes there), the best first
STEPS = ((32_000, 2, 5_000), (24_000, 2, 3_500), (24_000, 1, 2_700), (16_000, 1, 2_000))


def sounds(pieces: Sequence[Piece], *, soundfont: str | Path | None = None, most_bytes: int) -> list[tuple[str, float]]:
    """For each piece (its sound as a data: address, seconds of sound).

    All have one rate and number of channels: the best with which the addresses together take at most `most_bytes`, or
    else the smallest. Raises UnreadableError if there is no SoundFont, ResourceError for too much sound or a full disk.
    """
    seconds = sum(piece.seconds for piece in pieces)
    steps = [step for step in STEPS if step[2] * seconds * 4 / 3 <= most_bytes] or [STEPS[-1]]
    with tempfile.TemporaryDirectory(prefix="musicgen-page-") as folder:
        for rate, channels, _ in steps:
            found = [_encoded(piece, Path(folder), soundfont, rate=rate, channels=channels) for piece in pieces]
            if sum(len(address) for address, _ in found) <= most_bytes:
                break
    return found


def _encoded(
    piece: Piece, folder: Path, soundfont: str | Path | None, *, rate: int, channels: int
) -> tuple[str, float]:
    path = folder / "sound.ogg"
    blocks = synthesize(piece, soundfont=soundfont, rate=rate)
    frames = write_audio(path, blocks if channels == 2 else _mono(blocks), rate=rate, overwrite=True)
    return f"data:audio/ogg;base64,{base64.b64encode(path.read_bytes()).decode()}", frames / rate


def _mono(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block.mean(axis=1)
