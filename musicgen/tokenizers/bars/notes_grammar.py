"""The grammar of the `notes` tokenizer, field by field: five ids a step, `pad` for unused fields.

A step is the pitch, duration and velocity of the note whose position the step before has given, if any; then the onset
field of what follows (`bos`, `eos`, `bar`, `span` or a position), and its part. A position no later than the last
one repeats the current onset, and its note is above the notes there.
"""

from __future__ import annotations

import numpy as np

from musicgen.tokenizers.bars.grammar import BarGrammar

__all__ = ["NotesGrammar"]

PAD = 0
ONSET, FIELDS = 3, 5  # the onset's column, and the number of columns


class NotesGrammar(BarGrammar):
    """`advance` takes every id of every step in order; `allowed` masks the ids for the next field."""

    player = "program"  # the kind of token that names the player
    column = 0  # of the next field
    began = False  # whether the last position began a new onset

    def advance(self, token: int) -> None:
        self.column = (self.column + 1) % FIELDS
        if token == PAD:
            return
        kind = self._kind_of_id[token]
        value = token - self.v.base[kind]
        if kind == "position":
            self._take_position(value)
        elif kind == "program":
            self._take_player(value)
        else:
            self._take(kind, value)
        self.state = kind

    def _take_position(self, value: int) -> None:
        """Take a position: a new onset, or the current one again."""
        self.began = self.place.window + value > self.place.position
        if self.began:
            self.place.enter_onset(value)

    def _take_player(self, value: int) -> None:
        if self.place.fresh or value != self.place.player:
            self.place.take_player(value)

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
            mask[v.slice("meter")] = self.meters
        elif state == "position":
            mask[v.slice("program")] = self._players_here()
            # A tempo comes first on its onset; it is also allowed where no note is, so that something is.
            if self.began and (self.tempo_changes or not mask.any()):
                mask[v.slice("tempo")] = True
        else:
            self._allow_note(mask)
        return mask

    def _allow_note(self, mask: np.ndarray) -> None:
        """Allow the next field of the note whose player was given last: pitch, duration, velocity; else `pad`."""
        state = self.state
        if state == self.player:
            assert self.place.player is not None
            self._allow_pitches(mask, self.place.player)
        elif state in ("pitch", "drum"):
            self._allow_durations(mask)
        elif state == "duration":
            self._allow_velocities(mask)
        else:
            mask[PAD] = True

    def _players_here(self) -> np.ndarray:
        """Boolean mask of the players that may add a note to this onset, given the notes it has."""
        players, place = self._playing().copy(), self.place
        running = place.player
        if place.fresh or running is None:
            return self._keeping(players)
        players[:running] = False
        if self._is_exhausted(running) or self.line.is_full(place):
            players[running] = False
        return self._keeping(players)

    def _may_place(self) -> bool:
        """Whether an onset may have anything on it: a note, or a tempo."""
        return bool(self._playing().any() or self.tempo_changes)

    def _allow_onsets(self, mask: np.ndarray) -> None:
        """Allow this onset again, a later one in this bar, the next bar, or the end."""
        place = self.place
        if self.state in ("tempo", "velocity") and place.position >= 0 and self._due_here():
            mask[self.v.id("position", place.position - place.window)] = True
            return
        if self.state == "span":
            self._allow_positions(mask)
            if mask.any():
                return
        elif not self._bar_is_full() and self._may_place():
            here = self.state in ("tempo", "velocity") and place.position >= 0
            if here and self._room_for_note() and self._players_here().any():
                mask[self.v.id("position", place.position - place.window)] = True
            self._allow_positions(mask)
        self._allow_end(mask)
