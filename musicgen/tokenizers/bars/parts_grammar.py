"""The grammar of `parts` as a walker over fields: six ids a step, `pad` where a step has no use for a field.

A step is pitch, duration and velocity of the note that the step before it has placed, if it has; then the onset field
of what follows, its part, and for a part that enters its program. A position no later than the last one is the same
onset again, and its note lies above the notes of its part there. Only parts that have entered play, and a part of drums
plays drums.

The marks of tasks are walked over wherever they come; `again` begins the bar anew for the parts that are asked for.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.bars.notes_grammar import NotesGrammar
from musicgen.tokenizers.constraints import DRUMS, Anchor, Constraints

__all__ = ["PartsGrammar"]

PAD = 0
ONSET, PROGRAM, FIELDS = 3, 5, 6  # columns, and how many there are
MARKS = ("after", "here")


class PartsGrammar(NotesGrammar):
    """`advance` takes every id of every step in order, `allowed` says which ids may fill the next field."""

    column = 0  # of the field that comes next
    began = False  # whether the onset in hand is a new one

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        super().constrain(constraints, anchor=anchor)
        if not hasattr(self, "entered"):
            self.entered: list[int] = []  # the program of every part
        self._open = np.ones(self.v.sizes["part"], bool)
        if constraints.parts is not None:
            self._open[:] = False
            self._open[list(constraints.parts)] = True
        self._part_pitches = dict(constraints.part_pitches)

    def copy(self) -> Self:
        other = super().copy()
        other.entered = list(self.entered)
        return other

    def enter_inside(self) -> None:
        """Stand where a bar may begin, in a piece whose parts are still to be told."""
        self.column, self.state = 0, "tempo"

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
        elif kind == "part":
            if self.state == "enter" or self.state in MARKS:
                return  # its program follows in the same step; or it says how many bars are missing
            if self.fresh or value != self.program:
                self._take_program(value)
        elif kind == "program":
            self.entered.append(value)
        elif kind == "again":
            self.position, self.window, self.program, self.closed = -1, 0, None, False
        elif kind == "style":
            return
        else:
            self._take(kind, value)
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state = self.v, self.state
        mask = np.zeros(len(v), bool)
        if self.column == ONSET:
            if state == "start":
                mask[v.base["bos"]] = True
            elif state == "eos":
                mask[v.base["eos"]] = True
            elif state in ("tempo", "program"):  # before the first bar
                wanted = self.constraints.part_count
                mask[v.base["bar"]] = len(self.entered) >= (1 if wanted is None else wanted)
                mask[v.base["enter"]] = len(self.entered) < (v.sizes["part"] if wanted is None else wanted)
            else:
                self._allow_onsets(mask)
        elif self.column == PROGRAM:
            if state == "enter":
                mask[v.slice("program")] = self._programs
            elif state == "tempo":
                mask[v.slice("style")] = True
            else:
                mask[PAD] = True
        elif state == "bos":
            mask[v.slice("tempo")] = True
        elif state == "enter" and self.column == ONSET + 1:
            mask[v.id("part", len(self.entered))] = True
        elif state in ("bar", "again") and self.column == ONSET + 1:
            mask[v.slice("meter") if state == "bar" else PAD] = self._meters if state == "bar" else True
        elif state == "position":
            mask[v.slice("part")] = self._parts()
        elif state == "part":
            self._allow_pitches(mask)
        elif state in ("pitch", "drum"):
            mask[v.slice("duration")] = True
        elif state == "duration":
            mask[v.slice("velocity")] = True
        else:
            mask[PAD] = True
        return mask

    def _playing(self) -> np.ndarray:
        """(64,) the parts that have entered and may play."""
        playing = self._open.copy()
        playing[len(self.entered) :] = False
        playing[: len(self.entered)] &= self._programs[self.entered]
        return playing

    def _parts(self) -> np.ndarray:
        """(64,) the parts that may sound on this onset, by the notes it holds."""
        parts, running = self._playing(), self.program
        if self.fresh or running is None:
            return parts
        parts[:running] = False
        if self.pitch >= self._highest(running) or not self._chord_has_room():
            parts[running] = False
        return parts

    def _of_part(self, part: int) -> np.ndarray:
        """(128,) the pitches, or drums, that a part may play."""
        drums = self.entered[part] == DRUMS
        own = self._part_pitches.get(part)
        if own is None:
            return np.ones(128, bool) if drums else self._pitches
        both = own if drums else own & self._pitches
        return both if both.any() else own

    def _highest(self, part: int) -> int:
        return int(np.flatnonzero(self._of_part(part)).max(initial=-1))

    def _allow_pitches(self, mask: np.ndarray) -> None:
        assert self.program is not None
        kind = "drum" if self.entered[self.program] == DRUMS else "pitch"
        mask[self.v.slice(kind, self.pitch + 1)] = self._of_part(self.program)[self.pitch + 1 :]

    def _may_place(self) -> bool:
        return bool(self._playing().any())

    def _allow_onsets(self, mask: np.ndarray) -> None:
        if self.state in MARKS:
            mask[self.v.base["bar"]] = True
        else:
            super()._allow_onsets(mask)
