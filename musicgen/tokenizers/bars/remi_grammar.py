"""The grammar of the `remi` tokenizer: which tokens may follow, and a request's constraints.

After `bos` come bars: `bar meter`, then onsets. Every sequence that the grammar allows decodes to a valid piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.bars.grammar import BarGrammar
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["RemiGrammar"]


class RemiGrammar(BarGrammar):
    """`advance` takes every token in order; `allowed` masks the next one."""

    def advance(self, token: int) -> None:
        kind, place = self._kind_of_id[token], self.place
        value = token - self.v.base[kind]
        if kind == "position":
            place.enter_onset(value)
        elif kind == "program":
            place.take_player(value)
        else:
            self._take(kind, value)
            if kind in ("pitch", "drum") and place.player is None:  # a window that begins in mid-bar
                place.player = DRUMS if kind == "drum" else 0
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state, place = self.v, self.state, self.place
        mask = np.zeros(len(v), bool)
        if state == "start":
            mask[v.base["bos"]] = True
        elif state == "bos":
            mask[v.base["bar"]] = True
        elif state == "bar":
            mask[v.slice("meter")] = self.meters
        elif state in ("pitch", "drum"):
            self._allow_velocities(mask)
        elif state == "velocity":
            self._allow_durations(mask)
        elif state == "program":
            assert place.player is not None
            self._allow_pitches(mask, place.player)
        elif state == "span":
            self._allow_positions(mask)
        elif state in ("eos", "pad"):
            mask[v.base["eos"]] = True
        else:  # meter, position, tempo, duration
            if state == "position" and self.tempo_changes:
                mask[v.slice("tempo")] = True
            if state != "meter" and self._room_for_note():
                self._allow_notes(mask)
                if mask.any() and self._due_here():
                    return mask
            if state != "position" or not mask.any():
                if not self._bar_is_full():
                    self._allow_positions(mask)
                self._allow_end(mask)
        return mask

    def _allow_notes(self, mask: np.ndarray) -> None:
        """Allow a note on this onset: of the current program, above its last pitch, or of another program."""
        running = self.place.player
        may = running is not None and (not self.masks.per_player or self._may_begin(running))
        if may and running is not None and self.players.programs[running] and not self.line.is_full(self.place):
            self._allow_pitches(mask, running)
        programs = self.v.slice("program")
        mask[programs] = self._keeping(self.players.programs)
        if running is not None:
            # On one onset programs ascend; on a new onset any other program may come first.
            low = 0 if self.place.fresh else running
            mask[programs.start : programs.start + low] = False
            mask[programs.start + running] = False
