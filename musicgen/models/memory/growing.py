"""The memory of one piece that grows step by step: the incremental counterpart of `recall`, for sampling.

Both give exactly the same numbers, which a test checks. Here every match is a dictionary look-up, so that the cost of a
step doesn't grow with the piece. Guesses of the next row are cached until it is appended: the trunk reads them, the
head mixes them, and the row itself then updates the pointers' streaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.judged import last_streaks
from musicgen.models.memory.sources import (
    COUNTS,
    LINE_ORDERS,
    POINTERS,
    ROW_ORDERS,
    SHIFTED_ORDERS,
    recall,
)
from musicgen.models.memory.standing import NO_PLACE, Standing
from musicgen.models.memory.traces import Answer, Found, Guesses, Key, PartTrace, Rolling, Tally, mix
from musicgen.models.memory.trust import LONGEST_STREAK, TRUST, weight_of

__all__ = ["Guesses", "Memory"]

_NOTES = (PITCH, DURATION, VELOCITY)
_OF_ROWS = ("whole", "moved", "rhythm")
_ORDERS = {**dict.fromkeys(_OF_ROWS, ROW_ORDERS), "line": LINE_ORDERS, "shifted": SHIFTED_ORDERS}
_LONGEST_FIRST = tuple(enumerate(ROW_ORDERS, start=1))[::-1]  # (level, order)
# The number of leading fields of the step on which guesses of a field depend.
_HANGS_ON = {PITCH: 0, DURATION: 1, VELOCITY: 0, ONSET: 2, PART: 4}
_ONE_MORE = (*range(1, LONGEST_STREAK + 1), LONGEST_STREAK)  # the next streak, by streak
_NO_STREAKS = {field: (0,) * len(names) for field, names in POINTERS.items()}
_OF_PLACES = ("whole", "rhythm")


class Memory(Standing):
    """The memory of the rows so far; `append` adds a row, `guesses` returns the guesses of the next."""

    def __init__(self, layout: MemoryLayout, rows: Sequence[Sequence[int]] = ()) -> None:
        super().__init__(layout)
        self._first, self._sizes = layout.first, layout.sizes
        self.rows: list[tuple[int, ...]] = []
        self.pitch_before: list[int] = []
        self.last_melodic = -1
        self.hashes = {kind: Rolling() for kind in _OF_ROWS}
        # By kind and order, the latest row that followed each hash.
        self.after: dict[str, dict[int, dict[int, int]]] = {
            kind: {order: {} for order in orders} for kind, orders in _ORDERS.items()
        }
        self.parts: dict[int, PartTrace] = {}
        self.streaks: dict[tuple[int, int], tuple[int, ...]] = {}  # of a field's pointers, by field and part
        self.counted: dict[int, list[dict[Key, Tally]]] = {field: [{} for _ in of] for field, of in COUNTS.items()}
        self._owner = object()  # owner of the tallies that this memory may change
        self.last_note, self.note_count, self.total_velocity = -1, 0, 0
        self._found: Found | None = None
        self._pointed: dict[int, tuple[list[int], list[int]]] = {}
        self._answers: dict[Key, Answer] = {}
        if len(rows):  # streaks computed at once, in a third of the time
            for row in rows:
                self._remember(tuple(row))
            table = np.array(rows, np.int64)
            recalled = recall(table, layout)
            self.streaks, self.lag = last_streaks(table, recalled, layout), int(recalled.lag[-1])

    def copy(self) -> Memory:
        """An independent memory of the same rows."""
        other = object.__new__(Memory)
        other.__dict__.update(self.__dict__)
        for name in ("rows", "place", "pitch_before", "programs"):
            setattr(other, name, list(getattr(self, name)))
        other.hashes = {kind: rolling.copy() for kind, rolling in self.hashes.items()}
        other.after = {kind: {order: dict(rows) for order, rows in of.items()} for kind, of in self.after.items()}
        other.parts = {number: part.copy() for number, part in self.parts.items()}
        other.events = {bar: list(events) for bar, events in self.events.items()}
        other.streaks = dict(self.streaks)
        other._pointed, other._answers = dict(self._pointed), dict(self._answers)
        other.counted = {field: [dict(tallies) for tallies in of] for field, of in self.counted.items()}
        self._owner, other._owner = object(), object()  # both copy a shared tally before writing to it
        return other

    # ---- the next row ------------------------------------------------------------------------------

    def guesses(self, field: int, chosen: Sequence[int]) -> Guesses:
        """The guesses of a field of the next row, given the ids `chosen` for the fields before it."""
        value, trust, keys = self._answer(field, chosen)
        counted = [tallies.get(key) for tallies, key in zip(self.counted[field], keys, strict=True)]
        weight = [0 if found is None else weight_of(found.total, found.distinct) for found in counted]
        return Guesses(value, trust, counted, weight)

    def pointed(self, field: int) -> tuple[list[int], list[int]]:
        """Values and trust buckets of the pointers of pitch, duration, velocity or onset, whatever fields were chosen.

        They ignore whether the row a duration is copied from has the chosen pitch, and whether the row that "whole"
        points to has the chosen note; `_chosen` adds that.
        """
        found = self._pointed.get(field)
        if found is None:
            if field == ONSET:
                found = self._trusted(field, [*self._of_place(field), *self._find().onsets], part=-1)
            elif self.due:
                found = self._trusted(field, self._of_note(field), part=self.place[-1][3])
            else:
                found = [-1] * len(POINTERS[field]), [0] * len(POINTERS[field])
            self._pointed[field] = found
        return found

    def _answer(self, field: int, chosen: Sequence[int]) -> Answer:
        asked = (field, *chosen[: _HANGS_ON[field]])
        answer = self._answers.get(asked)
        if answer is None:
            answer = self._answers[asked] = Answer(*self._chosen(field, chosen), self._keys(field, chosen))
        return answer

    def _chosen(self, field: int, chosen: Sequence[int]) -> tuple[list[int], list[int]]:
        """Values and trust buckets of the pointers, given the ids chosen for the fields before."""
        if field in (PITCH, VELOCITY):
            return self.pointed(field)
        found = self._find()
        if field == DURATION:
            value, trust = self.pointed(field)
            rows, pitch = self.rows, chosen[PITCH]
            return value, [
                bucket + (rows[found.row[name]][PITCH] == pitch) if bucket else 0
                for name, bucket in zip(POINTERS[field], trust, strict=True)
            ]
        whole = found.row["whole"]
        fits = whole >= 0 and self.rows[whole][:2] == (chosen[PITCH], chosen[DURATION])
        if field == ONSET:
            value, trust = self.pointed(field)
            return (value, trust) if fits else ([-1, *value[1:]], [0, *trust[1:]])
        onset = chosen[ONSET]
        value = [
            one if found.row[name] >= 0 and self.rows[found.row[name]][ONSET] == onset else -1
            for name, one in zip(_OF_PLACES, self._of_place(field), strict=True)
        ]
        if not fits:
            value[0] = -1
        return self._trusted(field, value + self.who_played(onset, found.here), part=-1)

    def _trusted(self, field: int, value: list[int], *, part: int) -> tuple[list[int], list[int]]:
        """The values and their trust buckets."""
        level, streaks = self._find().level, self.streaks.get((field, part), _NO_STREAKS[field])
        return value, [
            TRUST[level[name]][streak] if one >= 0 else 0
            for name, one, streak in zip(POINTERS[field], value, streaks, strict=True)
        ]

    def _find(self) -> Found:
        """The rows that the pointers find for the next row; cached."""
        if self._found is None:
            row, level, lines = {}, {}, {}
            for kind in self.hashes:
                row[kind], level[kind] = self._longest(kind)
            if self.due:
                trace = self.parts.get(self.place[-1][3])
                row["last"], level["last"] = trace.notes[-1] if trace and trace.notes else -1, 1
                for kind in ("line", "shifted"):
                    lines[kind] = self._line_keys(kind)
                    row[kind], level[kind] = self._longest_line(kind, lines[kind])
            self.set_lag(row["whole"], level["whole"])
            here, onsets = self.bars_back(row)
            level.update(dict.fromkeys((name for _, name in self.backs()), 1))
            self._found = Found(row, level, lines, here, onsets)
        return self._found

    def _longest(self, kind: str) -> tuple[int, int]:
        """(row after the latest longest match of the last rows, level of the match); (-1, 0) for no match."""
        after, lists, n = self.after[kind], self.hashes[kind].lists, len(self.rows)
        for level, order in _LONGEST_FIRST:
            if n >= order:
                row = after[order].get(lists[order][n - 1], -1)
                if row >= 0:
                    return row, level
        return -1, 0

    def _longest_line(self, kind: str, keys: list[tuple[int, int, int]]) -> tuple[int, int]:
        for level, order, key in reversed(keys):
            row = self.after[kind][order].get(key, -1)
            if row >= 0:
                return row, level
        return -1, 0

    def _line_keys(self, kind: str) -> list[tuple[int, int, int]]:
        """(level, order, key) of each line that the next note would continue."""
        _, _, _, number, time, _ = self.place[-1]
        part = self.parts.get(number)
        if part is None or not part.notes:
            return []
        gap = time - self.place[part.notes[-1] - 1][4]
        rank = len(part.notes)
        if kind == "line":
            hashes, need = part.line, 0
            tail: tuple[int, ...] = (number,)
        else:
            if number < len(self.programs) and self.programs[number] == 128:
                return []
            hashes, need, tail = part.shifted, 1, ()
        return [
            (level, order, mix(hashes.lists[order][rank - 1], gap, *tail))
            for level, order in enumerate(_ORDERS[kind], start=1)
            if rank >= order + need
        ]

    def _of_note(self, field: int) -> list[int]:
        first, row = self._first[field], self._find().row
        value = [self.rows[row[name]][field] - first if row[name] >= 0 else -1 for name in POINTERS[field]]
        if field == PITCH:
            for name in ("moved", "shifted"):
                value[POINTERS[PITCH].index(name)] = self._carried(name, row[name]) if row[name] >= 0 else -1
        return [one if one >= 0 else -1 for one in value]

    def _carried(self, name: str, row: int) -> int:
        first = self._first[PITCH]
        pitch = self.rows[row][PITCH] - first
        if pitch >= 128:
            return pitch if name == "moved" else -1
        if name == "moved":
            here, base = self.last_melodic, self.pitch_before[row]
        else:
            here = self.rows[self._find().row["last"]][PITCH] - first
            before = self.parts[self.place[row - 1][3]].before(row)
            base = self.rows[before][PITCH] - first if before >= 0 else -1
        found = pitch - base + here
        return found if here >= 0 and base >= 0 and 0 <= found < 128 else -1

    def _of_place(self, field: int) -> list[int]:
        """The onset or part values of the rows that "whole" and "rhythm" point to, -1 for none."""
        first, row = self._first[field], self._find().row
        return [max(self.rows[row[name]][field] - first, -1) if row[name] >= 0 else -1 for name in _OF_PLACES]

    def _keys(self, field: int, chosen: Sequence[int]) -> list[Key]:
        """The keys of the contexts of the next row, one for each of `COUNTS`."""
        bar, x, _, part, _, _ = self.place[-1] if self.place else NO_PLACE
        if field in _NOTES:
            if part < 0:
                return [(-99,)] * len(COUNTS[field])
            if field == VELOCITY:
                return [(part,), (part, x)]
            notes = self.parts[part].notes if part in self.parts else []
            before = self.rows[notes[-1]][field] - self._first[field] if notes else -1
            if field == PITCH:
                return [(part,), (part, x), (part, before)]
            return [(part, x), (part, chosen[PITCH] - self._first[PITCH]), (part, before)]
        if bar < 0:
            return [(-99,)] * len(COUNTS[field])
        if field == ONSET:
            return [(x, part), (x,)]
        onset, layout = chosen[ONSET], self.layout
        placed = onset >= layout.position
        x_chosen = onset - layout.position + self.window * layout.span_steps if placed else -1
        return [(onset, part if x_chosen == x else -2), (onset,)]

    # ---- adding a row ------------------------------------------------------------------------------

    def append(self, row: Iterable[int]) -> None:
        """Remember one more row."""
        ids = tuple(map(int, row))
        self._judge(ids)
        self._remember(ids)
        self._found, self._pointed, self._answers = None, {}, {}

    def _judge(self, ids: tuple[int, ...]) -> None:
        """Update the streak of correct guesses of each pointer with the row that came."""
        part = self.place[-1][3] if self.place else -1
        for field in (*_NOTES, ONSET, PART) if self._is_note(ids) else (ONSET, PART):
            own = ids[field] - self._first[field]
            group = field, part if field in _NOTES else -1
            streaks = self.streaks.get(group, _NO_STREAKS[field])
            self.streaks[group] = tuple(
                [
                    streak if one < 0 else _ONE_MORE[streak] if one == own else 0
                    for one, streak in zip(self._answer(field, ids).value, streaks, strict=True)
                ]
            )

    def _is_note(self, ids: tuple[int, ...]) -> bool:
        return self.due and ids[DURATION] != 0

    def _remember(self, ids: tuple[int, ...]) -> None:
        layout, n, is_note = self.layout, len(self.rows), self._is_note(ids)
        if n:
            for kind, hashes in self.hashes.items():
                for order, rows in self.after[kind].items():
                    if n >= order:
                        rows[hashes.lists[order][n - 1]] = n
        self._count(ids)
        pitch = ids[PITCH] - layout.pitch
        self.pitch_before.append(self.last_melodic)
        is_melodic = layout.pitch <= ids[PITCH] < layout.drum
        moved = pitch - self.last_melodic + 1000 if is_melodic else ids[PITCH]
        self.hashes["whole"].append(mix(ids[PITCH], ids[DURATION], ids[ONSET], ids[PART]))
        self.hashes["moved"].append(mix(moved, ids[DURATION], ids[ONSET], ids[PART]))
        self.hashes["rhythm"].append(mix(ids[ONSET], ids[PART]))
        self.rows.append(ids)
        if is_note:
            self._remember_note(n, pitch, ids)
            if pitch < 128:
                self.last_melodic = pitch
        self.lead(n, ids)

    def _count(self, ids: tuple[int, ...]) -> None:
        barred = bool(self.place) and self.place[-1][0] >= 0
        for field in (*(_NOTES if self._is_note(ids) else ()), *((ONSET, PART) if barred else ())):
            value = max(ids[field] - self._first[field], -1)  # -1: left empty
            for tallies, key in zip(self.counted[field], self._keys(field, ids), strict=True):
                tally = tallies.get(key)
                if tally is None:
                    tally = tallies[key] = Tally(self._sizes[field], self._owner)
                elif tally.owner is not self._owner:  # shared with a memory that this one was copied from
                    tally = tallies[key] = tally.copy(self._owner)
                tally.add(value)

    def _remember_note(self, n: int, pitch: int, ids: tuple[int, ...]) -> None:
        _, _, _, number, time, _ = self.place[-1]
        part = self.parts.setdefault(number, PartTrace())
        for kind in ("line", "shifted") if pitch < 128 else ("line",):
            for _, order, key in self._found.lines[kind] if self._found else self._line_keys(kind):
                self.after[kind][order][key] = n
        last = part.notes[-1] if part.notes else -1
        gap = time - self.place[last - 1][4] if last >= 0 else 0
        interval = pitch - (self.rows[last][PITCH] - self.layout.pitch) if last >= 0 else 0
        part.line.append(mix(pitch, gap))
        part.shifted.append(mix(interval, gap))
        part.notes.append(n)
        velocity = max(0, ids[VELOCITY] - self.layout.velocity)
        part.total_velocity += velocity
        self.total_velocity += velocity
        self.note_count += 1
        self.last_note = n

    # ---- last pitches and loudness -----------------------------------------------------------------

    def pitches(self) -> tuple[int, int]:
        """The last two pitches of the part that plays next, drums from 128; -1 where there is none."""
        notes, first = self._notes_due(), self._first[PITCH]
        one = self.rows[notes[-1]][PITCH] - first if notes else -1
        return one, self.rows[notes[-2]][PITCH] - first if len(notes) > 1 else -1

    def loudness(self) -> list[int]:
        """See `Recalled.loudness`."""
        if not self.due:
            return [-1] * 5
        notes, first = self._notes_due(), self.layout.velocity
        last_two = [max(0, self.rows[row][VELOCITY] - first) for row in (*notes[-1:], *notes[-2:-1])]
        part = self.parts.get(self.place[-1][3])
        return [
            last_two[0] if notes else -1,
            last_two[1] if len(notes) > 1 else -1,
            max(0, self.rows[self.last_note][VELOCITY] - first) if self.last_note >= 0 else -1,
            part.total_velocity // len(notes) if part and notes else -1,
            self.total_velocity // self.note_count if self.note_count else -1,
        ]

    def _notes_due(self) -> list[int]:
        part = self.parts.get(self.place[-1][3]) if self.due else None
        return part.notes if part else []
