"""What every tokenizer offers, and the grammar that sampling follows.

`encode` and `decode` are array work. `decode(encode(p))` equals `on_grid(p)`, and a second pass changes
nothing. Any sequence that the grammar allows decodes to a valid Piece.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from musicgen.piece import Piece

__all__ = ["Grammar", "Tokenizer"]


class Grammar(Protocol):
    """Which token may come next. One object walks one sequence; it is fed every token of it in order."""

    def advance(self, token: int) -> None:
        """Take `token` as the next one of the sequence."""

    def allowed(self) -> np.ndarray:
        """Boolean array of shape (V,): the tokens that may come next. Never all false."""

    def ends(self, token: int) -> bool:
        """Whether the sequence is over when `token` comes next; that token is no part of it."""

    def copy(self) -> Grammar:
        """An independent walker at the same place."""


class Tokenizer(Protocol):
    """Piece <-> ids."""

    name: str

    @property
    def spec(self) -> dict[str, Any]:
        """JSON-able settings, with the tokenizer's `name`, from which `load_tokenizer` rebuilds it."""

    @property
    def vocabulary(self) -> Any:
        """Tokens <-> ids; `len(vocabulary)` is V."""

    def encode(self, piece: Piece) -> np.ndarray:
        """The piece as ids: shape (T,), uint16. Begins with BOS, ends with EOS."""

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

    def grammar(self) -> Grammar:
        """A walker at the beginning of a sequence (before BOS)."""
