"""The pieces of a corpus as music, for tasks that learn from notes: whatever the tokenizer, with their splits."""

from __future__ import annotations

from collections.abc import Iterator

from musicgen.corpus.store import Corpus, PieceRecord
from musicgen.piece import Piece
from musicgen.tokenizers import load_tokenizer

__all__ = ["pieces_of"]


def pieces_of(corpus: Corpus, split: str | None = None) -> Iterator[tuple[PieceRecord, Piece]]:
    """Each piece of a split (train, valid, test), or of all, with its record: source, work, split, licence.

    A piece is what its tokens say: notes on the tokenizer's grid, tempo and meter where it tells them. Splits are by
    work, so no work is in two of them. Raises UnreadableError where the tokens aren't those of the records.
    """
    corpus.check()
    tokenizer = load_tokenizer(corpus.spec)
    for record in corpus.pieces(split):
        yield record, tokenizer.decode(corpus.ids(record))
