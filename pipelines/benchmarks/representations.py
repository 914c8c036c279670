"""One table for the representations: remi, performance and notes, each with an LSTM and a Transformer.

    python pipelines/benchmarks/representations.py --seconds 150 --steps 300

All models learn the same chorales with the same recipe, size `tiny`: once for the same CPU time, once for the same
number of optimiser steps. A window of `notes` has half the steps of the others' and still holds twice the music.
Compared are nats a note on the validation split, over whole pieces: exact, whatever a note is spelled with.
`performance` says less than the others (no bars, meters, tempi or instruments; onsets to 10 ms), so its nats are
for less. Clock: CPU time of this process, one thread.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from measure import header, parser, table

from musicgen.checkpoint import load_run
from musicgen.corpus.build import build_corpus
from musicgen.corpus.store import Corpus
from musicgen.evaluation.likelihood import evaluate
from musicgen.models.presets import PRESETS
from musicgen.recipe import Recipe, TrainSettings
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.filters import SamplingSettings
from musicgen.sampling.loop import read_prompt, sample
from musicgen.tokenizers import load_tokenizer
from musicgen.tokenizers.constraints import Constraints, LengthLimits
from musicgen.training.loop import train
from musicgen.training.presets import TRAIN_PRESETS

NAMES = ("remi", "performance", "notes")
FAMILIES = ("lstm", "transformer")
WINDOW = {"remi": 512, "performance": 512, "notes": 256}
PROMPT = 100  # steps that sampling begins from


def corpora(work: Path, names: Sequence[str]) -> dict[str, Corpus]:
    """The chorales in each representation; built once in the work folder."""
    found = {}
    for name in names:
        folder = work / f"chorales-{name}"
        if not (folder / "corpus.json").is_file():
            build_corpus(["bach-chorales"], folder, tokenizer={"name": name})
        found[name] = Corpus.open(folder)
    return found


def learn(corpus: Corpus, family: str, folder: Path, *, steps: int, seconds: float | None) -> dict[str, Any]:
    """Train and score one model: nats a note, notes a second in training, and the steps it took."""
    tokenizer = load_tokenizer(corpus.spec)
    length = WINDOW[tokenizer.name]
    shape = {"family": family, **PRESETS[family]["tiny"], "context": length}
    rate = TRAIN_PRESETS["tiny"]["learning_rate"]
    settings = TrainSettings(steps=steps, batch=8, length=length, learning_rate=rate, evaluate_every=50)
    begun = time.process_time()
    card = train(
        corpus,
        tokenizer,
        recipe=Recipe(shape, settings),
        folder=folder,
        max_seconds=seconds,
        clock=time.process_time,
        device="cpu",
        checkpoint_seconds=1e9,
    )
    spent = time.process_time() - begun
    run = load_run(folder)
    figures = evaluate(run.model, corpus, tokenizer, split="valid")
    tokens_a_note = corpus.info()["tokens"] / corpus.info()["notes"]
    return {
        "run": run,
        "nats": figures.nats_per_note,
        "steps": card["steps"],
        "parameters": card["parameters"],
        "trained": card["tokens_seen"] / tokens_a_note / spent,  # validation included: it is part of the price
    }


def sampled(run: Any, corpus: Corpus, *, steps: int) -> float:
    """Notes a second that one take brings, from the opening of the first validation piece."""
    decoder, tokenizer = EagerDecoder(run.model), run.tokenizer
    ids = corpus.ids(corpus.pieces("valid")[0])[:PROMPT].astype("int64")
    prompt = read_prompt(decoder, ids, grammar=tokenizer.grammar())
    prompt.grammar.constrain(Constraints(length=LengthLimits(may_end=False, tempo_changes=False)))
    rates = []
    for seed in range(3):
        begun = time.process_time()
        (take,) = sample(
            decoder,
            prompt,
            fields=tokenizer.fields,
            settings=SamplingSettings(),
            generators=[torch.Generator().manual_seed(seed)],
            max_steps=steps,
        )
        rates.append(tokenizer.count_notes(take) / (time.process_time() - begun))
    return sorted(rates)[1]


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=15.0, help="CPU seconds of training a model")
    options.add_argument("--steps", type=int, default=60, help="optimiser steps of the second comparison")
    options.add_argument("--only", choices=NAMES, help="one representation")
    options.add_argument("--work", type=Path, help="keep corpora and runs here (default: a temporary folder)")
    chosen = options.parse_args()
    if chosen.quick:
        chosen.seconds, chosen.steps = 4.0, 5
    torch.set_num_threads(1)
    header("Representations", "torch")
    work = chosen.work or Path(tempfile.mkdtemp(prefix="musicgen-"))
    try:
        rows = []
        for name, corpus in corpora(work, (chosen.only,) if chosen.only else NAMES).items():
            facts = corpus.info()
            for family in FAMILIES:
                for kind in ("time", "steps"):
                    shutil.rmtree(work / f"{name}-{family}-{kind}", ignore_errors=True)
                timed = learn(corpus, family, work / f"{name}-{family}-time", steps=10**6, seconds=chosen.seconds)
                stepped = learn(corpus, family, work / f"{name}-{family}-steps", steps=chosen.steps, seconds=None)
                rate = sampled(timed["run"], corpus, steps=60 if chosen.quick else 400)
                rows.append(
                    [
                        name,
                        family,
                        f"{timed['parameters']:,}",
                        f"{facts['tokens'] / facts['notes']:.2f}",
                        f"{timed['nats']:.3f} ({timed['steps']})",
                        f"{stepped['nats']:.3f}",
                        f"{timed['trained']:,.0f}",
                        f"{rate:,.0f}",
                    ]
                )
                print(" | ".join(rows[-1]), flush=True)
        print()
        table(
            [
                "tokenizer",
                "model",
                "parameters",
                "steps a note",
                f"nats a note, {chosen.seconds:g} CPU s (steps)",
                f"nats a note, {chosen.steps} steps",
                "training, notes/s",
                "sampling, notes/s",
            ],
            rows,
        )
    finally:
        if chosen.work is None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
