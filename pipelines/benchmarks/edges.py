"""How often `check` finds fault with true bars, as if a hole had been filled with them, and with faults planted there.

    python pipelines/benchmarks/edges.py FOLDER.. [--pieces 100]

Of each folder's pieces some are taken in turn, in the order of a hash of their names; in each two holes of four bars
are looked at, with all parts as written and with one of those that play there. As a writer does, notes end with the
hole.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from measure import header, parser, table

from musicgen.errors import MusicgenError
from musicgen.io import read
from musicgen.piece import NOTE, Piece, Span, notes_array
from musicgen.seams import seams

BARS, HOLES, LEAST = 4, 2, 20  # bars of a hole; holes of a piece; bars that a piece has
MOST = 6000  # notes of a piece
Change = Callable[[np.ndarray, Span, int, float], np.ndarray]  # of new notes; quarter and bar in ticks


def pieces(folders: list[str], count: int) -> Iterator[tuple[str, Piece]]:
    """(name, piece) from the folders in turn."""
    found = []
    for folder in map(Path, folders):
        names = [path for ext in ("mid", "mxl") for path in folder.rglob(f"*.{ext}")]
        found.append(sorted(names, key=lambda path: hashlib.sha256(path.name.encode()).digest()))
    for path in chain.from_iterable(zip_longest(*found)):
        try:
            piece = None if path is None else read(path)
        except MusicgenError:
            continue
        if path is not None and piece is not None and piece.n_notes <= MOST and len(bar_lines(piece)) >= LEAST:
            yield path.name, piece
            count -= 1
        if not count:
            return


def bar_lines(piece: Piece) -> np.ndarray:
    lines: np.ndarray = np.rint(piece.bar_starts(max(0, piece.end - 1))[0]).astype(np.int64)
    return lines


def holes(name: str, piece: Piece) -> Iterator[Span]:
    """Holes in which something plays."""
    lines, rng = bar_lines(piece), random.Random(name)
    for _ in range(HOLES):
        bar = rng.randrange(6, len(lines) - BARS - 6)
        span = Span(int(lines[bar]), int(lines[bar + BARS]), is_open=False)
        if any(inside(track.notes, span).any() for track in piece.tracks):
            yield span


def inside(notes: np.ndarray, span: Span) -> np.ndarray:
    mask: np.ndarray = (notes["start"] >= span.begin) & (notes["start"] < span.end)
    return mask


def changed(piece: Piece, span: Span, written: list[int], change: Change) -> Piece:
    """The piece with its parts `written` changed in the hole."""
    numerator, denominator = piece.meter_at(span.begin)
    quarter, tracks = piece.ticks_per_quarter, list(piece.tracks)
    for n in written:
        notes = tracks[n].notes.copy()
        mine = inside(notes, span)
        new = change(notes[mine], span, quarter, 4 * quarter * numerator / denominator)
        tracks[n] = replace(tracks[n], notes=notes_array(np.concatenate([notes[~mine], new])))
    return replace(piece, tracks=tuple(tracks))


# ---- what is planted ---------------------------------------------------------------------------------


def clipped(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    new["duration"] = np.minimum(new["duration"], span.end - new["start"])
    return new


def hanging(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    new["duration"][-1:] += round(8 * bar)
    return new


def spilling(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    last = new["start"] >= span.end - quarter
    last[-1:] = True
    new["duration"][last] = span.end + quarter - new["start"][last]
    return new


def nothing(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    return np.empty(0, NOTE)


def no_last_bar(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    return new[new["start"] < span.end - bar]


def no_first_bar(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    return new[new["start"] >= span.begin + bar]


def semitone(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    new["pitch"] += 1
    return new


def leap(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    last = new["start"] >= span.end - bar
    high = new["pitch"].mean() > 64 if len(new) else False
    new["pitch"][last] = np.clip(new["pitch"][last].astype(int) + (-31 if high else 31), 0, 127)
    return new


def shifted(new: np.ndarray, span: Span, quarter: int, bar: float) -> np.ndarray:
    new["start"] = np.minimum(new["start"] + round(quarter / 5), span.end - 1)
    return clipped(new, span, quarter, bar)


PLANTED: dict[str, Change] = {
    "true bars": clipped,
    "the last note hangs": hanging,
    "notes spill a beat over the edge": spilling,
    "no notes": nothing,
    "no notes in the last bar": no_last_bar,
    "no notes in the first bar": no_first_bar,
    "a semitone higher": semitone,
    "the last bar 31 semitones away": leap,
    "a fifth of a beat late": shifted,
}


def main() -> int:
    made = parser(__doc__)
    made.add_argument("folders", nargs="+", metavar="FOLDER")
    made.add_argument("--pieces", type=int, default=100)
    chosen = made.parse_args()
    header("Edges of holes: true bars and planted faults", "numpy", "musicgen-symbolic")
    taken = list(pieces(chosen.folders, 8 if chosen.quick else chosen.pieces))
    seen, alarms, kinds = Counter(), Counter(), {name: Counter() for name in PLANTED}
    ties = 0
    for name, piece in taken:
        for span in holes(name, piece):
            playing = [n for n, track in enumerate(piece.tracks) if inside(track.notes, span).any()]
            for which, written in (("all parts", playing), ("one part", [playing[len(playing) // 2]])):
                seen[which] += 1
                ties += which == "all parts" and bool(found(piece, span, written))
                true = changed(piece, span, written, clipped)
                for what, change in PLANTED.items():
                    melodic = [n for n in written if not piece.tracks[n].is_drum]
                    where = melodic if change in (semitone, leap) else written
                    told = found(changed(true, span, where, change), span, written)
                    alarms[what, which] += bool(told)
                    kinds[what].update(told)
    rows = [
        [
            what,
            *(f"{100 * alarms[what, which] / max(1, seen[which]):.1f} %" for which in seen),
            ", ".join(f"{kind} {count}" for kind, count in kinds[what].most_common()),
        ]
        for what in PLANTED
    ]
    table(["in the hole", *(f"{which}, {seen[which]} holes" for which in seen), "faults told"], rows)
    share = f"{ties} of {seen['all parts']}"
    print(
        f"\n{len(taken)} pieces. True bars as they are, with ties over the last bar line, are told of in {share} holes."
    )
    return 0


def found(piece: Piece, span: Span, written: list[int]) -> set[str]:
    """The kinds of faults that `check` tells of a take with this hole."""
    numbers = [n + 1 for n in written]
    facts = {
        "end_tick": span.end,
        "parts_written": [str(n) for n in numbers],
        "part_numbers": numbers,
        "settings": {"tracks": [str(n) for n in numbers]},
    }
    return {fault.kind for finding in seams(piece, facts, span) for fault in finding.faults}


if __name__ == "__main__":
    sys.exit(main())
