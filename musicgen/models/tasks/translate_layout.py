"""The layout of the ids of sources and targets: all that a translator knows of their meaning.

Plain data. A source step is a note: pitch and length. A target step is what sounds, one number of a chord or three of
voices, and its length. Both stand at a place: the bar's number, the position in it, and the meter.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ATB",
    "BEGIN",
    "CHORDS",
    "FIRST_LENGTH",
    "FIRST_PITCH",
    "LONGEST_BAR",
    "N_CHORDS",
    "N_VOICE",
    "PAD",
    "PAIRS",
    "PLACE",
    "SOURCE",
    "Layout",
]

CHORDS, ATB = "melody-chords", "soprano-atb"
PAIRS = (CHORDS, ATB)
PAD = 0
BEGIN = 1  # what stands before the first step
FIRST_PITCH = BEGIN + 1  # the id of pitch 0 in a source
LONGEST_BAR = 96  # grid steps: eight quarters
FIRST_LENGTH = FIRST_PITCH + 128  # the id of length 1 in a source
LONGEST_NOTE = 2 * LONGEST_BAR
N_CHORDS = 61  # no chord, and five kinds on each of twelve roots
N_VOICE = 74  # a note that goes on, a rest, and 72 pitches
SOURCE = 2  # fields of a source step, beside its place: pitch and length
PLACE = 3  # fields of a place: bar, position, meter


@dataclass(frozen=True)
class Layout:
    """The ids of a kind of pair, in excerpts of at most `bars` bars."""

    pair: str
    bars: int

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each field of a target step: of what sounds, then of its length."""
        return (N_CHORDS, LONGEST_BAR) if self.pair == CHORDS else (N_VOICE, N_VOICE, N_VOICE, LONGEST_BAR)

    @property
    def fields(self) -> tuple[tuple[int, int], ...]:
        """(first id, number of ids) of each field of a target step."""
        first, found = BEGIN + 1, []
        for size in self.sizes:
            found.append((first, size))
            first += size
        return tuple(found)

    @property
    def n_source(self) -> int:
        """Ids of a source step: padding, the beginning, pitches, lengths."""
        return BEGIN + 1 + 128 + LONGEST_NOTE

    @property
    def n_target(self) -> int:
        """Ids of a target step."""
        return BEGIN + 1 + sum(self.sizes)

    @property
    def n_place(self) -> int:
        """Ids of bars, positions, and meters of either kind, with padding."""
        return 1 + self.bars + LONGEST_BAR + 2 * (LONGEST_BAR + 1)
