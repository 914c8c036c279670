"""What single ideas are worth, in nats a note: positions, the order of notes; and the loop beside the fused layer.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/ablations.py FOLDER --work WORK --seeds 3 --steps 200

FOLDER holds the music, of which 60 files are taken (as in `small_budgets.py`), in the tokenizer `notes`. All models
are small and equal in all but the setting; nats a note are those of the best weights on the same validation pieces, at
most 6,144 tokens, in their own order whatever the training windows were. An interval is that of 95 % over the seeds
(Student's t); differences are taken seed by seed. The last table compares losses over a few steps from the same
weights, and the time of a step. Clock: CPU time of this process, one thread.
Results stand in WORK/ablations.csv as they come; what stands there already isn't measured again.
"""

from __future__ import annotations

import csv
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from measure import header, parser, table
from small_budgets import corpus_of

from musicgen.checkpoint import load_run, model_for
from musicgen.corpus.store import Corpus
from musicgen.evaluation.likelihood import evaluate
from musicgen.recipe import DataSettings, Recipe, TrainSettings
from musicgen.tokenizers import load_tokenizer
from musicgen.training.loop import train
from musicgen.training.next_note import NextNote
from musicgen.training.step import Setup

SCORED = 6144
LENGTH = 128
SHAPES: dict[str, dict[str, Any]] = {
    "transformer": {"width": 64, "layers": 3, "heads": 4, "context": LENGTH},
    "lstm": {"width": 88, "layers": 2},
    "window": {"width": 72, "layers": 3, "context": 32},
}
POSITIONS = ("none", "sinusoidal", "learned", "rotary")
BY_HAND, COMPARED_STEPS = ("rnn", "gru", "lstm", "cnn-lstm"), 12
STUDENT = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}  # 97.5 % quantiles, by seeds
COLUMNS = ("setting", "family", "seed", "nats")


def recipe_of(family: str, *, seed: int, steps: int, **changes: Any) -> Recipe:
    """A small model of the family; `changes` to [model]."""
    settings = TrainSettings(
        steps=steps, batch=4, length=LENGTH, learning_rate=1e-2, evaluate_every=max(1, steps // 4),
        evaluate_tokens=2048, seed=seed,
    )  # fmt: skip
    return Recipe({"family": family, **SHAPES[family], **changes}, settings)


def nats_of(recipe: Recipe, corpus: Corpus, work: Path) -> float:
    """Train, and score the best weights: nats a note of validation pieces in their own order."""
    tokenizer, folder = load_tokenizer(corpus.spec), work / "run-ablated"
    shutil.rmtree(folder, ignore_errors=True)
    train(corpus, tokenizer, recipe=recipe, folder=folder, device="cpu", checkpoint_seconds=1e9)
    figures = evaluate(load_run(folder).model, corpus, tokenizer, split="valid", max_tokens=SCORED)
    assert figures.nats_per_note is not None
    return figures.nats_per_note


def interval(values: Sequence[float]) -> str:
    """The mean, and half of its 95 % interval.

    >>> interval([1.0, 2.0, 3.0])
    '2.000 ± 2.484'
    """
    if len(values) < 2:
        return f"{values[0]:.3f}"
    half = STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.mean(values):.3f} ± {half:.3f}"


def by_hand(corpus: Corpus, family: str) -> list[str]:
    """The loop beside the fused layer: the largest difference of losses over the steps, and the seconds of a step."""
    tokenizer = load_tokenizer(corpus.spec)
    losses: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}
    for kind in ("fused", "loop"):
        shape = {"family": family, "width": 88, "layers": 2, "recurrence": kind}
        recipe = Recipe(shape, TrainSettings(batch=4, length=LENGTH))
        model = model_for(recipe, tokenizer)
        learner = NextNote().learner(model, corpus, tokenizer, setup=Setup(recipe, torch.device("cpu")))
        taken = []
        for step in range(COMPARED_STEPS):
            begun = time.process_time()
            outcome = learner(step, rate=5e-3)
            taken.append(time.process_time() - begun)
            losses.setdefault(kind, []).append(outcome.figure.item())
        learner.close()
        seconds[kind] = statistics.median(taken[1:])
    apart = max(abs(a - b) for a, b in zip(losses["fused"], losses["loop"], strict=True))
    return [
        family,
        f"{losses['fused'][0]:.5f} to {losses['fused'][-1]:.5f}",
        f"{apart:.1e}",
        f"{1000 * seconds['fused']:.0f} ms",
        f"{1000 * seconds['loop']:.0f} ms",
        f"{seconds['loop'] / seconds['fused']:.1f} x",
    ]


class Kept:
    """The nats of each setting, family and seed, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        rows = csv.DictReader(path.open(encoding="utf-8")) if path.is_file() else []
        self.nats = {(row["setting"], row["family"], int(row["seed"])): float(row["nats"]) for row in rows}

    def add(self, key: tuple[str, str, int], nats: float) -> None:
        self.nats[key] = nats
        with self.path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *((*each, f"{value:.5f}") for each, value in self.nats.items())])

    def of(self, setting: str, family: str) -> list[float]:
        """The nats over the seeds, in their order."""
        return [value for (name, kind, _), value in sorted(self.nats.items()) if (name, kind) == (setting, family)]


def main() -> int:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, help="a folder of MIDI files")
    made.add_argument("--work", type=Path, required=True, help="keep corpus, runs and rows here")
    made.add_argument("--steps", type=int, default=200)
    made.add_argument("--seeds", type=int, default=3, choices=sorted(STUDENT))
    chosen = made.parse_args()
    steps, seeds = (4, 2) if chosen.quick else (chosen.steps, chosen.seeds)
    torch.set_num_threads(1)
    chosen.work.mkdir(exist_ok=True)
    corpus, kept = corpus_of(chosen.folder, "notes", chosen.work), Kept(chosen.work / "ablations.csv")
    wanted: dict[tuple[str, str, int], Recipe] = {}
    for seed in range(seeds):
        for positions in POSITIONS:
            wanted[positions, "transformer", seed] = recipe_of(
                "transformer", seed=seed, steps=steps, positions=positions
            )
        for family in SHAPES:
            plain = recipe_of(family, seed=seed, steps=steps)
            wanted[("rotary" if family == "transformer" else "in order"), family, seed] = plain
            wanted["shuffled", family, seed] = replace(plain, data=DataSettings(shuffle_notes=True))
    for key, recipe in wanted.items():
        if key not in kept.nats:
            kept.add(key, nats_of(recipe, corpus, chosen.work))
            print(*key, f"{kept.nats[key]:.3f}", file=sys.stderr, flush=True)
    header("Ablations", "torch", "musicgen-symbolic")
    base = kept.of("rotary", "transformer")
    rows = []
    for positions in POSITIONS:
        found = kept.of(positions, "transformer")
        rows.append([positions, interval(found), interval([a - b for a, b in zip(found, base, strict=True)])])
    print(f"### Positions of a Transformer, {steps} steps, {seeds} seeds\n")
    table(["positions", "nats a note", "more than rotary"], rows)
    rows = []
    for family in SHAPES:
        plain_nats = kept.of("rotary" if family == "transformer" else "in order", family)
        mixed = kept.of("shuffled", family)
        worth = [b - a for a, b in zip(plain_nats, mixed, strict=True)]
        rows.append([family, interval(plain_nats), interval(mixed), interval(worth)])
    print("\n### What the order of notes is worth\n")
    table(["family", "in order, nats a note", "notes shuffled in training", "order is worth"], rows)
    print(f"\n### The recurrence by the loop, {COMPARED_STEPS} steps from the same weights, batches of 4 x {LENGTH}\n")
    columns = ["family", "losses, fused", "largest difference", "a step, fused", "a step, loop", "loop takes"]
    table(columns, [by_hand(corpus, family) for family in BY_HAND])
    return 0


if __name__ == "__main__":
    sys.exit(main())
