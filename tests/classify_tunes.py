"""A corpus of two kinds of tunes that anyone tells apart, in folders: high and fast, low and slow."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.store import Corpus
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

SHAPE = {"width": 16, "layers": 1, "heads": 2, "context": 64, "dropout": 0.0}


def tune(kind: str, number: int) -> Piece:
    rng = np.random.default_rng((number, kind == "high"))
    low, step = (74, 120) if kind == "high" else (40, 480)
    notes = [(i * step, step, int(low + rng.integers(0, 12)), 80) for i in range(40)]
    return Piece(480, (Track(program=0, notes=notes_array(notes)),))


def make_tunes(folder: Path, *, each: int = 12) -> Path:
    """A folder of music with a folder a kind."""
    for kind in ("high", "low"):
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            write(tune(kind, number), folder / kind / f"{kind}{number}.mid")
    return folder


def make_corpus(folder: Path, *, each: int = 12) -> Corpus:
    """That folder as a corpus of `notes`, a quarter of it for validation."""
    settings = BuildSettings(valid=0.25, test=0.0)
    return build_corpus([make_tunes(folder / "tunes", each=each)], folder / "corpus", jobs=1, settings=settings)
