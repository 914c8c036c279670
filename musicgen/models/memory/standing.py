"""Where a sequence that grows row by row stands: what `walk` says of whole ones."""

from __future__ import annotations

from bisect import insort

from musicgen.models.memory.layout import ONSET, PART, PROGRAM, MemoryLayout
from musicgen.models.memory.traces import number_of
from musicgen.models.memory.walk import AHEAD

__all__ = ["Standing"]


class Standing:
    """The places that rows lead to, and what was told on the way."""

    def __init__(self, layout: MemoryLayout) -> None:
        self.layout = layout
        self.place: list[tuple[int, int, int, int, int, int]] = []  # bar, x, window, part, time, chord
        self.bar = self.bar_time = self.bar_length = -1
        self.meter = self.bar_before = -1
        self.window = 0
        self.programs: list[int] = []
        self.tempo, self.style = -1, 0
        self.events: dict[int, list[tuple[int, int]]] = {}  # by bar (`number_of`, row), in order

    @property
    def due(self) -> bool:
        """Whether the next row has a note."""
        return bool(self.place) and self.place[-1][3] >= 0

    def lead(self, n: int, ids: tuple[int, ...]) -> None:
        """Walk over row n."""
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
