"""Several runs on one published set as one predictor: the mixture of their distributions, frame by frame.

    python pipelines/nextnote/mixture.py runs/jsb runs/jsb-ascending --split valid

Given the past, each run says how likely each next frame is, whatever order it spells frames in; their mean is a
distribution over frames too, so its likelihood is exact. Weights are equal. A row of its own: it is not one model.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from musicgen.checkpoint import load_run
from musicgen.corpus.store import Corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.evaluation.likelihood import frame_nats


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of run.py, each with its corpus")
    parser.add_argument("--split", default="valid")
    options = parser.parse_args(arguments)
    scored = []
    for folder in options.runs:
        run = load_run(folder)
        scored.append(frame_nats(run.model, Corpus.open(folder / "corpus"), run.tokenizer, split=options.split))
        print(f"{folder}: {np.concatenate(scored[-1]).mean():.4f} nats a frame", flush=True)
    if any([len(piece) for piece in pieces] != [len(piece) for piece in scored[0]] for pieces in scored):
        raise UsageError("these runs are not of one set", hint="give runs that were trained on the same file")
    mixed = [mix(np.stack(of_piece)) for of_piece in zip(*scored, strict=True)]
    every = np.concatenate(mixed)
    later = np.concatenate([piece[1:] for piece in mixed])
    means = np.mean([piece.mean() for piece in mixed])
    print(f"mixture of {len(scored)}: {every.mean():.4f} nats a frame over {len(every):,} frames")
    print(f"  without each piece's first {later.mean():.4f}, mean of the pieces' means {means:.4f}")


def mix(nats_RT: np.ndarray) -> np.ndarray:
    """-log of the mean over R runs of exp(-nats)."""
    least_T = nats_RT.min(axis=0)
    return least_T - np.log(np.exp(least_T - nats_RT).mean(axis=0))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"mixture: {error}")
