"""Ends long work on request: of the caller, from any thread (`Cancel`), or of a signal.

Signals are Ctrl-C (SIGINT), and SIGTERM, which schedulers and `kill` send. Work that can be interrupted anywhere lets
both raise `Interrupted`. Work that can't, such as training steps, checks a `Cancel` where ending is safe, and `Signals`
makes a signal one more way to ask it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from musicgen.errors import MusicgenError
from musicgen.events import Event, Listener

__all__ = ["Cancel", "Cancelled", "Interrupted", "Signals", "cancellable", "ended_by", "raise_on_sigterm"]


class Cancelled(MusicgenError):
    """Long work has ended because its `Cancel` asked for it. `step` is the training step at which a run was saved, None
    if nothing was saved.

    >>> str(Cancelled(step=7))
    'cancelled; the run is saved at step 7, resume it to go on'
    """

    exit_code = 130

    def __init__(self, *, step: int | None = None) -> None:
        saved = None if step is None else f"the run is saved at step {step}, resume it to go on"
        super().__init__("cancelled", hint=saved)
        self.step = step


class Interrupted(KeyboardInterrupt):
    """The process has stopped on request. `number` is the signal, `step` the training step at which a run was saved,
    None if nothing was saved.

    >>> str(Interrupted(signal.SIGTERM))
    'SIGTERM'
    """

    def __init__(self, number: int = signal.SIGINT, *, step: int | None = None) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.step = number, step


class Cancel:
    """A request to end long work, which another thread, a listener or a signal handler makes with `ask`.

    The work checks it between steps and raises Cancelled: training saves the run first, a corpus build keeps its
    journal, so that the same call goes on, and study and sampling write nothing. A request is never taken back.

    >>> cancel = Cancel()
    >>> cancel.ask()
    >>> cancel.check()
    Traceback (most recent call last):
        ...
    musicgen.stopping.Cancelled: cancelled
    """

    def __init__(self) -> None:
        self.asked = False
        self.number = 0  # the signal that asked, 0 if none did

    def ask(self, number: int = 0) -> None:
        """Ask for the end; `number` is the signal that does, if one does."""
        self.number = self.number or number
        self.asked = True

    def check(self) -> None:
        """Raise Cancelled if the end was asked for."""
        if self.asked:
            raise Cancelled


def cancellable(listener: Listener, cancel: Cancel | None) -> Listener:
    """A listener that passes each event on to `listener` and then raises Cancelled if `cancel` asks for the end. Work
    that reports its progress to it can be cancelled between any two steps."""
    if cancel is None:
        return listener

    def checked(event: Event) -> None:
        listener(event)
        cancel.check()

    return checked


def ended_by(cancel: Cancel, *, step: int | None = None) -> Cancelled | Interrupted:
    """The exception for work that `cancel` has ended: Interrupted if a signal asked for it; `step` as in Cancelled."""
    return Interrupted(cancel.number, step=step) if cancel.number else Cancelled(step=step)


def raise_on_sigterm() -> None:
    """Make SIGTERM raise Interrupted from now on, so that everything is cleaned up as after Ctrl-C."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, ended)


class Signals:
    """A context in which SIGINT and SIGTERM only ask `cancel` for the end; outside the main thread none is caught.

    `notify` is called with a line for the user at the first signal, from its handler. A second Ctrl-C raises
    KeyboardInterrupt at once, and unsaved work is lost. A second SIGTERM is ignored.
    """

    def __init__(self, cancel: Cancel, *, notify: Callable[[str], None] = lambda line: None) -> None:
        self._cancel, self._notify = cancel, notify
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell's background jobs do with the first
                    self._before[number] = signal.signal(number, self._on)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)  # None: one that Python doesn't know

    def _on(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child that has just started
            return
        if not self._cancel.number:
            self._cancel.ask(number)
            self._notify("stopping; Ctrl-C again ends it at once, without saving")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
