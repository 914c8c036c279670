"""What a model learns before it writes: from the music before the cut, and from other pieces that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np

from musicgen.events import Listener
from musicgen.models import SequenceModel
from musicgen.sampling.notes import NoteWriter
from musicgen.scoring import Scoring
from musicgen.tokenizers import Tokenizer
from musicgen.training.study import Studying, StudySettings, study, worth_studying

__all__ = ["NOTHING_LEARNED", "studied"]

NOTHING_LEARNED: dict[str, Any] = {"updates": 0, "pieces": 0, "whole": False}


def studied(
    model: SequenceModel, tokenizer: Tokenizer, *, writer: NoteWriter, studying: Studying, listener: Listener
) -> tuple[SequenceModel, dict[str, Any]]:
    """(the model after study, the facts about it): the number of updates and pieces, and whether the music after the
    cut was included. The model is the same one where there is nothing to learn."""
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
    return learned, {"updates": updates, "pieces": len(pieces), "whole": whole}
