"""Where eight new bars can come from beside a model: the piece, its neighbours, and chance.

A rival is a function of (case, number of the take) that gives a passage in the case's parts and bar lines, or None
where it has nothing to give. The same arguments give the same notes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from .passage import BARS, GRID, ROW, Case, Passage, join
from .statistics import pitch_classes

__all__ = ["RIVALS", "Rival", "earlier", "markov", "repeat", "strangers", "truth"]

MOST_STEPS = 8000  # a chain may run around one chord for ever

Rival = Callable[[Case, int], Passage | None]


def truth(case: Case, take: int) -> Passage | None:
    """What truly follows."""
    return case.truth if not take else None


def repeat(case: Case, take: int) -> Passage | None:
    """The last eight bars once more."""
    return case.before.last().onto(case.truth.bars) if not take else None


def earlier(case: Case, take: int) -> Passage | None:
    """Eight bars of the piece that lie before the last eight, chosen by lot."""
    most = case.bar - 2 * BARS
    if most < 0:
        return None
    first = int(_lots(case, take).integers(0, most + 1))
    return case.before.only(first, first + BARS).onto(case.truth.bars)


def markov(case: Case, take: int) -> Passage | None:
    """A chain of order 2 over the steps of the piece so far: time since the last note, part, pitch, duration.

    Where two steps never stood together, what followed the last one is drawn from; where it has no follower, all
    steps. A note takes the velocity of the one that it copies.
    """
    notes = case.before.notes
    onset = np.rint(notes["start"] * GRID).astype(np.int64)
    gap = np.minimum(np.diff(onset, prepend=onset[:1]), 4 * GRID)
    length = np.maximum(1, np.rint(notes["duration"] * GRID)).astype(np.int64)
    steps = list(zip(gap.tolist(), notes["part"].tolist(), notes["pitch"].tolist(), length.tolist(), strict=True))
    after: dict[tuple, list[int]] = {(): list(range(len(steps)))}
    for n in range(1, len(steps)):
        after.setdefault((steps[n - 1],), []).append(n)
        if n > 1:
            after.setdefault((steps[n - 2], steps[n - 1]), []).append(n)
    rng, bars = _lots(case, take), case.truth.bars
    at, last, drawn = onset[-1] / GRID, tuple(steps[-2:]), []
    for _ in range(MOST_STEPS):
        choices = next(after[context] for k in range(3) if (context := last[k:]) in after)
        n = int(rng.choice(choices))
        at += steps[n][0] / GRID
        if at >= bars[-1] - 1e-6:
            break
        if at >= bars[0] - 1e-6:
            copied = notes[n].copy()
            copied["start"], copied["duration"] = at, steps[n][3] / GRID
            drawn.append(copied)
        last = (*last[-1:], steps[n])
    return join(np.array(drawn, ROW), bars)


def strangers(cases: Sequence[Case]) -> Rival:
    """The true eight bars of another piece of the kind, of the same meter where there is one, moved into the key.

    They are moved by the semitones that make the pitch classes fit those of the eight bars before the cut, and given
    to the parts: drums to drums, the others from high to low.
    """

    def stranger(case: Case, take: int) -> Passage | None:
        others = [other for other in cases if other.kind == case.kind and other.name != case.name]
        lengths = {other.name: round(float(np.diff(other.truth.bars)[0]), 3) for other in (*others, case)}
        others = [other for other in others if lengths[other.name] == lengths[case.name]] or others
        others.sort(key=lambda other: zlib.crc32(f"{case.name} {other.name}".encode()))
        if take >= len(others):
            return None
        visitor = others[take].truth.onto(case.truth.bars)
        return _given_parts(visitor.transposed(_shift(visitor, case)), case)

    return stranger


def _shift(visitor: Passage, case: Case) -> int:
    """Semitones, -5 to 6, that bring the visitor's pitch classes nearest to those of the last eight bars."""
    theirs, ours = pitch_classes(visitor, visitor), pitch_classes(case.before.last(), case.before)
    if theirs is None or ours is None:
        return 0
    return max((0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6), key=lambda by: float((np.roll(theirs, by) * ours).sum()))


def _given_parts(visitor: Passage, case: Case) -> Passage:
    recent = case.before.last()
    notes = visitor.notes.copy()
    for drum in (False, True):
        hosts = _by_pitch(recent.notes[recent.notes["drum"] == drum])
        guests = _by_pitch(visitor.notes[visitor.notes["drum"] == drum])
        for rank, guest in enumerate(guests):
            mine = (visitor.notes["part"] == guest) & (visitor.notes["drum"] == drum)
            notes["part"][mine] = hosts[rank * len(hosts) // len(guests)] if hosts else len(case.parts)
    return Passage(notes, visitor.bars)


def _by_pitch(notes: np.ndarray) -> list[int]:
    """The parts of some notes from high to low."""
    return sorted(np.unique(notes["part"]).tolist(), key=lambda n: -notes["pitch"][notes["part"] == n].mean())


def _lots(case: Case, take: int) -> np.random.Generator:
    return np.random.default_rng((zlib.crc32(case.name.encode()), take))


RIVALS: dict[str, Rival] = {
    "truth": truth,
    "repeat of the last eight": repeat,
    "Markov of order 2": markov,
    "eight earlier bars": earlier,
}
