"""The grammar of `remi` as a walker: which token may follow, and what a request forbids on top.

After `bos` come bars: `bar meter`, then onsets. Every sequence it lets through decodes to a valid piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.bars.grammar import BarGrammar
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["RemiGrammar"]


class RemiGrammar(BarGrammar):
    """`advance` takes every token in order, `allowed` says which may come next."""

    def advance(self, token: int) -> None:
        kind = self._kind_of_id[token]
        value = token - self.v.base[kind]
        if kind == "position":
            self._enter_onset(value)
        elif kind == "program":
            self._take_program(value)
        else:
            self._take(kind, value)
            if kind in ("pitch", "drum") and self.program is None:  # a window that begins in mid-bar
                self.program = DRUMS if kind == "drum" else 0
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state, c = self.v, self.state, self.constraints
        mask = np.zeros(len(v), bool)
        if state == "start":
            mask[v.base["bos"]] = True
        elif state == "bos":
            mask[v.base["bar"]] = True
        elif state == "bar":
            mask[v.slice("meter")] = self._meters
        elif state in ("pitch", "drum"):
            mask[v.slice("velocity")] = True
        elif state == "velocity":
            mask[v.slice("duration")] = True
        elif state == "program":
            self._allow_pitches(mask)
        elif state == "span":
            self._allow_positions(mask, begin=self.position + 1)
        elif state in ("eos", "pad"):
            mask[v.base["eos"]] = True
        else:  # meter, position, tempo, duration
            if state == "position" and c.tempo_changes:
                mask[v.slice("tempo")] = True
            if state != "meter" and self._room_for_note():
                self._allow_notes(mask)
            if state != "position" or not mask.any():
                self._allow_onwards(mask)
        return mask

    def _allow_notes(self, mask: np.ndarray) -> None:
        """A note on this onset: of the running program, above the last one, or of another program."""
        v = self.v
        running = self.program
        if running is not None and self._programs[running] and self._chord_has_room():
            self._allow_pitches(mask)
        programs = v.slice("program")
        mask[programs] = self._programs
        if running is not None:
            # On one onset programs ascend; on a new one every other program may begin.
            low = 0 if self.fresh else running
            mask[programs.start : programs.start + low] = False
            mask[programs.start + running] = False

    def _allow_onwards(self, mask: np.ndarray) -> None:
        """A later onset in this bar, the next bar, or the end."""
        v = self.v
        if not self._crowded():
            self._allow_positions(mask, begin=self.position + 1)
        if self._must_sound() and mask.any():
            return
        mask[v.base["bar"]] = True
        if not self._full() and self.constraints.may_end and self.bars:
            mask[v.base["eos"]] = True
