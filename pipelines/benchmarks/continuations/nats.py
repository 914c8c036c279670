"""How well a model foresees true second halves: nats a note behind the cut, given all that stands before it.

Each way of reading a piece is a function of (run, ids, where the second half begins) that gives the nats of every
step of ids[1:]; a model with a memory, or one that studies what was before, adds ways of its own to WAYS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from musicgen.checkpoint import load_run
from musicgen.errors import MusicgenError
from musicgen.evaluation.likelihood import step_nats
from musicgen.models.memory.model import MemoryModel
from musicgen.scoring import Scoring
from musicgen.tokenizers.bars.voices import voices_of
from musicgen.training.study import StudySettings, study

from .passage import Case

__all__ = ["WAYS", "second_halves"]

MOST = 4096  # steps of either half; symphonies are long


def as_it_is(run: Any, ids: np.ndarray, half: int) -> np.ndarray:
    """The model as it continues pieces."""
    return step_nats(run.model, ids, Scoring.of(run.tokenizer))


def without_memory(run: Any, ids: np.ndarray, half: int) -> np.ndarray:
    """A model with a memory that recalls nothing; it never learned to do without."""
    if not isinstance(run.model, MemoryModel):
        return np.full(len(ids) - 1, np.nan)
    run.model.forgets = True
    try:
        return as_it_is(run, ids, half)
    finally:
        run.model.forgets = False


def studied(run: Any, ids: np.ndarray, half: int) -> np.ndarray:
    """The model after it has studied what stands before the cut."""
    if not run.model.studies:
        return np.full(len(ids) - 1, np.nan)
    scoring = Scoring.of(run.tokenizer)
    return step_nats(study(run.model, [ids[:half]], scoring=scoring, settings=StudySettings()), ids, scoring)


Way = Callable[[Any, np.ndarray, int], np.ndarray]
WAYS: dict[str, Way] = {"as it is": as_it_is, "without memory": without_memory, "after study": studied}


def second_halves(
    model: str, cases: Sequence[Case], *, say: Callable[[str], None]
) -> dict[str, dict[str, tuple[float, int]]]:
    """For each way and each case by name: (summed nats of the second half, its notes)."""
    run = load_run(model)
    run.model.eval()
    result: dict[str, dict[str, tuple[float, int]]] = {way: {} for way in WAYS}
    for done, case in enumerate(cases):
        try:
            ids, half = _ids(run.tokenizer, case)
        except MusicgenError as error:
            say(f"nats, {case.name}: {error}")
            continue
        notes = int(run.tokenizer.count_notes(ids) - run.tokenizer.count_notes(ids[:half]))
        for way, of in WAYS.items():
            if notes:
                result[way][case.name] = float(of(run, ids, half)[half - 1 :].sum()), notes
        say(f"nats: {done + 1} of {len(cases)}, {case.name}")
    return result


def _ids(tokenizer: Any, case: Case) -> tuple[np.ndarray, int]:
    """(ids of the piece around the cut, the first step that the music before the cut leaves open)."""
    # Parts are those of the whole piece, also where some of them play only in its second half.
    parts: dict[str, Any] = {"voices": voices_of(case.piece)} if tokenizer.as_parts else {}
    whole = tokenizer.encode(case.piece, **parts).astype(np.int64)
    before = tokenizer.encode(case.piece.until(case.cut), until=case.cut, **parts)
    half = len(before) - 1  # its last step says that the piece ends
    begin = max(0, half - MOST)
    head = whole[: 1 + len(parts["voices"])] if parts and begin else whole[:0]
    return np.concatenate([head, whole[begin : half + MOST]]), half - begin + len(head)
