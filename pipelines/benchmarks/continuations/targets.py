"""The targets: what is printed of takes beside what is true of the music that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .scores import Estimate, Scores
from .table import Value

__all__ = ["SCORES", "TARGETS", "WITH_DRUMS", "Target"]

SCORES = ("piano score", "song", "quartet or orchestra", "folk")
WITH_DRUMS = ("band with drums", "drums alone")
BANDS_AND_POP = ("band with drums", "pop piano")


@dataclass(frozen=True)
class Target:
    """A figure of a rival, of some kinds or all, and the value that it should be below or above; None: told only."""

    label: str
    of: Callable[[Scores, str, Sequence[str]], Estimate]
    below: float | None = None
    above: float | None = None
    kinds: tuple[str, ...] = ()

    def estimate(self, scores: Scores, rival: str, kinds: Sequence[str]) -> Estimate:
        mine = [kind for kind in kinds if not self.kinds or kind in self.kinds]
        return self.of(scores, rival, mine)

    def wanted(self) -> str:
        if self.below is None and self.above is None:
            return ""
        return f"< {self.below:g}" if self.below is not None else f"> {self.above:g}"

    def met(self, value: float) -> bool:
        return value < self.below if self.below is not None else value > (self.above or 0.0)


def _number(of: Callable[[dict[str, Value]], float]) -> Callable[[Scores, str, Sequence[str]], Estimate]:
    return lambda scores, rival, kinds: scores.number(rival, of, kinds=kinds)


def _value(name: str) -> Callable[[Scores, str, Sequence[str]], Estimate]:
    return _number(lambda one: one[name])  # type: ignore[arg-type, return-value]


def _share(name: str, test: Callable[[float], bool]) -> Callable[[Scores, str, Sequence[str]], Estimate]:
    """The share of takes whose number passes the test."""

    def of(one: dict[str, Value]) -> float:
        value = float(one[name])  # type: ignore[arg-type]
        return np.nan if np.isnan(value) else float(test(value))

    return _number(of)


def _distance(scores: Scores, rival: str, kinds: Sequence[str]) -> Estimate:
    return scores.distance(rival, kinds=kinds) if rival in scores.far else Estimate(np.nan)


TARGETS = (
    Target("distance over a stranger's", _distance, below=0.65),
    Target("the same, bands and pop", _distance, below=0.70, kinds=BANDS_AND_POP),
    Target("new drum notes within the kit", _value("drums in the kit"), above=0.97, kinds=WITH_DRUMS),
    Target("groove of adjacent bars, drums", _value("drum groove"), above=0.55, kinds=WITH_DRUMS),
    Target("off-grid onsets in scores", _value("off a grid that the prompt keeps"), below=0.03, kinds=SCORES),
    Target("likeness to the best earlier bar", _value("bar likeness"), above=0.28),
    Target("bars that return, exactly or transposed", _value("transposed returns"), above=0.08),
    Target("takes that lose a part", _share("lost parts", lambda lost: lost > 0), below=0.03),
    Target(
        "takes of doubled or halved density",
        _share("density over the prompt's", lambda ratio: not 0.5 <= ratio <= 2),
        below=0.04,
    ),
    Target(
        "takes whose velocity is off by more than 15",
        _share("velocity over the prompt's", lambda off: abs(off) > 15),
        below=0.03,
    ),
    Target("lines broken", _value("broken lines")),
    Target("overlapping notes in lines", _value("overlaps in lines")),
    Target("growth of range, semitones", _value("growth of range")),
    Target(
        "AUC against the truth",
        lambda scores, rival, kinds: scores.area(rival, kinds=kinds) if rival in scores.far else Estimate(np.nan),
        below=0.80,
    ),
)
