"""The contents of a Humdrum file by line, before times are known.

A row is a line that matters: notes that begin together, a bar line, or marks. Other facts (dynamics, meters, keys)
refer to a row by its index.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from musicgen.io.scores.kern.names import Spine
from musicgen.io.scores.kern.tokens import Token

__all__ = ["BAR", "GRACE", "MARK", "NULL", "ONSET", "Channel", "Row", "Sheet", "Voice"]

# Kinds of rows. ONSET: notes or rests begin; GRACE: grace notes alone; NULL: nothing begins, but time passes; BAR: a
# bar line; MARK: marks, which have the time of the next row.
ONSET, GRACE, NULL, BAR, MARK = range(5)


class Channel(NamedTuple):
    """What applies to the notes of a voice: their spine, semitones to add, and why they are left out, if they are."""

    spine: Spine
    shift: int = 0
    unpitched: bool = False
    silent: str = ""  # "" if they sound; else the reason: cues, ossias, strophes


class Voice:
    """A column between the lines where it is split or joined.

    `end` is the time at which its last note ends, -1 before the first; `twin` is the voice that it was split from, or
    that was split from it, until the next note shows in which of the two the note before the split is held. Both are
    set in `kern.time`.
    """

    __slots__ = ("channel", "end", "twin")

    def __init__(self, channel: Channel, *, end: int = -1) -> None:
        self.channel, self.end = channel, end
        self.twin: Voice | None = None


class Row(NamedTuple):
    """A line that matters. `content` depends on the kind. ONSET and GRACE: (voice, token, channel) of each token that
    begins; BAR: its token; MARK: changes of voices as ("split", old, new), ("join", into, from), ("begin", voice) or
    ("end", voice)."""

    kind: int
    line: int
    content: Any = None
    base: int = 0  # the time base: 8 after `*tb8`, where each row lasts an eighth; 0 without one


@dataclass
class Sheet:
    """The rows of one piece, and the facts that refer to them."""

    rows: list[Row] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)  # of kern spines, at the begin of the piece
    spines: list[Spine] = field(default_factory=list)  # kern spines, from the left
    tokens: dict[str, Token] = field(default_factory=dict)
    levels: list[tuple[int, Spine, int]] = field(default_factory=list)  # row, `**dynam` spine, velocity
    chords: list[tuple[int, str]] = field(default_factory=list)
    meters: list[tuple[int, Spine, tuple[int, int]]] = field(default_factory=list)
    signs: list[tuple[int, Spine, tuple[int, int]]] = field(default_factory=list)  # meters implied by `*met`
    keys: list[tuple[int, Spine, int]] = field(default_factory=list)  # row, spine, fifths
    modes: list[tuple[int, Spine, int, bool]] = field(default_factory=list)  # named keys: row, spine, fifths, minor
    tempos: list[tuple[int, float]] = field(default_factory=list)  # row, quarters a minute
    labels: list[tuple[int, str]] = field(default_factory=list)  # row, name of the section that begins there
    lists: dict[str, list[str]] = field(default_factory=dict)  # expansion lists by name, "" for the default one
    # Row, whether a bar line comes next, the words, the mark of `order.Bar` that they mean ("" if none is recognized).
    jumps: list[tuple[int, bool, str, str]] = field(default_factory=list)
    through: bool = False  # `*thru`: repeats are written out already
    decoration: str = ""  # of `!!!system-decoration`
    only: str = ""  # the code of the one instrument that the header names
    counts: dict[str, int] = field(default_factory=dict)  # by kind, for the warnings

    def count(self, what: str, n: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n

    def highest_meters(self) -> list[tuple[int, tuple[int, int]]]:
        """(row, meter) of the highest part that has meters; if parts have different ones, bars follow these."""
        top = max((spine.column for _, spine, _ in self.meters), default=-1)
        return [(row, meter) for row, spine, meter in self.meters if spine.column == top]

    def mark(self, line: int) -> int:
        """The index of the MARK row at the end, which is added if the last row is of another kind."""
        if not self.rows or self.rows[-1].kind != MARK:
            self.rows.append(Row(MARK, line, []))
        return len(self.rows) - 1
