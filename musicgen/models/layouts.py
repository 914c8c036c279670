"""The layout of a tokenizer's ids: all that models know of their meaning.

Plain data, so that settings can hold them. A frame is encoded as pitches and a mark. A step of `parts` is a row of six
ids: pitch, duration and velocity of the note that the step before has placed, then the onset of the next note, the part
that plays it, and the program of a part that enters. An empty field holds `pad`, 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from musicgen.errors import UsageError

__all__ = [
    "DURATION",
    "FIELDS",
    "FrameLayout",
    "MOST_PARTS",
    "ONSET",
    "PART",
    "PITCH",
    "PROGRAM",
    "VELOCITY",
    "MemoryLayout",
]

PITCH, DURATION, VELOCITY, ONSET, PART, PROGRAM = range(6)
FIELDS = 6
MOST_PARTS = 64


@dataclass(frozen=True)
class FrameLayout:
    """How a tokenizer encodes frames: see `tokenizers.frames`.

    `pitch` is the id of pitch 0, `mark` that of `end` (of a set) or `rest` (of a voice). `voices` is 0 for sets, whose
    pitches are in ascending order, or in descending order where `descending`.
    """

    pitch: int
    mark: int
    voices: int
    descending: bool


@dataclass(frozen=True)
class MemoryLayout:
    """The first id of each kind, the vocabulary's `size`, grid `steps` per quarter, and positions per span."""

    pitch: int
    drum: int
    duration: int
    velocity: int
    bos: int
    bar: int
    span: int
    enter: int
    after: int
    here: int
    again: int
    position: int
    meter: int
    tempo: int
    part: int
    program: int
    style: int
    size: int
    steps: int
    span_steps: int

    @classmethod
    def of(cls, values: Mapping[str, int]) -> Self:
        """A layout from plain values. Raises UsageError where a key is missing or unknown."""
        names = {field.name for field in fields(cls)}
        for name in sorted(names ^ set(values)):
            raise UsageError(
                f"the layout of steps has {'no' if name in names else 'an unknown'} {name!r}", where="model"
            )
        return cls(**{name: int(value) for name, value in values.items()})

    @property
    def first(self) -> tuple[int, int, int, int, int, int]:
        """The first id of each field."""
        return self.pitch, self.duration, self.velocity, self.bos, self.meter, self.program

    @property
    def sizes(self) -> tuple[int, int, int, int, int, int]:
        """The number of ids of each field."""
        edges = (*self.first, self.size)
        a, b, c, d, e, f = (high - low for low, high in itertools.pairwise(edges))
        return a, b, c, d, e, f
