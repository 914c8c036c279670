"""How tunes go on: eight bars by a model of text and by others, beside what people wrote.

    python pipelines/benchmarks/tunes_continued.py MODEL.. --data DATA --pieces PIECES --limit 10

Tunes that no training saw (lead sheets, Nottingham tunes with chords, Irish tunes) are cut in half at a bar line, as
ABC text, and each model goes on from there. Printed is how much the new bars have in common with the true ones: the
mean overlap of histograms of pitch classes, intervals and onset-to-onset times, 1 where they are the same; beside them
the eight bars before the cut, and the true bars of another tune. And the share of new notes within the key.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tune_models import held_out, people

from musicgen import Composer
from musicgen.errors import MusicgenError
from musicgen.gm import key_pitch_classes
from musicgen.io.scores import read_tune
from musicgen.piece import Piece
from musicgen.tokenizers.abc.tokenizer import body_of, header_of, tidy

BARS = 8


def halves(text: str) -> tuple[str, Piece, int] | None:
    """(first half, the whole as a piece without repeats, tick of the cut); None for a tune of less than 17 bars."""
    body = body_of(tidy(text)).replace("|:", "|").replace(":|", "|").replace("::", "|").replace("|]", "|")
    body = body.replace("!", "").replace("\\\n", "\n")
    lines = [line for line in body.split("\n") if line.strip() and line[1:2] != ":"]
    bars = [bar for line in lines for bar in line.split("|") if bar.strip()]
    if len(bars) < 2 * BARS + 1:
        return None
    head = header_of(tidy(text))
    first = head + "|".join(bars[: len(bars) // 2]) + "|\n"
    whole = first + "|".join(bars[len(bars) // 2 :]) + "|\n"
    try:
        return first, read_tune(whole), read_tune(first).end
    except MusicgenError:
        return None


def histograms(notes: np.ndarray, quarter: int) -> list[np.ndarray]:
    order = np.lexsort((notes["pitch"], notes["start"]))
    pitch, start = notes["pitch"][order].astype(int), notes["start"][order]
    top = np.append(np.diff(start) > 0, True)
    pitch, start = pitch[top], start[top]
    steps = np.clip(np.diff(pitch), -12, 12) + 12
    times = np.clip(np.rint(np.diff(start) * 4 / quarter), 0, 16).astype(int)
    tables = [np.bincount(pitch % 12, minlength=12), np.bincount(steps, minlength=25), np.bincount(times, minlength=17)]
    return [table / max(1, table.sum()) for table in tables]


def overlap(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return float(np.mean([np.minimum(x, y).sum() for x, y in zip(a, b, strict=True)]))


def between(piece: Piece, begin: int, end: int) -> np.ndarray:
    notes = np.concatenate([track.notes for track in piece.tracks])
    return notes[(notes["start"] >= begin) & (notes["start"] < end)]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pieces", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10, help="tunes a collection")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    texts = {"lead sheets": held_out(chosen.pieces, chosen.data, most=3 * chosen.limit)["lead sheet"]}
    texts |= people(chosen.data, most=3 * chosen.limit)
    loaded = {name: Composer.load(name) for name in chosen.models}
    for collection, of in texts.items():
        cut = [found for text in of if (found := halves(text))][: chosen.limit]
        print(f"{collection} ({len(cut)})")
        for who, values in compared(cut, loaded).items():
            mean, spread = np.mean(values, axis=0), np.std([each[0] for each in values]) / np.sqrt(len(values))
            print(f"  {who}: {mean[0]:.3f} (s.e. {spread:.3f}); in key {mean[1]:.3f}", flush=True)


def compared(cut: list[tuple[str, Piece, int]], loaded: dict[str, Composer]) -> dict[str, list[tuple[float, float]]]:
    """{whose bars: (overlap with the truth, share of notes in the key) of each tune}."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for n, (first, piece, tick) in enumerate(cut):
        starts, _ = piece.bar_starts(max(0, piece.end - 1))
        eight = BARS * int(starts[-1] - starts[-2])
        other = cut[(n + 1) % len(cut)]
        passages = {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tune.abc"
            path.write_text(first)
            for who, composer in loaded.items():
                (take,) = composer.continue_(path, bars=BARS, seed=1)
                passages[Path(who).name] = (take.notes, take.piece.ticks_per_quarter)
        passages["truth"] = (between(piece, tick, tick + eight), piece.ticks_per_quarter)
        passages["the bars before"] = (between(piece, tick - eight, tick), piece.ticks_per_quarter)
        passages["a stranger's"] = (between(other[1], other[2], 1 << 60), other[1].ticks_per_quarter)
        truth, scale = histograms(*passages["truth"]), scale_of(first)
        for who, (notes, quarter) in passages.items():
            inside = np.mean([int(pitch) % 12 in scale for pitch in notes["pitch"]]) if len(notes) else 0.0
            rows.setdefault(who, []).append((overlap(histograms(notes, quarter), truth), float(inside)))
    return rows


def scale_of(text: str) -> frozenset[int]:
    """The pitch classes of the key of a tune; all for one that isn't major or minor."""
    key = next(line[2:].strip() for line in text.split("\n") if line.startswith("K:"))
    try:
        return key_pitch_classes(key.replace(" Major", "").replace(" Minor", "m"))
    except MusicgenError:
        return frozenset(range(12))


if __name__ == "__main__":
    main(sys.argv[1:])
