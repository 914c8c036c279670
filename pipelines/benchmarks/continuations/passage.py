"""A passage: the notes of some whole bars, with the part that plays each; and one piece, cut in two.

Time is in quarters since the beginning of the piece. A bar holds the onsets that lie nearest to its places on a grid
of twelfths of a quarter, so that a stroke played a little early belongs to the beat that it means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from musicgen.piece import Piece

__all__ = ["BARS", "GRID", "ROW", "Case", "Passage", "Part", "bar_lines", "join", "passage_of", "rows_of", "until"]

BARS = 8  # of a continuation, and of what is heard as the music just before it
GRID = 12  # places a quarter: sixteenths and triplets lie on it
ROW = np.dtype(
    [("start", "f8"), ("duration", "f8"), ("pitch", "i2"), ("velocity", "i2"), ("part", "i2"), ("drum", "?")]
)
Part = tuple[str, int, bool]  # name, program, whether it is drums


@dataclass(frozen=True, eq=False)
class Passage:
    """`notes` (ROW, sorted by start, then pitch) within the bar lines `bars`, (n + 1,) with the end of the last bar."""

    notes: np.ndarray
    bars: np.ndarray

    def __post_init__(self) -> None:
        order = np.lexsort((self.notes["pitch"], self.notes["start"]))
        object.__setattr__(self, "notes", self.notes[order])

    @property
    def n_bars(self) -> int:
        return len(self.bars) - 1

    @property
    def pitched(self) -> np.ndarray:
        return self.notes[~self.notes["drum"]]

    @property
    def drums(self) -> np.ndarray:
        return self.notes[self.notes["drum"]]

    @cached_property
    def bar(self) -> np.ndarray:
        """The bar of each note, counted from 0 within the passage."""
        at = np.searchsorted(self.bars, self.notes["start"] + 0.5 / GRID, side="right") - 1
        return np.clip(at, 0, max(0, self.n_bars - 1))

    @cached_property
    def slot(self) -> np.ndarray:
        """The place of each note in its bar, in twelfths of a quarter."""
        return np.maximum(0, np.rint((self.notes["start"] - self.bars[self.bar]) * GRID)).astype(np.int64)

    @cached_property
    def contents(self) -> list[frozenset[tuple[int, int, bool]]]:
        """What each bar holds: (place, pitch, whether a drum) of every note."""
        found: list[set[tuple[int, int, bool]]] = [set() for _ in range(self.n_bars)]
        columns = (self.bar, self.slot, self.notes["pitch"], self.notes["drum"])
        for bar, *what in zip(*(column.tolist() for column in columns), strict=True):
            found[bar].add(tuple(what))
        return [frozenset(bar) for bar in found]

    def part(self, number: int) -> np.ndarray:
        return self.notes[self.notes["part"] == number]

    def only(self, first: int, last: int) -> Passage:
        """The bars `first` to `last` (not with it), negative ones counted from the end as in a slice."""
        first, last, _ = slice(first, last).indices(self.n_bars)
        mine = (self.bar >= first) & (self.bar < last)
        return Passage(self.notes[mine], self.bars[first : last + 1])

    def last(self, count: int = BARS) -> Passage:
        return self.only(max(0, self.n_bars - count), self.n_bars)

    def onto(self, bars: np.ndarray) -> Passage:
        """The same notes moved bar by bar to other bar lines; what lies behind a shorter bar's end is left out."""
        count = min(self.n_bars, len(bars) - 1)
        notes = self.notes.copy()
        notes["start"] += bars[np.minimum(self.bar, count - 1)] - self.bars[self.bar]
        lines = np.append(bars[:count], np.inf) if count < len(bars) - 1 else bars
        fits = (self.bar < count) & (notes["start"] < lines[np.minimum(self.bar, count - 1) + 1] - 0.5 / GRID)
        notes = notes[fits]
        notes["start"] = np.maximum(notes["start"], bars[0])
        notes["duration"] = np.minimum(notes["duration"], bars[-1] - notes["start"])
        return Passage(notes, bars)

    def transposed(self, semitones: int) -> Passage:
        notes = self.notes.copy()
        moved = notes["pitch"] + np.where(notes["drum"], 0, semitones)
        # A note that would leave the keyboard goes to its octave inside.
        notes["pitch"] = moved + 12 * (moved < 0) - 12 * (moved > 127)
        return Passage(notes, self.bars)


@dataclass(frozen=True, eq=False)
class Case:
    """One piece of a kind, cut at a bar line: what was before, and the eight bars that truly follow.

    `prompt` is a MIDI file of the music before the cut, and of nothing else; `bar` counts from 0.
    """

    name: str
    kind: str
    piece: Piece
    prompt: Path
    bar: int
    cut: int  # ticks
    parts: tuple[Part, ...]
    before: Passage
    truth: Passage


def bar_lines(piece: Piece, *, until_bar: int | None = None) -> np.ndarray:
    """Bar lines in quarters, with the end of the last bar that has notes, or up to the line that begins `until_bar`."""
    starts, _ = piece.bar_starts(max(0, piece.end - 1))
    while until_bar is not None and len(starts) < until_bar + 2:
        starts, _ = piece.bar_starts(int(np.ceil(starts[-1])) + 8 * (until_bar + 2) * piece.ticks_per_quarter)
    numerator, denominator = piece.meter_at(int(starts[-1]))
    end = starts[-1] + 4 * piece.ticks_per_quarter * numerator / denominator
    lines = np.append(starts, end) / piece.ticks_per_quarter
    return lines if until_bar is None else lines[: until_bar + 1]


def rows_of(piece: Piece, *, numbers: Sequence[int] | None = None) -> np.ndarray:
    """All notes of a piece as ROW; `numbers` gives each track its part, in place of its place in the list."""
    tables = []
    for n, track in enumerate(piece.tracks):
        rows = np.zeros(len(track.notes), ROW)
        for column in ("start", "duration"):
            rows[column] = track.notes[column] / piece.ticks_per_quarter
        for column in ("pitch", "velocity"):
            rows[column] = track.notes[column]
        rows["part"], rows["drum"] = n if numbers is None else numbers[n], track.is_drum
        tables.append(rows)
    return np.concatenate(tables) if tables else np.empty(0, ROW)


def passage_of(piece: Piece, first: int, last: int, *, lines: np.ndarray | None = None) -> Passage:
    """The notes that begin in bars `first` to `last` (not with it) of a piece, ended where the passage ends."""
    lines = bar_lines(piece, until_bar=last) if lines is None else lines
    return join(rows_of(piece), lines[first : last + 1])


def join(rows: np.ndarray, bars: np.ndarray) -> Passage:
    """The passage of those `rows` that begin within `bars`; nothing sounds on behind it."""
    # Half a tick, so that a bar line that isn't a whole tick loses nothing.
    rows = rows[(rows["start"] >= bars[0] - 1e-3) & (rows["start"] < bars[-1] - 1e-3)].copy()
    rows["duration"] = np.minimum(rows["duration"], bars[-1] - rows["start"])
    return Passage(rows, bars)


def until(piece: Piece, cut: int) -> Piece:
    """The piece as if it had been written up to `cut` ticks and no further."""
    tracks = []
    for track in piece.tracks:
        notes = track.notes[track.notes["start"] < cut].copy()
        notes["duration"] = np.minimum(notes["duration"], cut - notes["start"])
        if len(notes):
            controls, bends = (rows[rows["tick"] < cut] for rows in (track.controls, track.bends))
            tracks.append(replace(track, notes=notes, controls=controls, bends=bends))
    maps = {name: getattr(piece, name) for name in ("tempos", "meters", "keys")}
    return replace(piece, tracks=tuple(tracks), **{name: rows[rows["tick"] < cut] for name, rows in maps.items()})
