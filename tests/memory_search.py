"""What the piece did when it last stood so, found by looking at everything: slow, and written from the definitions in
`sources.py` alone. A row r is to be foretold; its place is where row r - 1 leads."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.trust import trust_of, weight_of

BACK = (1, 2, 4, 8)
BARS = (*(f"bar {n}" for n in BACK), "echo")
NOTE_POINTERS = {
    PITCH: ("whole", "moved", "line", "shifted", *BARS),
    DURATION: ("whole", "line", "last", *BARS),
    VELOCITY: ("whole", "last", *BARS),
}
AHEAD = 10**6


class Place(NamedTuple):
    bar: int
    x: int
    part: int
    chord: int
    time: int
    window: int


NOWHERE = Place(-1, -1, -1, 0, 0, 0)


class Search:
    """`value`, `trust`, `share` and `weight` by field, a list a row, as `Recalled` has them; `pitches`, `loudness`."""

    def __init__(self, rows: np.ndarray, layout: MemoryLayout) -> None:
        self.layout, self.rows = layout, [tuple(row) for row in rows.tolist()]
        self.places = self._places()
        self.notes = [r for r in range(1, len(rows)) if self.rows[r][DURATION] and self.places[r - 1].part >= 0]
        self.before = {r: self._of_part(r) for r in range(len(rows))}
        self.keys = {kind: [self._key(r, kind) for r in range(len(rows))] for kind in ("whole", "moved", "rhythm")}
        self.value, self.trust, self.share, self.weight = ({f: [] for f in range(5)} for _ in range(4))
        self.pitches, self.loudness = [], []
        self.lag = None  # in bars, of the last long match
        streaks: Counter = Counter()
        counted: dict = {}
        for r in range(len(rows)):
            self._row(r, streaks, counted)

    def _row(self, r: int, streaks: Counter, counted: dict) -> None:
        pointers = self._pointers(r)
        for field in range(5):
            guesses = self._note(r, field, pointers) if field <= VELOCITY else self._place(r, field, pointers)
            group = self.place(r).part if field <= VELOCITY else None
            own = self.inside(r, field)
            self.value[field].append([value for value, _, _ in guesses])
            trust = []
            for n, (value, level, agrees) in enumerate(guesses):
                streak = streaks[field, n, group]
                trust.append(trust_of(level, streak, agrees) if value >= 0 else 0)
                if value >= 0:
                    streaks[field, n, group] = streak + 1 if value == own else 0
            self.trust[field].append(trust)
            keys = self._keys(r, field)
            found = [counted.setdefault((field, n, key), Counter()) if key else Counter() for n, key in enumerate(keys)]
            self.share[field].append([count[own] / max(1, sum(count.values())) for count in found])
            self.weight[field].append([weight_of(sum(count.values()), len(count)) for count in found])
            for count in found:
                count[own] += 1
        mine, all_before = self.before[r], [n for n in self.notes if n < r]
        heard = [self.inside(n, PITCH) for n in mine[::-1][:2]] + [-1, -1]
        loud = [[self.inside(n, VELOCITY) for n in group] for group in (mine, all_before)]
        none = r not in self.notes
        self.pitches.append([-1, -1] if none else heard[:2])
        self.loudness.append([-1] * 5 if none else [
            *(loud[0][::-1] + [-1, -1])[:2], (loud[1] or [-1])[-1],
            *(sum(group) // len(group) if group else -1 for group in loud),
        ])  # fmt: skip

    # ---- places --------------------------------------------------------------------------------------

    def _places(self) -> list[Place]:
        layout, places = self.layout, []
        bar, window, begins, length, value, ahead = -1, 0, 0, 0, -1, None
        for row in self.rows:
            onset, what = row[ONSET], row[PART]
            x = part = -1
            if onset == layout.bar:
                begins += length
                value = what - layout.meter if layout.meter <= what < layout.tempo else value
                numerator, denominator = value // 7 + 1, 2 ** (value % 7)
                length = -(-numerator * 4 * layout.steps // denominator)
                bar, window = bar + 1, 0
            elif onset == layout.after:
                bar, ahead = AHEAD - 1, bar
            elif onset == layout.here:
                bar, ahead = ahead, None
            elif onset == layout.again:
                window = 0
            elif onset == layout.span:
                window += 1
            elif onset >= layout.position:
                x, part = onset - layout.position + window * layout.span_steps, what - layout.part
            last = places[-1] if places else NOWHERE
            chord = last.chord + 1 if part >= 0 and last[:3] == (bar, x, part) else 0
            places.append(Place(bar, x, part, chord, begins + max(x, 0), window))
        return places

    def place(self, r: int) -> Place:
        return self.places[r - 1] if r else NOWHERE

    def inside(self, r: int, field: int) -> int:
        return self.rows[r][field] - self.layout.first[field]

    def _of_part(self, r: int) -> list[int]:
        part = self.place(r).part
        return [n for n in self.notes if n < r and self.place(n).part == part]

    def _gap(self, r: int) -> int:
        return self.place(r).time - self.place(self.before[r][-1]).time if self.before[r] else 0

    # ---- pointers ------------------------------------------------------------------------------------

    def _key(self, r: int, kind: str) -> tuple:
        pitch, duration, _, onset, part, _ = self.rows[r]
        if kind == "rhythm":
            return onset, part
        if kind == "moved" and self.layout.pitch <= pitch < self.layout.drum:
            return pitch - self.layout.pitch - self._melodic_before(r), duration, onset, part
        return f"{kind} {pitch}", duration, onset, part

    def _melodic_before(self, r: int) -> int:
        found = [self.inside(n, PITCH) for n in self.notes if n < r and self.inside(n, PITCH) < 128]
        return found[-1] if found else -1

    def _pointers(self, r: int) -> dict[str, tuple[int, int]]:
        found = {kind: self._behind_the_same(r, kind) for kind in ("whole", "moved", "rhythm")}
        whole, level = found["whole"]
        if level >= 3:
            here, there = self.place(r), self.place(whole)
            if here.x == there.x and here.bar != there.bar and min(here.bar, there.bar) >= 0:
                self.lag = here.bar - there.bar
        found |= dict.fromkeys(("line", "shifted", "last", *BARS), (-1, 0))
        if r not in self.notes:
            return found
        found["line"], found["shifted"] = self._line(r, (1, 2, 4, 8), 0), self._line(r, (2, 4, 8), 1)
        if self.before[r]:
            found["last"] = self.before[r][-1], 1
        here = self.place(r)
        for n, name in zip((*BACK, self.lag), BARS, strict=True):
            if n is None:
                continue
            wanted = (here.bar - n, here.x, here.part, here.chord)
            same = [p for p in range(1, r) if self.place(p)[:4] == wanted]
            if same and here.bar >= n:
                found[name] = same[0], 1
        return found

    def _behind_the_same(self, r: int, kind: str) -> tuple[int, int]:
        keys = self.keys[kind]
        for level, order in ((4, 16), (3, 8), (2, 4), (1, 2)):
            for p in range(r - 1, order - 1, -1):
                if keys[p - order : p] == keys[r - order : r]:
                    return p, level
        return -1, 0

    def _line(self, r: int, orders: tuple[int, ...], more: int) -> tuple[int, int]:
        def elements(p: int, order: int) -> list[tuple[int, int]] | None:
            mine = self.before[p]
            if len(mine) < order + more:
                return None
            pitch = [self.inside(n, PITCH) for n in mine]
            if more:
                pitch = [0] + [b - a for a, b in zip(pitch, pitch[1:], strict=False)]
            return [(pitch[k], self._gap(mine[k])) for k in range(len(mine) - order, len(mine))] + [(0, self._gap(p))]

        if more and self.inside(self.before[r][-1] if self.before[r] else r, PITCH) >= 128:
            return -1, 0
        for level in range(len(orders), 0, -1):
            mine = elements(r, orders[level - 1])
            for p in [n for n in self.notes if n < r][::-1] if mine else []:
                alike = self.inside(p, PITCH) < 128 if more else self.place(p).part == self.place(r).part
                if alike and elements(p, orders[level - 1]) == mine:
                    return p, level
        return -1, 0

    def _note(self, r: int, field: int, pointers: dict) -> list[tuple[int, int, int]]:
        guesses = []
        for name in NOTE_POINTERS[field]:
            p, level = pointers[name] if r in self.notes else (-1, 0)
            value = self.inside(p, field) if p >= 0 else -1
            if p >= 0 and name == "moved" and value < 128:
                here, there = self._melodic_before(r), self._melodic_before(p)
                value = value - there + here if here >= 0 and there >= 0 else -1
            elif p >= 0 and name == "shifted":
                value += self.inside(self.before[r][-1], PITCH) - self.inside(self.before[p][-1], PITCH)
            if name in ("moved", "shifted") and self.inside(p, PITCH) < 128 and not 0 <= value < 128:
                value = -1
            agrees = int(field == DURATION and p >= 0 and self.rows[p][PITCH] == self.rows[r][PITCH])
            guesses.append((value, level, agrees))
        return guesses

    def _place(self, r: int, field: int, pointers: dict) -> list[tuple[int, int, int]]:
        layout, row, here = self.layout, self.rows[r], self.place(r)
        guesses = []
        for name in ("whole", "rhythm"):
            p, level = pointers[name]
            if p >= 0 and name == "whole" and self.rows[p][:2] != row[:2]:
                p = -1  # the note itself went otherwise
            if p >= 0 and field == PART and self.rows[p][ONSET] != row[ONSET]:
                p = -1
            guesses.append((max(-1, self.inside(p, field)) if p >= 0 else -1, level, 0))
        for n in (*BACK, self.lag):
            if n is None:
                guesses.append((-1, 1, 0))
                continue
            told = [
                q
                for q, told in zip(self.places[:r], self.rows, strict=False)
                if q.part >= 0 or told[ONSET] == layout.bar
            ]
            bar = [q for q in told if q.bar == here.bar - n]
            value = -1
            if here.bar >= n and bar:
                later = sorted(q[1:4] for q in bar if q[1:4] > here[1:4])
                if field == ONSET:
                    value = self._onset_value(later[0][0] if later else None, here.window)
                elif row[ONSET] >= layout.position:
                    chosen = row[ONSET] - layout.position + here.window * layout.span_steps
                    there = [q for q in (later if chosen == here.x else sorted(q[1:4] for q in bar)) if q[0] == chosen]
                    value = there[0][1] + layout.part - layout.meter if there else -1
            guesses.append((value, 1, 0))
        return guesses

    def _onset_value(self, x: int | None, window: int) -> int:
        layout = self.layout
        if x is None:
            return layout.bar - layout.bos
        within = x - window * layout.span_steps
        if within < 0:
            return -1  # a span has gone past it
        return (layout.position + within if within < layout.span_steps else layout.span) - layout.bos

    # ---- counts --------------------------------------------------------------------------------------

    def _keys(self, r: int, field: int) -> list[tuple]:
        here, row = self.place(r), self.rows[r]
        if field <= VELOCITY:
            if r not in self.notes:
                return [()] * (2 if field == VELOCITY else 3)
            last = {f: self.inside(self.before[r][-1], f) if self.before[r] else None for f in (PITCH, DURATION)}
            part, at = (here.part,), (here.part, here.x)
            return {
                PITCH: [part, at, (here.part, last[PITCH])],
                DURATION: [at, (here.part, row[PITCH]), (here.part, last[DURATION])],
                VELOCITY: [part, at],
            }[field]
        if here.bar < 0:
            return [(), ()]
        if field == ONSET:
            return [(here.x, here.part), (here.x,)]
        same = self.places[r].x == here.x
        return [(row[ONSET], here.part if same else "another onset"), (row[ONSET],)]
