"""The grammar that sampling follows: a walker that says, id by id, what may come next.

What a sequence may say at all is a grammar's own affair; what a request forbids on top are masks (`constraints/`),
which look at the place (`place.py`) and not at ids.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np

from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.constraints.length import Length, Presence
from musicgen.tokenizers.constraints.pitches import Pitches
from musicgen.tokenizers.constraints.room import Density, Polyphony
from musicgen.tokenizers.place import ClockPlace, Place
from musicgen.tokenizers.vocabulary import Vocabulary

__all__ = ["ClockGrammar", "Grammar", "PlacedGrammar"]


class Grammar(ABC):
    """Which token may come next. One object walks one sequence; it is fed every token of it in order.

    Where a step has fields, they are fed one by one in their order, `pad` for an empty one.
    """

    @property
    @abstractmethod
    def bars_done(self) -> int:
        """How many bars since `constrain` are full."""

    @abstractmethod
    def advance(self, token: int) -> None:
        """Take `token` as the next one of the sequence, whether or not it is allowed."""

    @abstractmethod
    def allowed(self) -> np.ndarray:
        """Boolean array of shape (V,): the tokens that may come next. Never all false."""

    @abstractmethod
    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins there."""

    @abstractmethod
    def ends(self, token: int) -> bool:
        """Whether the sequence is over when `token` comes next; that token is no part of it."""

    @abstractmethod
    def copy(self) -> Self:
        """An independent walker at the same place."""


class PlacedGrammar(Grammar):
    """A grammar over kinds of tokens, which moves on a place in the music and asks masks what they forbid there."""

    place: Place

    def __init__(self, vocabulary: Vocabulary, place: Place) -> None:
        self.v, self.place = vocabulary, place
        names = list(vocabulary.sizes)
        # A plain list: a walk asks for one token at a time, and indexing an array costs ten times as much.
        self._kind_of_id = [names[k] for k in vocabulary.kind_of_id.tolist()]
        self.state = "start"  # the kind of the last token

    def copy(self) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.place = self.place.copy()
        return other


class ClockGrammar(PlacedGrammar):
    """A grammar of music that doesn't tell bars: they are lengths of time, counted from the anchor's bar line.

    All of it is one part, so that what is said of programs holds for what sounds at once.
    """

    place: ClockPlace

    def __init__(self, vocabulary: Vocabulary, constraints: Constraints | None, *, quarter: int) -> None:
        """`quarter`: units of a quarter note where no anchor tells how long it is."""
        super().__init__(vocabulary, ClockPlace())
        self._quarter = quarter
        self.constrain(constraints or Constraints())

    @property
    def bars_done(self) -> int:
        return self.place.bar

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins at this moment.

        Without an anchor a bar is one of the constraints' meter, or 4/4.
        """
        c = constraints
        if anchor is None:
            numerator, denominator = c.meter or (4, 4)
            self.place.begin(4.0 * self._quarter * numerator / denominator)
        else:
            lead = self._units(anchor.tick - anchor.bar_start, anchor)
            self.place.begin(self._units(anchor.bar_length, anchor), lead=lead, fills=anchor.fills)
            self._begin_anew()
        pitches = Pitches(c)
        only_drums = c.melodic is not None and not c.melodic
        self._pitches = np.zeros(128, bool) if only_drums else pitches.melodic
        self.density, self.polyphony = Density(c), Polyphony(c, one_part=True)
        self.length, self.presence = Length(c, self.place), Presence(c, self.place, possible=bool(self._pitches.any()))

    @abstractmethod
    def _units(self, ticks: float, anchor: Anchor) -> float:
        """A length in ticks of the piece, after the cut, in units of time."""

    @abstractmethod
    def _begin_anew(self) -> None:
        """What was said so far is behind the cut."""
