"""From takes to figures: what each rival's takes measure, how far they are from the truth, and intervals around both.

An interval is the middle 95 % of what comes out when pieces are drawn with replacement; the takes of a piece stay
together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .classifier import area_under_curve, cross_validated
from .passage import BARS, Case, Passage
from .rivals import Rival
from .table import COMPARED, NUMBERS, Value, distances, features, measured

__all__ = ["CONTROL", "STRANGER", "TRUTH", "Estimate", "Scores", "bootstrap", "over_stranger"]

TRUTH, STRANGER = "truth", "a stranger's bars"
CONTROL = "true bars told from true bars: the last eight before the cut, beside what was before them"
DRAWS = 1000
FEWEST = 3  # pieces of which a statistic can be averaged


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval, and over how many pieces."""

    value: float
    low: float = np.nan
    high: float = np.nan
    pieces: int = 0

    def show(self, form: str = ".3f") -> str:
        """The figure and its interval; a dash where there is none."""
        if np.isnan(self.value):
            return "-"
        return f"{self.value:{form}} ({self.low:{form}} to {self.high:{form}})"


def bootstrap(figure: Callable[[np.ndarray], float], groups: Sequence[int], *, seed: int = 0) -> Estimate:
    """`figure` of the indices of pieces; `groups` says the kind of each, and as many of each kind are drawn."""
    groups_N = np.asarray(groups)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups_N == g) for g in np.unique(groups_N)]
    drawn = [figure(np.concatenate([rng.choice(m, len(m)) for m in members])) for _ in range(DRAWS)] if members else []
    drawn = [value for value in drawn if not np.isnan(value)]
    value = figure(np.arange(len(groups_N))) if members else np.nan
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist() if drawn else (np.nan, np.nan)
    return Estimate(float(value), low, high, len(groups_N))


def over_stranger(ours: np.ndarray, strangers: np.ndarray, floors: np.ndarray) -> float:
    """The geometric mean over statistics of distances to the truth over a stranger's.

    `ours` and `strangers` are (pieces, statistics), nan where there was nothing to compare. Each statistic is averaged
    over the pieces where both have it, and `floors` is added to both, so that a distance of nothing doesn't count for
    everything; a statistic that fewer than three pieces have is left out.
    """
    both = ~np.isnan(ours) & ~np.isnan(strangers)
    count = both.sum(0)
    enough = count >= min(FEWEST, len(ours))
    if not enough.any():
        return np.nan
    mean = [np.where(both, table, 0).sum(0)[enough] / count[enough] + floors[enough] for table in (ours, strangers)]
    return float(np.exp(np.log(mean[0] / mean[1]).mean()))


@dataclass
class Scores:
    """All that was measured: `values[rival][piece]` lists what each take has, `far` how far that is from the truth."""

    cases: Sequence[Case]
    values: dict[str, dict[str, list[dict[str, Value]]]] = field(default_factory=dict)
    far: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    recent: dict[str, dict[str, Value]] = field(default_factory=dict)  # of the eight bars before the cut
    older: dict[str, dict[str, Value]] = field(default_factory=dict)  # of the eight before those, where there are any
    missing: dict[str, int] = field(default_factory=dict)  # takes that a rival couldn't make

    def __post_init__(self) -> None:
        self.kinds = {case.name: case.kind for case in self.cases}
        self.values[TRUTH] = {}
        for case in self.cases:
            older = case.before.only(0, max(0, case.bar - BARS))
            self.recent[case.name] = measured(case.before.last(), older)
            if len(older.notes):
                self.older[case.name] = measured(older.last(), older.only(0, max(0, older.n_bars - BARS)))
            self.values[TRUTH][case.name] = [measured(case.truth, case.before)]

    def add(self, rival: str, of: Rival | dict[str, list[Passage | None]], *, takes: int) -> None:
        """Measure `takes` takes of every piece."""
        self.values[rival], self.far[rival], self.missing[rival] = {}, {}, 0
        for case in self.cases:
            made = [of(case, k) for k in range(takes)] if callable(of) else of[case.name]
            heard = [measured(new, case.before) for new in made if new is not None and len(new.notes)]
            self.missing[rival] += len(made) - len(heard)
            if heard:
                self.values[rival][case.name] = heard
                (true,) = self.values[TRUTH][case.name]
                self.far[rival][case.name] = [distances(one, true) for one in heard]

    # ---- figures ----

    def number(self, rival: str, of: Callable[[dict[str, Value]], float], *, kinds: Sequence[str]) -> Estimate:
        """The mean over pieces of the mean over takes of a number, where there is one."""
        names = [name for name in self.values[rival] if self.kinds[name] in kinds]
        means = {name: _mean([of(one) for one in self.values[rival][name]]) for name in names}
        known = [name for name in names if not np.isnan(means[name])]
        column = np.array([means[name] for name in known])
        return bootstrap(lambda at: float(column[at].mean()), [kinds.index(self.kinds[name]) for name in known])

    def distance(self, rival: str, *, kinds: Sequence[str]) -> Estimate:
        """Distances to the truth over a stranger's; for more than one kind the geometric mean of the kinds' figures."""
        far, strangers = self.far[rival], self.far[STRANGER]
        names = [name for name in far if name in strangers and self.kinds[name] in kinds]
        groups = np.array([kinds.index(self.kinds[name]) for name in names])
        floors = np.array([each.floor for each in COMPARED.values()])
        ours, theirs = (
            np.array([[_mean([one[s] for one in table[name]]) for s in COMPARED] for name in names])
            for table in (far, strangers)
        )

        def figure(at: np.ndarray) -> float:
            each = [over_stranger(ours[at[groups[at] == g]], theirs[at[groups[at] == g]], floors) for g in set(groups)]
            return float(np.exp(np.mean(np.log(each)))) if each else np.nan

        return bootstrap(figure, groups.tolist())

    def by_statistic(self, rival: str, *, kinds: Sequence[str]) -> dict[str, float]:
        """Each statistic's mean distance to the truth, over pieces of all `kinds`."""
        names = [name for name in self.far[rival] if self.kinds[name] in kinds]
        return {s: _mean([_mean([one[s] for one in self.far[rival][name]]) for name in names]) for s in COMPARED}

    def area(self, rival: str, *, kinds: Sequence[str]) -> Estimate:
        """The area under the curve of a classifier that tells the rival's takes from true continuations.

        CONTROL is a rival here: true continuations again, of the same pieces eight bars earlier.
        """
        if rival == CONTROL:
            names = [name for name in self.older if self.kinds[name] in kinds]
            takes = [(name, features(self.recent[name], self.older[name])) for name in names]
        else:
            names = [name for name in self.values[rival] if self.kinds[name] in kinds]
            takes = [(name, features(one, self.recent[name])) for name in names for one in self.values[rival][name]]
        truths = [(name, features(self.values[TRUTH][name][0], self.recent[name])) for name in names]
        if len(names) < 2 * FEWEST:
            return Estimate(np.nan)
        told = [np.array([list(one.values()) for _, one in rows]) for rows in (takes, truths)]
        owners = tuple([name for name, _ in rows] for rows in (takes, truths))
        scores = cross_validated(*told, pieces=owners, kinds=self.kinds)
        place = {name: n for n, name in enumerate(names)}
        of = np.array([place[name] for rows in (takes, truths) for name, _ in rows])
        positive = np.arange(len(scores)) < len(takes)
        rows_of = [np.flatnonzero(of == n) for n in range(len(names))]

        def figure(at: np.ndarray) -> float:
            rows = np.concatenate([rows_of[n] for n in at])
            return area_under_curve(scores[rows], positive[rows])

        return bootstrap(figure, [kinds.index(self.kinds[name]) for name in names])

    def as_json(self) -> dict:
        """Everything by rival, piece and take, as JSON has it."""
        numbers = {
            rival: {name: [{s: _plain(one[s]) for s in NUMBERS} for one in takes] for name, takes in pieces.items()}
            for rival, pieces in self.values.items()
        }
        far = {
            rival: {name: [{s: _plain(d) for s, d in one.items()} for one in takes] for name, takes in pieces.items()}
            for rival, pieces in self.far.items()
        }
        pieces = [{"name": c.name, "kind": c.kind, "bar": c.bar, "cut_tick": c.cut} for c in self.cases]
        return {"pieces": pieces, "numbers": numbers, "distances": far, "takes_missing": self.missing}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else np.nan


def _plain(value: Value) -> float | None:
    return None if value is None or np.isnan(value) else round(float(value), 6)  # type: ignore[arg-type]
