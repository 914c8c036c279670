"""Train the model that comes with the package, from a folder of pieces to the shipped file.

    python pipelines/default_corpus.py --data DATA --out PIECES
    python pipelines/train_default.py --pieces PIECES --work runs/default --max-time 20m     (on a GPU)
    python pipelines/train_default.py --work runs/default --ship musicgen/pretrained/default

Only what the catalogue says may be passed on is taken. The corpus is built once in the work folder, every kind of
music with the share of windows that `SHARES` says. The run is resumable: call it again. With --ship the best
checkpoint is written in float16 with its card.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from default_variants import fewer_parts, on_sixteenths, performed, stretched

from musicgen import read
from musicgen.checkpoint import Run, load_run, save_run
from musicgen.cli.options import duration
from musicgen.corpus.catalog import CorpusEntry, find_entry
from musicgen.corpus.store import Corpus, PieceRecord, write_corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.evaluation.likelihood import evaluate
from musicgen.events import Event, Step
from musicgen.licences import Shipping, shipping, shipping_of
from musicgen.piece import Piece
from musicgen.recipe import AugmentSettings, DataSettings, Recipe, TrainSettings
from musicgen.runs.checkpoints import has_checkpoint
from musicgen.tokenizers import Parts
from musicgen.training.loop import train

MODEL = {"family": "transformer", "width": 256, "layers": 8, "heads": 4, "context": 512, "dropout": 0.1}
# For a GPU; a CPU takes --set train.batch=4 --set train.length=512.
TRAIN = TrainSettings(
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
AUGMENT = AugmentSettings(
    transpose_low=-5, transpose_high=6, tempo_steps=2, programs=0.15, loudness=0.7, infill=0.1, accompany=0.1
)
UNSEEN = ("valid", "test")
# Of 100 training windows. Kinds with few notes count for more than their share, so that no kind drowns.
SHARES = {
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
}


def entry_of(source: str) -> CorpusEntry:
    """The catalogue's entry of a piece's source. UsageError where weights trained on it may not be passed on."""
    entry = find_entry(source.split("/")[0].replace("_", "-"))
    if not entry.shippable:
        raise UsageError(f"weights trained on {entry.name} may not be passed on", hint="leave it out")
    return entry


def variants(piece: Piece, entry: dict[str, Any]) -> Iterator[tuple[str, str, Piece]]:
    """(kind, name, piece): further versions of a piece to learn from; what is for validation and test stays as it is,
    but for drums, which are there on the grid as well."""
    kind = entry["kind"]
    number = int(hashlib.sha256(entry["source"].encode()).hexdigest()[:12], 16)
    rng = np.random.default_rng(number)
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


def build(pieces: Path, folder: Path) -> Corpus:
    """Encode the pieces of a cache into a corpus folder; what hands play on a beat is there on the grid, too."""
    tokenizer = Parts()
    entries = [json.loads(line) for line in (pieces / "pieces.jsonl").read_text(encoding="utf-8").splitlines()]
    encoded: list[tuple[dict[str, Any], np.ndarray]] = []
    rejected = []
    for name in sorted({entry["source"].split("/")[0] for entry in entries}):
        entry_of(name)
    for entry in entries:
        try:
            piece = read(pieces / entry["file"])
            encoded.append((entry, tokenizer.encode(piece)))
            for kind, name, other in variants(piece, entry):
                ids = tokenizer.encode(other)
                encoded.append(({**entry, "kind": kind, "source": f"{entry['source']}#{name}"}, ids))
        except MusicgenError as error:
            rejected.append({"source": entry["source"], "reason": str(error)})
    sizes: Counter[str] = Counter()
    for entry, ids in encoded:
        if entry["split"] == "train":
            sizes[entry["kind"]] += len(ids)
    total = sum(sizes.values())
    records, offset = [], 0
    for entry, ids in encoded:
        weight = SHARES[entry["kind"]] / 100 * total / max(1, sizes[entry["kind"]])
        sha = hashlib.sha256(ids.astype("<u2").tobytes()).hexdigest()
        records.append(
            PieceRecord(
                offset, len(ids), tokenizer.count_notes(ids), entry["source"], sha, entry["work"], entry["split"],
                entry["licence"], round(weight, 4),
            )
        )  # fmt: skip
        offset += len(ids)
    about = {"tokenizer": tokenizer.spec, "rejected": rejected, "duplicates": []}
    write_corpus(folder, records, tokens=(ids for _, ids in encoded), about=about, fields=6, overwrite=True)
    return Corpus.open(folder)


def card_for(corpus: Corpus) -> dict[str, Any]:
    """What is known of the model before it is trained: data and licences."""
    sources = sorted({record.source.split("/")[0] for record in corpus.records})
    entries = [entry_of(name) for name in sources]
    licences = sorted({record.licence for record in corpus.records})
    return {
        "title": "musicgen default model",
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


def ship(run: Run, corpus: Corpus, out: str, *, anyway: bool = False) -> None:
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
    card = {k: v for k, v in run.card.items() if k != "format"} | card_for(corpus) | {"figures": tables}
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
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore the first
        signal.signal(number, signal.default_int_handler)
    torch.set_num_threads(options.threads)
    work = Path(options.work)
    folder = work / "corpus"
    corpus = Corpus.open(folder) if (folder / "corpus.json").is_file() else build(Path(options.pieces), folder)
    print(f"corpus: {corpus.info()['pieces']} pieces, {corpus.info()['tokens']:,} tokens", flush=True)
    recipe = Recipe(MODEL, TRAIN, AUGMENT, DataSettings("the catalogue", corpus.sha256))
    for change in options.set:
        recipe = recipe.with_change(change)
    run = work / options.run
    if options.ship:
        return ship(load_run(run), corpus, options.ship, anyway=options.allow_unshippable)
    start = load_run(options.start) if options.start else None
    may = of_data(corpus) & (shipping_of(start.card) if start else Shipping(True))
    train(
        corpus,
        Parts(),
        recipe=recipe,
        folder=run,
        card=card_for(corpus) | {"shipping": may.to_dict()},
        resume=has_checkpoint(run),
        max_seconds=duration(options.max_time),
        start=start.model if start else None,
        listener=report,
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"train_default: {error}")
