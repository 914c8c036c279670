"""The memory of one piece that grows step by step: what `recall` says of whole sequences, for sampling.

Both say the same, number for number; a test holds them together. Here every match is a look into a dictionary, so that
a step costs the same however long the piece is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from musicgen.models.memory.layout import DURATION, ONSET, PART, PITCH, PROGRAM, VELOCITY, MemoryLayout
from musicgen.models.memory.sources import (
    BARS_BACK,
    COUNTS,
    LINE_ORDERS,
    POINTERS,
    ROW_ORDERS,
    SHIFTED_ORDERS,
)
from musicgen.models.memory.traces import Guesses, PartTrace, Rolling, mix, number_of, x_of
from musicgen.models.memory.trust import trust_of, weight_of
from musicgen.models.memory.walk import AHEAD

__all__ = ["Guesses", "Memory"]

_NOTES = (PITCH, DURATION, VELOCITY)


class Memory:
    """What is remembered of the rows so far; `append` adds one, `guesses` says what is recalled of the next."""

    def __init__(self, layout: MemoryLayout, rows: Iterable[Iterable[int]] = ()) -> None:
        self.layout = layout
        self.rows: list[tuple[int, ...]] = []
        self.place: list[
            tuple[int, int, int, int, int, int]
        ] = []  # bar, x, window, part, time, chord that a row leads to
        self.pitch_before: list[int] = []
        self.bar = self.bar_time = self.bar_length = -1
        self.meter = self.bar_before = -1
        self.window = 0
        self.programs: list[int] = []
        self.tempo, self.style = -1, 0
        self.last_melodic = -1
        self.hashes = {kind: Rolling() for kind in ("whole", "moved", "rhythm")}
        self.after: dict[tuple[str, int], dict[int, int]] = {}
        self.parts: dict[int, PartTrace] = {}
        self.events: dict[int, list[tuple[int, int]]] = {}
        self.streaks: dict[tuple[int, int, int], int] = {}  # by field, pointer and part
        self.counted: dict[tuple[int, int, tuple[int, ...]], dict[int, int]] = {}
        self._own: set[tuple[int, int, tuple[int, ...]]] = set()
        self.last_note = -1
        self.note_count = self.total_velocity = 0
        self._pointers: tuple[dict[str, int], dict[str, int]] | None = None
        for row in rows:
            self.append(row)

    def copy(self) -> Memory:
        """An independent memory of the same rows."""
        other = object.__new__(Memory)
        other.__dict__.update(self.__dict__)
        for name in ("rows", "place", "pitch_before", "programs"):
            setattr(other, name, list(getattr(self, name)))
        other.hashes = {kind: rolling.copy() for kind, rolling in self.hashes.items()}
        other.after = {kind: dict(found) for kind, found in self.after.items()}
        other.parts = {number: part.copy() for number, part in self.parts.items()}
        other.events = {bar: list(events) for bar, events in self.events.items()}
        other.streaks, other.counted = dict(self.streaks), dict(self.counted)
        self._own, other._own = set(), set()  # whoever writes next copies first
        return other

    # ---- the next row ------------------------------------------------------------------------------

    @property
    def due(self) -> bool:
        """Whether the next row has a note."""
        return bool(self.place) and self.place[-1][3] >= 0

    def guesses(self, field: int, chosen: list[int]) -> Guesses:
        """What is recalled of a field of the next row, the ids of the fields before it being chosen."""
        values, trust = self._pointed(field, chosen)
        counted = [self.counted.get((field, n, key), {}) for n, key in enumerate(self._keys(field, chosen))]
        weight = [weight_of(found) for found in counted]
        return Guesses(values, trust, counted, weight)

    def _pointed(self, field: int, chosen: list[int]) -> tuple[list[int], list[int]]:
        if field in _NOTES:
            if not self.due:
                return [-1] * len(POINTERS[field]), [0] * len(POINTERS[field])
            values, levels, agrees = self._of_note(field, chosen)
            part = self.place[-1][3]
        else:
            values, levels = self._of_place(field, chosen)
            agrees, part = [0] * len(values), -1
        streaks = self.streaks
        trust = [
            trust_of(level, streaks.get((field, n, part), 0), agree) if value >= 0 else 0
            for n, (value, level, agree) in enumerate(zip(values, levels, agrees, strict=True))
        ]
        return values, trust

    def _found(self) -> tuple[dict[str, int], dict[str, int]]:
        """Rows that pointers lead to for the next row, and their levels."""
        if self._pointers is not None:
            return self._pointers
        n, rows, levels = len(self.rows), {}, {}
        for kind in ("whole", "moved", "rhythm"):
            row, level = -1, 0
            for number, order in enumerate(ROW_ORDERS, start=1):
                if n < order:
                    break
                at = self.after.get((kind, order), {}).get(self.hashes[kind].lists[order][n - 1], -1)
                if at >= 0:
                    row, level = at, number
            rows[kind], levels[kind] = row, level
        if self.due:
            bar, x, _, part, _, chord = self.place[-1]
            of_part = self.parts.get(part)
            rows["last"] = of_part.notes[-1] if of_part and of_part.notes else -1
            levels["last"] = int(rows["last"] >= 0)
            for kind in ("line", "shifted"):
                rows[kind], levels[kind] = -1, 0
                for number, order, key in self._line_keys(kind):
                    at = self.after.get((kind, order), {}).get(key, -1)
                    if at >= 0:
                        rows[kind], levels[kind] = at, number
            wanted = number_of(x, part, chord)
            for back in BARS_BACK:
                events = self.events.get(bar - back, []) if bar >= back else []
                at = bisect_left(events, (wanted, -1))
                there = at < len(events) and events[at][0] == wanted
                rows[f"bar {back}"] = events[at][1] + 1 if there else -1
                levels[f"bar {back}"] = int(there)
        self._pointers = rows, levels
        return self._pointers

    def _line_keys(self, kind: str) -> Iterable[tuple[int, int, int]]:
        """(level, order, key) of the line that the note that is due goes on."""
        _, _, _, number, time, _ = self.place[-1]
        part = self.parts.get(number)
        if part is None or not part.notes:
            return []
        gap = time - self.place[part.notes[-1] - 1][4]
        rank = len(part.notes)
        if kind == "line":
            hashes, orders, need = part.line, tuple(LINE_ORDERS), 0
            tail: tuple[int, ...] = (number,)
        else:
            if number < len(self.programs) and self.programs[number] == 128:
                return []
            hashes, orders, need, tail = part.shifted, tuple(SHIFTED_ORDERS), 1, ()
        return [
            (level, order, mix(hashes.lists[order][rank - 1], gap, *tail))
            for level, order in enumerate(orders, start=1)
            if rank >= order + need
        ]

    def _of_note(self, field: int, chosen: list[int]) -> tuple[list[int], list[int], list[int]]:
        rows, levels = self._found()
        first = self.layout.first[field]
        values, agrees = [], []
        for name in POINTERS[field]:
            row = rows[name]
            value = -1
            if row >= 0:
                value = self._carried(name, row) if name in ("moved", "shifted") else self.rows[row][field] - first
            values.append(max(value, -1))
            agrees.append(int(field == DURATION and row >= 0 and self.rows[row][PITCH] == chosen[PITCH]))
        return values, [levels[name] for name in POINTERS[field]], agrees

    def _carried(self, name: str, row: int) -> int:
        pitch = self.rows[row][PITCH] - self.layout.pitch
        if name == "moved":
            if pitch >= 128:
                return pitch
            here, base = self.last_melodic, self.pitch_before[row]
        else:
            if pitch >= 128:
                return -1
            here = self.rows[self._found()[0]["last"]][PITCH] - self.layout.pitch
            base = self._pitch_in_line_before(row)
        found = pitch - base + here
        return found if here >= 0 and base >= 0 and 0 <= found < 128 else -1

    def _pitch_in_line_before(self, row: int) -> int:
        notes = self.parts[self.place[row - 1][3]].notes
        at = bisect_left(notes, row)
        return self.rows[notes[at - 1]][PITCH] - self.layout.pitch if at else -1

    def _of_place(self, field: int, chosen: list[int]) -> tuple[list[int], list[int]]:
        """Guesses of where the next row leads: when, or, that being chosen, who."""
        layout, first = self.layout, self.layout.first
        rows, found_levels = self._found()
        whole, rhythm = rows["whole"], rows["rhythm"]
        if whole >= 0 and list(self.rows[whole][:2]) != chosen[:2]:
            whole = -1
        if field == ONSET:
            values = [self.rows[row][ONSET] - first[ONSET] if row >= 0 else -1 for row in (whole, rhythm)]
        else:
            values = [
                self.rows[row][PART] - first[PART] if row >= 0 and self.rows[row][ONSET] == chosen[ONSET] else -1
                for row in (whole, rhythm)
            ]
        levels = [max(1, found_levels["whole"]), max(1, found_levels["rhythm"])]
        bar, x, window, part, _, chord = self.place[-1] if self.place else (-1, -1, 0, -1, 0, 0)
        x_chosen = -1
        if field == PART and chosen[ONSET] >= layout.position:
            x_chosen = chosen[ONSET] - layout.position + self.window * layout.span_steps
        for back in BARS_BACK:
            value = -1
            events = self.events.get(bar - back) if bar >= back else None
            if events is not None:
                here = bisect_right(events, (number_of(x, part, chord), 2**62))
                if field == ONSET:
                    if here < len(events):
                        within = x_of(events[here][0]) - window * layout.span_steps
                        if within >= 0:
                            inside = within < layout.span_steps
                            value = layout.position + within - first[ONSET] if inside else layout.span - first[ONSET]
                    else:
                        value = layout.bar - first[ONSET]
                elif x_chosen >= 0 and chosen[PART - 1] >= layout.position:
                    at = here if x_chosen == x else bisect_left(events, (number_of(x_chosen, -1, 0), -1))
                    if at < len(events) and x_of(events[at][0]) == x_chosen:
                        who = (events[at][0] >> 8 & 0x7F) - 1
                        value = who + layout.part - first[PART] if who >= 0 else -1
            values.append(value)
            levels.append(1)
        return [max(value, -1) for value in values], levels

    def _keys(self, field: int, chosen: list[int]) -> list[tuple[int, ...]]:
        """What the places have in common with the next one whose values are counted."""
        bar, x, _, part, _, _ = self.place[-1] if self.place else (-1, -1, 0, -1, 0, 0)
        if field in _NOTES:
            if part < 0:
                return [(-99,)] * len(COUNTS[field])
            of_part = self.parts.get(part)
            last = self.rows[of_part.notes[-1]] if of_part and of_part.notes else None
            first = self.layout.first
            if field == PITCH:
                return [(part,), (part, x), (part, last[PITCH] - first[PITCH] if last else -1)]
            if field == DURATION:
                length = last[DURATION] - first[DURATION] if last else -1
                return [(part, x), (part, chosen[PITCH] - first[PITCH]), (part, length)]
            return [(part,), (part, x)]
        if bar < 0:
            return [(-99,)] * len(COUNTS[field])
        if field == ONSET:
            return [(x, part), (x,)]
        onset = chosen[ONSET] - self.layout.first[ONSET]
        placed = chosen[ONSET] >= self.layout.position
        x_chosen = chosen[ONSET] - self.layout.position + self.window * self.layout.span_steps if placed else -1
        return [(onset, part if x_chosen == x else -2), (onset,)]

    # ---- adding a row ------------------------------------------------------------------------------

    def append(self, row: Iterable[int]) -> None:
        """Remember one more row."""
        ids = tuple(int(token) for token in row)
        chosen, layout = list(ids), self.layout
        n = len(self.rows)
        self._judge(chosen)
        if n:
            for kind, hashes in self.hashes.items():
                for order in ROW_ORDERS:
                    if n >= order:
                        self.after.setdefault((kind, order), {})[hashes.lists[order][n - 1]] = n
        pitch = ids[PITCH] - layout.pitch
        is_note = n > 0 and ids[DURATION] != 0 and self.due
        melodic = is_note and pitch < 128
        self.pitch_before.append(self.last_melodic)
        heard = layout.pitch <= ids[PITCH] < layout.drum
        moved = pitch - self.last_melodic + 1000 if heard else ids[PITCH]
        self.hashes["whole"].append(mix(ids[PITCH], ids[DURATION], ids[ONSET], ids[PART]))
        self.hashes["moved"].append(mix(moved, ids[DURATION], ids[ONSET], ids[PART]))
        self.hashes["rhythm"].append(mix(ids[ONSET], ids[PART]))
        self.rows.append(ids)
        if is_note:
            self._remember_note(n, pitch, ids)
            if melodic:
                self.last_melodic = pitch
        self._lead(n, ids)
        self._pointers = None

    def _judge(self, chosen: list[int]) -> None:
        """What was right of the guesses, and the counts."""
        first = self.layout.first
        part = self.place[-1][3] if self.place else -1
        note = self.due and chosen[DURATION] != 0
        for field in (*(_NOTES if note else ()), ONSET, PART):
            own = chosen[field] - first[field]
            group = part if field in _NOTES else -1
            if field in _NOTES:
                values, _, _ = self._of_note(field, chosen)
            else:
                values, _ = self._of_place(field, chosen)
            for number, value in enumerate(values):
                if value >= 0:
                    key = (field, number, group)
                    self.streaks[key] = self.streaks.get(key, 0) + 1 if value == own else 0
            if field in _NOTES or (self.place and self.place[-1][0] >= 0):
                keys = self._keys(field, chosen)
                for number, of_place in enumerate(keys):
                    self._count((field, number, of_place), own)

    def _count(self, key: tuple[int, int, tuple[int, ...]], value: int) -> None:
        found = self.counted.get(key)
        if found is None:
            found = self.counted[key] = {}
            self._own.add(key)
        elif key not in self._own:  # shared with a memory that this one was copied from
            found = self.counted[key] = dict(found)
            self._own.add(key)
        found[value] = found.get(value, 0) + 1

    def _remember_note(self, n: int, pitch: int, ids: tuple[int, ...]) -> None:
        _, _, _, number, time, _ = self.place[-1]
        part = self.parts.setdefault(number, PartTrace())
        for kind in ("line", "shifted"):
            if kind == "shifted" and pitch >= 128:
                continue
            for _, order, key in self._line_keys(kind):
                self.after.setdefault((kind, order), {})[key] = n
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

    def _lead(self, n: int, ids: tuple[int, ...]) -> None:
        """Where row n leads to."""
        layout, onset, what = self.layout, ids[ONSET], ids[PART]
        if onset == layout.bos:
            self.tempo, self.style = what - layout.tempo, max(0, ids[PROGRAM] - layout.style)
        elif onset == layout.enter:
            self.programs.append(ids[PROGRAM] - layout.program)
        elif onset == layout.bar:
            if layout.meter <= what < layout.tempo:
                self.meter = what - layout.meter
            self.bar_time = self.bar_time + self.bar_length if self.bar_time >= 0 else 0
            steps = -(-(self.meter // 7 + 1) * 4 * layout.steps // (1 << self.meter % 7)) if self.meter >= 0 else 0
            self.bar, self.bar_length, self.window = self.bar + 1, steps, 0
        elif onset == layout.after:
            self.bar_before, self.bar = self.bar, AHEAD - 1
        elif onset == layout.here:
            self.bar = self.bar_before
        elif onset == layout.again:
            self.window = 0
        elif onset == layout.span:
            self.window += 1
        placed = onset >= layout.position
        x = onset - layout.position + self.window * layout.span_steps if placed else -1
        part = what - layout.part if placed and what >= layout.part else -1
        chord = 0
        if part >= 0 and self.place:
            bar_before, x_before, _, part_before, _, chord_before = self.place[-1]
            if (bar_before, x_before, part_before) == (self.bar, x, part):
                chord = chord_before + 1
        time = max(self.bar_time, 0) + max(x, 0)
        self.place.append((self.bar, x, self.window, part, time, chord))
        if self.bar >= 0 and (part >= 0 or onset == layout.bar):
            insort(self.events.setdefault(self.bar, []), (number_of(x, part, chord), n))

    # ---- what goes beside --------------------------------------------------------------------------

    def pitches(self) -> tuple[int, int]:
        """The last two pitches of the part that plays next, drums from 128; -1 where there is none."""
        notes = self._notes_due()
        first = self.layout.pitch
        one = self.rows[notes[-1]][PITCH] - first if notes else -1
        return one, self.rows[notes[-2]][PITCH] - first if len(notes) > 1 else -1

    def loudness(self) -> list[int]:
        """See `Recalled.loudness`."""
        if not self.due:
            return [-1] * 5
        notes, first = self._notes_due(), self.layout.velocity
        heard = [max(0, self.rows[row][VELOCITY] - first) for row in (*notes[-1:], *notes[-2:-1])]
        part = self.parts.get(self.place[-1][3])
        return [
            heard[0] if notes else -1,
            heard[1] if len(notes) > 1 else -1,
            max(0, self.rows[self.last_note][VELOCITY] - first) if self.last_note >= 0 else -1,
            part.total_velocity // len(notes) if part and notes else -1,
            self.total_velocity // self.note_count if self.note_count else -1,
        ]

    def _notes_due(self) -> list[int]:
        part = self.parts.get(self.place[-1][3]) if self.due else None
        return part.notes if part else []
