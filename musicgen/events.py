"""Progress events of long operations: corpus building, training, study, sampling and evaluation.

A listener is called with each event, in the working thread, and should return quickly. To end the operation, it or
another thread asks the `stopping.Cancel` that the operation was given. A listener may also raise KeyboardInterrupt or
`stopping.Interrupted`: the operation then ends as after Ctrl-C, and can be resumed if it can be then.

>>> def show(event: Event) -> None:
...     match event:
...         case Progress(done=done, of=of, unit=unit):
...             print(f"{done} of {of} {unit}s")
...         case Warned(text=text):
...             print(text)
>>> show(Progress(3, 6, "file"))
3 of 6 files
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Began", "Event", "Expected", "Finished", "Listener", "Progress", "Saved", "Step", "Warned", "ignore"]


@dataclass(frozen=True)
class Began:
    """Work on `what` (corpus, training, evaluation, reading, study, take) has begun. It has `of` units, None if the
    number is unknown; `about` is a description."""

    what: str
    unit: str
    of: int | None = None
    about: str = ""


@dataclass(frozen=True)
class Progress:
    """`done` of `of` units (file, step, bar, ...) are done; `of` is None if unknown, `about` names the last unit if it
    has a name."""

    done: int
    of: int | None
    unit: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Progress):
    """A training step. `loss`, `valid` and `best` are in nats per token; `valid` is None if there was no validation at
    this step, `best` if there has been none so far. `tokens_per_second` is the mean since the last evaluation."""

    loss: float
    valid: float | None
    best: float | None
    tokens_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Expected:
    """The work that began last will take about `seconds` more, by what it has taken so far."""

    seconds: float


@dataclass(frozen=True)
class Saved:
    """From now on the training run can be resumed, even if the process is killed."""


@dataclass(frozen=True)
class Warned:
    """A line for the user: a warning, a notice, or damage that could be repaired. May come from a signal handler."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Work on `what` is done and its result complete."""

    what: str


Event = Began | Progress | Expected | Saved | Warned | Finished
Listener = Callable[[Event], None]
"""What is called with each event; an example stands at the head of this module."""


def ignore(event: Event) -> None:
    """A listener that ignores all events."""
