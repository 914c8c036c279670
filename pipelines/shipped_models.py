"""The models that come with the package: what each learns from, as what tokens, of which size and for how long.

`MODELS` is the table that `train_shipped.py` works through. A model takes the pieces of some kinds; of each it learns
one or more versions, and every kind of versions has its share of the training windows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from default_variants import fewer_parts, on_sixteenths, performed, stretched
from tune_text import drawn_style, written
from tunes import in_key, tunes_of

from musicgen.piece import Piece
from musicgen.recipe import AugmentSettings, TrainSettings
from musicgen.tokenizers import Abc, Parts, Performance, Tokenizer
from musicgen.tokenizers.performance.tokenizer import PerformanceSettings

__all__ = ["MODELS", "Shipped"]

Versions = Iterator[tuple[str, str, Piece | str]]
FLATTEST, SHARPEST = -4, 4  # signatures of tunes
KEYS_OF = {"lead sheet": 8, "folk": 6, "dance": 6}


@dataclass(frozen=True)
class Shipped:
    """What differs between the models. `shares` is of 100 training windows, by kind of versions."""

    title: str
    tokenizer: Callable[[], Tokenizer]
    model: dict[str, Any]
    train: TrainSettings
    augment: AugmentSettings
    shares: dict[str, float]
    versions: Callable[
        [Piece, dict[str, Any]], Versions
    ]  # (kind, name, piece or ABC text); a piece as it is has no name
    learns: frozenset[str] = frozenset()  # kinds of the cache that are read; empty: all
    scores: frozenset[str] = frozenset()  # sources that are read from their scores: MIDI keeps no chord symbols
    for_kind: str = ""  # the pieces that `continue` picks it for (`musicgen/picking.py`)


def _draw(entry: dict[str, Any]) -> tuple[int, np.random.Generator]:
    """A number and a generator that follow from a piece's source."""
    number = int(hashlib.sha256(entry["source"].encode()).hexdigest()[:12], 16)
    return number, np.random.default_rng(number)


def default_versions(piece: Piece, entry: dict[str, Any]) -> Versions:
    """What is for validation and test stays as it is, but for drums, which are there on the grid as well."""
    kind = entry["kind"]
    number, rng = _draw(entry)
    yield kind, "", piece
    if entry["played"] and entry["real_bars"] and kind == "drums":
        yield kind, "grid", on_sixteenths(piece)
    if entry["split"] != "train":
        return
    if kind == "piano-performance" and entry["source"].startswith("giantmidi"):
        for factor in (0.8, 0.9, 1.1, 1.25):
            yield kind, f"stretched {factor}", stretched(piece, factor)
    if kind in ("band", "orchestra"):
        for n in range(2 if kind == "band" else 1):
            if (fewer := fewer_parts(piece, rng)) is not None:
                yield kind, f"fewer parts {n + 1}", fewer
    if kind == "song" and number % 2 == 0:
        yield "played on the beat", "performed", performed(piece, rng, free=False)
    if kind == "piano-score" and number % 4 < 2:
        free = number % 4 == 0
        yield "played freely" if free else "played on the beat", "performed", performed(piece, rng, free=free)


def piano_versions(piece: Piece, entry: dict[str, Any]) -> Versions:
    """Recordings as they are, and a third of the training scores as hands might play them."""
    number, rng = _draw(entry)
    if entry["kind"] == "piano-performance":
        yield "piano-performance", "", piece
    elif entry["split"] == "train" and number % 3 == 0:
        yield "played freely", "performed", performed(piece, rng, free=True)


def folk_versions(piece: Piece, entry: dict[str, Any]) -> Versions:
    """Tunes with chords in the keys that people play them in, as text in the ways in which people write it; those for
    training in several keys, lead sheets, folk tunes and dances in more than songs."""
    _, rng = _draw(entry)
    for number, tune in enumerate(tunes_of(piece, entry)):
        own = int(np.clip(tune.piece.keys["fifths"][0], FLATTEST, SHARPEST))
        keys = [own]
        if entry["split"] == "train":
            others = [fifths for fifths in range(FLATTEST, SHARPEST + 1) if fifths != own]
            keys += rng.permutation(others)[: KEYS_OF.get(tune.kind, 3)].tolist()
        for fifths in keys:
            yield tune.kind, f"{number + 1} in {fifths}", written(in_key(tune, fifths), drawn_style(rng, tune))


# For a GPU; a CPU takes --set train.batch=4 --set train.length=512.
LONG = TrainSettings(
    steps=40_000,
    batch=32,
    length=1024,
    learning_rate=5e-3,
    warmup=0.02,
    weight_decay=0.1,
    evaluate_every=500,
    evaluate_tokens=120_000,
    seed=1,
)
MODELS = {
    "default": Shipped(
        "musicgen default model",
        Parts,
        {"family": "transformer", "width": 256, "layers": 8, "heads": 4, "context": 512, "dropout": 0.1},
        LONG,
        AugmentSettings(
            transpose_low=-5, transpose_high=6, tempo_steps=2, programs=0.15, loudness=0.7, infill=0.1, accompany=0.1
        ),
        # Kinds with few notes count for more than their share, so that no kind drowns.
        {
            "piano-score": 15,
            "ensemble": 7,
            "song": 13,
            "quartet": 8,
            "orchestra": 8,
            "band": 13,
            "drums": 6,
            "piano-performance": 7,
            "chorale": 2,
            "folk": 4,
            "guitar-choir-other": 6,
            "played on the beat": 6,
            "played freely": 5,
        },
        default_versions,
    ),
    "piano": Shipped(
        "musicgen piano model",
        lambda: Performance(PerformanceSettings(pedal=True)),
        {"family": "transformer", "width": 256, "layers": 6, "heads": 4, "context": 1024, "dropout": 0.1},
        replace(LONG, batch=8, learning_rate=4e-3, warmup=0.03, evaluate_every=200, evaluate_tokens=60_000),
        AugmentSettings(transpose_low=-5, transpose_high=6, tempo_steps=2, loudness=0.3),
        {"piano-performance": 70, "played freely": 30},
        piano_versions,
        frozenset({"piano-performance", "piano-score"}),
        for_kind="piano",
    ),
    "folk": Shipped(
        "musicgen folk model",
        Abc,
        {"family": "lstm", "width": 384, "layers": 2, "context": 512, "dropout": 0.25},
        TrainSettings(
            steps=4_500, batch=6, length=384, learning_rate=4e-3, evaluate_every=150, evaluate_tokens=16_000, seed=1
        ),
        AugmentSettings(transpose_low=0, transpose_high=0, tempo_steps=0),  # text can't be moved by ids
        {"lead sheet": 16, "folk": 6, "dance": 32, "piano": 14, "song": 25, "chorale": 7},
        folk_versions,
        frozenset({"folk", "song", "chorale", "piano-score", "guitar-choir-other", "ensemble"}),
        frozenset({"openewld_pd"}),
        for_kind="folk",
    ),
}
