"""How well a model foresees the times and velocities of performances: nats a note, and by value.

Nats are of milliseconds and velocities, integers, whatever the head (`models/heads/densities.py`); keys are given.
Every note counts once. The floor is what is known without any music: the shares of each value in the training split, in
bins that are as fine as the corpus allows.

Shapes: N notes, V values (`VALUES`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus, TokenSource
from musicgen.errors import UsageError
from musicgen.evaluation.figures import scored_spans
from musicgen.evaluation.likelihood import field_nats
from musicgen.models.heads.densities import Binned
from musicgen.models.tasks.performer import VALUES, Performer
from musicgen.scoring import Scoring
from musicgen.words import counted

__all__ = ["PerformFigures", "floor", "note_nats", "perform_figures"]

FLOOR_BINS = (16, 32, 64, 128, 256)
HELD_BACK = 8  # every so manieth note of the training split chooses the number of bins


@dataclass(frozen=True)
class PerformFigures:
    """Mean nats a note of the pieces of a split, in all and by value, and those of the floor."""

    run: str
    corpus: str
    split: str
    pieces: int
    notes: int
    nats_per_note: float
    by_value: dict[str, float]
    floor_nats_per_note: float
    floor_by_value: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"task": "perform", **asdict(self)}

    def lines(self) -> list[str]:
        """The figures in words, a table by value with the floor beside."""
        rows = {
            "this model": (self.nats_per_note, self.by_value),
            "floor": (self.floor_nats_per_note, self.floor_by_value),
        }
        lines = [
            f"{self.split}: {counted(self.pieces, 'piece')}, {counted(self.notes, 'note')}",
            f"  nats a note  {'all':>9}" + "".join(f"  {name:>9}" for name in VALUES),
        ]
        for name, (whole, parts) in rows.items():
            lines.append(f"  {name:<11}  {whole:9.4f}" + "".join(f"  {parts[each]:9.4f}" for each in VALUES))
        return [*lines, "  (the floor: shares of each value in the training split, without any music)"]


def note_nats(model: Performer, ids: np.ndarray, scoring: Scoring) -> np.ndarray:
    """(N, V) float64: the nats of each value of the notes of one piece, from BOS to EOS, given the notes before."""
    reader: Any = model
    nats: np.ndarray = field_nats(reader, np.asarray(ids).astype(np.int64), scoring)[:, 1:]
    found: np.ndarray = nats[np.asarray(ids)[1:, 1] != scoring.pad]
    return found


def perform_figures(
    run: TaskRun, source: Corpus, *, split: str, max_tokens: int | None = None, check: Callable[[], None] = lambda: None
) -> PerformFigures:
    """The figures of a run on a split; with `max_tokens`, of pieces with about so many notes spread evenly over it.

    `check` is called before each piece, and may raise. Raises UsageError if the split has no notes, UnreadableError if
    the tokens don't match their digests.
    """
    model = run.model
    assert isinstance(model, Performer)
    source.check()
    scoring = Scoring.of(run.tokenizer, next(model.parameters()).device)
    model.eval()
    spans = scored_spans(source, split, max_tokens=max_tokens)
    nats = []
    for begin, size in spans.tolist():
        check()
        nats.append(note_nats(model, source.tokens[begin : begin + size], scoring))
    notes = sum(map(len, nats))
    if not notes:
        raise UsageError(f"the corpus has no notes in its split {split!r}", hint="choose train, valid or test")
    mean = np.concatenate(nats).mean(axis=0)
    lowest = floor(model, source, spans=spans)
    return PerformFigures(
        run.name,
        str(source.folder),
        split,
        len(spans),
        notes,
        float(mean.sum()),
        dict(zip(VALUES, mean.tolist(), strict=True)),
        sum(lowest.values()),
        lowest,
    )


def floor(model: Performer, source: TokenSource, *, spans: np.ndarray) -> dict[str, float]:
    """Mean nats of each value of the pieces at `spans` under its shares in the training split, in the best of
    FLOOR_BINS bins, which is chosen on the training split."""
    known, asked = (_values(model, source, each) for each in (source.spans("train"), spans))
    found = {}
    if not len(known[0]):
        raise UsageError("the corpus has no training pieces", hint="give the one that the run was trained on")
    for name, mine, theirs, density in zip(VALUES, known, asked, model.head.each(), strict=True):
        held = np.arange(len(mine)) % HELD_BACK == 0
        how: dict[str, Any] = {"low": density.low, "most": density.most, "by_ratio": name != "velocity"}
        tried = [(_nats(mine[~held], mine[held], bins=bins, **how), bins) for bins in FLOOR_BINS]
        found[name] = _nats(mine, theirs, bins=min(tried)[1], **how)
    return found


def _nats(known: np.ndarray, asked: np.ndarray, *, low: int, most: int, bins: int, by_ratio: bool) -> float:
    """Mean nats of integers under the shares of bins in others; each bin counts half a note more than it has."""
    binned = Binned(low, most, bins=bins, by_ratio=by_ratio)
    number = torch.searchsorted(binned.firsts_K, torch.from_numpy(known), right=True) - 1
    counts = torch.bincount(number.clamp(min=0), minlength=binned.n_numbers) + 0.5
    return float(-binned.log_chances(counts.log(), torch.from_numpy(asked)).mean())


def _values(model: Performer, source: TokenSource, spans: np.ndarray) -> list[np.ndarray]:
    """Each value of all notes of the pieces at `spans`, int64."""
    parts = [np.asarray(source.tokens[begin : begin + size]) for begin, size in spans.tolist()]
    rows = np.concatenate(parts) if parts else np.zeros((0, 1 + len(VALUES)), np.uint16)
    rows = rows[rows[:, 1] > 0].astype(np.int64)
    return [each.numpy() for each in model.values(torch.from_numpy(rows))]
