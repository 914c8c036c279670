"""The musical position reached in a token sequence: grammars advance it token by token, constraint masks read it.

Time is counted from the first token in the tokenizer's own integer units (grid steps, 10 ms steps or frames). Bars are
either marked by tokens (`BarPlace`) or are fixed lengths of time counted from an anchor (`ClockPlace`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from musicgen.tokenizers.constraints import Anchor

__all__ = ["BarPlace", "ClockPlace", "Place"]


class Place(ABC):
    """A position in time, with counts of the notes so far in its bar and on its onset."""

    notes_in_bar: int  # onsets in this bar so far
    player: int | None = None  # program or part number of the current note, None before the bar's first note
    chord: int = 0  # notes of the player on this onset so far

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
        self.notes_in_bar = self.empty_bars = 0
        self.pitch = -1  # the player's last pitch on this onset, -1 for none
        self.fresh = True  # no note on this onset yet
        self.closed = False  # whether the last onset belongs to the prompt, so that no note may be added to it
        self.ends: list[int] | None = None  # end times of notes; None where polyphony isn't counted

    def begin(self, anchor: Anchor | None, *, counted: bool) -> None:
        """Begin new music: reset the bar count; with an anchor, onsets before it in this bar are ruled out.

        `counted` says whether to keep track of sounding notes from here on.
        """
        self.bars = self.empty_bars = self.notes_in_bar = 0
        self.ends = (self.ends or []) if counted else None
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
        """The first position in this bar at which fewer than `most` of the notes so far are sounding."""
        if self.ends is None or len(self.ends) < most:
            return 0
        return sorted(self.ends)[-most] - self.bar_start

    def copy(self) -> Self:
        other = super().copy()
        other.ends = None if self.ends is None else list(self.ends)
        return other

    # ---- going on --------------------------------------------------------------------------------

    def enter_bar(self, *, first: bool) -> None:
        """Take a bar token; `first` if it is the piece's first, before which there is no bar to pass."""
        if self.bars:
            self.empty_bars = 0 if self.notes_in_bar else self.empty_bars + 1
        self.bar_start += 0 if first else self.bar_steps
        self.bars += 1
        self.notes_in_bar = 0
        self.tell_again()

    def tell_again(self) -> None:
        """Return to the beginning of the current bar."""
        self.position, self.window, self.player, self.closed = -1, 0, None, False

    def take_span(self) -> None:
        self.window += self.window_steps

    def enter_onset(self, position: int) -> None:
        """Begin an onset at a position within the current window."""
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
