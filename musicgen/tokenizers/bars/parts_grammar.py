"""The grammar of the `parts` tokenizer, field by field: six ids a step, `pad` for unused fields.

A step is the pitch, duration and velocity of the note whose position the step before has given, if any; then the onset
field of what follows, its part, and the program of a part that enters. A position no later than the last one repeats
the current onset, and its note is above the notes of its part there. Only parts that have entered may play, and a part
of drums plays drums.

Task marks (`tasks.py`) are accepted anywhere; `again` returns to the beginning of the bar for the requested parts.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from musicgen.tokenizers.bars.notes_grammar import NotesGrammar
from musicgen.tokenizers.constraints import DRUMS, Anchor, Constraints
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["PartsGrammar"]

PAD = 0
ONSET, PROGRAM, FIELDS = 3, 5, 6  # two columns, and the number of columns
MARKS = ("after", "here")


class PartsGrammar(NotesGrammar):
    """`advance` takes every id of every step in order; `allowed` masks the ids for the next field."""

    player = "part"

    def __init__(
        self, vocabulary: Vocabulary, steps: int, durations: np.ndarray, constraints: Constraints | None = None
    ) -> None:
        super().__init__(vocabulary, steps, durations, constraints)
        self.entered: list[int] = []  # the program of every part that has entered
        self._given: tuple[int, ...] = ()  # ids of given steps that come next

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        super().constrain(constraints, anchor=anchor)
        self._bars = constraints.given

    def copy(self) -> Self:
        other = super().copy()
        other.entered = list(self.entered)
        return other

    def enter_inside(self) -> None:
        """Go to the state before the first bar, in a piece whose parts are still to enter."""
        self.column, self.state = 0, "tempo"

    def advance(self, token: int) -> None:
        self.column = (self.column + 1) % FIELDS
        self._given = self._given[1:]
        if token == PAD:
            if not self.column and self.state == "meter" and 0 <= self.place.new_bar < len(self._bars):
                self._given = self._bars[self.place.new_bar].steps
            return
        kind = self._kind_of_id[token]
        value = token - self.v.base[kind]
        if kind == "position":
            self._take_position(value)
        elif kind == "part":
            if self.state == "enter" or self.state in MARKS:
                return  # its program follows in the same step; after a mark it is the number of missing bars
            self._take_player(value)
        elif kind == "program":
            self.entered.append(value)
        elif kind == "again":
            self.place.return_to_bar()
        elif kind == "after":
            self.place.leave()
        elif kind == "here":
            self.place.resume()
        elif kind == "style":
            return
        else:
            self._take(kind, value)
        self.state = kind

    def allowed(self) -> np.ndarray:
        v, state = self.v, self.state
        mask = np.zeros(len(v), bool)
        if self._given:
            mask[self._given[0]] = True
        elif self.column == ONSET:
            if state == "start":
                mask[v.base["bos"]] = True
            elif state == "eos":
                mask[v.base["eos"]] = True
            elif state in ("tempo", "program"):  # before the first bar
                mask[v.base["bar"]] = self.players.are_complete(self.entered)
                mask[v.base["enter"]] = self.players.may_enter(self.entered)
            elif state in MARKS:
                mask[v.base["bar"]] = True
            else:
                self._allow_onsets(mask)
        elif self.column == PROGRAM:
            if state == "enter":
                mask[v.slice("program")] = self.players.programs
            elif state == "tempo":
                mask[v.slice("style")] = True
            else:
                mask[PAD] = True
        elif state == "bos":
            mask[v.slice("tempo")] = True
        elif state == "enter" and self.column == ONSET + 1:
            mask[v.id("part", len(self.entered))] = True
        elif state == "bar" and self.column == ONSET + 1:
            self._allow_meters(mask)
        elif state == "position":
            mask[v.slice("part")] = self._players_here()
        else:
            self._allow_note(mask)
        return mask

    def _allow_meters(self, mask: np.ndarray) -> None:
        if 0 <= self.place.new_bar < len(self._bars):
            mask[self._bars[self.place.new_bar].meter] = True
        else:
            mask[self.v.slice("meter")] = self.meters

    def _players_due(self) -> bool:
        return bool(self.players.due(self.place))

    def _players_here(self) -> np.ndarray:
        """As for `notes`; in the second half of a bar only parts that must play in it, if there are some."""
        players = super()._players_here()
        if 2 * self.place.position >= self.place.bar_steps and (due := self.players.due(self.place)):
            late = np.zeros(len(players), bool)
            late[list(due)] = True
            if (players & late).any():
                return players & late
        return players

    def _is_kit(self, player: int) -> bool:
        return self.entered[player] == DRUMS

    def _playing(self) -> np.ndarray:
        """Boolean (64,): the parts that have entered and may play."""
        return self.players.parts(self.entered)

    def _may_place(self) -> bool:
        return bool(self._playing().any())  # no tempo stands on an onset
