"""The grammar of the `frames` tokenizer: the order of ids within a frame, and a request's constraints.

Constraints on notes apply to held notes: a note begins where its pitch didn't sound in the frame before. Bars are
lengths of time, counted from the anchor's bar line. Every sequence that the grammar allows decodes to a valid piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.grammar import ClockGrammar
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["FramesGrammar"]

HELD = 4  # pitch ids allowed in a bar for each note of `max_notes_a_bar`; bounds the work with long notes


class FramesGrammar(ClockGrammar):
    """Grammar state for one sequence of frames. `advance` accepts any token, also one that isn't allowed.

    Constraints apply from the beginning, or from `constrain` on where a prompt is fed first.
    """

    note_kind = "pitch"

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
        """`voices` 0: frames are sorted sets of pitches. `inside`: the first token begins a frame within a piece."""
        super().__init__(vocabulary, constraints, quarter=frames_per_quarter)
        self.voices, self.descending = voices, descending
        self._pitch = vocabulary.base["pitch"]
        self._mark = vocabulary.base["rest" if voices else "end"]
        self.state = "bos" if inside else "start"
        self.ids_in_bar = 0  # pitch ids in this bar, held ones included
        self._begin_anew()

    def _units(self, ticks: float, anchor: Anchor) -> float:
        return ticks * (self._quarter / anchor.ticks_per_quarter)

    def _begin_anew(self) -> None:
        """Forget the frames so far, so that no note is held."""
        self.before: tuple[int, ...] = ()  # the previous frame: its pitches, or for each voice a pitch or -1 (rest)
        self.now: tuple[int, ...] = ()  # the current frame so far, in the same form
        self.struck = False  # whether a note begins in this frame
        self.place.sounds = 0

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        super().constrain(constraints, anchor=anchor)
        self.ids_in_bar = 0

    def ends(self, token: int) -> bool:
        """Whether `token` ends the sequence: EOS, or any token after the last requested frame.

        For sets, the `end` token of that frame ends it too, as it adds no note.
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
            self.ids_in_bar += 1
            self.place.sounds += 1
            self.now = (*self.now, pitch)
        elif kind == "rest":
            self.now = (*self.now, -1)
        if kind == "end" or (self.voices and len(self.now) == self.voices):
            self.before, self.now, self.struck = self.now, (), False
            self.place.sounds = 0
            if self.place.move(1):
                self.ids_in_bar = 0
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
        """Whether this pitch as the next id would begin a note instead of holding one."""
        if not self.voices:
            return pitch not in self.before
        voice = len(self.now)
        return voice >= len(self.before) or self.before[voice] != pitch

    def _allow_frame(self, mask: np.ndarray) -> None:
        overdue = self.presence.is_due(self.place)
        # Only a new note ends the silence; if the constraints allow only held pitches, they must rest for a frame.
        must_strike = overdue and not self.struck
        pitches = self._next_pitches(only_new=must_strike)
        mask[self._pitch : self._pitch + 128] = pitches
        last_chance = not self.voices or len(self.now) == self.voices - 1
        mask[self._mark] = not (must_strike and last_chance and pitches.any())
        if self.length.may_end and not self.now and not overdue:
            mask[self.v.base["eos"]] = True

    def _next_pitches(self, *, only_new: bool) -> np.ndarray:
        """Boolean (128,): the pitches that may come next in this frame."""
        if self.polyphony.is_full(self.place) or self.density.holds(self.ids_in_bar // HELD):
            return np.zeros(128, bool)
        held = np.zeros(128, bool)
        voice = len(self.now)
        if not self.voices:
            held[list(self.before)] = True
        elif voice < len(self.before) and self.before[voice] >= 0:
            held[self.before[voice]] = True
        pitches = self._allowed_pitches() & (held if self.masks.is_full(self.place) else True)
        if only_new:
            pitches &= ~held
        if not self.voices and self.now:
            if self.descending:
                pitches[self.now[-1] :] = False
            else:
                pitches[: self.now[-1] + 1] = False
        return pitches
