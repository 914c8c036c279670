"""Handle requests to stop: Ctrl-C (SIGINT), or SIGTERM, which schedulers and `kill` send.

Work that can be interrupted anywhere lets both raise `Interrupted`. Work that can't, such as training steps, uses a
`Stop`: a flag that is checked where stopping is safe.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

__all__ = ["Interrupted", "Stop", "Stopping", "raise_on_sigterm"]


class Interrupted(KeyboardInterrupt):
    """The process has stopped on request. `number` is the signal, `step` the training step at which a run was saved,
    None if nothing was saved."""

    def __init__(self, number: int = signal.SIGINT, *, step: int | None = None) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.step = number, step


class Stopping(Exception):
    """Raised by `Stop.check`; caught by the work that it ends."""


def raise_on_sigterm() -> None:
    """Make SIGTERM raise Interrupted from now on, so that everything is cleaned up as after Ctrl-C."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, ended)


class Stop:
    """A context in which SIGINT and SIGTERM only set a flag, `number`; outside the main thread no signal is caught.

    `notify` is called with a line for the user at the first signal, from its handler. A second Ctrl-C raises
    KeyboardInterrupt at once, and unsaved work is lost. A second SIGTERM is ignored.
    """

    def __init__(self, notify: Callable[[str], None] = lambda line: None) -> None:
        self.number = 0
        self._notify = notify
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

    def ask(self, number: int = signal.SIGINT) -> None:
        """Ask for a stop, as a signal does."""
        self.number = self.number or number

    def check(self) -> None:
        """Raise Stopping if a stop was asked for."""
        if self.number:
            raise Stopping

    def _on(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child that has just started
            return
        if not self.number:
            self.number = number
            self._notify("stopping; Ctrl-C again ends it at once, without saving")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
