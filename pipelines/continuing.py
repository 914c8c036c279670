"""What a process of `continue_folder.py` does with one file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch

from musicgen.composer import Composer
from musicgen.errors import CheckError, MusicgenError


class Draft(NamedTuple):
    """A file to continue, where its takes go, and the seed of the first."""

    path: Path
    outputs: list[Path]
    seed: int


class Done(NamedTuple):
    """What came of a file: how many new notes, in how many seconds, and the error where it failed."""

    notes_added: int
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Continuing:
    """Continues drafts by `bars` bars with a model, which each process loads once."""

    model: str
    bars: int

    @cached_property
    def composer(self) -> Composer:
        torch.set_num_threads(1)
        return Composer.load(self.model)

    def __call__(self, draft: Draft) -> Done:
        begun, added = time.monotonic(), 0
        try:
            added, error = self._continued(draft), ""
        except MusicgenError as failed:
            error = str(failed)
        return Done(added, time.monotonic() - begun, error)

    def _continued(self, draft: Draft) -> int:
        """Write all takes of one file. Returns the number of new notes. Raises MusicgenError."""
        draft.outputs[0].parent.mkdir(parents=True, exist_ok=True)
        takes = self.composer.continue_(draft.path, bars=self.bars, seed=draft.seed, takes=len(draft.outputs))
        saved = [take.save(output, overwrite=True) for output, take in zip(draft.outputs, takes, strict=True)]
        if broken := sum(bool(take.faults) for take in takes):
            raise CheckError(f"{broken} of {len(takes)} takes failed their check, as their .json say")
        return int(sum(facts["notes_added"] for facts in saved))
