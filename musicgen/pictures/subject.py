"""What pictures are drawn of: a run with its corpus, and an excerpt of music that its model reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicgen.checkpoint import Run
from musicgen.corpus.store import Corpus, own_corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.pictures.step_roll import StepNotes, bar_lines, step_notes
from musicgen.piece import Piece

__all__ = ["Absent", "Excerpt", "Subject"]

STEPS = 96  # of an excerpt that is looked at: more can't be told apart on a page


class Absent(Exception):
    """Why a run doesn't have a picture."""


@dataclass(frozen=True)
class Excerpt:
    """The opening of a piece as the model's body reads it: `batch` (1, T) or what else it takes, T its steps.

    `notes` are placed on these steps (None where the tokenizer can't place them); bars begin at the steps `bars`.
    """

    title: str
    batch: Tensor
    notes: StepNotes | None
    bars: np.ndarray


@dataclass(frozen=True)
class Subject:
    """A run that lies in `folder`; an excerpt is the opening of `piece`, or, where that is None, of one that was held
    back from training."""

    run: Run
    folder: Path
    piece: Piece | None = None

    @cached_property
    def corpus(self) -> Corpus:
        """The run's own corpus. Raises Absent where it isn't there as it was."""
        try:
            source = Corpus.open(own_corpus(self.folder, self.run.recipe.data.corpus))
        except MusicgenError as error:
            raise Absent(error.what) from None
        if source.spec != self.run.tokenizer.spec:
            raise Absent(f"{source.folder} was built with another tokenizer")
        source.check()
        return source

    def needed_corpus(self) -> Corpus:
        """The corpus, for a picture that needs it. Raises Absent."""
        try:
            return self.corpus
        except Absent:
            raise Absent("it needs the run's corpus") from None

    @property
    def name(self) -> str:
        return f"{self.run.name} ({self.run.model.settings.family}, {self.run.tokenizer.name})"

    @property
    def by_frame(self) -> bool:
        """Whether the model's body, its trunk, reads whole frames, of which the first stands before the piece."""
        return self.run.model.reads_frames

    @property
    def unit(self) -> str:
        """What the body of the model takes at a time."""
        return "frame" if self.by_frame else "step"

    @property
    def body(self) -> Any:
        """The ladder's model that reads one step after another."""
        return self.run.model.trunk if self.by_frame else self.run.model

    def tensor(self, ids: np.ndarray) -> Tensor:
        """Ids on the device of the model."""
        device: Any = next(self.run.model.parameters()).device
        return torch.from_numpy(ids.astype(np.int64)).to(device)

    @cached_property
    def excerpt(self) -> Excerpt:
        """Raises Absent where there is no piece, UsageError for a piece that has no notes for this run."""
        ids, title = self._opening()
        notes, bars = step_notes(self.run.tokenizer, ids), bar_lines(self.run.tokenizer, ids)
        batch: Any = self.tensor(ids[None])
        model: Any = self.run.model
        if self.by_frame:
            batch, done_BT, which = model.trunk_steps(batch)
            title = f"{title}, {which}" if which else title
            if notes is not None:
                of_step = np.append(done_BT[0].cpu().numpy(), batch.shape[1] - 1) + 1
                notes = notes._replace(begin=of_step[notes.begin], end=of_step[notes.end])
        return Excerpt(title, batch, notes, bars)

    def _opening(self) -> tuple[np.ndarray, str]:
        """The ids to look at, from the beginning of a piece, and what to call them."""
        run = self.run
        # As many ids as frames of three notes take.
        longest = STEPS * 4 if self.by_frame else min(STEPS, run.model.context or STEPS)
        if self.piece is not None:
            ids = run.tokenizer.encode(self.piece)
            if not run.tokenizer.count_notes(ids):
                raise UsageError(
                    "the piece has no notes that this run's tokenizer reads", hint="choose another --piece"
                )
            return ids[:longest].astype(np.int64), "the opening of the piece"
        try:
            records = self.corpus.pieces("valid") or self.corpus.pieces("train")
        except Absent:
            records = []
        if not records:
            raise Absent("no corpus to take an excerpt from; name a piece with --piece")
        record = next((r for r in records if r.length >= longest), max(records, key=lambda r: r.length))
        return np.asarray(self.corpus.ids(record)[:longest]).astype(np.int64), f"the opening of {record.source}"
