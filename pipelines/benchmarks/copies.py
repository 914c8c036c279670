"""How much of what a model writes stands word for word in the music that it learned from, beside what people share.

    python pipelines/benchmarks/copies.py --corpus runs/default/corpus --takes TAKES --truth TRUTH

TAKES and TRUTH are folders of MIDI files: continued files (a `.json` beside each says where the new music begins), and
pieces that no training saw. Of every line of a part, in notes' intervals and the steps between onsets, the longest
run that also stands in a line of a training piece is counted, in notes. What people's own music shares with the corpus
is the measure: common turns of phrase are no copies.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from musicgen import read
from musicgen.corpus.store import Corpus
from musicgen.piece import Piece
from musicgen.tokenizers import load_tokenizer

STEPS = 24  # a quarter
LENGTHS = (8, 12, 16, 20, 24, 32, 40, 48, 64)
_BASE = np.uint64(0x9E3779B97F4A7C15)


def line_of(notes: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """A part as one integer a note: the interval from the note before, and the steps since its onset."""
    start = np.rint(notes["start"] * STEPS / ticks_per_quarter).astype(np.int64)
    interval = np.diff(notes["pitch"].astype(np.int64))
    return (np.minimum(np.diff(start), 4095) << 9) + interval + 128


def hashes(line: np.ndarray, length: int) -> np.ndarray:
    """A hash of every run of `length` entries."""
    if len(line) < length:
        return np.empty(0, np.uint64)
    with np.errstate(over="ignore"):
        total = np.zeros(len(line) - length + 1, np.uint64)
        for offset in range(length):
            total = total * _BASE + line[offset : offset + len(total)].astype(np.uint64)
            total ^= total >> np.uint64(31)
    return total


def lines_of(piece: Piece, begin: int = 0) -> Iterator[np.ndarray]:
    """The melodic lines of a piece from tick `begin` on."""
    for track in piece.tracks:
        if not track.is_drum:
            notes = track.notes[track.notes["start"] >= begin]
            if len(notes) > LENGTHS[0]:
                yield line_of(notes, piece.ticks_per_quarter)


def learned(corpus: Corpus) -> dict[int, np.ndarray]:
    """Sorted hashes of all runs in training pieces, by length."""
    tokenizer = load_tokenizer(corpus.spec)
    found: dict[int, list[np.ndarray]] = {length: [] for length in LENGTHS}
    for record in corpus.pieces("train"):
        for line in lines_of(tokenizer.decode(corpus.ids(record))):
            for length in LENGTHS:
                found[length].append(hashes(line, length))
    return {length: np.unique(np.concatenate(each)) for length, each in found.items()}


def longest(lines: Iterable[np.ndarray], known: dict[int, np.ndarray]) -> int:
    """The longest run, of `LENGTHS`, that is known; in notes, 0 where none is."""
    best = 0
    for line in lines:
        for length in LENGTHS:
            if length < best:
                continue
            mine = hashes(line, length)
            at = np.minimum(np.searchsorted(known[length], mine), len(known[length]) - 1)
            if not len(mine) or not (known[length][at] == mine).any():
                break
            best = length
    return best + 1 if best else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True, type=Path)
    parser.add_argument("--takes", required=True, type=Path)
    parser.add_argument("--truth", type=Path, help="pieces that no training saw; the takes' own prompts where left out")
    chosen = parser.parse_args()
    known = learned(Corpus.open(chosen.corpus))
    rows = []
    for path in sorted(chosen.takes.rglob("*.mid")):
        sidecar = path.with_suffix(".json")
        if sidecar.is_file():
            cut = json.loads(sidecar.read_text(encoding="utf-8"))["cut_tick"]
            rows.append(("takes", longest(lines_of(read(path), cut), known)))
            if chosen.truth is None:
                piece = read(path)
                length = piece.end - cut
                old = [t.notes[(t.notes["start"] < cut) & (t.notes["start"] >= cut - length)] for t in piece.tracks]
                lines = [
                    line_of(n, piece.ticks_per_quarter)
                    for n, t in zip(old, piece.tracks, strict=True)
                    if len(n) > LENGTHS[0] and not t.is_drum
                ]
                rows.append(("as many bars before", longest(lines, known)))
    if chosen.truth is not None:
        rows += [("people", longest(lines_of(read(path)), known)) for path in sorted(chosen.truth.rglob("*.mid"))]
    for name in dict.fromkeys(name for name, _ in rows):
        found = np.array([length for each, length in rows if each == name])
        shares = ", ".join(f"{length + 1} or more: {(found > length).mean():.2f}" for length in (16, 24, 32, 48))
        print(f"{name}: {len(found)}, longest {found.max()}, median {np.median(found):.0f}; {shares}")
    return 0 if rows else 3


if __name__ == "__main__":
    sys.exit(main())
