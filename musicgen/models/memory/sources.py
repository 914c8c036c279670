"""Guesses of every step's fields from similar earlier places in the piece.

A guess is either one value, copied from one earlier row (a pointer), or counts of values in one context (counts).

| name | fields | what it points to |
|---|---|---|
| whole | pitch, duration, velocity, onset, part | the row after the latest match of the last 16, 8, 4 or 2 rows |
| moved | pitch | the same for transposed matches |
| line | pitch, duration | the note after the latest match of this part's last 8, 4, 2 or 1 pitches and time gaps |
| shifted | pitch | the same for transposed matches in any part |
| bar 1, 2, 4, 8 | all | the note at the same part, position and chord index so many bars ago, or what came after it |
| echo | all | the same at the distance in bars of the last long match (8 rows or more), even after it has ended |
| last | duration, velocity | the previous note of this part |
| rhythm | onset, part | the row after the latest match of the last 16, 8, 4 or 2 onsets and parts |
| counts | all | see `COUNTS` |

Each pointer tries its longest match first. Each guess comes with a trust bucket: of the match length and the streak of
correct guesses (per part, for onset and part per piece), or of the occurrences and distinct values of the context.
Nothing here is learned, and a guess of a field uses only earlier steps and the earlier fields of its own step.

Sources: Cleary and Witten 1984, "Data compression using adaptive coding and partial string matching" (contexts of
several orders); Mahoney 2005, "Adaptive weighing of context models" (PAQ: many models, trusted by how they did);
Conklin and Witten 1995, "Multiple viewpoint systems for music prediction" (a piece's own past, by intervals too).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.lookup import counts, mixed, previous, rolling, streaks
from musicgen.models.memory.trust import count_bucket, trust_bucket
from musicgen.models.memory.walk import Walk, walk

__all__ = ["BARS_BACK", "COUNTS", "ECHO_LEVEL", "FAR", "POINTERS", "Recalled", "nothing_of", "recall"]

BARS_BACK = (1, 2, 4, 8)
_BARS = (*(f"bar {n}" for n in BARS_BACK), "echo")
ROW_ORDERS = (2, 4, 8, 16)
LINE_ORDERS = (1, 2, 4, 8)
SHIFTED_ORDERS = (2, 4, 8)
ECHO_LEVEL = 3  # lowest level of a match that sets the distance of the echo
FAR = 1 << 40  # distance of the echo in bars before there is such a match
POINTERS = {
    PITCH: ("whole", "moved", "line", "shifted", *_BARS),
    DURATION: ("whole", "line", "last", *_BARS),
    VELOCITY: ("whole", "last", *_BARS),
    ONSET: ("whole", "rhythm", *_BARS),
    PART: ("whole", "rhythm", *_BARS),
}
# The contexts in which values are counted.
COUNTS = {
    PITCH: ("part", "part and position", "part and pitch before"),
    DURATION: ("part and position", "part and pitch", "part and duration before"),
    VELOCITY: ("part", "part and position"),
    ONSET: ("position and part", "position"),
    PART: ("onset and part before", "onset"),
}


class Recalled(NamedTuple):
    """The guesses of each row (N) by field, from S pointers and K counts.

    `value` is the guess, counted from the field's first id, -1 for none; `trust` and `weight` are buckets, 0 for no
    guess; `share` is how often, as a fraction, the context had the row's actual value.
    """

    walk: Walk
    value: dict[int, np.ndarray]  # (N, S)
    trust: dict[int, np.ndarray]  # (N, S)
    share: dict[int, np.ndarray]  # (N, K)
    weight: dict[int, np.ndarray]  # (N, K)
    pitches: np.ndarray  # (N, 2) the last two pitches of the part that plays, 0..255, -1
    loudness: np.ndarray  # (N, 5) velocity values: the last two of the part, the last of all, means of part and piece
    lag: np.ndarray  # (N,) distance of the echo in bars, FAR where there is none


def nothing_of(recalled: Recalled) -> Recalled:
    """The same places with all guesses empty."""
    blank = {field: np.full_like(values, -1) for field, values in recalled.value.items()}
    none = [
        {f: np.zeros_like(x) for f, x in each.items()} for each in (recalled.trust, recalled.share, recalled.weight)
    ]
    return recalled._replace(value=blank, trust=none[0], share=none[1], weight=none[2])


def recall(rows: np.ndarray, layout: MemoryLayout) -> Recalled:
    """The guesses of each of `rows` (N, 6), int64, which start at the beginning of a piece or at a bar line."""
    return _Recall(rows, layout).all()


class _Recall:
    """The computation of `recall`. Pointers are row indices, -1 for none."""

    def __init__(self, rows: np.ndarray, layout: MemoryLayout) -> None:
        self.rows, self.layout, self.n = rows, layout, len(rows)
        self.w = w = walk(rows, layout)
        self.note_of_row = np.full(self.n, -1)
        self.note_of_row[w.note] = np.arange(len(w.note))
        # The place of each row is the one that the row before it sets; the first row has none.
        self.bar, self.x, self.part, self.chord, self.window = (
            np.concatenate([[-1], a[:-1]]) for a in (w.bar, w.x, w.part, w.chord, w.window)
        )
        pitched = w.note[~w.drum]
        at = np.full(self.n, -1)
        at[pitched] = np.arange(len(pitched))
        self.melodic = w.pitch[~w.drum]
        # The last melodic pitch before each row, -1.
        seen = np.maximum.accumulate(at) if self.n else at
        before = np.concatenate([[-1], seen[:-1]])
        self.pitch_before = np.where(before >= 0, self.melodic[np.maximum(before, 0)] if len(self.melodic) else -1, -1)
        lasts = w.last
        self.last_row = np.full(self.n, -1)  # row of the previous note in the part of this row's note
        self.last_row[w.note] = np.where(lasts >= 0, w.note[np.maximum(lasts, 0)] if len(w.note) else -1, -1)

    def all(self) -> Recalled:
        w, rows = self.w, self.rows
        self._events()
        whole, whole_level = self._longest(self._row_keys(rows[:, PITCH]), ROW_ORDERS)
        moved, moved_level = self._longest(self._row_keys(self._intervals()), ROW_ORDERS)
        rhythm, rhythm_level = self._longest(mixed(rows[:, ONSET], rows[:, PART]), ROW_ORDERS)
        line, line_level, shifted, shifted_level = self._lines()
        self.lag = self._lag(whole, whole_level)
        bars = [self._same_place(back) for back in (*BARS_BACK, self.lag)]
        is_note = self.note_of_row >= 0
        notes = {"whole": whole, "moved": moved, "line": line, "shifted": shifted, "last": self.last_row}
        levels = {"whole": whole_level, "moved": moved_level, "line": line_level, "shifted": shifted_level}
        levels["last"] = (self.last_row >= 0).astype(np.int64)
        for name, place in zip(_BARS, bars, strict=True):
            notes[name], levels[name] = place, (place >= 0).astype(np.int64)
        value, trust = {}, {}
        inside = rows - np.array(self.layout.first)
        chosen = inside[:, PITCH]
        for field in (PITCH, DURATION, VELOCITY):
            values, trusts = [], []
            for name in POINTERS[field]:
                pointer = np.where(is_note, notes[name], -1)
                found = np.where(pointer >= 0, inside[np.maximum(pointer, 0), field], -1)
                if name in ("moved", "shifted"):
                    found = self._carried(pointer, name)
                found = np.where(found >= 0, found, -1)
                agrees: np.ndarray | int = 0
                if field == DURATION:
                    agrees = (inside[np.maximum(pointer, 0), PITCH] == chosen).astype(np.int64)
                values.append(found)
                trusts.append(self._trust(found, inside[:, field], levels[name], agrees))
            value[field], trust[field] = np.stack(values, 1), np.stack(trusts, 1)
        self._onsets(value, trust, inside=inside, matches=((whole, whole_level), (rhythm, rhythm_level)))
        share, weight = self._counts(inside)
        return Recalled(w, value, trust, share, weight, *self._last_of_part(inside), self.lag)

    # ---- longest matches -------------------------------------------------------------------------

    def _row_keys(self, pitch: np.ndarray) -> np.ndarray:
        return mixed(pitch, self.rows[:, DURATION], self.rows[:, ONSET], self.rows[:, PART])

    def _intervals(self) -> np.ndarray:
        """(N,) transposition-invariant pitches: the interval from the previous melodic note; drum sounds unchanged."""
        pitch = self.rows[:, PITCH]
        melodic = (pitch >= self.layout.pitch) & (pitch < self.layout.drum)
        return np.where(melodic, pitch - self.layout.pitch - self.pitch_before + 1000, pitch)

    def _longest(self, keys: np.ndarray, orders: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """(row after the latest longest match, its level: 1 + index of its length in `orders`), else (-1, 0)."""
        pointer, level = np.full(self.n, -1), np.zeros(self.n, np.int64)
        for number, (order, hashes) in enumerate(zip(orders, rolling(keys, orders), strict=True), start=1):
            if self.n <= order + 1:
                break
            found = previous(hashes[order - 1 : -1])  # of the rows from `order` on
            there = np.flatnonzero(found >= 0)
            pointer[there + order], level[there + order] = found[there] + order, number
        return pointer, level

    def _lines(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        w, n = self.w, self.n
        pointers = [np.full(n, -1), np.zeros(n, np.int64), np.full(n, -1), np.zeros(n, np.int64)]
        M = len(w.note)
        if M < 2:
            return tuple(pointers)  # type: ignore[return-value]
        time = w.time[w.note - 1]
        has = w.last >= 0
        gap = np.where(has, time - time[np.maximum(w.last, 0)], 0)
        interval = np.where(has, w.pitch - w.pitch[np.maximum(w.last, 0)], 0)
        place = np.empty(M, np.int64)
        place[w.order] = np.arange(M)
        for which, (values, orders) in enumerate(((w.pitch, LINE_ORDERS), (interval, SHIFTED_ORDERS))):
            # An interval needs one more note.
            need = which
            elements = mixed(values, gap)[w.order]
            for number, (order, hashes) in enumerate(zip(orders, rolling(elements, orders), strict=True), start=1):
                asks = np.flatnonzero(w.rank >= order + need)
                if which:
                    asks = asks[~w.drum[asks]]
                if not len(asks):
                    continue
                behind = hashes[place[asks] - 1]
                key = mixed(behind.view(np.int64), gap[asks], *(() if which else (w.note_part[asks],)))
                found = previous(key)
                there = found >= 0
                pointers[2 * which][w.note[asks[there]]] = w.note[asks[found[there]]]
                pointers[2 * which + 1][w.note[asks[there]]] = number
        return tuple(pointers)  # type: ignore[return-value]

    def _carried(self, pointer: np.ndarray, name: str) -> np.ndarray:
        """Transposed guesses of pitches: the interval at the place pointed to, applied to the last pitch here."""
        there = pointer >= 0
        p = np.maximum(pointer, 0)
        pitch = self.rows[:, PITCH] - self.layout.pitch
        if name == "moved":
            here, base = self.pitch_before, self.pitch_before[p]
        else:
            last = np.maximum(self.last_row, 0)
            here = np.where(self.last_row >= 0, pitch[last], -1)
            base = np.where(self.last_row[p] >= 0, pitch[np.maximum(self.last_row[p], 0)], -1)
        found = pitch[p] - base + here
        drums = pitch[p] >= 128
        ok = there & (here >= 0) & (base >= 0) & (found >= 0) & (found < 128)
        if name == "shifted":  # a line of drums and one of pitches have nothing in common
            ok &= ~drums
        else:
            found = np.where(drums, pitch[p], found)
            ok = np.where(drums, there, ok)
        return np.where(ok, found, -1)

    # ---- the same place some bars ago ------------------------------------------------------------

    def _events(self) -> None:
        """Set `event`, the sorted places of all notes and bar lines, and `event_row`, the rows that set them."""
        w = self.w
        led = np.flatnonzero((w.bar >= 0) & ((w.part >= 0) | (self.rows[:, ONSET] == self.layout.bar)))
        number = self._number(w.bar[led], w.x[led], w.part[led], w.chord[led])
        order = np.argsort(number, kind="stable")
        self.event_row, self.event = led[order], number[order]

    @staticmethod
    def _number(bar: np.ndarray, x: np.ndarray, part: np.ndarray, chord: np.ndarray) -> np.ndarray:
        return ((bar << 14 | (x + 1)) << 7 | (part + 1)) << 8 | np.minimum(chord, 255)

    def _lag(self, whole: np.ndarray, level: np.ndarray) -> np.ndarray:
        """(N,) distance in bars of the latest long match that points to the same position of another bar."""
        there = np.maximum(whole, 0)
        found = (level >= ECHO_LEVEL) & (self.bar >= 0) & (self.bar[there] >= 0)
        found &= (self.x == self.x[there]) & (self.bar != self.bar[there])
        last = np.maximum.accumulate(np.where(found, np.arange(self.n), -1))
        return np.where(last >= 0, (self.bar - self.bar[there])[np.maximum(last, 0)], FAR)

    def _same_place(self, back: int | np.ndarray) -> np.ndarray:
        """(N,) the row of the note at the same place `back` bars ago, -1 for none."""
        asked = self._number(np.maximum(self.bar - back, 0), self.x, self.part, self.chord)
        at = np.searchsorted(self.event, asked)
        inside = np.minimum(at, max(0, len(self.event) - 1))
        if not len(self.event):
            return np.full(self.n, -1)
        there = (self.bar >= back) & (self.part >= 0) & (self.event[inside] == asked)
        row = self.event_row[inside] + 1
        return np.where(there & (row < np.arange(self.n)), row, -1)

    def _after_place(self, back: int | np.ndarray) -> np.ndarray:
        """(N,) the index in `event` of the first event after the same place `back` bars ago; -1 without such a bar. An
        event of the next bar stands for the bar line."""
        asked = self._number(np.maximum(self.bar - back, 0), self.x, self.part, self.chord)
        at = np.searchsorted(self.event, asked, side="right")
        there = self._has_bar(back) & (at < len(self.event))
        return np.where(there, at, -1)

    def _has_bar(self, back: int | np.ndarray) -> np.ndarray:
        """(N,) whether a bar exists so many bars ago."""
        wanted = np.maximum(self.bar - back, 0) << 29
        at = np.minimum(np.searchsorted(self.event, wanted), max(0, len(self.event) - 1))
        return (self.bar >= back) & (self.event[at] >> 29 == self.bar - back)

    def _onsets(
        self, value: dict[int, np.ndarray], trust: dict[int, np.ndarray], *, inside: np.ndarray,
        matches: tuple[tuple[np.ndarray, np.ndarray], ...],
    ) -> None:  # fmt: skip
        """Guesses of the place that a row sets: the onset, then, given the onset, the part."""
        w, n, layout = self.w, self.n, self.layout
        (whole, whole_level), (rhythm, rhythm_level), none = *matches, np.full(n, -1)
        # The matched row predicts the next place only if its note has the same pitch and duration.
        alike = (whole >= 0) & (inside[np.maximum(whole, 0)][:, :2] == inside[:, :2]).all(axis=1)
        pointers = [np.where(alike, whole, -1), rhythm]
        levels = [np.where(alike, whole_level, 0), rhythm_level]
        first = [np.where(p >= 0, inside[np.maximum(p, 0), ONSET], -1) for p in pointers]
        second = [
            np.where(
                (p >= 0) & (inside[np.maximum(p, 0), ONSET] == inside[:, ONSET]), inside[np.maximum(p, 0), PART], -1
            )
            for p in pointers
        ]
        event_bar, event_x = self.event >> 29, (self.event >> 15 & 0x3FFF) - 1
        event_part = (self.event >> 8 & 0x7F) - 1
        bar_value, span_value = layout.bar - layout.bos, layout.span - layout.bos
        position_value, part_value = layout.position - layout.bos, layout.part - layout.meter
        same_onset = (w.x == self.x) & (w.bar == self.bar)
        last_event = max(0, len(self.event) - 1)
        for back in (*BARS_BACK, self.lag):
            at = self._after_place(back) if len(self.event) else none
            there = at >= 0
            e = np.maximum(at, 0)
            bar, x = (a[e] if len(a) else none for a in (event_bar, event_x))
            within = x - self.window * layout.span_steps
            guess = np.where(within < layout.span_steps, position_value + within, span_value)
            guess = np.where(bar == self.bar - back, guess, bar_value)
            first.append(np.where(there & ((within >= 0) | (bar != self.bar - back)), guess, -1))
            # The part given the onset: of the next note at this onset, or of the first note at another.
            asked = self._number(np.maximum(self.bar - back, 0), w.x, none, np.zeros(n, np.int64))
            fresh = np.searchsorted(self.event, asked)
            at = np.where(same_onset, at, fresh)
            ok = (self.bar >= back) & (w.part >= 0) & (at >= 0) & (at <= last_event) & (len(self.event) > 0)
            e = np.clip(at, 0, last_event)
            bar, x, part = (a[e] if len(a) else none for a in (event_bar, event_x, event_part))
            ok &= (bar == self.bar - back) & (x == w.x) & (part >= 0)
            second.append(np.where(ok, part + part_value, -1))
            levels.append((first[-1] >= 0).astype(np.int64))
        for field, guesses in ((ONSET, first), (PART, second)):
            guesses = [np.maximum(guess, -1) for guess in guesses]
            value[field] = np.stack(guesses, 1)
            own = inside[:, field]
            trust[field] = np.stack(
                [
                    self._trust(g, own, np.where(g >= 0, np.maximum(level, 1), 0), 0, by_part=False)
                    for g, level in zip(guesses, levels, strict=True)
                ],
                1,
            )

    # ---- how far to trust -------------------------------------------------------------------------

    def _trust(
        self, guess: np.ndarray, own: np.ndarray, level: np.ndarray, agrees: np.ndarray | int, *, by_part: bool = True
    ) -> np.ndarray:
        """Trust buckets of a pointer's guesses, by level and streak of correct guesses."""
        there = guess >= 0
        hit = guess == own
        if by_part:
            w = self.w
            streak = np.zeros(self.n, np.int64)
            if len(w.note):
                streak[w.note] = streaks(hit[w.note], there[w.note], w.order, w.begins)
        else:
            order = np.arange(self.n)
            streak = streaks(hit, there, order, order == 0)
        return trust_bucket(np.where(there, level, 0), streak, agrees)

    # ---- counts ------------------------------------------------------------------------------------

    def _counts(self, inside: np.ndarray) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
        w = self.w
        notes, rows = w.note, np.flatnonzero(self.bar >= 0)
        part, x = w.note_part, self.x[w.note]
        before = np.where(w.last >= 0, w.pitch[np.maximum(w.last, 0)] if len(notes) else -1, -1)
        length = np.where(w.last >= 0, w.duration[np.maximum(w.last, 0)] if len(notes) else -1, -1)
        onset = inside[:, ONSET]
        keys: dict[int, list[tuple[np.ndarray, ...]]] = {
            PITCH: [(notes, part), (notes, part, x), (notes, part, before)],
            DURATION: [(notes, part, x), (notes, part, w.pitch), (notes, part, length)],
            VELOCITY: [(notes, part), (notes, part, x)],
            ONSET: [(rows, self.x[rows], self.part[rows]), (rows, self.x[rows])],
            PART: [
                (rows, onset[rows], np.where(w.x[rows] == self.x[rows], self.part[rows], -2)),
                (rows, onset[rows]),
            ],
        }
        share, weight = {}, {}
        for field, of_field in keys.items():
            shares, weights = [], []
            for number, (items, *parts) in enumerate(of_field):
                total, hits, distinct = counts(mixed(number, *parts), inside[items, field])
                one, two = np.zeros(self.n, np.float32), np.zeros(self.n, np.int64)
                one[items] = hits / np.maximum(total, 1)
                two[items] = count_bucket(total, distinct)
                shares.append(one)
                weights.append(two)
            share[field], weight[field] = np.stack(shares, 1), np.stack(weights, 1)
        return share, weight

    def _last_of_part(self, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Recalled.pitches` and `Recalled.loudness`, filled for the rows that hold notes."""
        w, n = self.w, self.n
        pitches, loudness = np.full((n, 2), -1), np.full((n, 5), -1)
        M = len(w.note)
        if not M:
            return pitches, loudness
        one = w.last
        two = np.where(one >= 0, one[np.maximum(one, 0)], -1)
        for column, at in enumerate((one, two)):
            pitches[w.note, column] = np.where(at >= 0, w.pitch[np.maximum(at, 0)], -1)
            loudness[w.note, column] = np.where(at >= 0, w.velocity[np.maximum(at, 0)], -1)
        loudness[w.note[1:], 2] = w.velocity[:-1]
        total = np.cumsum(w.velocity) - w.velocity
        loudness[w.note, 4] = np.where(np.arange(M) > 0, total // np.maximum(1, np.arange(M)), -1)
        ordered = w.velocity[w.order]
        running = np.cumsum(ordered) - ordered
        base = running[np.maximum.accumulate(np.where(w.begins, np.arange(M), 0))]
        of_part = np.empty(M, np.int64)
        of_part[w.order] = running - base
        loudness[w.note, 3] = np.where(w.rank > 0, of_part // np.maximum(1, w.rank), -1)
        return pitches, loudness
