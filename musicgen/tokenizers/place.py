"""Where a walk through a sequence stands in the music: what masks look at, and what a grammar moves on.

Time is counted in the tokenizer's own whole units (steps of the grid, of 10 ms, frames) from the beginning of the walk.
Bars are either told by the ids themselves (`BarPlace`) or lengths of time from an anchor on (`ClockPlace`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from musicgen.tokenizers.constraints import Anchor

__all__ = ["BarPlace", "ClockPlace", "Place"]


class Place(ABC):
    """A moment of the music, and what the bar and the moment hold already."""

    notes_in_bar: int  # notes that begin in this bar
    player: int | None = None  # who plays: the number of a program or of a part, None before the first in the bar
    chord: int = 0  # notes of the player that begin at this moment

    @abstractmethod
    def sounding(self) -> int:
        """How many notes sound at this moment."""

    @abstractmethod
    def length(self, bars: int) -> int:
        """What `progress` is once so many bars of new music are done."""

    @abstractmethod
    def progress(self) -> int:
        """How far this moment is in the new music: bars that have begun, or the time."""

    @abstractmethod
    def longest_silence(self, bars: int) -> int:
        """What `silence` is once so many bars in a row are empty, and no more may be."""

    @abstractmethod
    def silence(self) -> int:
        """How long no note has begun: empty bars before this one, or time; less than 0 where this bar has notes."""

    def copy(self) -> Self:
        """The same place, to go on from."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


class BarPlace(Place):
    """A place in bars that ids tell: meter, then onsets whose positions grow, on each the notes of one or more players.

    `steps` is how many units a quarter has. Positions are told within windows of `window_steps`.
    """

    def __init__(self, steps: int, *, window_steps: int) -> None:
        self.steps, self.window_steps = steps, window_steps
        self.window = 0  # where the window in hand begins, from the bar's start
        self.bar_steps = 4 * steps  # of the bar in hand
        self.bar_start = 0  # time
        self.position = -1  # of the last onset, from the bar's start; -1 before the first
        self.bars = 0  # that have begun since `begin`
        self.notes_in_bar = self.empty_bars = 0
        self.pitch = -1  # of the player's last note on this onset
        self.fresh = True  # no note on this onset yet
        self.closed = False  # whether the last onset lies before new music, so that no note may join it
        self.ends: list[int] | None = None  # when notes end; None while nobody counts what sounds

    def begin(self, anchor: Anchor | None, *, counted: bool) -> None:
        """New music begins here: bars count anew, and with an anchor no onset of this bar may lie before it.

        `counted`: from here on it matters what sounds together.
        """
        self.bars = self.empty_bars = self.notes_in_bar = 0
        self.ends = (self.ends or []) if counted else None
        if anchor is not None and anchor.tick:
            per_tick = self.steps / anchor.ticks_per_quarter
            # A cut at a bar line closes the prompt's last bar.
            first = (
                round((anchor.tick - anchor.bar_start) * per_tick)
                if anchor.fills
                else round(anchor.bar_length * per_tick) + 1
            )
            self.position = max(self.position, first - 1)
            self.closed = True

    def sounding(self) -> int:
        if self.ends is None:
            return 0
        now = self.bar_start + self.position
        self.ends = [end for end in self.ends if end > now]
        return len(self.ends)

    def length(self, bars: int) -> int:
        return bars

    def progress(self) -> int:
        return self.bars

    def longest_silence(self, bars: int) -> int:
        return bars

    def silence(self) -> int:
        return -1 if self.notes_in_bar else self.empty_bars

    def free_from(self, most: int) -> int:
        """The first position of this bar at which fewer than `most` of the notes so far sound."""
        if self.ends is None or len(self.ends) < most:
            return 0
        return sorted(self.ends)[-most] - self.bar_start

    def copy(self) -> Self:
        other = super().copy()
        other.ends = None if self.ends is None else list(self.ends)
        return other

    # ---- going on --------------------------------------------------------------------------------

    def enter_bar(self, *, first: bool) -> None:
        """A bar line; `first`: it opens the piece."""
        if self.bars:
            self.empty_bars = 0 if self.notes_in_bar else self.empty_bars + 1
        self.bar_start += 0 if first else self.bar_steps
        self.bars += 1
        self.notes_in_bar = 0
        self.tell_again()

    def tell_again(self) -> None:
        """Back to the beginning of this bar."""
        self.position, self.window, self.player, self.closed = -1, 0, None, False

    def take_span(self) -> None:
        self.window += self.window_steps

    def enter_onset(self, position: int) -> None:
        """An onset, at a position of the window."""
        self.position = self.window + position
        self.pitch, self.fresh, self.chord, self.closed = -1, True, 0, False

    def take_player(self, player: int) -> None:
        self.player, self.pitch, self.chord = player, -1, 0

    def take_pitch(self, pitch: int) -> None:
        self.pitch, self.fresh = pitch, False
        self.chord += 1
        self.notes_in_bar += 1

    def take_duration(self, length: int) -> None:
        if self.ends is not None:
            self.ends.append(self.bar_start + self.position + length)


class ClockPlace(Place):
    """A place in time, of which bars are lengths counted from the anchor's bar line."""

    def __init__(self) -> None:
        self.time = 0
        self.sounds = 0  # notes that sound
        self.begin(1.0)

    def begin(self, bar_length: float, *, lead: float = 0.0, fills: bool = False) -> None:
        """New music begins here, `lead` units after a bar line; `fills`: that bar is filled before others count."""
        self.bar_length, self.lead, self.fills = bar_length, lead, fills
        self.origin = self.sounded = self.time  # `sounded`: the time of the last onset
        self.bar = self.notes_in_bar = 0

    def sounding(self) -> int:
        return self.sounds

    def length(self, bars: int) -> int:
        return self.origin + round((bars + self.fills) * self.bar_length - self.lead)

    def progress(self) -> int:
        return self.time

    def longest_silence(self, bars: int) -> int:
        # One less than the whole, so that silence stays shorter than that many bars.
        return max(1, int((bars + 1) * self.bar_length) - 1)

    def silence(self) -> int:
        return self.time - self.sounded

    def move(self, units: int) -> bool:
        """Time passes. Returns whether it leads into another bar."""
        self.time += units
        bar = int((self.time - self.origin + self.lead) // self.bar_length)
        if bar == self.bar:
            return False
        self.bar, self.notes_in_bar = bar, 0
        return True

    def strike(self) -> None:
        """A note begins."""
        self.sounded = self.time
        self.notes_in_bar += 1
