"""A corpus of six little pieces in memory, and little models to train on it."""

from __future__ import annotations

import csv

import numpy as np
import torch

from musicgen.checkpoint import load_run
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings
from musicgen.tokenizers import Remi, Tokenizer

REMI = Remi()
# Options of `musicgen train`. What a preset makes of its batches is no concern of a test of the commands, and a step
# of 2 windows of 64 costs a thirtieth of one of 8 windows of 512.
SMALL = ("--device", "cpu", "--set", "train.batch=2", "--set", "train.length=64")
AUGMENT = AugmentSettings(-5, 6, 2, 0.5)
MODELS = {
    "lstm": {"family": "lstm", "width": 16, "layers": 2, "context": 64, "dropout": 0.1},
    "transformer": {"family": "transformer", "width": 16, "layers": 2, "heads": 2, "context": 64, "dropout": 0.1},
}


class Tunes:
    """A corpus in memory: six little pieces, one of them for validation."""

    def __init__(self, tokenizer: Tokenizer = REMI) -> None:
        rng = np.random.default_rng(0)
        every, self.rows = [], []
        for n in range(6):
            notes = [(i * 480, 480, int(rng.integers(50, 80)), 80) for i in range(30 + 20 * n)]
            ids = tokenizer.encode(Piece(480, (Track(program=40, notes=notes_array(notes)),)))
            self.rows.append((sum(map(len, every)), len(ids)))
            every.append(ids)
        self.tokens = np.concatenate(every)

    def spans(self, split: str) -> np.ndarray:
        rows = {"train": self.rows[1:], "valid": self.rows[:1]}.get(split, [])
        return np.array(rows, np.int64).reshape(-1, 2)


def recipe(family: str, **changes) -> Recipe:
    settings = {"steps": 8, "batch": 3, "length": 48, "evaluate_every": 4, "seed": 5, "precision": "float32", **changes}
    return Recipe(dict(MODELS[family]), TrainSettings(**settings), AUGMENT)


def log(folder) -> list[dict[str, str]]:
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(folder) -> dict[str, torch.Tensor]:
    return load_run(folder).model.state_dict()
