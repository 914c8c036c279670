"""What all lessons share: the corpus, short runs, and pictures. Sixty lines to be read once.

Three environment variables: COURSE_SEED (0), COURSE_WORK (where corpora and runs go; `work` beside the notebooks), and
COURSE_BUDGET=short, which cuts every lesson down to seconds: its code then runs, and its figures mean nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

import musicgen
from musicgen.corpus.catalog import find_entry, package_files

HERE = Path(__file__).parent
SHORT = os.environ.get("COURSE_BUDGET") == "short"
SEED = int(os.environ.get("COURSE_SEED", "0"))
WORK = Path(os.environ.get("COURSE_WORK", HERE / "work"))
RECIPE = HERE / "small.toml"
FEW_PIECES = 12
SHORTEST = {"train.batch": 2, "train.length": 16, "train.evaluate_tokens": 200}


def budget(full: int, short: int) -> int:
    """`full`, or on the short budget `short`."""
    return short if SHORT else full


def chorales(seed: int = 0, *, tokenizer: str = "remi") -> musicgen.Corpus:
    """Bach's chorales as tokens, from music21, which is installed with musicgen: built once, in seconds, offline.

    `seed` says which pieces are held out.
    """
    folder = WORK / f"chorales-{tokenizer}-{seed}"
    if not folder.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        files = package_files(find_entry("bach-chorales"))
        sources = files[:FEW_PIECES] if SHORT else ["bach-chorales"]
        held_out = 0.2 if SHORT else 0.05
        musicgen.build_corpus(sources, folder, tokenizer=tokenizer, seed=seed, jobs=1, valid=held_out)
    return musicgen.Corpus.open(folder)


def train(name: str, model: str, *, steps: int = 300, changes: Mapping[str, Any] | None = None) -> musicgen.Trained:
    """Train a small model of a family on the chorales, in the way of `small.toml` with `changes`."""
    return musicgen.train(
        chorales().folder,
        output=WORK / f"{name}-{SEED}",
        recipe=RECIPE,
        changes={"model.family": model, **(changes or {}), **(SHORTEST if SHORT else {})},
        steps=budget(steps, 1),
        seed=SEED,
        device="cpu",
        overwrite=True,
    )


def excerpts(count: int, length: int, *, split: str = "valid") -> torch.Tensor:
    """ids (count, length) int64 from the middle of so many pieces of the chorales, the longest first."""
    corpus = chorales()
    pieces = sorted(corpus.pieces(split), key=lambda piece: -piece.length)[:count]
    rows = [corpus.ids(piece)[(piece.length - length) // 2 :][:length] for piece in pieces]
    return torch.from_numpy(np.stack(rows).astype(np.int64))


def keep(figure: Figure, name: str) -> None:
    """Write a figure as a small PNG into `WORK/pictures`; in a notebook it is shown as well."""
    path = WORK / "pictures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, bbox_inches="tight")
    Image.open(path).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
