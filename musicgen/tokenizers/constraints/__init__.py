"""The constraints that a request puts on new music, the same for all tokenizers, and where the music begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.errors import ResourceError

__all__ = ["DRUMS", "MOST_STEPS", "Anchor", "Constraints", "check_length"]

DRUMS = 128  # the program value that stands for the drum channel
MOST_STEPS = 2**22  # in a piece, for any tokenizer: three hours of the densest music have a tenth of it


@dataclass(frozen=True)
class Constraints:
    """What a request requires of new music. None and 0 mean no limit.

    `meter`: (numerator, denominator) of every new bar. `programs`: allowed program values, 128 for drums.
    `bars`: end at the bar line after this many new bars. `max_polyphony`: most notes sounding at
    once. `pitch_classes`: allowed pitch classes 0..11 of melodic parts. `max_empty_bars`: most consecutive bars without
    an onset. `max_notes_a_bar` bounds the work. `chord_sizes`: (program, most notes on one onset), which keeps
    melody instruments monophonic. A tokenizer without bars measures them as lengths of time from its `Anchor`.

    For a tokenizer with parts: `parts` are the numbers of parts that may play, and `chord_sizes` then holds part
    numbers in place of programs; `part_pitches` are boolean masks (128,) of the pitches or drums that a part may play;
    `part_count` is how many parts there are.
    """

    meter: tuple[int, int] | None = None
    programs: frozenset[int] | None = None
    pitch_low: int = 0
    pitch_high: int = 127
    pitch_classes: frozenset[int] | None = None
    tempo_changes: bool = True
    bars: int | None = None
    may_end: bool = True
    max_polyphony: int = 0
    max_notes_a_bar: int = 0
    max_empty_bars: int | None = None
    chord_sizes: tuple[tuple[int, int], ...] = ()
    parts: frozenset[int] | None = None
    part_pitches: tuple[tuple[int, np.ndarray], ...] = ()
    part_count: int | None = None

    @property
    def melodic(self) -> frozenset[int] | None:
        """The allowed programs without drums; None if all are allowed."""
        return None if self.programs is None else self.programs - {DRUMS}


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


def check_length(steps: float, what: str) -> None:
    """Raise ResourceError for a piece of more than MOST_STEPS steps; to be called before memory for them is allocated.

    >>> check_length(10**9, "frames")
    Traceback (most recent call last):
    musicgen.errors.ResourceError: the piece would take 1,000,000,000 frames, and the most are 4,194,304; cut it
    """
    if steps > MOST_STEPS:
        raise ResourceError(f"the piece would take {steps:,.0f} {what}, and the most are {MOST_STEPS:,}", hint="cut it")
