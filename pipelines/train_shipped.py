"""Train a model that comes with the package, from a folder of pieces to the shipped file.

    python pipelines/default_corpus.py --data DATA --out PIECES
    python pipelines/train_shipped.py default --pieces PIECES --work runs/default --max-time 20m     (on a GPU)
    python pipelines/train_shipped.py default --work runs/default --ship musicgen/pretrained/default

`shipped_models.py` says what each model learns from and how. Only what the catalogue says may be passed on is taken.
The corpus is built once in the work folder. The run is resumable: call it again. With --ship the best
checkpoint is written in float16 with its card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shipped_models import MODELS, Shipped

from musicgen import read
from musicgen.checkpoint import Run, load_run, save_run
from musicgen.cli.options import duration
from musicgen.corpus.catalog import CorpusEntry, find_entry
from musicgen.corpus.store import Corpus, PieceRecord, write_corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.evaluation.likelihood import evaluate
from musicgen.events import Event, Step
from musicgen.licences import Shipping, shipping, shipping_of
from musicgen.recipe import DataSettings, Recipe
from musicgen.runs.checkpoints import has_checkpoint
from musicgen.training.loop import train

UNSEEN = ("valid", "test")


def entry_of(source: str) -> CorpusEntry:
    """The catalogue's entry of a piece's source. UsageError where weights trained on it may not be passed on."""
    entry = find_entry(source.split("/")[0].replace("_", "-"))
    if not entry.shippable:
        raise UsageError(f"weights trained on {entry.name} may not be passed on", hint="leave it out")
    return entry


def build(model: Shipped, options: argparse.Namespace, folder: Path) -> Corpus:
    """Encode what a model learns from, of the pieces of a cache, into a corpus folder."""
    tokenizer, pieces = model.tokenizer(), Path(options.pieces)
    entries = [json.loads(line) for line in (pieces / "pieces.jsonl").read_text(encoding="utf-8").splitlines()]
    entries = [entry for entry in entries if not model.learns or entry["kind"] in model.learns]
    encoded: list[tuple[dict[str, Any], np.ndarray]] = []
    rejected = []
    for name in sorted({source_of(entry) for entry in entries}):
        entry_of(name)
    for entry in entries:
        in_score = source_of(entry) in model.scores
        if in_score and options.data is None:
            raise UsageError(f"chord symbols are only in the scores of {source_of(entry)}", hint="name --data")
        try:
            piece = read(Path(options.data) / entry["source"] if in_score else pieces / entry["file"])
            for kind, name, version in model.versions(piece, entry):
                source = f"{entry['source']}#{name}" if name else entry["source"]
                ids = tokenizer.as_text.encode_text(version) if isinstance(version, str) else tokenizer.encode(version)
                encoded.append(({**entry, "kind": kind, "source": source}, ids))
        except MusicgenError as error:
            rejected.append({"source": entry["source"], "reason": str(error)})
    sizes: Counter[str] = Counter()
    for entry, ids in encoded:
        if entry["split"] == "train":
            sizes[entry["kind"]] += len(ids)
    total = sum(sizes.values())
    records, offset = [], 0
    for entry, ids in encoded:
        weight = model.shares[entry["kind"]] / 100 * total / max(1, sizes[entry["kind"]])
        sha = hashlib.sha256(ids.astype("<u2").tobytes()).hexdigest()
        records.append(
            PieceRecord(
                offset, len(ids), tokenizer.count_notes(ids), entry["source"], sha, entry["work"], entry["split"],
                entry["licence"], round(weight, 4),
            )
        )  # fmt: skip
        offset += len(ids)
    about = {"tokenizer": tokenizer.spec, "rejected": rejected, "duplicates": []}
    fields = len(tokenizer.fields)
    write_corpus(folder, records, tokens=(ids for _, ids in encoded), about=about, fields=fields, overwrite=True)
    return Corpus.open(folder)


def source_of(entry: dict[str, Any]) -> str:
    """The folder of the source of a piece."""
    return str(entry["source"]).split("/")[0]


def card_for(corpus: Corpus, model: Shipped) -> dict[str, Any]:
    """What is known of the model before it is trained: data and licences."""
    sources = sorted({record.source.split("/")[0] for record in corpus.records})
    entries = [entry_of(name) for name in sources]
    licences = sorted({record.licence for record in corpus.records})
    return {
        "title": model.title,
        **({"for": model.for_kind} if model.for_kind else {}),
        "licence": "MIT (weights); data: " + ", ".join(licences),
        "data": [
            {
                "name": e.name,
                "title": e.title,
                "licence": e.licence,
                "address": e.source.address,
                "commit": e.source.commit,
                "attribution": e.attribution,
            }
            for e in entries
        ],
        "corpus": {k: corpus.info()[k] for k in ("pieces", "notes", "tokens", "sha256")},
    }


def of_data(corpus: Corpus) -> Shipping:
    """Whether weights trained on the corpus may be passed on."""
    return shipping(sorted({record.licence for record in corpus.records}))


def ship(run: Run, corpus: Corpus, out: str, *, model: Shipped, anyway: bool = False) -> None:
    """Write the best weights in float16, with figures on whole pieces of the splits that training never saw.

    Raises UsageError if they may not be passed on; `anyway` writes them, marked so in their card.
    """
    may = of_data(corpus) & shipping_of(run.card)
    refused = may.may_ship is not True
    if refused and not anyway:
        what = f"these weights may not be passed on: {'; '.join(may.reasons)}"
        raise UsageError(what, hint="leave those pieces out, or pass --allow-unshippable to mark the card")
    figures = {split: evaluate(run.model, corpus, run.tokenizer, split=split, max_tokens=60_000) for split in UNSEEN}
    tables = {split: figure.to_dict() for split, figure in figures.items()}
    card = {k: v for k, v in run.card.items() if k != "format"} | card_for(corpus, model) | {"figures": tables}
    card["shipping"] = {**may.to_dict(), **({"overridden": True} if refused else {})}
    save_run(out, model=run.model, tokenizer=run.tokenizer, recipe=run.recipe, card=card, dtype=torch.float16)
    for name, figure in figures.items():
        print(f"{name}: {figure.nats_per_token:.4f} nats a token, {figure.nats_per_note:.4f} nats a note")


def report(p: Event) -> None:
    if isinstance(p, Step) and p.valid is not None:
        print(
            f"{p.done} steps, {p.seconds:.0f} s: loss {p.loss:.4f}, valid {p.valid:.4f} nats a token, "
            f"{p.tokens_per_second:.0f} tokens/s",
            flush=True,
        )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=list(MODELS), help="which of them")
    parser.add_argument("--data", help="the folder of sources; only for folk, whose chord symbols MIDI doesn't keep")
    parser.add_argument("--pieces", help="the cache of default_corpus.py")
    parser.add_argument("--work", required=True, help="corpus and run lie here")
    parser.add_argument("--run", default="run", help="the run's folder in it")
    parser.add_argument("--max-time", default=None, help="how long to train, such as 2h; without it, all steps")
    parser.add_argument("--from", dest="start", metavar="RUN", help="a run, or `default`, whose weights to begin with")
    parser.add_argument("--ship", metavar="DIR", help="train no more; write the best weights and their card there")
    parser.add_argument("--allow-unshippable", action="store_true", help="with --ship: whatever the licences say")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    model = MODELS[options.model]
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    torch.set_num_threads(options.threads)
    work = Path(options.work)
    folder = work / "corpus"
    corpus = Corpus.open(folder) if (folder / "corpus.json").is_file() else build(model, options, folder)
    print(f"corpus: {corpus.info()['pieces']} pieces, {corpus.info()['tokens']:,} tokens", flush=True)
    recipe = Recipe(model.model, model.train, model.augment, DataSettings("the catalogue", corpus.sha256))
    for change in options.set:
        recipe = recipe.with_change(change)
    run = work / options.run
    if options.ship:
        return ship(load_run(run), corpus, options.ship, model=model, anyway=options.allow_unshippable)
    start = load_run(options.start) if options.start else None
    may = of_data(corpus) & (shipping_of(start.card) if start else Shipping(True))
    train(
        corpus,
        model.tokenizer(),
        recipe=recipe,
        folder=run,
        card=card_for(corpus, model) | {"shipping": may.to_dict()},
        resume=has_checkpoint(run),
        max_seconds=duration(options.max_time),
        start=start.model if start else None,
        listener=report,
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"train_shipped: {error}")
