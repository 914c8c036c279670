"""What size, memory, optimiser and tasks are worth to the default model, each trained for the same time.

    python pipelines/benchmarks/scaling.py --work runs/default --seconds 45            (on a GPU, 6 minutes)
    python pipelines/benchmarks/scaling.py --work runs/default --seconds 480 --batch 4 --length 512   (a CPU, an hour)

`--work` holds the corpus that `pipelines/train_shipped.py default` builds. All runs have its recipe but for what the
table names, and the rate falls to nothing within the given seconds. Nats are those of whole validation windows,
calibrated.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from measure import ROOT, header, parser, table

sys.path.insert(0, str(ROOT / "pipelines"))

from shipped_models import MODELS

from musicgen.corpus.store import Corpus
from musicgen.recipe import DataSettings, Recipe
from musicgen.tokenizers import Parts
from musicgen.training.loop import train

SHIPPED = MODELS["default"]
MODEL, TRAIN, AUGMENT = SHIPPED.model, SHIPPED.train, SHIPPED.augment
SMALL = {"model.width": 192, "model.layers": 5}
LARGE = {"model.width": 384, "model.layers": 10, "model.heads": 6}
VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "smaller": SMALL,
    "larger": LARGE,
    "without memory": {"model.with_memory": False},
    "AdamW, rate 2e-3": {"train.optimizer": "adamw", "train.learning_rate": 2e-3},
    "half the rate": {"train.learning_rate": TRAIN.learning_rate / 2},
    "without the tasks": {"augment.infill": 0.0, "augment.accompany": 0.0},
    "no dropout": {"model.dropout": 0.0},
}


def one(name: str, corpus: Corpus, *, seconds: float, usual: dict[str, Any], threads: int) -> list[str]:
    """Train a variant and say how it went: a row of the table."""
    torch.set_num_threads(threads)
    recipe = Recipe(MODEL, TRAIN, AUGMENT, DataSettings("the catalogue", corpus.sha256))
    for key, value in ({**usual, **VARIANTS[name]}).items():
        recipe = recipe.with_change(f"{key}={str(value).lower()}")
    with tempfile.TemporaryDirectory() as folder:
        card = train(corpus, Parts(), recipe=recipe, folder=Path(folder) / "run", max_seconds=seconds)
    row = [name, f"{card['parameters'] / 1e6:.1f} M", f"{card['steps']:,}", f"{card['tokens_seen'] / 1e6:.1f} M"]
    return [*row, f"{card['valid_nats_per_token']:.4f}"]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--work", required=True, type=Path)
    options.add_argument("--seconds", type=float, default=45)
    options.add_argument("--batch", type=int, default=TRAIN.batch)
    options.add_argument("--length", type=int, default=TRAIN.length)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    given = options.parse_args()
    corpus = Corpus.open(given.work / "corpus")
    usual = {"train.batch": given.batch, "train.length": given.length, "train.evaluate_every": 1_000_000}
    usual["train.evaluate_tokens"] = 60_000
    header(f"Variants of the default model, {given.seconds:g} s each", "torch", "numpy")
    print(torch.cuda.get_device_name() if torch.cuda.is_available() else "on a CPU", flush=True)
    rows = []
    for name in given.only:
        rows.append(one(name, corpus, seconds=given.seconds, usual=usual, threads=given.threads))
        print(" | ".join(rows[-1]), flush=True)
    table(["variant", "parameters", "steps", "rows read", "nats a row, validation"], rows)


if __name__ == "__main__":
    main()
