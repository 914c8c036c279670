"""Train the model that comes with the package, from the catalogue to the shipped file.

    musicgen corpus fetch polish-scores -o data/polish-scores        (and the others, or use copies you have)
    python pipelines/train_bundled.py --data polish-scores=data/polish-scores \\
        --data mutopia-pd=data/mutopia-pd --data giantmidi-piano=data/giantmidi-piano \\
        --work runs/bundled --out musicgen/pretrained/default --max-time 60m

Only catalogue entries whose licence lets the weights be passed on are taken. The corpus is built once in the
work folder, the run is resumable (--resume), and what is shipped is the best checkpoint in float16 with a card:
data, licences, steps, figures on the validation and the test split, and on music from other sources (--held-out).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import torch

from musicgen.checkpoint import load_run, save_run
from musicgen.cli.options import duration
from musicgen.corpus.build import build_corpus
from musicgen.corpus.catalog import find_entry
from musicgen.corpus.store import Corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.evaluation.likelihood import evaluate
from musicgen.recipe import AugmentSettings, DataSettings, Recipe, TrainSettings
from musicgen.tokenizers import Notes
from musicgen.training.loop import Progress, train

# Sized for an hour of a CPU core: about 3 M parameters. 512 steps are some 480 notes.
MODEL = {"family": "transformer", "width": 192, "layers": 5, "heads": 6, "context": 512, "dropout": 0.0}
TRAIN = TrainSettings(
    steps=24_000,
    batch=4,
    length=512,
    learning_rate=5e-3,
    warmup=0.05,
    weight_decay=0.1,
    evaluate_every=100,
    evaluate_tokens=40_000,
    seed=1,
)
# A third of the windows get other instruments, so that a file with guitars finds a model that has met them.
AUGMENT = AugmentSettings(transpose_low=-5, transpose_high=6, tempo_steps=2, programs=0.3)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER", help="a catalogue entry's folder")
    parser.add_argument("--work", required=True, help="corpus and run lie here")
    parser.add_argument("--out", required=True, help="the run folder to ship")
    parser.add_argument("--max-time", default="60m")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--held-out", action="append", default=[], metavar="CORPUS", help="corpora to measure on only")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args(arguments)


def corpus_for(data: list[str], folder: Path) -> Corpus:
    """The training corpus: built from the named folders and the chorales that music21 carries."""
    if (folder / "corpus.json").is_file():
        return Corpus.open(folder)
    sources, licences = ["bach-chorales"], {}
    for item in data:
        name, _, where = item.partition("=")
        entry = find_entry(name)
        if not entry.shippable:
            raise UsageError(f"weights trained on {name} may not be passed on", hint="leave it out")
        sources.append(where)
        licences[where] = f"{entry.licence} ({entry.title})"
    return build_corpus(sources, folder, tokenizer=Notes(), licences=licences)


def card_for(corpus: Corpus, data: list[str]) -> dict[str, Any]:
    entries = [find_entry(name) for name in ["bach-chorales", *(item.partition("=")[0] for item in data)]]
    return {
        "title": "musicgen default model",
        "licence": "MIT (weights); data: " + ", ".join(sorted({e.licence for e in entries})),
        "data": [
            {
                "name": e.name,
                "title": e.title,
                "licence": e.licence,
                "address": e.source.address,
                "commit": e.source.commit,
            }
            for e in entries
        ],
        "corpus": {k: corpus.info()[k] for k in ("pieces", "notes", "tokens", "sha256")},
    }


def report(p: Progress) -> None:
    if p.valid is not None:
        print(
            f"{p.step} steps, {p.seconds:.0f} s: valid {p.valid:.4f} nats a token, {p.tokens_per_second:.0f} tokens/s",
            flush=True,
        )


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    work = Path(options.work)
    if Path(options.out).resolve() == (work / "run").resolve():
        raise UsageError("is the run itself, in full precision", where=options.out, hint="choose another --out")
    corpus = corpus_for(options.data, work / "corpus")
    print(f"corpus: {corpus.info()['pieces']} pieces, {corpus.info()['tokens']:,} tokens", flush=True)
    recipe = Recipe(MODEL, TRAIN, AUGMENT, DataSettings("the catalogue", corpus.sha256))
    train(
        corpus,
        Notes(),
        recipe=recipe,
        folder=work / "run",
        card=card_for(corpus, options.data),
        resume=options.resume,
        max_seconds=duration(options.max_time),
        report=report,
    )
    run = load_run(work / "run")
    figures = {
        split: evaluate(run.model, corpus, run.tokenizer, split=split, max_tokens=400_000)
        for split in ("valid", "test")
    }
    for folder in options.held_out:
        figures[Path(folder).name] = evaluate(run.model, Corpus.open(folder), run.tokenizer, max_tokens=400_000)
    card = {k: v for k, v in run.card.items() if k != "format"} | {"figures": figures}
    save_run(options.out, model=run.model, tokenizer=run.tokenizer, recipe=run.recipe, card=card, dtype=torch.float16)
    for name, figure in figures.items():
        print(f"{name}: {figure['nats_per_token']:.4f} nats a token, {figure['nats_per_note']:.4f} nats a note")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"train_bundled: {error}")
