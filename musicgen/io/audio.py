"""Write samples as WAV or FLAC (16 bit) or Ogg Vorbis, by suffix, with libsndfile.

Blocks are float32 of shape (n, channels), full scale ±1, at `rate` frames a second. They are written one at a time,
so that an hour of music needs no more memory than a block. WAV and FLAC bytes depend on the samples alone;
an Ogg stream has a random serial number.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from musicgen.errors import ResourceError, UsageError, explained
from musicgen.io.atomic import atomic_path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

__all__ = ["FORMATS", "write_audio"]

FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
WAV_BYTES = 2**32 - 4096  # the RIFF header counts bytes in 32 bits
CHUNK = 65_536  # frames in a call: libsndfile's Vorbis encoder puts its input on the stack


def write_audio(path: str | Path, blocks: Iterable[np.ndarray], *, rate: int, overwrite: bool = False) -> int:
    """Write blocks of float32 (n, channels), or (n,) for mono, to `path`; returns the number of frames.

    Raises UsageError for an unknown suffix, an unusable rate or an existing file without `overwrite`,
    ResourceError when the disk is full or a WAV would pass 4 GiB. Nothing half-written is left.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(
            f"unknown sound file suffix {path.suffix!r}", where=path, hint=f"use one of {', '.join(FORMATS)}"
        )
    with atomic_path(path, overwrite=overwrite) as temporary:
        # The first block gives the number of channels; taken inside, so that an existing file fails at once.
        blocks = iter(blocks)
        first = next(blocks, np.zeros((0, 2), np.float32))
        return _write(path, temporary, chain([first], blocks), channels=_frames(first).shape[1], rate=rate)


def _write(path: Path, temporary: Path, blocks: Iterable[np.ndarray], *, channels: int, rate: int) -> int:
    import soundfile  # loads a C library: not before it is needed

    kind, subtype = FORMATS[path.suffix.lower()]
    try:
        file = soundfile.SoundFile(temporary, "w", samplerate=rate, channels=channels, format=kind, subtype=subtype)
    except soundfile.LibsndfileError as error:
        raise UsageError(
            f"can't write {kind} with {channels} channels at {rate} Hz ({error.error_string})",
            where=path,
            hint="try `rate` 44100",
        ) from error
    written = 0
    with file:
        for block in blocks:
            frames = _frames(block)
            written += len(frames)
            if kind == "WAV" and written * channels * 2 > WAV_BYTES:
                raise ResourceError("a WAV file can't pass 4 GiB", where=path, hint="write .flac instead")
            for at in range(0, len(frames), CHUNK):
                try:
                    file.write(frames[at : at + CHUNK])
                except (soundfile.LibsndfileError, AssertionError) as error:  # a short write is an assert there
                    raise _full(path, temporary) from error
    # A full disk can also show only on the last flush, which libsndfile doesn't report.
    try:
        kept = soundfile.info(temporary).frames
    except soundfile.LibsndfileError as error:
        raise _full(path, temporary) from error
    if kept != written:
        raise _full(path, temporary)
    return written


def _full(path: Path, temporary: Path) -> Exception:
    """The error for a failed write: a full disk or a limit on file sizes, which libsndfile doesn't distinguish."""
    limit = -1 if resource is None else resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    limited = 0 <= limit <= temporary.stat().st_size + CHUNK
    return explained(OSError(errno.EFBIG if limited else errno.ENOSPC, ""), path, ours=True)


def _frames(block: np.ndarray) -> np.ndarray:
    """A block as float32 (n, channels)."""
    block = np.asarray(block, np.float32)
    return block[:, None] if block.ndim == 1 else block
