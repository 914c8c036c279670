"""Which statistics are compared and how: the distance of each, and what is made of them for a take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import statistics as s
from .passage import Passage

__all__ = ["COMPARED", "NUMBERS", "Compared", "distances", "features", "measured"]

Value = float | np.ndarray | None

ON_GRID = 0.1  # of the onsets may lie beside the grid that a piece is said to keep


@dataclass(frozen=True)
class Compared:
    """A statistic, how far two of its values are apart, and the distance below which two values are as good as one.

    Without that floor a statistic in which a stranger happens to be right, as when no bar returns, would weigh most.
    """

    of: Callable[[Passage, Passage], Value]
    apart: Callable
    floor: float = 0.02


def _difference(a: float, b: float) -> float:
    return abs(a - b)


def _ratio(a: float, b: float) -> float:
    """The logarithm of the ratio, whichever is larger; a factor of eight at most."""
    return float(abs(np.log(np.clip(max(a, 1e-3) / max(b, 1e-3), 1 / 8, 8))))


COMPARED: dict[str, Compared] = {
    "pitch classes": Compared(s.pitch_classes, s.total_variation),
    "key": Compared(s.key, s.total_variation),
    "dissonance": Compared(s.dissonance, _difference, 0.01),
    "polyphony": Compared(s.polyphony, _ratio),
    "density": Compared(s.density, _ratio),
    "onset gaps": Compared(s.onset_gaps, s.earth, 0.1),
    "durations": Compared(s.durations, s.earth, 0.1),
    "places in the bar": Compared(s.places, s.total_variation),
    "groove": Compared(s.groove, _difference, 0.05),
    "velocity": Compared(s.velocity, _difference, 2.0),
    "velocities": Compared(s.velocities, s.earth, 0.1),
    "exact returns": Compared(s.exact_returns, _difference, 1 / 8),
    "transposed returns": Compared(s.transposed_returns, _difference, 1 / 8),
    "rhythmic returns": Compared(s.rhythmic_returns, _difference, 1 / 8),
    "bar likeness": Compared(s.likeness, _difference, 0.05),
    "intervals": Compared(s.intervals, s.earth, 0.1),
    "steps": Compared(s.steps, _difference, 0.05),
    "leaps": Compared(s.leaps, _difference, 0.05),
    "range": Compared(s.pitch_range, _difference, 1.0),
    "growth of range": Compared(s.range_growth, _difference, 0.5),
    "parts present": Compared(s.parts_present, _difference, 0.05),
    "shares of parts": Compared(s.shares, s.total_variation),
    "overlaps in lines": Compared(s.overlaps, _difference, 0.01),
    "drum kit": Compared(s.kit, s.total_variation),
    "drums in the kit": Compared(s.in_kit, _difference),
    "drum pattern": Compared(s.drum_pattern, s.total_variation),
    "drum groove": Compared(s.drum_groove, _difference, 0.05),
    "seam": Compared(s.seam, _difference, 0.05),
}
# Told as they are, beside those above that are numbers.
TOLD: dict[str, Callable[[Passage, Passage], float]] = {
    "off the grid": s.off_grid,
    "off a grid that the prompt keeps": lambda new, before: (
        s.off_grid(new, before) if s.off_grid(before.last(), before) <= ON_GRID else np.nan
    ),
    "lost parts": s.lost_parts,
    "broken lines": s.broken_lines,
    "density over the prompt's": lambda new, before: _over(s.density(new, before), s.density(before.last(), before)),
    "velocity over the prompt's": lambda new, before: s.velocity(new, before) - s.velocity(before.last(), before),
}
HISTOGRAMS = {name for name, each in COMPARED.items() if each.apart in (s.total_variation, s.earth)}
NUMBERS = [*(name for name in COMPARED if name not in HISTOGRAMS), *TOLD]


def _over(a: float, b: float) -> float:
    return a / b if b else np.nan


def measured(new: Passage, before: Passage) -> dict[str, Value]:
    """Every statistic of new bars."""
    named = {name: each.of for name, each in COMPARED.items()} | TOLD
    return {name: of(new, before) for name, of in named.items()}


def distances(a: dict[str, Value], b: dict[str, Value]) -> dict[str, float]:
    """How far two passages are apart in each statistic; nan where either has nothing to measure."""
    return {name: _apart(name, a[name], b[name]) for name in COMPARED}


def _apart(name: str, a: Value, b: Value) -> float:
    if a is None or b is None or np.isnan(a).any() or np.isnan(b).any():
        return np.nan
    return float(COMPARED[name].apart(a, b))


def features(new: dict[str, Value], recent: dict[str, Value]) -> dict[str, float]:
    """What a classifier is told of new bars: their numbers, and how far they are from the eight bars before the cut."""
    told = {name: float(new[name]) for name in NUMBERS}  # type: ignore[arg-type]
    return told | {f"{name}, from the prompt's": far for name, far in distances(new, recent).items()}
