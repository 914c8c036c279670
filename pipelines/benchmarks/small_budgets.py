"""A minute on sixty files: what `--preset tiny --max-time` teaches each family under each tokenizer.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/small_budgets.py FOLDER --seconds 60 --work WORK

FOLDER holds the music, of which 60 files are taken at even distances by name. Each model is trained twice for the same
CPU time of one thread: "before" with the preset's widths, batches and calendar, "after" with what is chosen for the
size and the budget (`training/budget.py`). Step times are medians; points are the rows of log.csv, which loss.png
draws. Nats a note are those of the best weights on the same validation pieces, at most 8,192 tokens of them, over
whole pieces; notes of different tokenizers say different things (`performance` no bars, `abc` one line).
Results stand in WORK/rows.csv as they come; what stands there already isn't measured again.
"""

from __future__ import annotations

import csv
import json
import shutil
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import header, parser, table

import musicgen
from musicgen.checkpoint import load_run
from musicgen.corpus.store import Corpus
from musicgen.evaluation.likelihood import evaluate
from musicgen.evaluation.ngram import evaluate_ngram
from musicgen.events import Event, Step
from musicgen.io.midi import Limits
from musicgen.models.presets import PRESETS
from musicgen.recipe import Recipe, TrainSettings
from musicgen.tokenizers import load_tokenizer
from musicgen.training.budget import fitted_to_budget, with_equal_size
from musicgen.training.loop import train
from musicgen.training.next_note import NextNote
from musicgen.training.presets import TRAIN_PRESETS
from musicgen.training.recipes import FITTED

TOKENIZERS = ("notes", "parts", "remi", "performance", "abc")
FILES, SCORED = 60, 8192
COLUMNS = (
    "tokenizer",
    "family",
    "when",
    "cpu_s",
    "parameters",
    "batch",
    "length",
    "steps",
    "step_s",
    "points",
    "nats_a_note",
)


@dataclass
class Pace:
    """Seconds between steps, but for those in which a validation fell."""

    last: float = 0.0
    validated: bool = True

    def __post_init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Step):
            now = time.process_time()
            if not self.validated and event.valid is None:
                self.seconds.append(now - self.last)
            self.last, self.validated = now, event.valid is not None


def corpus_of(folder: Path, name: str, work: Path) -> Corpus:
    """The chosen files in a tokenizer's form; built once."""
    home = work / f"corpus-{name}"
    if not (home / "corpus.json").is_file():
        files = sorted(path for path in folder.iterdir() if path.suffix in (".mid", ".abc"))
        chosen = files[:: max(1, len(files) // FILES)][:FILES]
        musicgen.build_corpus(chosen, home, tokenizer=name, valid=0.15, test=0.0, jobs=1, limits=Limits())
    return Corpus.open(home)


def learned(corpus: Corpus, family: str, when: str, *, work: Path, seconds: float) -> dict[str, Any]:
    """The row of one model."""
    tokenizer = load_tokenizer(corpus.spec)
    recipe = Recipe({"family": family, **PRESETS[family]["tiny"]}, TrainSettings(**TRAIN_PRESETS["tiny"]))
    if when == "after":
        recipe = with_equal_size(recipe, tokenizer)
        how: dict[str, Any] = {
            "task": NextNote(),
            "max_seconds": seconds,
            "device": torch.device("cpu"),
            "clock": time.process_time,
        }
        recipe = fitted_to_budget(recipe, corpus, tokenizer, free=frozenset(FITTED), **how).recipe
    folder, pace = work / f"run-{tokenizer.name}-{family}-{when}", Pace()
    shutil.rmtree(folder, ignore_errors=True)
    card = train(
        corpus,
        tokenizer,
        recipe=recipe,
        folder=folder,
        max_seconds=seconds,
        clock=time.process_time,
        device="cpu",
        checkpoint_seconds=1e9,
        listener=pace,
    )
    figures = evaluate(load_run(folder).model, corpus, tokenizer, split="valid", max_tokens=SCORED)
    values = (
        tokenizer.name,
        family,
        when,
        f"{seconds:g}",
        card["parameters"],
        recipe.train.batch,
        recipe.train.length,
        card["steps"],
        f"{statistics.median(pace.seconds or [float('nan')]):.3f}",
        len((folder / "log.csv").read_text(encoding="utf-8").splitlines()) - 1,
        f"{figures.nats_per_note:.3f}",
    )
    return dict(zip(COLUMNS, values, strict=True))


def floors(work: Path) -> dict[str, float]:
    """Nats a note of the n-gram floor, by tokenizer; kept in a file."""
    kept = work / "floors.json"
    found: dict[str, float] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name in TOKENIZERS:
        if name not in found and (work / f"corpus-{name}" / "corpus.json").is_file():
            corpus = Corpus.open(work / f"corpus-{name}")
            floor = evaluate_ngram(corpus, load_tokenizer(corpus.spec), max_tokens=SCORED)
            found[name] = floor.figures.nats_per_note
    kept.write_text(json.dumps(found), encoding="utf-8")
    return found


def main() -> int:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, help="a folder of MIDI files or tunes")
    made.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of training a model")
    made.add_argument("--work", type=Path, required=True, help="keep corpora, runs and rows here")
    made.add_argument("--tokenizers", nargs="+", choices=TOKENIZERS, default=TOKENIZERS)
    made.add_argument("--families", nargs="+", choices=tuple(PRESETS), default=tuple(PRESETS))
    made.add_argument("--when", nargs="+", choices=("before", "after"), default=("before", "after"))
    chosen = made.parse_args()
    seconds = 3.0 if chosen.quick else chosen.seconds
    torch.set_num_threads(1)
    chosen.work.mkdir(exist_ok=True)
    kept = chosen.work / "rows.csv"
    rows = list(csv.DictReader(kept.open(encoding="utf-8"))) if kept.is_file() else []
    for name in chosen.tokenizers:
        corpus = corpus_of(chosen.folder, name, chosen.work)
        for when in chosen.when:
            for family in chosen.families:
                key = (name, family, when, f"{seconds:g}")
                if any(tuple(row[column] for column in COLUMNS[:4]) == key for row in rows):
                    continue
                rows.append({key: str(value) for key, value in learned(
                    corpus, family, when, work=chosen.work, seconds=seconds).items()})  # fmt: skip
                print(", ".join(rows[-1].values()), file=sys.stderr, flush=True)
                with kept.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS)
                    writer.writeheader()
                    writer.writerows(rows)
    header("Small budgets", "torch", "musicgen-symbolic")
    found = floors(chosen.work)
    print(", ".join(f"{name} {nats:.2f}" for name, nats in found.items()), "nats a note by counting\n")
    table(COLUMNS, [list(row.values()) for row in rows])
    return 0


if __name__ == "__main__":
    sys.exit(main())
