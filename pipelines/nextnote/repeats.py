"""How much of a set repeats itself within its pieces, and what a run makes of it.

    python pipelines/nextnote/repeats.py runs/muse
    python pipelines/nextnote/repeats.py runs/muse --splits train valid --pieces 50

Frames are sorted by for how many changes the piece had run before them as it did somewhere earlier, in the same key:
their share, how often such a frame is the one that came then, and the run's nats where it is and where it isn't.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import numpy as np
import torch

from musicgen.checkpoint import load_run
from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus
from musicgen.errors import MusicgenError
from musicgen.evaluation.likelihood import step_nats
from musicgen.models.frames import recall
from musicgen.models.heads.following import following_of
from musicgen.tokenizers import Frames

PITCHES = 128
CHANGES = (0, 1, 2, 4, 8, 16, 32)  # the lowest of each row; none at all is a row of its own


def rolls_of(ids: np.ndarray, tokenizer: Frames) -> torch.Tensor:
    """The frames of a piece (F, S, 128): 1 where a pitch sounds."""
    v, frame = tokenizer.vocabulary, tokenizer.frame_of(ids)
    there = np.flatnonzero(v.is_kind(ids, "pitch"))
    voice = (np.cumsum(frame >= 0) - 1) % tokenizer.period
    rolls = torch.zeros(int(frame.max()) + 1, tokenizer.period, PITCHES)
    rolls[frame[there], voice[there], ids[there] - v.base["pitch"]] = 1
    return rolls


def repeated(rolls_FSK: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """For how many changes each frame's past has run as it did before, -1 where it never stood so; and whether the
    frame is the one that came then."""
    frames, voices, keys = rolls_FSK.shape
    told, sure, _ = recall.recall(rolls_FSK[None], recall.begin(1, voices, keys, torch.device("cpu")))
    sure_F = sure[0, :frames, 0]
    changes = torch.where(sure_F > 0, (4 * sure_F - 1).exp2() - 1, -1).round()
    alike = ((told[0, :frames, :voices] > 0) == (rolls_FSK > 0)).flatten(1).all(1)
    return changes.numpy(), alike.numpy()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder of run.py, with its corpus")
    parser.add_argument("--splits", nargs="+", default=["valid"])
    parser.add_argument("--pieces", type=int, default=40, help="of each split at most so many, spread over it")
    options = parser.parse_args(arguments)
    run, corpus = load_run(options.run), Corpus.open(options.run / "corpus")
    tokenizer = run.tokenizer
    table, pad = following_of(tokenizer), tokenizer.vocabulary.id("pad")
    for split in options.splits:
        spans = corpus.spans(split)
        spans = spans[spread(len(spans), options.pieces)]
        found = []
        for offset, size in spans.tolist():
            ids = np.asarray(corpus.tokens[offset : offset + size]).astype(np.int64)
            nats = step_nats(run.model, ids, pad=pad, following_VV=table, period=tokenizer.period)
            frame = tokenizer.frame_of(ids)[1:]
            by_frame = np.bincount(frame[frame >= 0], weights=nats[frame >= 0])
            found.append((*repeated(rolls_of(ids, tokenizer)), by_frame))
        changes, alike, nats = (np.concatenate(column) for column in zip(*found, strict=True))
        print(f"\n{split}: {len(spans)} pieces, {len(nats):,} frames, {nats.mean():.3f} nats a frame")
        print("| changes alike | share of frames | as it came then | nats a frame | where so | where not |")
        print("|---|---|---|---|---|---|")
        bounds = [-1, *CHANGES, np.inf]
        for low, high in itertools.pairwise(bounds):
            here = (changes >= low) & (changes < high)
            if not here.any():
                continue
            name = "never stood so" if low < 0 else f"{low} and more" if np.isinf(high) else f"{low}"
            name += f" to {high - 1}" if 1 < high - low < np.inf and low >= 0 else ""
            means = [
                f"{nats[chosen].mean():.3f}" if chosen.any() else "" for chosen in (here, here & alike, here & ~alike)
            ]
            print(f"| {name} | {here.mean():.3f} | {alike[here].mean():.3f} | {' | '.join(means)} |")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"repeats: {error}")
