"""What lies between grid and playing: how far off the grid a part strikes, and how long it holds what is written.

What models read are steps of a grid. What a step leaves out of a note, the residual, is read from the notes before
the cut and given to new notes that stand alike: on the same step of the bar, or of the beat. So a drummer stays
behind the beat, a file that is shifted stays shifted, and what is quantised stays so. Music that keeps to no beat is
left on the grid: its residuals say nothing. Ticks are those of the piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Beat", "Strokes", "deviations", "gates", "on_the_beat"]

SAME = 0.8  # of the residuals: so many alike are a rule
ON_BEAT = 0.45  # of 1: how far the phases of onsets agree, of four, three or six to a quarter
FEWEST_ONSETS = 24  # that show a beat
FEWEST_LIKE = 3  # notes of one length that show how long it is held


@dataclass(frozen=True)
class Beat:
    """Where the grid lies: a bar line at tick `origin`, bars of `bar_length` ticks, `steps` to a quarter."""

    origin: float
    bar_length: float
    ticks_per_quarter: int
    steps: int
    durations: np.ndarray  # the steps that a note may last, ascending

    @property
    def step(self) -> float:
        """Ticks."""
        return self.ticks_per_quarter / self.steps

    def nearest(self, ticks: np.ndarray) -> np.ndarray:
        """The nearest grid step of each tick, counted from the origin."""
        return np.floor((ticks - self.origin) / self.step + 0.5).astype(np.int64)

    def tick_of(self, steps: np.ndarray) -> np.ndarray:
        return np.rint(self.origin + steps * self.step).astype(np.int64)

    def duration_steps(self, ticks: np.ndarray) -> np.ndarray:
        """The nearest of `durations` to each length."""
        middles = (self.durations[1:] + self.durations[:-1]) / 2
        return self.durations[np.searchsorted(middles, np.maximum(1, np.floor(ticks / self.step + 0.5)), side="right")]


@dataclass(frozen=True)
class Strokes:
    """The onsets of one part: grid step, residual in ticks (of a chord the middle one), bar and place in the bar."""

    at: np.ndarray
    residual: np.ndarray
    bar: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray, beat: Beat) -> Strokes:
        """The strokes of notes that begin at `start`."""
        at = beat.nearest(start)
        residual = start - beat.tick_of(at)
        order = np.lexsort((residual, at))
        at, first, size = np.unique(at[order], return_index=True, return_counts=True)
        residual = residual[order][first + (size - 1) // 2]
        per_bar = max(1, round(beat.bar_length / beat.step))
        return cls(at, residual, at // per_bar, at % per_bar)


def on_the_beat(start: np.ndarray, beat: Beat) -> bool:
    """Whether onsets keep to the beat of the bars: their phases agree within sixteenths, triplets or half of these."""
    start = np.unique(start)
    if len(start) < FEWEST_ONSETS:
        return False
    quarters = (start - beat.origin) / beat.ticks_per_quarter
    even: bool = max(abs(np.exp(2j * np.pi * n * quarters).mean()) for n in (4, 3, 6)) >= ON_BEAT
    return even


def deviations(
    new: Strokes, old: Strokes, *, beat: Beat, played: bool, source: dict[int, int], seed: Sequence[int]
) -> np.ndarray:
    """Ticks by which each new stroke is to leave the grid, in the manner of the old ones of its part.

    `source` names for each new bar an old one, whose strokes at the same places are taken where there are any, so
    that what is struck together stays together; else one is drawn, by `seed`, of those at the same place of the bar
    or of the beat. `played` says that the part keeps to the beat without being on the grid.
    """
    if not len(old.at):
        return np.zeros(len(new.at), np.int64)
    values, counts = np.unique(old.residual, return_counts=True)
    common = int(values[np.argmax(counts)])
    if counts.max() >= SAME * len(old.at):
        return np.full(len(new.at), common)
    if not played:
        return np.zeros(len(new.at), np.int64)
    generator = np.random.default_rng(seed)
    middle = int(np.median(old.residual))
    found = np.full(len(new.at), middle)
    for k, (bar, place) in enumerate(zip(new.bar.tolist(), new.place.tolist(), strict=True)):
        like = np.flatnonzero(old.place == place)
        if len(like) < 2:
            like = np.flatnonzero(old.place % beat.steps == place % beat.steps)
        drawn = generator.random()  # for each stroke one, whether it is used or not
        if not len(like):
            continue
        there = like[old.bar[like] == source[bar]] if bar in source else like[:0]
        like = there if len(there) else like
        found[k] = old.residual[like[int(drawn * len(like))]]
    return found


def gates(duration: np.ndarray, old: np.ndarray, *, beat: Beat) -> np.ndarray:
    """New durations in ticks, each as long as the part holds notes that are written so; `old` are true durations."""
    steps = beat.duration_steps(duration)
    if not len(old):
        return duration
    old_steps = beat.duration_steps(old)
    residual = old - np.rint(old_steps * beat.step).astype(np.int64)
    values, counts = np.unique(residual, return_counts=True)
    rule = int(values[np.argmax(counts)]) if counts.max() >= SAME * len(old) else 0
    out = np.asarray(duration).astype(np.int64)
    for value in np.unique(steps).tolist():
        like = residual[old_steps == value]
        out[steps == value] += int(np.median(like)) if len(like) >= FEWEST_LIKE else rule
    return np.maximum(1, out)
