"""Pieces that hold pairs: lead sheets, tunes with a part of chords, four voices; and small corpora and runs of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from musicgen.api import train
from musicgen.checkpoint import TaskRun, load_task_run
from musicgen.chords import chord_of
from musicgen.corpus.build import BuildSettings, build_corpus
from musicgen.corpus.store import Corpus
from musicgen.io.midi_writing import midi_bytes
from musicgen.piece import CHORD, METER, NOTE, Piece, Track
from musicgen.recipe import Recipe, TrainSettings

QUARTER = 480
ROOTS = {"C": 48, "F": 53, "G": 55, "Am": 57}
TONES = {"C": (0, 4, 7), "F": (0, 4, 7), "G": (0, 4, 7), "Am": (0, 3, 7)}
SPLITS = BuildSettings(valid=0.25, test=0.1)
PROGRESSION = ("C", "F", "G", "C", "Am", "F", "G", "C")


def notes(rows) -> np.ndarray:
    """NOTE rows of (onset, length, pitch) in quarters."""
    return np.array(sorted((round(a * QUARTER), round(n * QUARTER), p, 80) for a, n, p in rows), NOTE)


def melody(up: int = 0, seed: int = 0) -> np.ndarray:
    """Two notes a bar of two quarters, tones of the bar's chord."""
    rng = np.random.default_rng(seed)
    rows = []
    for bar, name in enumerate(PROGRESSION):
        for beat in range(2):
            rows.append((2 * bar + beat, 1, ROOTS[name] + 12 + up + int(rng.choice(TONES[name]))))
    return notes(rows)


def lead_sheet(seed: int = 0) -> Piece:
    """A melody with chord symbols, in 2/4."""
    chords = [(2 * QUARTER * bar, *chord_of(name)) for bar, name in enumerate(PROGRESSION)]
    rows = np.array(chords, CHORD)
    meters = np.array([(0, 2, 4)], METER)
    return Piece(QUARTER, (Track("Tune", 73, False, melody(seed=seed)),), meters=meters, chords=rows)


def tune_with_chords(up: int = 0, seed: int = 0) -> Piece:
    """The same with its chords as a part, and nothing that says which part is which."""
    rows = [(2 * bar, 2, ROOTS[name] + up - 12 + tone) for bar, name in enumerate(PROGRESSION) for tone in TONES[name]]
    meters = np.array([(0, 2, 4)], METER)
    tracks = (Track("", 0, False, notes(rows)), Track("", 0, False, melody(up, seed)))
    return Piece(QUARTER, tracks, meters=meters)


def chorale(up: int = 0, seed: int = 0) -> Piece:
    """Four voices, two chords a bar; the alto's second note of each pair goes on from the first where it can."""
    soprano = melody(up, seed)
    voices = []
    for low in (12, 4, -5):
        rows = [(2 * bar, 2, 60 + up + low - 12 + TONES[name][0]) for bar, name in enumerate(PROGRESSION)]
        voices.append(notes(rows))
    tracks = [Track(name, 52, False, each) for name, each in zip("SATB", (soprano, *voices), strict=True)]
    return Piece(QUARTER, tuple(tracks), meters=np.array([(0, 2, 4)], METER))


def corpus_of(kind: str, folder: Path, *, count: int = 10) -> Corpus:
    """A built corpus of such pieces, with some held out."""
    music = folder / "music"
    music.mkdir(parents=True)
    for n in range(count):
        piece = tune_with_chords(n % 5, n) if kind == "melody-chords" else chorale(n % 5, n)
        (music / f"tune{n}.mid").write_bytes(midi_bytes(piece))
    return build_corpus([music], folder / "corpus", tokenizer="parts", jobs=1, settings=SPLITS)


def run_of(corpus: Corpus, folder: Path, *, family: str = "gru", steps: int = 2, **task) -> TaskRun:
    """A run of a tiny model."""
    settings = TrainSettings(steps=steps, batch=4, evaluate_every=steps, precision="float32")
    shape = {"family": family, "width": 16, "layers": 1, "heads": 2, "context": 32}
    recipe = Recipe(shape, settings, task={"name": "translate", "bars": 4, **task})
    train(corpus.folder, output=folder, recipe=recipe, device="cpu")
    return load_task_run(folder, task="translate")
