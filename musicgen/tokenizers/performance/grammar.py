"""The grammar of the `performance` tokenizer: which events may follow, and a request's constraints.

On one step of 10 ms come note-offs (ascending), optionally the pedal, then note-ons (ascending), each optionally after
a velocity. So every step is finite, and the grammar allows what the encoder produces. Time moves on by the largest
shifts that fit. Every sequence that the grammar allows decodes to a valid piece.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.grammar import ClockGrammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["LONGEST", "LONGEST_SHIFT", "STEPS_PER_SECOND", "PerformanceGrammar"]

STEPS_PER_SECOND = 100
LONGEST_SHIFT = 100  # steps
LONGEST = 2000  # longest note, in steps
QUARTER = 50  # steps in a quarter note without an anchor: 120 quarters a minute
OFFS, PEDAL, ONS = range(3)  # phases of a step


class PerformanceGrammar(ClockGrammar):
    """Grammar state for one sequence of events. `advance` accepts any token, also one that isn't allowed.

    Constraints apply from the beginning, or from `constrain` on where a prompt is fed first. Without an anchor the
    tempo is 120 quarters a minute.
    """

    note_kind = "on"

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints | None = None, *, inside: bool = False) -> None:
        """`inside`: the first token is within a piece, so that the pedal's state is unknown."""
        super().__init__(vocabulary, constraints, quarter=QUARTER)
        v = vocabulary
        self._on, self._off, self._shift = v.base["on"], v.base["off"], v.base["shift"]
        self._velocities = v.slice("velocity")
        self._pedal = v.base.get("pedal")
        self.state = "bos" if inside else "start"
        self._begin_anew()
        self.velocity: int | None = None
        self.pedal: int | None = None if inside else 0
        self.began: dict[int, int] = {}  # {pitch: step of its onset} of sounding notes, the oldest first
        self.down = np.zeros(128, bool)  # mask of the sounding pitches

    def _units(self, ticks: float, anchor: Anchor) -> float:
        return anchor.seconds(ticks) * STEPS_PER_SECOND

    def _begin_anew(self) -> None:
        self.phase = OFFS
        self.last_off = self.last_on = -1  # pitches, on this step
        self.short = False  # whether the last token is a shift below the maximum, after which no shift may follow

    def copy(self) -> Self:
        other = super().copy()
        other.began, other.down = dict(self.began), self.down.copy()
        return other

    def ends(self, token: int) -> bool:
        """Whether `token` ends the sequence: EOS, or a shift to the end of the last requested bar or beyond."""
        if token == self.v.base["eos"]:
            return True
        return self._kind_of_id[token] == "shift" and self.length.is_full(self.place, ahead=token - self._shift + 1)

    def advance(self, token: int) -> None:
        kind, place = self._kind_of_id[token], self.place
        if kind == "shift":
            place.move(token - self._shift + 1)
            self.phase, self.last_off, self.last_on = OFFS, -1, -1
        elif kind == "on":
            pitch = token - self._on
            self.began.pop(pitch, None)
            self.began[pitch] = place.time
            self.down[pitch] = True
            self.phase, self.last_on = ONS, pitch
            place.strike()
        elif kind == "off":
            pitch = token - self._off
            self.began.pop(pitch, None)  # may be absent: a note that began before the ids
            self.down[pitch] = False
            self.last_off = pitch
        elif kind == "velocity":
            self.velocity, self.phase = token - self._velocities.start, ONS
        elif kind == "pedal":
            self.pedal, self.phase = token - self.v.base["pedal"], PEDAL
        place.sounds = len(self.began)
        self.state = kind
        self.short = kind == "shift" and token - self._shift + 1 < LONGEST_SHIFT

    def allowed(self) -> np.ndarray:
        mask = np.zeros(len(self.v), bool)
        if self.state == "start":
            mask[self.v.base["bos"]] = True
        elif self.state in ("eos", "pad"):
            mask[self.v.base["eos"]] = True
        elif self.began and self._lasts(next(iter(self.began.values()))) >= LONGEST:
            self._allow_overdue(mask)
        else:
            self._allow_events(mask)
        return mask

    # ---- small steps -----------------------------------------------------------------------------

    def _lasts(self, start: int) -> int:
        """How many steps a note that began at step `start` has sounded."""
        return self.place.time - start

    def _allow_overdue(self, mask: np.ndarray) -> None:
        """Allow the note-off of a pitch that has sounded for LONGEST, or of a lower one that must precede it."""
        lowest = min(pitch for pitch, start in self.began.items() if self._lasts(start) >= LONGEST)
        low = self.last_off + 1 if self.last_off < lowest else lowest
        mask[self._off + low : self._off + lowest + 1] = self.down[low : lowest + 1]

    def _allow_events(self, mask: np.ndarray) -> None:
        after_velocity, place = self.state == "velocity", self.place
        goes_on = False  # whether a note may begin or end on this step
        if not (self.polyphony.is_full(place) or self.masks.is_full(place)):
            low = self.last_on + 1
            ons = self._allowed_pitches()[low:] & ~self.down[low:]
            if ons.any():
                goes_on = True
                mask[self._on + low : self._on + 128] = ons
                if not after_velocity:
                    mask[self._velocities] = True
                    if self.velocity is not None:
                        mask[self._velocities.start + self.velocity] = False
        if after_velocity and goes_on:
            return
        if self.phase == OFFS and self.began:
            low = self.last_off + 1
            offs = self.down[low:]
            goes_on = goes_on or bool(offs.any())
            mask[self._off + low : self._off + 128] = offs
        must_sound = self.presence.is_due(place)
        # No note-off may follow the pedal on a step, and one may be needed before a note-on that must come.
        if self.phase == OFFS and self._pedal is not None and not (must_sound and goes_on):
            mask[self._pedal : self._pedal + 2] = True
            if self.pedal is not None:
                mask[self._pedal + self.pedal] = False
        if not goes_on or not (self.short or must_sound):
            mask[self._shift : self._shift + self._longest_shift()] = True
        if self.length.may_end and not self.began and not must_sound:
            mask[self.v.base["eos"]] = True

    def _longest_shift(self) -> int:
        """The longest shift, in steps, before a note must end or the silence becomes too long."""
        longest = LONGEST_SHIFT
        if self.began:
            longest = min(longest, LONGEST - self._lasts(next(iter(self.began.values()))))
        left = self.presence.left(self.place)
        return longest if left is None else min(longest, left)
