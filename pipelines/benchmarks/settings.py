"""What the sampling settings do: faults, notes off the key, likeness and novelty of takes, beside the truth.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/settings.py --pieces PIECES --limit 24

PIECES is the folder that `default_corpus.py` writes, with a `pieces.jsonl` beside the pieces; those of the split test
are cut at a bar line in the middle, and four bars are drawn, without study. Faults are those of `sampling/faults.py`,
a candidate; off the key is the share of the time on pitch classes other than the seven that the last 16 bars use most;
distance is that to these bars (`faults.distance`, lower is more alike); novelty is the share of figures (three pitches
and their steps, a part) that don't stand before the cut. The truth is measured in the same way.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported

import numpy as np
import torch
from measure import header, parser, table

from musicgen import read
from musicgen.composer import Composer, Request, SamplingSettings, Source, Studying
from musicgen.errors import MusicgenError
from musicgen.piece import NOTE, Piece
from musicgen.sampling.faults import distance, faults
from musicgen.sampling.fitting import off_scale
from musicgen.sampling.placing import stretches
from musicgen.sampling.plan import RECENT_BARS, make_plan

BARS = 4
SETTINGS = {
    "default (t .7, top-p .95)": SamplingSettings(),
    "t .5": SamplingSettings(temperature=0.5),
    "t 1": SamplingSettings(temperature=1.0),
    "t 1, top-p 1": SamplingSettings(temperature=1.0, top_p=1.0),
    "t .7, min-p .05": SamplingSettings(top_p=1.0, min_p=0.05),
    "t 1, min-p .1": SamplingSettings(temperature=1.0, top_p=1.0, min_p=0.1),
    "t 1, typical-p .9": SamplingSettings(temperature=1.0, top_p=1.0, typical_p=0.9),
    "t .7, typical-p .95": SamplingSettings(top_p=1.0, typical_p=0.95),
    "default, figures 2": SamplingSettings(figure_penalty=2.0),
}


def cases(folder: Path, limit: int) -> Iterator[tuple[str, Piece, int]]:
    """(name, piece, bar of the cut) of pieces of the split test, the kinds in turn."""
    with (folder / "pieces.jsonl").open(encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == "test" and 24 <= row["bars"] <= 200]
    kinds = sorted({row["kind"] for row in rows})
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in kinds}
    order = [by_kind[kind][k] for k in range(limit) for kind in kinds if k < len(by_kind[kind])]
    for row in order[:limit]:
        piece = read(folder / row["file"])
        yield row["source"], piece, len(piece.bar_starts()[0]) // 2


def figures(piece: Piece, begin: int, end: int) -> set[tuple[int, ...]]:
    """The pitches of every three consecutive notes of a part that begin in a stretch, with the steps between onsets."""
    found: set[tuple[int, ...]] = set()
    for track in piece.tracks:
        notes = track.notes[(track.notes["start"] >= begin) & (track.notes["start"] < end)]
        pitch = notes["pitch"].tolist()
        step = np.rint(np.diff(notes["start"]) * 4 / piece.ticks_per_quarter).astype(int).tolist()
        found |= {(*pitch[k : k + 3], *step[k : k + 2]) for k in range(len(pitch) - 2)}
    return found


def measured(piece: Piece, new: Piece, *, cut: int, end: int, bar: float) -> tuple[float, float]:
    """(share of time off the scale, share of figures that are new) of what `new` plays from the cut to `end`."""

    def melodic(of: Piece, begin: float, until: float) -> np.ndarray:
        tables = [np.empty(0, NOTE), *(track.notes for track in of.tracks if not track.is_drum)]
        notes = np.concatenate(tables)
        return notes[(notes["start"] >= begin) & (notes["start"] < until)]

    own, before = figures(new, cut, end), figures(piece, 0, cut)
    off = off_scale(melodic(new, cut, end), melodic(piece, cut - RECENT_BARS * bar, cut))
    return off, len(own - before) / max(1, len(own))


def main() -> int:
    made = parser(__doc__)
    made.add_argument("--pieces", type=Path, required=True, help="the folder with pieces.jsonl")
    made.add_argument("--limit", type=int, default=24, help="pieces")
    made.add_argument("-m", "--model", default="default")
    chosen = made.parse_args()
    header("Sampling settings", "numpy", "torch", "musicgen-symbolic")
    torch.set_num_threads(1)
    composer = Composer.load(chosen.model)
    results: dict[str, list[tuple[float, ...]]] = {"truth": [], **{name: [] for name in SETTINGS}}
    began = time.process_time()
    for source, piece, start in cases(chosen.pieces, 4 if chosen.quick else chosen.limit):
        request = Request(bars=BARS, start=start)
        try:
            plan = make_plan(piece, composer.tokenizer, request=request, context=composer.model.context)
            tables = [(n, t.notes, t.is_drum) for n, t in enumerate(piece.tracks)]
            true = [(n, x[(x["start"] >= plan.cut) & (x["start"] < plan.end)], drum) for n, x, drum in tables]
            notes = np.concatenate([x for _, x, _ in true])
            home = np.concatenate([np.full(len(x), n) for n, x, _ in true])
            drum = np.concatenate([np.full(len(x), drum) for _, x, drum in true])
            new, before = stretches(piece, plan, notes=notes, home=home, drum=drum)
            own = measured(piece, piece, cut=plan.cut, end=plan.end, bar=plan.anchor.bar_length)
            results["truth"].append((len(faults(new, before)), distance(new, before), *own))
            for name, settings in SETTINGS.items():
                (take,) = composer.takes(
                    Source.of_piece(piece), request=request, sampling=settings, studying=Studying(updates=0)
                )
                candidates = take.facts["candidates"]
                mine = measured(piece, take.piece, cut=plan.cut, end=plan.end, bar=plan.anchor.bar_length)
                broken = float(np.mean([len(each["faults"]) for each in candidates]))
                results[name].append((broken, float(np.median([each["distance"] for each in candidates])), *mine))
        except MusicgenError as error:
            print(f"{source}: {error}", file=sys.stderr)
        print(f"{source}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    rows = []
    for name, found in results.items():
        means, errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
        rows.append([name, *(f"{mean:.3f} ± {error:.3f}" for mean, error in zip(means, errors, strict=True))])
    table(["settings", "faults a candidate", "distance", "off the key", "novel figures"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
