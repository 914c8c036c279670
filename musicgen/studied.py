"""What a model learns before it writes: from the music before the cut, and from other pieces that are asked for."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from musicgen.events import Listener
from musicgen.models import SequenceModel
from musicgen.piece import Piece
from musicgen.sampling.notes import NoteWriter
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.study import Studying, StudySettings, study, worth_studying

__all__ = ["NOTHING_LEARNED", "digest", "learnt", "studied"]

NOTHING_LEARNED: dict[str, Any] = {"updates": 0, "pieces": 0, "whole": False}


def digest(tokenizer: Tokenizer, piece: Piece) -> str:
    """The SHA-256 of a piece as it is studied: of its ids."""
    return hashlib.sha256(tokenizer.encode(piece).astype("<i8").tobytes()).hexdigest()


def studied(
    model: SequenceModel, tokenizer: Tokenizer, *, writer: NoteWriter, studying: Studying, listener: Listener
) -> tuple[SequenceModel, dict[str, Any]]:
    """(the model after study, the facts about it): the number of updates and pieces, whether the music after the cut
    was included, and `also`, the digests of further pieces, where there are some. The model is the same one where there
    is nothing to learn."""
    settings = StudySettings(updates=studying.updates)
    if not settings.updates:
        return model, NOTHING_LEARNED
    whole = studying.whole and writer.request.start is not None
    pieces = [writer.known(whole=whole)]
    pieces += [tokenizer.encode(piece).astype(np.int64) for piece in studying.also]
    # Half of the updates are on the piece to be continued, unless it is too short.
    first = 0.5 if studying.also and worth_studying(pieces[:1]) else 0.0
    pieces = worth_studying(pieces)
    updates = settings.updates_for(sum(len(ids) for ids in pieces))
    if not updates:
        return model, NOTHING_LEARNED
    scoring = Scoring.of(tokenizer, next(model.parameters()).device)
    learned = study(model, pieces, scoring=scoring, settings=settings, seed=0, first=first, listener=listener)
    also = [digest(tokenizer, piece) for piece in studying.also]
    facts: dict[str, Any] = {"updates": updates, "pieces": len(pieces), "whole": whole}
    return learned, facts | ({"also": also} if also else {})


def learnt(writer: NoteWriter, studying: Studying | None) -> tuple[Piece, ...]:
    """The pieces beside the music before the cut that a model studies."""
    if studying is None:
        return ()
    whole = studying.whole and writer.request.start is not None
    return (*studying.also, *((writer.source.piece,) if whole else ()))
