"""Grammars for sampling: state machines that give, for each step of a sequence, a mask of the ids that may follow.

A grammar itself guarantees valid sequences. What a request forbids beyond that is decided by the classes in
`constraints/`, which look at the musical position (`place.py`) and not at ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.constraints.length import Length, Presence
from musicgen.tokenizers.constraints.mask import AllOf
from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.constraints.room import Density, Polyphony
from musicgen.tokenizers.place import ClockPlace, Place
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["ClockGrammar", "Grammar", "PlacedGrammar"]


class Grammar(ABC):
    """Which tokens may come next. One object follows one sequence and is given every token of it in order.

    Where a step has fields, they are given one by one in their order, `pad` for an empty one.
    """

    @property
    @abstractmethod
    def bars_done(self) -> int:
        """The number of bars completed since `constrain`."""

    @abstractmethod
    def advance(self, token: int) -> None:
        """Take `token` as the next one of the sequence, whether or not it is allowed."""

    @abstractmethod
    def allowed(self) -> np.ndarray:
        """Boolean array of shape (V,): the tokens that may come next. Never all false."""

    def bias(self) -> np.ndarray | None:
        """Float (V,): the logarithm of how many times as likely each token is to be as the model says; None: 0."""
        return None

    @abstractmethod
    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Apply `constraints` from here on; with an anchor, new music begins there."""

    @abstractmethod
    def ends(self, token: int) -> bool:
        """Whether the sequence ends if `token` is sampled next; that token is then not part of it."""

    @abstractmethod
    def copy(self) -> Self:
        """An independent copy of the current state."""


class PlacedGrammar(Grammar):
    """A grammar over kinds of tokens that keeps the musical position (`place`) up to date for the constraints."""

    place: Place

    def __init__(self, vocabulary: Vocabulary, place: Place) -> None:
        self.v, self.place = vocabulary, place
        names = list(vocabulary.sizes)
        # A plain list: tokens are looked up one at a time, and indexing an array is ten times slower.
        self._kind_of_id = [names[k] for k in vocabulary.kind_of_id.tolist()]
        self.state = "start"  # the kind of the last token

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.place = self.place.copy()
        return other


class ClockGrammar(PlacedGrammar):
    """A grammar for tokens without bars, which are lengths of time counted from the anchor's bar line.

    All notes belong to one part, so a program's limit on chord size limits the whole polyphony.
    """

    place: ClockPlace
    note_kind: str  # of the tokens that begin a note

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints | None, *, quarter: int) -> None:
        """`quarter`: time units in a quarter note where there is no anchor."""
        super().__init__(vocabulary, ClockPlace())
        self._quarter = quarter
        self.constrain(constraints or Constraints())

    @property
    def bars_done(self) -> int:
        return self.place.bar

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Apply `constraints` from here on; with an anchor, new music begins here.

        Without an anchor, bars have the length of the constraints' meter, or of 4/4.
        """
        c = constraints
        if anchor is None:
            numerator, denominator = c.length.meter or (4, 4)
            self.place.begin(4.0 * self._quarter * numerator / denominator)
        else:
            lead = self._units(anchor.tick - anchor.bar_start, anchor)
            self.place.begin(self._units(anchor.bar_length, anchor), lead=lead, fills=anchor.fills)
            self._begin_anew()
        pitches = Pitches(c.pitches)
        self._plays = pitches.any and c.players.melodic != frozenset()  # nothing may sound but drums, and none can
        self.density, self.polyphony = Density(c.room), Polyphony(c.room, sole=c.players)
        self.masks = AllOf((pitches, self.density, *c.further))
        self.length = Length(c.length, self.place)
        self.presence = Presence(c.length, self.place, possible=self._plays)

    def _allowed_pitches(self) -> np.ndarray:
        """Boolean (128,): the pitches that may begin here, however many notes there are."""
        return self.masks.pitches(self.place, None, kit=False) if self._plays else np.zeros(128, bool)

    def bias(self) -> np.ndarray | None:
        mine = self.masks.bias(self.place, None, kit=False) if self.masks.is_biased else None
        if mine is None:
            return None
        found = np.zeros(len(self.v))
        found[self.v.slice(self.note_kind)] = mine
        return found

    @abstractmethod
    def _units(self, ticks: float, anchor: Anchor) -> float:
        """Convert a length after the cut from ticks of the piece to time units."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """Reset the state that doesn't carry over from the prompt to new music."""
