"""The grammar of `frames` as a walker: the order within a frame, and what a request forbids on top.

What a request says of notes is meant of held ones: a note begins where its pitch didn't sound in the frame before.
Bars are lengths of time, counted from the anchor's bar line. Every sequence it lets through decodes to a valid piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.grammar import ClockGrammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["FramesGrammar"]

HELD = 4  # frames that the notes of a bar may last on average: it bounds the work, as the number of notes does


class FramesGrammar(ClockGrammar):
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
        super().__init__(vocabulary, constraints, quarter=frames_per_quarter)
        self.voices, self.descending = voices, descending
        self._pitch = vocabulary.base["pitch"]
        self._mark = vocabulary.base["rest" if voices else "end"]
        self.state = "bos" if inside else "start"
        self.said_in_bar = 0  # pitches, held ones too
        self._begin_anew()

    def _units(self, ticks: float, anchor: Anchor) -> float:
        return ticks * (self._quarter / anchor.ticks_per_quarter)

    def _begin_anew(self) -> None:
        """Nothing is held."""
        self.before: tuple[int, ...] = ()  # what the last frame holds: pitches, or by voice a pitch or -1
        self.now: tuple[int, ...] = ()  # the same of this one, as far as it has come
        self.struck = False  # whether a note begins in this frame
        self.place.sounds = 0

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        super().constrain(constraints, anchor=anchor)
        self.said_in_bar = 0

    def ends(self, token: int) -> bool:
        """Whether taking `token` now ends the sequence: EOS, or what comes after the last frame asked for.

        The `end` of that frame ends it too: it would add nothing.
        """
        if token == self.v.base["eos"]:
            return True
        return self.length.is_full(self.place, ahead=int(not self.voices and token == self._mark))

    def advance(self, token: int) -> None:
        kind = self._kind_of_id[token]
        if kind == "pitch":
            pitch = token - self._pitch
            if self._begins(pitch):
                self.struck = True
                self.place.strike()
            self.said_in_bar += 1
            self.place.sounds += 1
            self.now = (*self.now, pitch)
        elif kind == "rest":
            self.now = (*self.now, -1)
        if kind == "end" or (self.voices and len(self.now) == self.voices):
            self.before, self.now, self.struck = self.now, (), False
            self.place.sounds = 0
            if self.place.move(1):
                self.said_in_bar = 0
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

    def _allow_frame(self, mask: np.ndarray) -> None:
        overdue = self.presence.is_due(self.place)
        # Only what is new ends the waiting; where just the held pitches are allowed, they rest for a frame first.
        must_strike = overdue and not self.struck
        pitches = self._next_pitches(only_new=must_strike)
        mask[self._pitch : self._pitch + 128] = pitches
        last_chance = not self.voices or len(self.now) == self.voices - 1
        mask[self._mark] = not (must_strike and last_chance and pitches.any())
        if self.length.may_end and not self.now and not overdue:
            mask[self.v.base["eos"]] = True

    def _next_pitches(self, *, only_new: bool) -> np.ndarray:
        """Boolean (128,): the pitches that may come next in this frame."""
        if self.polyphony.is_full(self.place) or self.density.is_full(self.said_in_bar // HELD):
            return np.zeros(128, bool)
        held = np.zeros(128, bool)
        voice = len(self.now)
        if not self.voices:
            held[list(self.before)] = True
        elif voice < len(self.before) and self.before[voice] >= 0:
            held[self.before[voice]] = True
        if self.density.is_full(self.place.notes_in_bar):
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
