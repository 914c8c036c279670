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

from .passage import Case, until

__all__ = ["WAYS", "second_halves"]

MOST = 4096  # steps of either half; symphonies are long


def as_it_is(run: Any, ids: np.ndarray, half: int) -> np.ndarray:
    """The model as it continues pieces."""
    return step_nats(run.model, ids, pad=run.tokenizer.vocabulary.id("pad"))


Way = Callable[[Any, np.ndarray, int], np.ndarray]
WAYS: dict[str, Way] = {"as it is": as_it_is}


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
    whole = tokenizer.encode(case.piece).astype(np.int64)
    before = tokenizer.encode(until(case.piece, case.cut), until=case.cut)
    half = len(before) - 1  # its last step says that the piece ends
    begin = max(0, half - MOST)
    return whole[begin : half + MOST], half - begin
