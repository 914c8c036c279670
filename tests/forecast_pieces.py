"""Pieces with a melody whose series are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from musicgen.api import build_corpus
from musicgen.corpus.store import Corpus
from musicgen.io import write
from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.tasks.forecast.series import Series, series_of

QUARTER = 480
SCALES = [[64.0, 4.0]]


def tune(pitches: Sequence[int], *, lengths: Sequence[float] | None = None, meter: int = 4, **maps) -> Piece:
    """One note after another, of lengths in quarters (1 by default); a pitch of 0 is a rest."""
    lengths = lengths or [1.0] * len(pitches)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]) * QUARTER
    rows = [
        (int(start), int(length * QUARTER), pitch, 40 + pitch % 40)
        for start, length, pitch in zip(starts, lengths, pitches, strict=True)
        if pitch
    ]
    meters = np.array([(0, meter, 4)], METER)
    return Piece(QUARTER, (Track(notes=notes_array(rows)),), meters=meters, **maps)


def tempos(*changes: tuple[float, float]) -> np.ndarray:
    """(quarter, quarters a minute) as a tempo map."""
    return np.array([(int(at * QUARTER), round(60e6 / rate)) for at, rate in changes], TEMPO)


def corpus_of_tunes(folder: Path, *, pieces: int = 20, notes: int = 60) -> Corpus:
    """A built corpus of tunes that walk up and down, with rests; a quarter of them is held out."""
    (folder / "music").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(pieces):
        pitches = np.clip(64 + np.cumsum(rng.integers(-4, 5, notes)), 48, 84)
        pitches[rng.random(notes) < 0.1] = 0
        lengths = rng.choice([0.5, 1.0], notes).tolist()
        write(tune(pitches.tolist(), lengths=lengths), folder / "music" / f"tune {number}.mid")
    return build_corpus(folder / "music", folder / "corpus", valid=0.25, test=0.0, jobs=1)


def pitches_of(values: Sequence[float], *, meter: int = 4) -> Series:
    """A series of pitches, a quarter each."""
    found = series_of(tune([round(v) for v in values], meter=meter), settings=ForecastSettings(scales=SCALES))
    assert found is not None
    return found
