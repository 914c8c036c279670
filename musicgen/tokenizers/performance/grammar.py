"""The grammar of `performance` as a walker: which event may follow, and what a request forbids on top.

On one step of 10 ms come note-offs (ascending), perhaps the pedal, then note-ons (ascending), each perhaps behind
a velocity. So no step goes on for ever, and what is allowed is what encoding yields. Time moves in the largest
shifts that fit. Every sequence it lets through decodes to a valid piece.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints, pitch_mask
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["LONGEST", "LONGEST_SHIFT", "STEPS_PER_SECOND", "PerformanceGrammar"]

STEPS_PER_SECOND = 100
LONGEST_SHIFT = 100  # steps
LONGEST = 2000  # steps that a note may last
QUARTER = 50  # steps of a quarter note where no anchor tells the tempo: 120 a minute
OFFS, PEDAL, ONS = range(3)  # how far a step has come


class PerformanceGrammar(Grammar):
    """`advance` takes every token in order, whatever it is; `allowed` says which may come next.

    Constraints hold from the beginning, or from `constrain` on when a prompt is walked first. Bars are lengths of
    time, counted from the anchor's bar line.
    """

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints | None = None, *, inside: bool = False) -> None:
        """`inside`: a piece has begun before the first token, so that it isn't known whether the pedal is down."""
        self.v = v = vocabulary
        names = list(v.sizes)
        # Plain lists: a walk asks for one token at a time, and indexing an array costs ten times as much.
        self._kind_of_id = [names[k] for k in v.kind_of_id.tolist()]
        self._on, self._off, self._shift = v.base["on"], v.base["off"], v.base["shift"]
        self._velocities = v.slice("velocity")
        self._pedal = v.base.get("pedal")
        self.state = "bos" if inside else "start"
        self.time = 0  # steps
        self.phase = OFFS
        self.last_off = self.last_on = -1  # pitches, on this step
        self.short = False  # whether the last token is a shift that could have been longer, so that none follows
        self.velocity: int | None = None
        self.pedal: int | None = None if inside else 0
        self.began: dict[int, int] = {}  # pitch -> step of its onset, for what sounds; the oldest first
        self.down = np.zeros(128, bool)  # the same as a mask
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins on this step.

        Without an anchor a bar is one of the constraints' meter, or 4/4, at 120 quarters a minute.
        """
        self.constraints = c = constraints
        self.origin = self.sounded = self.time  # `sounded`: the step of the last onset
        self.notes_in_bar, self.bar = 0, 0
        numerator, denominator = c.meter or (4, 4)
        self.bar_steps, self.lead, fills = 4.0 * QUARTER * numerator / denominator, 0.0, False
        if anchor is not None:
            self.bar_steps = anchor.seconds(anchor.bar_length) * STEPS_PER_SECOND
            self.lead = anchor.seconds(anchor.tick - anchor.bar_start) * STEPS_PER_SECOND
            fills = anchor.fills
            self.phase, self.last_off, self.last_on, self.short = OFFS, -1, -1, False
        self.end = None if c.bars is None else round((c.bars + fills) * self.bar_steps - self.lead)
        self._pitches = pitch_mask(c)
        if c.melodic is not None and not c.melodic:
            self._pitches[:] = False
        self.most = c.most_at_once()
        self.patience = c.longest_silence(self.bar_steps) if self._pitches.any() else None

    @property
    def bars_done(self) -> int:
        return self.bar

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.began, other.down = dict(self.began), self.down.copy()
        return other

    def ends(self, token: int) -> bool:
        """Whether taking `token` now ends the sequence: EOS, or a shift to the end of the last bar asked for."""
        if token == self.v.base["eos"]:
            return True
        kind = self._kind_of_id[token]
        return kind == "shift" and self.end is not None and self._after(token) - self.origin >= self.end

    def advance(self, token: int) -> None:
        kind = self._kind_of_id[token]
        if kind == "shift":
            self.time = self._after(token)
            self.phase, self.last_off, self.last_on = OFFS, -1, -1
            bar = int((self.time - self.origin + self.lead) // self.bar_steps)
            if bar != self.bar:
                self.bar, self.notes_in_bar = bar, 0
        elif kind == "on":
            pitch = token - self._on
            self.began.pop(pitch, None)
            self.began[pitch] = self.sounded = self.time
            self.down[pitch] = True
            self.phase, self.last_on = ONS, pitch
            self.notes_in_bar += 1
        elif kind == "off":
            pitch = token - self._off
            self.began.pop(pitch, None)  # in a window, a note that began before it may end
            self.down[pitch] = False
            self.last_off = pitch
        elif kind == "velocity":
            self.velocity, self.phase = token - self._velocities.start, ONS
        elif kind == "pedal":
            self.pedal, self.phase = token - self.v.base["pedal"], PEDAL
        self.state = kind
        self.short = kind == "shift" and token - self._shift + 1 < LONGEST_SHIFT

    def allowed(self) -> np.ndarray:
        mask = np.zeros(len(self.v), bool)
        if self.state == "start":
            mask[self.v.base["bos"]] = True
        elif self.state in ("eos", "pad"):
            mask[self.v.base["eos"]] = True
        elif self.began and self.time - next(iter(self.began.values())) >= LONGEST:
            self._allow_overdue(mask)
        else:
            self._allow_events(mask)
        return mask

    # ---- small steps -----------------------------------------------------------------------------

    def _after(self, shift: int) -> int:
        return self.time + shift - self._shift + 1

    def _allow_overdue(self, mask: np.ndarray) -> None:
        """A pitch has sounded for as long as one may: it ends now, or one below it whose turn comes first."""
        lowest = min(pitch for pitch, start in self.began.items() if self.time - start >= LONGEST)
        low = self.last_off + 1 if self.last_off < lowest else lowest
        mask[self._off + low : self._off + lowest + 1] = self.down[low : lowest + 1]

    def _allow_events(self, mask: np.ndarray) -> None:
        after_velocity = self.state == "velocity"
        goes_on = False  # whether a note may begin or end on this step
        if self._room_for_note():
            low = self.last_on + 1
            ons = self._pitches[low:] & ~self.down[low:]
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
        must_sound = self.patience is not None and self.time - self.sounded >= self.patience
        # Behind the pedal no note ends any more, and one may have to, so that another begins.
        if self.phase == OFFS and self._pedal is not None and not (must_sound and goes_on):
            mask[self._pedal : self._pedal + 2] = True
            if self.pedal is not None:
                mask[self._pedal + self.pedal] = False
        if not goes_on or not (self.short or must_sound):
            mask[self._shift : self._shift + self._longest_shift()] = True
        if self.constraints.may_end and not self.began and not must_sound:
            mask[self.v.base["eos"]] = True

    def _longest_shift(self) -> int:
        """Steps to the next moment at which something must happen."""
        longest = LONGEST_SHIFT
        if self.began:
            longest = min(longest, LONGEST - (self.time - next(iter(self.began.values()))))
        if self.patience is not None and (left := self.sounded + self.patience - self.time) > 0:
            longest = min(longest, left)
        return longest

    def _room_for_note(self) -> bool:
        most = self.constraints.max_notes_a_bar
        return len(self.began) < self.most and not (most and self.notes_in_bar >= most)
