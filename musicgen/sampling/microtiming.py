"""Microtiming: how far a part's onsets deviate from the grid, and how long it holds notes of a given notated length.

Models read and write grid steps. The residual, a note's deviation from its grid step, is measured on the notes before
the cut and applied to new notes at the same position of the bar, or of the beat. So a drummer who plays behind the beat
goes on doing so, a file with a constant offset keeps it, and quantised music stays quantised. Music that follows no
beat is left on the grid, for its residuals mean nothing. Ticks are those of the piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Beat", "Strokes", "deviations", "gates", "on_the_beat"]

SAME = 0.8  # share of equal residuals from which that residual is applied to all new notes
ON_BEAT = 0.45  # least mean resultant length (0..1) of onset phases relative to 1/4, 1/3 or 1/6 of a quarter
FEWEST_ONSETS = 24  # needed to detect a beat
FEWEST_LIKE = 3  # notes of one notated length needed to measure how long it is held


@dataclass(frozen=True)
class Beat:
    """A grid with a bar line at tick `origin`, bars of `bar_length` ticks and `steps` steps per quarter."""

    origin: float
    bar_length: float
    ticks_per_quarter: int
    steps: int
    durations: np.ndarray  # the steps that a note may last, ascending

    @property
    def step(self) -> float:
        """The length of a grid step in ticks."""
        return self.ticks_per_quarter / self.steps

    def nearest(self, ticks: np.ndarray) -> np.ndarray:
        """The nearest grid step of each tick, counted from the origin."""
        return np.floor((ticks - self.origin) / self.step + 0.5).astype(np.int64)

    def tick_of(self, steps: np.ndarray) -> np.ndarray:
        return np.rint(self.origin + steps * self.step).astype(np.int64)

    def duration_steps(self, ticks: np.ndarray) -> np.ndarray:
        """The nearest of `durations`, in steps, to each length in ticks."""
        middles = (self.durations[1:] + self.durations[:-1]) / 2
        return self.durations[np.searchsorted(middles, np.maximum(1, np.floor(ticks / self.step + 0.5)), side="right")]


@dataclass(frozen=True)
class Strokes:
    """The distinct onsets of one part: grid step, residual in ticks (median of a chord), bar, and step in the bar."""

    at: np.ndarray
    residual: np.ndarray
    bar: np.ndarray
    place: np.ndarray

    @classmethod
    def of(cls, start: np.ndarray, beat: Beat) -> Strokes:
        """The strokes of notes with onsets `start`, in ticks."""
        at = beat.nearest(start)
        residual = start - beat.tick_of(at)
        order = np.lexsort((residual, at))
        at, first, size = np.unique(at[order], return_index=True, return_counts=True)
        residual = residual[order][first + (size - 1) // 2]
        per_bar = max(1, round(beat.bar_length / beat.step))
        return cls(at, residual, at // per_bar, at % per_bar)


def on_the_beat(start: np.ndarray, beat: Beat) -> bool:
    """Whether onsets, in ticks, follow the beat: their phases cluster relative to sixteenths, triplets or sextuplets.

    False for fewer than FEWEST_ONSETS distinct onsets.
    """
    start = np.unique(start)
    if len(start) < FEWEST_ONSETS:
        return False
    quarters = (start - beat.origin) / beat.ticks_per_quarter
    even: bool = max(abs(np.exp(2j * np.pi * n * quarters).mean()) for n in (4, 3, 6)) >= ON_BEAT
    return even


def deviations(
    new: Strokes, old: Strokes, *, beat: Beat, played: bool, source: dict[int, int], seed: Sequence[int]
) -> np.ndarray:
    """The deviation of each new stroke from the grid, in ticks, modelled on the `old` strokes of its part.

    If most old residuals are equal, that value is used for all; else 0 for all unless `played`, which says that the
    part follows the beat. For a played part a residual is drawn, by `seed`, from the old strokes at the same position
    of the bar, or of the beat where these are fewer than two; the median residual is used if there are none. `source`
    maps each new bar to an old one whose strokes are preferred, so that parts which strike together stay together.
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
        drawn = generator.random()  # one per stroke, whether it is used or not
        if not len(like):
            continue
        there = like[old.bar[like] == source[bar]] if bar in source else like[:0]
        like = there if len(there) else like
        found[k] = old.residual[like[int(drawn * len(like))]]
    return found


def gates(duration: np.ndarray, old: np.ndarray, *, beat: Beat) -> np.ndarray:
    """New durations in ticks, changed to be held as long as the part holds notes of the same notated length.

    `old` are the durations in ticks that the part has played.
    """
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
