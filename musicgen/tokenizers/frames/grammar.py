"""The grammar of `frames` as a walker: the order within a frame, and what a request forbids on top.

What a request says of notes is meant of held ones: a note begins where its pitch didn't sound in the frame before.
Bars are lengths of time, counted from the anchor's bar line. Every sequence it lets through decodes to a valid piece.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints, pitch_mask
from musicgen.tokenizers.grammar import Grammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["FramesGrammar"]

HELD = 4  # frames that the notes of a bar may last on average: it bounds the work, as the number of notes does


class FramesGrammar(Grammar):
    """`advance` takes every token in order, whatever it is; `allowed` says which may come next.

    Constraints hold from the beginning, or from `constrain` on when a prompt is walked first.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        constraints: Constraints | None = None,
        *,
        frames_per_quarter: int,
        voices: int,
        descending: bool,
        inside: bool,
    ) -> None:
        """`voices` 0: frames are sets, their pitches in order. `inside`: the first token begins a frame of a piece."""
        self.v = v = vocabulary
        self.per_quarter, self.voices, self.descending = frames_per_quarter, voices, descending
        names = list(v.sizes)
        # A plain list: a walk asks for one token at a time, and indexing an array costs ten times as much.
        self._kind_of_id = [names[k] for k in v.kind_of_id.tolist()]
        self._pitch = v.base["pitch"]
        self._mark = v.base["rest" if voices else "end"]
        self.state = "bos" if inside else "start"
        self.frame = 0
        self.before: tuple[int, ...] = ()  # what the last frame holds: pitches, or by voice a pitch or -1
        self.now: tuple[int, ...] = ()  # the same of this one, as far as it has come
        self.struck = False  # whether a note begins in this frame
        self.constrain(constraints or Constraints())

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins with this frame, and nothing is held.

        Without an anchor a bar is one of the constraints' meter, or 4/4.
        """
        self.constraints = c = constraints
        self.origin = self.sounded = self.frame  # `sounded`: the frame of the last onset
        self.notes_in_bar = self.pitches_in_bar = self.bar = 0
        numerator, denominator = c.meter or (4, 4)
        self.bar_frames, self.lead, fills = 4.0 * self.per_quarter * numerator / denominator, 0.0, False
        if anchor is not None:
            per_tick = self.per_quarter / anchor.ticks_per_quarter
            self.bar_frames = anchor.bar_length * per_tick
            self.lead, fills = (anchor.tick - anchor.bar_start) * per_tick, anchor.fills
            self.before, self.now, self.struck = (), (), False
        self.end = None if c.bars is None else round((c.bars + fills) * self.bar_frames - self.lead)
        self._pitches = pitch_mask(c)
        if c.melodic is not None and not c.melodic:
            self._pitches[:] = False
        self.most = c.most_at_once()
        self.patience = c.longest_silence(self.bar_frames) if self._pitches.any() else None

    @property
    def bars_done(self) -> int:
        return int((self.frame - self.origin + self.lead) // self.bar_frames)

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)  # what changes on the way is replaced, never written into
        return other

    def ends(self, token: int) -> bool:
        """Whether taking `token` now ends the sequence: EOS, or what comes after the last frame asked for.

        The `end` of that frame ends it too: it would add nothing.
        """
        if token == self.v.base["eos"]:
            return True
        if self.end is None:
            return False
        done = self.frame - self.origin
        return done >= self.end or (not self.voices and token == self._mark and done + 1 >= self.end)

    def advance(self, token: int) -> None:
        kind = self._kind_of_id[token]
        if kind == "pitch":
            pitch = token - self._pitch
            if self._begins(pitch):
                self.struck = True
                self.sounded = self.frame
                self.notes_in_bar += 1
            self.pitches_in_bar += 1
            self.now = (*self.now, pitch)
        elif kind == "rest":
            self.now = (*self.now, -1)
        if kind == "end" or (self.voices and len(self.now) == self.voices):
            self._enter_frame()
        self.state = kind

    def allowed(self) -> np.ndarray:
        mask = np.zeros(len(self.v), bool)
        if self.state == "start":
            mask[self.v.base["bos"]] = True
        elif self.state in ("eos", "pad"):
            mask[self.v.base["eos"]] = True
        else:
            self._allow_frame(mask)
        return mask

    # ---- small steps -----------------------------------------------------------------------------

    def _begins(self, pitch: int) -> bool:
        """Whether this pitch, coming next, is the beginning of a note."""
        if not self.voices:
            return pitch not in self.before
        voice = len(self.now)
        return voice >= len(self.before) or self.before[voice] != pitch

    def _enter_frame(self) -> None:
        self.before, self.now, self.struck = self.now, (), False
        self.frame += 1
        bar = int((self.frame - self.origin + self.lead) // self.bar_frames)
        if bar != self.bar:
            self.bar, self.notes_in_bar, self.pitches_in_bar = bar, 0, 0

    def _allow_frame(self, mask: np.ndarray) -> None:
        overdue = self.patience is not None and self.frame - self.sounded >= self.patience
        # Only what is new ends the waiting; where just the held pitches are allowed, they rest for a frame first.
        must_strike = overdue and not self.struck
        pitches = self._next_pitches(only_new=must_strike)
        mask[self._pitch : self._pitch + 128] = pitches
        last_chance = not self.voices or len(self.now) == self.voices - 1
        mask[self._mark] = not (must_strike and last_chance and pitches.any())
        if self.constraints.may_end and not self.now and not overdue:
            mask[self.v.base["eos"]] = True

    def _next_pitches(self, *, only_new: bool) -> np.ndarray:
        """Boolean (128,): the pitches that may come next in this frame."""
        c = self.constraints
        sounding = sum(pitch >= 0 for pitch in self.now)
        if sounding >= self.most or (c.max_notes_a_bar and self.pitches_in_bar >= HELD * c.max_notes_a_bar):
            return np.zeros(128, bool)
        held = np.zeros(128, bool)
        voice = len(self.now)
        if not self.voices:
            held[list(self.before)] = True
        elif voice < len(self.before) and self.before[voice] >= 0:
            held[self.before[voice]] = True
        if c.max_notes_a_bar and self.notes_in_bar >= c.max_notes_a_bar:
            pitches = self._pitches & held
        else:
            pitches = self._pitches.copy()
        if only_new:
            pitches &= ~held
        if not self.voices and self.now:
            if self.descending:
                pitches[self.now[-1] :] = False
            else:
                pitches[: self.now[-1] + 1] = False
        return pitches
