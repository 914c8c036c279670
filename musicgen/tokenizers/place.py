"""The musical position reached in a token sequence: grammars advance it token by token, constraint masks read it.

Time is counted from the first token in the tokenizer's own integer units (grid steps, 10 ms steps or frames). Bars are
either marked by tokens (`BarPlace`) or are fixed lengths of time counted from an anchor (`ClockPlace`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

__all__ = ["DRUMS", "Anchor", "BarPlace", "ClockPlace", "Place"]

DRUMS = 128  # the program value that stands for the drum channel


@dataclass(frozen=True)
class Anchor:
    """Where new music begins in a piece, with its meter and tempo there. Times are ticks of the piece."""

    tick: int  # the cut
    bar_start: float  # start of the bar that contains or begins at the cut
    bar_length: float  # length of every new bar
    ticks_per_quarter: int
    microseconds: int  # per quarter note, from the cut on
    fills: bool  # whether the cut is inside a bar, which is then completed first

    def seconds(self, ticks: float) -> float:
        """Convert a length after the cut from ticks to seconds, at the tempo of the cut."""
        return ticks * self.microseconds / (1e6 * self.ticks_per_quarter)


class Place(ABC):
    """A position in time, with counts of the notes so far in its bar and on its onset."""

    notes_in_bar: int  # onsets in this bar so far
    player: int | None = None  # program or part number of the current note, None before the bar's first note
    chord: int = 0  # notes of the player on this onset so far

    @property
    @abstractmethod
    def new_bar(self) -> int:
        """Which new bar this is, from 0; -1 in a bar that the prompt has begun."""

    @abstractmethod
    def sounding(self) -> int:
        """The number of notes sounding at this position."""

    @abstractmethod
    def length(self, bars: int) -> int:
        """The value of `progress` after so many bars of new music."""

    @abstractmethod
    def progress(self) -> int:
        """How far the new music has come: the number of bars begun, or the time (units of the class)."""

    @abstractmethod
    def longest_silence(self, bars: int) -> int:
        """The value of `silence` at which so many consecutive bars are empty, so that a note must follow."""

    @abstractmethod
    def silence(self) -> int:
        """The silence so far: consecutive empty bars before this one (-1 if this bar has notes), or the time since the
        last onset."""

    def copy(self) -> Self:
        """An independent copy."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


class Sounding(NamedTuple):
    """A note in grid steps from the first token: from `start` to before `end`, which may stand for any end from `least`
    on."""

    start: int
    end: int
    least: int
    player: int | None = None


class BarPlace(Place):
    """A position in music whose tokens mark bars: a bar's meter, then onsets at ascending positions with their notes.

    `steps` is the number of grid steps in a quarter note. Position tokens count within windows of `window_steps`, and
    a span token moves on to the next window.
    """

    def __init__(self, steps: int, *, window_steps: int) -> None:
        self.steps, self.window_steps = steps, window_steps
        self.window = 0  # start of the current window, from the bar's start
        self.bar_steps = 4 * steps  # length of the current bar
        self.bar_start = 0  # time at which it begins
        self.position = -1  # of the last onset, from the bar's start; -1 before the first
        self.bars = 0  # bars begun since `begin`
        self.bars_before = 0  # new bars before those
        self.notes_in_bar = self.empty_bars = 0
        self.pitch = -1  # the player's last pitch on this onset, -1 for none
        self.fresh = True  # no note on this onset yet
        self.closed = False  # whether the last onset belongs to the prompt, so that no note may be added to it
        self.notes: tuple[Sounding, ...] = ()  # those that sound in this bar or later
        self.left: tuple[int, int, tuple[Sounding, ...]] | None = None  # see `leave`
        self.struck: frozenset[int | None] = frozenset()  # who has begun a note on this onset
        # (player, bar number, position, pitch) of new notes, for those that ask for it (`remembers`)
        self.remembers = False
        self.history: tuple[tuple[int | None, int, int, int], ...] = ()
        self.last_bars: dict[int, int] = {}  # player: the value of `bars` in the last bar in which it began a note

    def begin(self, anchor: Anchor | None) -> None:
        """Begin new music: reset the bar count; with an anchor, onsets before it in this bar are ruled out."""
        self.bars = self.empty_bars = self.notes_in_bar = 0
        self.last_bars = {}
        if anchor is not None and anchor.tick:
            per_tick = self.steps / anchor.ticks_per_quarter
            # With a cut at a bar line no more onsets fit into the prompt's last bar.
            first = (
                round((anchor.tick - anchor.bar_start) * per_tick)
                if anchor.fills
                else round(anchor.bar_length * per_tick) + 1
            )
            self.position = max(self.position, first - 1)
            self.closed = True
            # A note that the cut ends may be spelled as a longer one, for want of its length.
            cut = self.bar_start + (first if anchor.fills else first - 1)
            self.notes = tuple(
                note._replace(end=cut, least=cut) if note.least <= cut < note.end else note for note in self.notes
            )

    @property
    def new_bar(self) -> int:
        return self.bars - 1

    @property
    def bar_number(self) -> int:
        """Which of all new bars of the request this is, from 0; below 0 in a bar that the prompt has begun."""
        return self.bars - 1 + self.bars_before

    def sounding(self) -> int:
        now = self.bar_start + self.position
        return sum(note.start <= now < note.end for note in self.notes)

    def length(self, bars: int) -> int:
        return bars

    def progress(self) -> int:
        return self.bars

    def longest_silence(self, bars: int) -> int:
        return bars

    def silence(self) -> int:
        return -1 if self.notes_in_bar else self.empty_bars

    def counts(self, player: int | None = None) -> np.ndarray:
        """(bar_steps,): the number of notes so far that sound at each position of this bar; of one player, if given."""
        edges = np.zeros(self.bar_steps + 1, np.int64)
        for note in self.notes:
            if player is not None and note.player != player:
                continue
            edges[min(max(0, note.start - self.bar_start), self.bar_steps)] += 1
            edges[min(max(0, note.end - self.bar_start), self.bar_steps)] -= 1
        counts: np.ndarray = np.cumsum(edges)[:-1]
        return counts

    def until_full(self, most: int) -> int | None:
        """The steps from this onset to the first later one at which `most` notes sound already; None if there is none.

        There is one only where notes of this bar were given before others (`return_to_bar`).
        """
        now = self.bar_start + self.position
        later = sorted(note.start for note in self.notes if note.start > now)
        full = (at for at in later if sum(note.start <= at < note.end for note in self.notes) >= most)
        return next((at - now for at in full), None)

    # ---- going on --------------------------------------------------------------------------------

    def enter_bar(self, *, first: bool) -> None:
        """Take a bar token; `first` if it is the piece's first, before which there is no bar to pass."""
        if self.bars:
            self.empty_bars = 0 if self.notes_in_bar else self.empty_bars + 1
        self.bar_start += 0 if first else self.bar_steps
        self.bars += 1
        self.notes_in_bar = 0
        self.notes = tuple(note for note in self.notes if note.end > self.bar_start)
        self.return_to_bar()

    def leave(self) -> None:
        """Go to music that comes later in the piece, until `resume` returns here."""
        self.left = self.bar_start, self.bar_steps, self.notes

    def resume(self) -> None:
        """Return to where `leave` went from; without that, the notes so far come later than what follows."""
        self.bar_start, self.bar_steps, self.notes = self.left or (self.bar_start, self.bar_steps, ())
        self.left = None

    def return_to_bar(self) -> None:
        """Return to the beginning of the current bar, whose notes so far belong to other parts than those to come."""
        self.position, self.window, self.player, self.closed = -1, 0, None, False
        self.notes_in_bar, self.struck = 0, frozenset()

    def take_span(self) -> None:
        self.window += self.window_steps

    def enter_onset(self, position: int) -> None:
        """Begin an onset at a position within the current window."""
        self.position = self.window + position
        self.pitch, self.fresh, self.chord, self.closed = -1, True, 0, False
        self.struck = frozenset()

    def take_player(self, player: int) -> None:
        self.player, self.pitch, self.chord = player, -1, 0

    def take_pitch(self, pitch: int) -> None:
        self.pitch, self.fresh = pitch, False
        self.chord += 1
        self.notes_in_bar += 1
        if self.remembers:
            self.history = (*self.history, (self.player, self.bar_number, self.position, pitch))
        if self.player not in self.struck:
            self.struck |= {self.player}
        if self.player is not None and self.last_bars.get(self.player) != self.bars:
            self.last_bars = {**self.last_bars, self.player: self.bars}

    def rest_of(self, player: int) -> int:
        """The number of new bars up to this one since the player last began a note; 0 if it was in this bar."""
        return self.bars - self.last_bars.get(player, 0)

    def take_duration(self, length: int, *, least: int | None = None) -> None:
        """Take a note's length in steps; `least`: that of the shortest note that is spelled as this one."""
        start = self.bar_start + self.position
        end, earliest = start + length, start + (length if least is None else least)
        self.notes = (*self.notes, Sounding(start, end, earliest, self.player))


class ClockPlace(Place):
    """A position in music without bar tokens: bars are fixed lengths of time counted from the anchor's bar line."""

    def __init__(self) -> None:
        self.time = 0
        self.sounds = 0  # notes sounding now
        self.begin(1.0)

    def begin(self, bar_length: float, *, lead: float = 0.0, fills: bool = False) -> None:
        """Begin new music `lead` units after a bar line; with `fills`, the rest of that bar isn't counted as a bar."""
        self.bar_length, self.lead, self.fills = bar_length, lead, fills
        self.origin = self.sounded = self.time  # `sounded`: the time of the last onset
        self.bar = self.notes_in_bar = 0

    @property
    def new_bar(self) -> int:
        return self.bar - self.fills

    def sounding(self) -> int:
        return self.sounds

    def length(self, bars: int) -> int:
        return self.origin + round((bars + self.fills) * self.bar_length - self.lead)

    def progress(self) -> int:
        return self.time

    def longest_silence(self, bars: int) -> int:
        # One unit less, so that the silence stays shorter than bars + 1 bars.
        return max(1, int((bars + 1) * self.bar_length) - 1)

    def silence(self) -> int:
        return self.time - self.sounded

    def move(self, units: int) -> bool:
        """Advance the time. Returns whether a new bar has been reached."""
        self.time += units
        bar = int((self.time - self.origin + self.lead) // self.bar_length)
        if bar == self.bar:
            return False
        self.bar, self.notes_in_bar = bar, 0
        return True

    def strike(self) -> None:
        """Count an onset at the current time."""
        self.sounded = self.time
        self.notes_in_bar += 1
