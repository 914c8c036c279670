"""What long work tells whoever waits for it: a `Listener` hears it while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Listener", "Progress"]


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a step. `loss` and the two below it are nats a token; `valid` is None where nothing
    was measured at this step, `best` where nothing has been yet. `tokens_per_second` counts since the last
    evaluation."""

    step: int
    steps: int
    loss: float
    valid: float | None
    best: float | None
    tokens_per_second: float
    seconds: float
    seconds_left: float


class Listener:
    """Hears how training, building a corpus and evaluation go on. Each method does nothing until it is overridden.

    Raising KeyboardInterrupt in `on_step` stops a training as Ctrl-C does: the run is saved first.
    """

    def on_line(self, text: str) -> None:
        """A line for the user: a warning, or damage that was got round. May come from within a signal's handler."""

    def on_build(self, place: Path) -> None:
        """A corpus has to be built first, at `place`."""

    def on_file(self, done: int, total: int) -> None:
        """So many of the files of a corpus have been read."""

    def on_begin(self, *, pieces: int, tokens: int, steps: int, family: str, device: str) -> None:
        """The corpus is there; a model of this family is about to be trained on it."""

    def on_saved(self) -> None:
        """From now on the run can be resumed, whatever happens."""

    def on_step(self, progress: Progress) -> None:
        """A step is done."""

    def on_piece(self, done: int, total: int) -> None:
        """So many of the pieces of an evaluation have been scored."""
