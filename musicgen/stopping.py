"""Being asked to stop: by Ctrl-C (SIGINT), or by SIGTERM, which schedulers and `kill` send.

Work that can be broken off anywhere lets both raise `Interrupted`. Work that must not be, such as the steps of a
training, takes a `Stop`: a flag that is looked at where it is safe.
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
    """The process was asked to stop, and has. `number` is the signal's, `step` the one that a run was saved at, None
    where nothing was saved."""

    def __init__(self, number: int = signal.SIGINT, *, step: int | None = None) -> None:
        super().__init__(signal.Signals(number).name)
        self.number, self.step = number, step


class Stopping(Exception):
    """What `Stop.check` raises; never leaves the work that it ends."""


def raise_on_sigterm() -> None:
    """From now on SIGTERM raises Interrupted, so that everything is cleared up as after Ctrl-C."""

    def ended(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    signal.signal(signal.SIGTERM, ended)


class Stop:
    """While the context lasts, SIGINT and SIGTERM only set a flag, `number`; in other threads than the main one nothing
    is caught.

    `heard` is told a line at the first of them, within the signal's handler. A second Ctrl-C raises KeyboardInterrupt
    at once: whoever is in a hurry loses what was not saved. A second SIGTERM is another process saying it again.
    """

    def __init__(self, heard: Callable[[str], None] = lambda line: None) -> None:
        self.number = 0
        self._heard = heard
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
        if os.getpid() != self._process:  # a child that has only begun
            return
        if not self.number:
            self.number = number
            self._heard("stopping; Ctrl-C again ends it at once, without saving")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
