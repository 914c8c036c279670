"""What the lines of a Humdrum file say, before anything is known of time.

A row is a line that counts: what begins together, a bar line, or marks. Marks name the row that they belong to by its
index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from musicgen.io.scores.kern.names import Spine
from musicgen.io.scores.kern.tokens import Token

__all__ = ["BAR", "GRACE", "MARK", "NULL", "ONSET", "Channel", "Row", "Sheet", "Voice"]

# Kinds of rows: notes or rests begin; grace notes alone; nothing begins, but time goes on; a bar line; marks, which
# have the time of what comes next.
ONSET, GRACE, NULL, BAR, MARK = range(5)


class Channel(NamedTuple):
    """Where the notes of a voice go: its spine, semitones to add, and why they are left out, where they are."""

    spine: Spine
    shift: int = 0
    unpitched: bool = False
    silent: str = ""  # cues, ossias, strophes


class Voice:
    """A column as long as it is one.

    `end` is where its last note ends, -1 for nowhere yet; `twin` is the voice that it was split from, or that was split
    from it, until it is clear which of the two holds the note before. Both are `kern_time`'s.
    """

    __slots__ = ("channel", "end", "twin")

    def __init__(self, channel: Channel, *, end: int = -1) -> None:
        self.channel, self.end = channel, end
        self.twin: Voice | None = None


class Row(NamedTuple):
    """A line that counts. `content` by kind: ONSET and GRACE (voice, token, channel) for each note or rest that begins;
    BAR its token; MARK what becomes of voices: ("split", of, new), ("join", into, from), ("begin" or "end", voice)."""

    kind: int
    line: int
    content: Any = None
    base: int = 0  # how many rows of its like make a whole note, as `*tb8` says; 0 where nothing does


@dataclass
class Sheet:
    """The rows of one piece, and what stands in them."""

    rows: list[Row] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)  # of notes, that the piece begins with
    spines: list[Spine] = field(default_factory=list)  # of notes, from the left
    tokens: dict[str, Token] = field(default_factory=dict)
    levels: list[tuple[int, Spine, int]] = field(default_factory=list)  # row, of which notes, velocity
    chords: list[tuple[int, str]] = field(default_factory=list)
    meters: list[tuple[int, Spine, tuple[int, int]]] = field(default_factory=list)
    signs: list[tuple[int, Spine, tuple[int, int]]] = field(default_factory=list)  # meters as `*met` draws them
    keys: list[tuple[int, Spine, int]] = field(default_factory=list)  # row, spine, fifths
    modes: list[tuple[int, Spine, int, bool]] = field(default_factory=list)  # keys by name: row, spine, fifths, minor
    tempos: list[tuple[int, float]] = field(default_factory=list)  # row, quarters a minute
    labels: list[tuple[int, str]] = field(default_factory=list)  # sections begin
    lists: dict[str, list[str]] = field(default_factory=dict)  # expansion lists by name, "" for the one without
    # Row, whether a bar line comes next, the words and the mark of `order` that they are, "" where they are none.
    jumps: list[tuple[int, bool, str, str]] = field(default_factory=list)
    through: bool = False  # repeats are written out already
    decoration: str = ""  # of `!!!system-decoration`
    only: str = ""  # the code of the one instrument that the header names
    counts: dict[str, int] = field(default_factory=dict)  # what is to be told

    def count(self, what: str, n: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n

    def highest_meters(self) -> list[tuple[int, tuple[int, int]]]:
        """(row, meter) of the highest part that has any: where parts have meters of their own, bars follow that one."""
        top = max((spine.column for _, spine, _ in self.meters), default=-1)
        return [(row, meter) for row, spine, meter in self.meters if spine.column == top]

    def mark(self, line: int) -> int:
        """The row of a mark that comes now."""
        if not self.rows or self.rows[-1].kind != MARK:
            self.rows.append(Row(MARK, line, []))
        return len(self.rows) - 1
