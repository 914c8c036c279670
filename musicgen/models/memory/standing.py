"""The metrical place of each row of a growing sequence: the incremental counterpart of `walk`."""

from __future__ import annotations

from bisect import bisect_left, insort

from musicgen.models.layouts import ONSET, PART, PROGRAM, MemoryLayout
from musicgen.models.memory.sources import BARS_BACK, ECHO_LEVEL, FAR
from musicgen.models.memory.traces import number_of, x_of
from musicgen.models.memory.walk import AHEAD

__all__ = ["NO_PLACE", "Standing"]

NO_PLACE = (-1, -1, 0, -1, 0, 0)
_BARS = tuple(f"bar {back}" for back in BARS_BACK)


class Standing:
    """The places of the rows so far, and the current bar, meter, programs, tempo and style."""

    def __init__(self, layout: MemoryLayout) -> None:
        self.layout = layout
        self.place: list[tuple[int, int, int, int, int, int]] = []  # bar, x, window, part, time, chord
        self.bar = self.bar_time = self.bar_length = -1
        self.meter = self.bar_before = -1
        self.window = 0
        self.programs: list[int] = []
        self.tempo, self.style = -1, 0
        self.lag = FAR  # how many bars back the echo pointer looks
        self.events: dict[int, list[tuple[int, int]]] = {}  # by bar (`number_of`, row), in order

    @property
    def due(self) -> bool:
        """Whether the next row has a note."""
        return bool(self.place) and self.place[-1][3] >= 0

    def lead(self, n: int, ids: tuple[int, ...]) -> None:
        """Update the places with row n."""
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

    # ---- the same place some bars ago --------------------------------------------------------------

    def set_lag(self, whole: int, level: int) -> None:
        """Set the lag where a long enough match points to the same position of another bar."""
        if level >= ECHO_LEVEL:
            (bar, x, *_), (bar_there, x_there, *_) = self.place[-1], self.place[whole - 1]
            if bar >= 0 and bar_there >= 0 and x == x_there and bar != bar_there:
                self.lag = bar - bar_there

    def backs(self) -> tuple[tuple[int, str], ...]:
        """(bars back, name) of each pointer to an earlier bar."""
        return (*zip(BARS_BACK, _BARS, strict=True), (self.lag, "echo"))

    def bars_back(self, row: dict[str, int]) -> tuple[list[int], list[int]]:
        """For each earlier bar of `backs`, the index of its first event after the same place, and its onset value.

        The index is -1 without such a bar. The row of the note at the same place is stored in `row`, by pointer name.
        """
        layout = self.layout
        bar, x, window, part, _, chord = self.place[-1] if self.place else NO_PLACE
        wanted = number_of(x, part, chord)
        starts, onsets = [], []
        for back, name in self.backs():
            row[name], here, onset = -1, -1, -1
            events = self.events.get(bar - back) if bar >= back else None
            if events is not None:
                here = bisect_left(events, (wanted, -1))
                if here < len(events) and events[here][0] == wanted:
                    row[name] = events[here][1] + 1
                while here < len(events) and events[here][0] == wanted:
                    here += 1
                onset = layout.bar - layout.bos
                if here < len(events):
                    within = x_of(events[here][0]) - window * layout.span_steps
                    onset = layout.position + within if within < layout.span_steps else layout.span
                    onset = onset - layout.bos if within >= 0 else -1
            starts.append(here)
            onsets.append(max(onset, -1))
        return starts, onsets

    def who_played(self, onset: int, starts: list[int]) -> list[int]:
        """For each earlier bar of `backs`, the part value of the next note at this onset id, -1 where there is none."""
        layout = self.layout
        if onset < layout.position or not self.place:
            return [-1] * len(self.backs())
        bar, x = self.place[-1][:2]
        x_chosen = onset - layout.position + self.window * layout.span_steps
        value = []
        for (back, _), start in zip(self.backs(), starts, strict=True):
            who = -1
            if start >= 0:
                events = self.events[bar - back]
                at = start if x_chosen == x else bisect_left(events, (number_of(x_chosen, -1, 0), -1))
                if at < len(events) and x_of(events[at][0]) == x_chosen:
                    who = (events[at][0] >> 8 & 0x7F) - 1
            value.append(who + layout.part - layout.meter if who >= 0 else -1)
        return value
