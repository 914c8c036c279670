"""Where a run's nats a frame lie: in pitches that are held, in new ones, in ends; by place, and train beside valid.

    python pipelines/nextnote/residual.py runs/jsb
    python pipelines/nextnote/residual.py runs/jsb --splits valid test --pieces 50

`held` are pitches that the frame before has too (of voices: that the voice had). Each line: how many a frame, nats
each, and the nats a frame that come of it. A wide gap between train and valid is overfitting; none at a high level is
a model too small, or trained too shortly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from musicgen.checkpoint import load_run
from musicgen.corpus.split import spread
from musicgen.corpus.store import Corpus
from musicgen.errors import MusicgenError
from musicgen.evaluation.likelihood import step_nats
from musicgen.models.heads.following import following_of
from musicgen.tokenizers import Frames

KINDS = ("held", "new", "rest", "end", "end, fewer than before")


def kinds_of(ids: np.ndarray, tokenizer: Frames) -> tuple[np.ndarray, np.ndarray]:
    """For each id its kind, an index into KINDS or -1 where it is not scored, and its place within the frame."""
    v = tokenizer.vocabulary
    frame, is_pitch = tokenizer.frame_of(ids), v.is_kind(ids, "pitch")
    kinds = np.full(len(ids), -1)
    # Sets: a pitch is held where the frame before has it. Voices: where the voice itself had it.
    if tokenizer.voices:
        before = np.concatenate([np.full(tokenizer.voices, -1), ids[: -tokenizer.voices]])
        held = is_pitch & (ids == before)
    else:
        pairs = set(zip(frame[is_pitch].tolist(), ids[is_pitch].tolist(), strict=True))
        held = is_pitch & np.array([(f - 1, i) in pairs for f, i in zip(frame.tolist(), ids.tolist(), strict=True)])
    kinds[is_pitch] = 1
    kinds[held] = 0
    if tokenizer.voices:
        kinds[v.is_kind(ids, "rest")] = 2
    else:
        ends = v.is_kind(ids, "end")
        sizes = np.bincount(frame[is_pitch], minlength=int(frame.max(initial=0)) + 1)
        fewer = np.append(False, sizes[1:] < sizes[:-1])
        kinds[ends] = np.where(fewer[frame[ends]], 4, 3)
    here = np.arange(len(ids))
    begins = np.diff(frame, prepend=-1) != 0
    place = here - np.maximum.accumulate(np.where(begins, here, 0))
    return kinds, place


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run folder of run.py, with its corpus")
    parser.add_argument("--splits", nargs="+", default=["train", "valid"])
    parser.add_argument("--pieces", type=int, default=40, help="of each split at most so many, spread over it")
    options = parser.parse_args(arguments)
    run, corpus = load_run(options.run), Corpus.open(options.run / "corpus")
    tokenizer = run.tokenizer
    table = following_of(tokenizer)
    pad = tokenizer.vocabulary.id("pad")
    for split in options.splits:
        spans = corpus.spans(split)
        spans = spans[spread(len(spans), options.pieces)]
        found: list[tuple[np.ndarray, ...]] = []
        frames = 0
        for offset, size in spans.tolist():
            ids = np.asarray(corpus.tokens[offset : offset + size]).astype(np.int64)
            nats = step_nats(run.model, ids, pad=pad, following_VV=table, period=tokenizer.period)
            kinds, place = kinds_of(ids, tokenizer)
            found.append((kinds[1:], place[1:], nats))
            frames += int(tokenizer.frame_of(ids).max()) + 1
        kinds, place, nats = (np.concatenate(column) for column in zip(*found, strict=True))
        print(f"\n{split}: {len(spans)} pieces, {frames:,} frames, {nats[kinds >= 0].sum() / frames:.3f} nats a frame")
        print("| what | a frame | nats each | nats a frame |\n|---|---|---|---|")
        rows = [(name, kinds == k) for k, name in enumerate(KINDS)]
        rows += [(f"id {n + 1} of the frame", (place == n) & (kinds >= 0)) for n in range(6)]
        for name, chosen in rows:
            if chosen.any():
                count, total = int(chosen.sum()), float(nats[chosen].sum())
                print(f"| {name} | {count / frames:.2f} | {total / count:.3f} | {total / frames:.3f} |")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MusicgenError as error:
        sys.exit(f"residual: {error}")
