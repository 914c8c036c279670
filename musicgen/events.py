"""What long work (building, training, studying, drawing, measuring) tells whoever waits for it, while it goes on.

A listener is called with one event after the other, in the thread that works, and must not take long. To stop the work
it raises KeyboardInterrupt, or `stopping.Interrupted`: the work ends as it does after Ctrl-C, and can be gone on with
where that is so.

    def show(event: Event) -> None:
        match event:
            case Progress(done=done, of=of, unit=unit):
                print(f"{done} of {of} {unit}s")
            case Warned(text=text):
                print(text)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Began", "Event", "Finished", "Listener", "Progress", "Saved", "Step", "Warned", "ignore"]


@dataclass(frozen=True)
class Began:
    """Work on `what` (corpus, training, evaluation) has begun: `of` units of it, None where nobody knows how many;
    `about` says more in words."""

    what: str
    unit: str
    of: int | None = None
    about: str = ""


@dataclass(frozen=True)
class Progress:
    """So many of so many units (files, steps, bars, ..) are done; `about` is what the last one was, where it has a
    name."""

    done: int
    of: int | None
    unit: str
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Step(Progress):
    """A training's step. `loss` and the two below it are nats a token; `valid` is None where nothing was measured at
    this step, `best` where nothing has been yet. `tokens_per_second` counts since the last evaluation."""

    loss: float
    valid: float | None
    best: float | None
    tokens_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class Saved:
    """From now on a training can be resumed, whatever happens."""


@dataclass(frozen=True)
class Warned:
    """A line for the user: a warning, or damage that was got round. May come from within a signal's handler."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Work on `what` is done, and its result is whole."""

    what: str


Event = Began | Progress | Saved | Warned | Finished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that doesn't."""
