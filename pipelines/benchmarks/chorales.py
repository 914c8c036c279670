"""Some minutes of `train --preset tiny` on the Bach chorales, beside the back-off n-gram model of the same tokens.

The tokenizer is `remi`: n-grams are of single ids.

    python pipelines/benchmarks/chorales.py --work runs/chorales --max-time 10m --model transformer

Prints nats a token and nats a note on the validation split for both, and the time that each took.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from musicgen.checkpoint import load_run
from musicgen.corpus.build import build_corpus
from musicgen.corpus.store import Corpus, is_corpus
from musicgen.evaluation.likelihood import evaluate
from musicgen.evaluation.ngram import evaluate_ngram
from musicgen.tokenizers import Remi


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="runs/chorales")
    parser.add_argument("--max-time", default="2m")
    parser.add_argument("--model", default="transformer")
    parser.add_argument("--orders", type=int, nargs="+", default=[6])
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    work = Path(options.work)
    folder = work / "corpus"
    corpus = Corpus.open(folder) if is_corpus(folder) else build_corpus(["bach-chorales"], folder, tokenizer=Remi())
    for order in options.orders:
        begun = time.monotonic()
        floor = evaluate_ngram(corpus, Remi(), order=order)
        took = time.monotonic() - begun
        nats = f"{floor.figures.nats_per_token:.4f} nats a token, {floor.figures.nats_per_note:.4f} a note"
        print(f"n-gram, order {floor.order} of at most {order}: {nats}, {took:.0f} s", flush=True)
    run = work / options.model
    command = [sys.executable, "-m", "musicgen", "train", str(work / "corpus"), "-o", str(run), "--overwrite"]
    begun = time.monotonic()
    subprocess.run([*command, "--model", options.model, "--preset", "tiny", "--max-time", options.max_time], check=True)
    took = time.monotonic() - begun
    loaded = load_run(run)
    ours = evaluate(loaded.model, corpus, loaded.tokenizer)
    print(
        f"{options.model} tiny: {ours.nats_per_token:.4f} nats a token, {ours.nats_per_note:.4f} a note, "
        f"{loaded.card['steps']} steps, {took:.0f} s, on {ours.tokens:,} tokens"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
