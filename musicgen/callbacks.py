"""Callbacks for training: objects with a method for each thing that happens, on top of the one listener (`events.py`).

    class Watch(musicgen.Callback):
        def on_evaluation(self, step):
            if step.valid < 2.0:
                self.stop()

    musicgen.train("songs", output="run", callbacks=[Watch(), musicgen.EarlyStopping(patience=5)])

They run in the training thread, between two steps, and are called in their order, after the listener. What one raises
ends the training; to end it in good order, with the run saved, a callback calls `stop`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from musicgen.errors import UsageError, printable
from musicgen.events import Began, Event, Listener, Step, Warned
from musicgen.stopping import Cancel

__all__ = ["Callback", "Callbacks", "EarlyStopping", "ProgressBar"]


class Callback:
    """The base of callbacks: override what is of interest; what isn't does nothing.

    >>> class Losses(Callback):
    ...     def __init__(self):
    ...         self.valid = {}
    ...
    ...     def on_evaluation(self, step):
    ...         self.valid[step.done] = step.valid
    """

    stopped = False

    def on_begin(self, began: Began) -> None:
        """Training begins: `began.of` steps are planned, `began.about` describes data and model."""

    def on_step(self, step: Step) -> None:
        """Step number `step.done` is done; `step.loss` is its training loss in nats per token."""

    def on_evaluation(self, step: Step) -> None:
        """The model was validated after this step: `step.valid` is the loss in nats per token, `step.best` the lowest
        so far. Called after `on_step`; never in a run without validation pieces."""

    def on_warning(self, text: str) -> None:
        """A line for the user, such as that there are no validation pieces."""

    def on_end(self, card: Mapping[str, Any]) -> None:
        """Training has ended and the run is saved: `card` is the content of its card.json. Not called where an
        exception, a `Cancel` or a signal ended it."""

    def stop(self) -> None:
        """End the training after this step, as if it were the last: the run is saved and `train` returns its result.
        `resume` goes on from there.

        >>> callback = Callback()
        >>> callback.stop()
        >>> callback.stopped
        True
        """
        self.stopped = True


class EarlyStopping(Callback):
    """Stops the training when the validation loss has not fallen for `patience` evaluations in a row.

    A fall counts if it is more than `least` nats per token. The run keeps its best weights in any case, so only time is
    saved. Raises UsageError for a patience below 1.

    Source: Prechelt 1998, "Early stopping - but when?", section 2.

    >>> EarlyStopping(patience=3).waited
    0
    """

    def __init__(self, patience: int = 3, *, least: float = 0.0) -> None:
        if patience < 1:
            raise UsageError(f"patience is {patience}", where="EarlyStopping", hint="give at least 1")
        self.patience, self.least = patience, least
        self.best, self.waited = math.inf, 0

    def on_begin(self, began: Began) -> None:
        self.best, self.waited = math.inf, 0

    def on_evaluation(self, step: Step) -> None:
        assert step.valid is not None
        if step.valid < self.best - self.least:
            self.best, self.waited = step.valid, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.stop()


class ProgressBar(Callback):
    """Shows steps, losses and the time left: in a notebook as one bar in the cell, which is updated in place and stays
    with the final figures; elsewhere as a line on stderr. Warnings are lines on stderr.

    It is redrawn at most once in `every_s` seconds, and at each evaluation.

    >>> train("songs", output="run", callbacks=[ProgressBar()])  # doctest: +SKIP
    """

    def __init__(self, *, every_s: float = 0.25) -> None:
        self.every_s = every_s
        self._drawn, self._valid, self._handle = -math.inf, "-", None

    def on_begin(self, began: Began) -> None:
        from musicgen.notebook import in_notebook

        self._drawn, self._valid, self._handle = -math.inf, "-", None
        if in_notebook():
            from IPython.display import HTML, display

            self._handle = display(HTML("<progress></progress>"), display_id=True)

    def on_step(self, step: Step) -> None:
        if step.valid is not None:
            self._valid = f"{step.valid:.3f}"
        if step.valid is None and step.seconds - self._drawn < self.every_s and step.done != step.of:
            return
        self._drawn = step.seconds
        left = f"{int(step.seconds_left) // 60}:{int(step.seconds_left) % 60:02d}"
        line = f"step {step.done} of {step.of}  loss {step.loss:.3f}  valid {self._valid}  {left} left"
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(f'<progress value="{step.done}" max="{step.of}"></progress> <code>{line}</code>'))
        else:
            sys.stderr.write(f"\r{line}")
            sys.stderr.flush()

    def on_warning(self, text: str) -> None:
        sys.stderr.write(f"{printable(text)}\n")

    def on_end(self, card: Mapping[str, Any]) -> None:
        if self._handle is None:
            sys.stderr.write("\n")


class Callbacks:
    """The listener that calls callbacks, and `listener` before them.

    `cancel` is what training is to be given: it is asked when a callback stops, and when the caller's own `cancel` is.
    Raises UsageError for an object that isn't a `Callback`.

    >>> told = Callbacks([EarlyStopping()], lambda event: None)
    >>> told.stopped
    False
    """

    def __init__(self, callbacks: Iterable[Callback], listener: Listener, cancel: Cancel | None = None) -> None:
        self._callbacks, self._listener = tuple(callbacks), listener
        for each in self._callbacks:
            if not isinstance(each, Callback):
                hint = "derive its class from musicgen.Callback, or pass a function of events as `listener`"
                raise UsageError(f"{type(each).__name__!r} is no callback", where="`callbacks`", hint=hint)
            each.stopped = False
        self.cancel = _Either(cancel)

    def __call__(self, event: Event) -> None:
        self._listener(event)
        match event:
            case Began(what="training"):
                for each in self._callbacks:
                    each.on_begin(event)
            case Warned(text=text):
                for each in self._callbacks:
                    each.on_warning(text)
            case Step():
                for each in self._callbacks:
                    each.on_step(event)
                    if event.valid is not None:
                        each.on_evaluation(event)
        if self.stopped and not self.cancel.asked:
            self.cancel.by_callback = True
            self.cancel.ask()

    @property
    def stopped(self) -> bool:
        """Whether a callback has called `stop`."""
        return any(each.stopped for each in self._callbacks)

    def end(self, card: Mapping[str, Any]) -> None:
        """Tell the callbacks that the run with this card is saved."""
        for each in self._callbacks:
            each.on_end(card)


class _Either(Cancel):
    """Asked if this one or `other` is; the other is never changed, as it may end more than this work."""

    by_callback = False  # whether a callback was the first to ask

    def __init__(self, other: Cancel | None) -> None:
        self._own, self._other = False, other
        self.number = 0

    @property
    def asked(self) -> bool:
        return self._own or (self._other is not None and self._other.asked)

    @asked.setter
    def asked(self, value: bool) -> None:
        self._own = value
