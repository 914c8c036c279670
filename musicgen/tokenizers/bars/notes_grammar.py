"""The grammar of `notes` as a walker over fields: five ids a step, `pad` where a step has no use for a field.

A step is pitch, duration and velocity of the note that the step before it has placed, if it has; then the onset
field of what follows, `bos`, `eos`, `bar`, `span` or a position, and its part. A position no later than the last
one is the same onset again, and its note lies above the notes there.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.bars.grammar import BarGrammar
from musicgen.tokenizers.bars.music import SPAN_QUARTERS
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["NotesGrammar"]

PAD = 0
ONSET, FIELDS = 3, 5  # the onset's column, and how many there are


class NotesGrammar(BarGrammar):
    """`advance` takes every id of every step in order, `allowed` says which ids may fill the next field."""

    column = 0  # of the field that comes next
    began = False  # whether the onset in hand is a new one

    def advance(self, token: int) -> None:
        self.column = (self.column + 1) % FIELDS
        if token == PAD:
            return
        kind = self._kind_of_id[token]
        value = token - self.v.base[kind]
        if kind == "position":
            self.began = self._absolute(value) > self.position
            if self.began:
                self._enter_onset(value)
        elif kind == "program":
            if self.fresh or value != self.program:
                self._take_program(value)
        else:
            self._take(kind, value)
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state = self.v, self.state
        mask = np.zeros(len(v), bool)
        if self.column == ONSET:
            if state == "start":
                mask[v.base["bos"]] = True
            elif state == "bos":
                mask[v.base["bar"]] = True
            elif state == "eos":
                mask[v.base["eos"]] = True
            else:
                self._allow_onsets(mask)
        elif state == "bar":
            mask[v.slice("meter")] = self._meters
        elif state == "position":
            mask[v.slice("program")] = self._parts()
            # A tempo stands first on its onset; where no note may sound, it is all that may.
            if self.began and (self.constraints.tempo_changes or not mask.any()):
                mask[v.slice("tempo")] = True
        elif state == "program":
            self._allow_pitches(mask)
        elif state in ("pitch", "drum"):
            mask[v.slice("duration")] = True
        elif state == "duration":
            mask[v.slice("velocity")] = True
        else:
            mask[PAD] = True
        return mask

    def _absolute(self, value: int) -> int:
        return self.window * SPAN_QUARTERS * self.steps + value

    def _parts(self) -> np.ndarray:
        """(129,) the programs that may sound on this onset, by the notes it holds."""
        parts, running = self._programs.copy(), self.program
        if self.fresh or running is None:
            return parts
        parts[:running] = False
        highest = 127 if running == DRUMS else self._highest_pitch
        if self.pitch >= highest or not self._chord_has_room():
            parts[running] = False
        return parts

    def _may_place(self) -> bool:
        """Whether anything may stand on an onset: a note, or a tempo."""
        return bool(self._programs.any() or self.constraints.tempo_changes)

    def _allow_onsets(self, mask: np.ndarray) -> None:
        """This onset again, a later one in this bar, the next bar, or the end."""
        v = self.v
        if self.state == "span":
            self._allow_positions(mask, begin=max(self.position + 1, self._earliest()))
            if mask.any():
                return
        elif not self._crowded() and self._may_place():
            here = self.state in ("tempo", "velocity") and self.position >= 0
            if here and self._room_for_note() and self._parts().any():
                mask[v.id("position", self.position - self._absolute(0))] = True
            self._allow_positions(mask, begin=max(self.position + 1, self._earliest()))
        if self._must_sound() and mask.any():
            return
        mask[v.base["bar"]] = True
        if not self._full() and self.constraints.may_end and self.bars:
            mask[v.base["eos"]] = True

    def _earliest(self) -> int:
        """The first position of this bar at which one more note may sound: a step with a position has a note."""
        most = self.constraints.max_polyphony
        if not most or len(self.sounding) < most:
            return 0
        return sorted(self.sounding)[-most] - self.time
