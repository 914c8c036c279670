"""The subject of pictures: a run with its corpus, and an excerpt of music that its model reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from musicgen.corpus.store import Corpus, own_corpus
from musicgen.errors import MusicgenError, UsageError
from musicgen.pictures.step_roll import StepNotes, bar_lines, step_notes
from musicgen.piece import Piece
from musicgen.words import counted

__all__ = ["Absent", "Excerpt", "Subject"]

STEPS = 96  # length of the excerpt: more steps can't be distinguished in a picture
UNTRAINED = 10  # steps; after fewer a model shows what it began with


class Absent(Exception):
    """Raised, with the reason, if a run doesn't have a picture."""


@dataclass(frozen=True)
class Excerpt:
    """The opening of a piece as the model's body reads it: `batch` (1, T) or with further dimensions, T steps.

    `notes` are positioned on these steps (None if the tokenizer can't do that); bars begin at the steps `bars`.
    """

    title: str
    batch: Tensor
    notes: StepNotes | None
    bars: np.ndarray


@dataclass(frozen=True)
class Subject:
    """The run in `folder`, with an excerpt: the opening of `piece`, or if that is None, of a piece that was held out
    from training."""

    run: Any  # a Run, or a TaskRun for pictures of tasks
    folder: Path
    piece: Piece | None = None

    @cached_property
    def corpus(self) -> Corpus:
        """The run's own corpus. Raises Absent if it is missing or has changed."""
        try:
            source = Corpus.open(own_corpus(self.folder, self.run.recipe.data.corpus))
        except MusicgenError as error:
            raise Absent(error.what) from None
        if source.spec != self.run.tokenizer.spec:
            raise Absent(f"{source.folder} was built with another tokenizer")
        source.check()
        return source

    def needed_corpus(self) -> Corpus:
        """The corpus, for a picture that can't be drawn without it. Raises Absent."""
        try:
            return self.corpus
        except Absent:
            raise Absent("it needs the run's corpus") from None

    @property
    def name(self) -> str:
        return f"{self.run.name} ({self.run.model.settings.family}, {self.run.tokenizer.name}; {self.trained})"

    @property
    def is_untrained(self) -> bool:
        """Whether the model took so few steps, or none, that it shows what it began with."""
        steps = self.run.card.get("steps")
        return isinstance(steps, int) and steps < UNTRAINED

    @property
    def trained(self) -> str:
        """How long the run was trained, in words; an untrained model is said to be one."""
        return f"untrained: {self.time_taken}" if self.is_untrained else self.time_taken

    @property
    def time_taken(self) -> str:
        """Steps and seconds of training, in words."""
        card = self.run.card
        if "steps" not in card:
            return "steps unknown"
        return counted(card["steps"], "step") + (f", {card['seconds']:,.0f} s" if "seconds" in card else "")

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        device: torch.device = next(self.run.model.parameters()).device
        return device

    @property
    def by_frame(self) -> bool:
        """Whether the model's body (its trunk) reads whole frames, the first of which precedes the piece."""
        return bool(self.run.model.reads_frames)

    @property
    def unit(self) -> str:
        """The unit that the model's body reads at a time."""
        return "frame" if self.by_frame else "step"

    @property
    def body(self) -> Any:
        """The part of the model that reads one step or frame after another: its trunk if it reads by frame, else the
        model itself."""
        return self.run.model.trunk if self.by_frame else self.run.model

    def tensor(self, ids: np.ndarray) -> Tensor:
        """Ids on the device of the model."""
        return torch.from_numpy(ids.astype(np.int64)).to(self.device)

    @cached_property
    def excerpt(self) -> Excerpt:
        """The excerpt. Raises Absent if there is no piece, UsageError for a piece that has no notes for this run."""
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
        """(the ids of the excerpt, from the beginning of a piece, its title)."""
        run = self.run
        # By frame, enough ids for STEPS frames of three notes each.
        longest = STEPS * 4 if self.by_frame else min(STEPS, run.model.context or STEPS)
        if self.piece is not None:
            ids = run.tokenizer.encode(self.piece)
            if not run.tokenizer.count_notes(ids):
                raise UsageError(
                    "the piece has no notes that this run's tokenizer reads", hint="choose another `piece`"
                )
            return ids[:longest].astype(np.int64), "the opening of the piece"
        try:
            records = self.corpus.pieces("valid") or self.corpus.pieces("train")
        except Absent:
            records = []
        if not records:
            raise Absent("no corpus to take an excerpt from; name a piece with `piece`")
        record = next((r for r in records if r.length >= longest), max(records, key=lambda r: r.length))
        return np.asarray(self.corpus.ids(record)[:longest]).astype(np.int64), f"the opening of {record.source}"
