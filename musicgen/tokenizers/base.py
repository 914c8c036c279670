"""What every tokenizer offers, and the grammar that sampling follows.

`encode` and `decode` are array work. `decode(encode(p))` equals `on_grid(p)`, and a second pass changes
nothing. Any sequence that the grammar allows decodes to a valid Piece.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from musicgen.piece import Piece
from musicgen.tokenizers.constraints import Anchor, Constraints
from musicgen.tokenizers.vocabulary import Field

__all__ = ["Grammar", "Tokenizer"]


class Grammar(Protocol):
    """Which token may come next. One object walks one sequence; it is fed every token of it in order.

    Where a step has fields, they are fed one by one in their order, `pad` for an empty one.
    """

    @property
    def bars_done(self) -> int:
        """How many bars since `constrain` are full."""

    def advance(self, token: int) -> None:
        """Take `token` as the next one of the sequence."""

    def allowed(self) -> np.ndarray:
        """Boolean array of shape (V,): the tokens that may come next. Never all false."""

    def constrain(self, constraints: Constraints, *, anchor: Anchor | None = None) -> None:
        """Follow `constraints` from here on; with an anchor, new music begins there."""

    def ends(self, token: int) -> bool:
        """Whether the sequence is over when `token` comes next; that token is no part of it."""

    def copy(self) -> Grammar:
        """An independent walker at the same place."""


class Tokenizer(Protocol):
    """Piece <-> ids: of shape (T,), or (T, F) where a step has F fields."""

    name: str

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of a step in the order in which they are chosen; a single one that holds all ids is flat."""

    @property
    def spec(self) -> dict[str, Any]:
        """JSON-able settings, with the tokenizer's `name`, from which `load_tokenizer` rebuilds it."""

    @property
    def vocabulary(self) -> Any:
        """Tokens <-> ids; `len(vocabulary)` is V."""

    def encode(self, piece: Piece, *, until: int | None = None) -> np.ndarray:
        """The piece as ids: shape (T,) or (T, F), uint16. Begins with BOS, ends with EOS.

        Silence after the last note is left out but for what lies before tick `until`.
        """

    def decode(self, ids: np.ndarray) -> Piece:
        """The piece that `ids` spell, in the tokenizer's own ticks_per_quarter."""

    def on_grid(self, piece: Piece) -> Piece:
        """The piece as the tokenizer can say it: the nearest one that survives a round trip unchanged."""

    def report(self, piece: Piece) -> list[str]:
        """What `on_grid` had to clamp or merge, one line each; empty when nothing was lost but timing."""

    def count_notes(self, ids: np.ndarray) -> int:
        """How many notes `ids` hold."""

    def transposed(self, ids: np.ndarray, semitones: int) -> np.ndarray:
        """`ids` with every pitch but the drums' moved; a shift that leaves 0..127 is folded by octaves."""

    def bar_positions(self, ids: np.ndarray) -> np.ndarray:
        """Indices into `ids` at which a bar begins: good places to begin a window."""

    def tail(self, ids: np.ndarray, room: int) -> np.ndarray:
        """The end of `ids`, at most about `room` steps, begun where a reader finds its place (a bar, say)."""

    def grammar(self, constraints: Constraints | None = None, *, inside: bool = False) -> Grammar:
        """A walker at the beginning of a sequence (before BOS), or `inside` one, where a bar may begin."""

    def new_notes(self, prompt: np.ndarray, ids: np.ndarray, anchor: Anchor) -> tuple[np.ndarray, np.ndarray]:
        """(NOTE array in the piece's ticks, program value of each): what `ids`, drawn after `prompt`, spell."""
