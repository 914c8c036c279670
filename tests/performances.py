"""Performances for tests: two chords in turns, a little late and a little louder each time, with a drum between."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.store import Corpus
from musicgen.io import write
from musicgen.piece import Piece, Track, notes_array

SHAPE = {"width": 16, "layers": 1, "heads": 2, "context": 64, "dropout": 0.0}


def performance(number: int, *, beats: int = 30) -> Piece:
    """A tick is a millisecond."""
    rng = np.random.default_rng(number)
    notes, drums = [], []
    for beat in range(beats):
        at = 400 * beat + int(rng.integers(0, 20))
        for voice in range(3):
            pitch = 48 + number + 5 * (beat % 2) + 4 * voice
            notes.append((at + int(rng.integers(0, 8)), 300 + 10 * voice, pitch, 50 + beat % 4 * 10 + voice))
        drums.append((400 * beat + 200, 50, 38, 90 + int(rng.integers(0, 10))))
    tracks = (Track("", 0, notes=notes_array(sorted(notes))), Track("", 0, True, notes_array(drums)))
    return Piece(500, tracks)


def make_performances(folder: Path, *, count: int = 8) -> Path:
    """A folder of performances."""
    folder.mkdir(parents=True)
    for number in range(count):
        write(performance(number), folder / f"{number}.mid")
    return folder


def make_corpus(folder: Path) -> Corpus:
    """That folder as a corpus of `exact`, a quarter of it for validation and another for testing."""
    settings = BuildSettings(valid=0.25, test=0.25)
    return build_corpus(
        [make_performances(folder / "played")], folder / "corpus", jobs=1, tokenizer="exact", settings=settings
    )
