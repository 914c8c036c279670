"""The command line's event listeners: they show progress as a bar on a terminal, and as lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any, Self

from musicgen.cli.options import progress_bar, warn
from musicgen.errors import printable
from musicgen.events import Began, Event, Expected, Finished, Progress, Saved, Step, Warned
from musicgen.words import counted, spell_seconds

SAID_FROM = 20  # seconds: shorter work says nothing of its length
__all__ = ["Shown", "TakesShown", "TrainingShown"]


class Shown:
    """A listener that prints lines and shows a progress bar on stderr; a context manager that removes the bar."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar, if there is one."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def __call__(self, event: Event) -> None:
        match event:
            case Warned(text=text):
                # May be called from a signal handler while another line is being written through the buffered stream.
                try:
                    os.write(sys.stderr.fileno(), f"{printable(text)}\n".encode())
                except (OSError, ValueError):  # not a real file
                    warn(text)
            case Began(unit=unit, of=of):
                self._show(progress_bar(), f"{unit}s", total=of)
            case Progress(done=done, of=of) if self._bar is not None:
                self._bar.update(self._task, completed=done, total=of)

    def _show(self, bar: Any, what: str, **options: Any) -> None:
        self.close()
        self._bar, self._task = bar, bar.add_task(what, **options)
        bar.start()


class TakesShown(Shown):
    """The display of `musicgen continue` and `generate`: a bar each for reading, for study and for every take, which is
    gone when the work is done, so that results and warnings are alone on their lines. Work that takes long says so."""

    _title = ""

    def __call__(self, event: Event) -> None:
        match event:
            case Began(what=what, unit=unit, of=of, about=about):
                titles = {"reading": "reading music to study", "study": "learning your piece"}
                title = titles.get(what, "drawing" if about == "take 1 of 1" else about)
                self._title = title
                bar = progress_bar("status", counts=False, transient=True)
                self._show(bar, title, total=of, status=_done(0, of, unit))
            case Progress(done=done, of=of, unit=unit) if self._bar is not None:
                self._bar.update(self._task, completed=done, total=of, status=_done(done, of, unit))
            case Finished():
                self.close()
            case Expected(seconds=seconds) if seconds >= SAID_FROM:
                self(Warned(f"{self._title}: about {spell_seconds(seconds)} more; Ctrl-C stops it"))
            case Warned(text=text):
                if self._bar is not None:  # otherwise the line would be appended to the bar
                    self._bar.stop()
                warn(text)
                if self._bar is not None:
                    self._bar.start()


def _done(done: int, of: int | None, unit: str) -> str:
    return counted(done, unit) if of is None else f"{done} of {counted(of, unit)}"


class TrainingShown(Shown):
    """The display of `musicgen train`: loss, validation loss, tokens per second and time left; if stderr isn't a
    terminal, one line per evaluation.

    `building` is true while the corpus is built, `saved` once the folder has a run that can be resumed.
    """

    def __init__(self, *, quiet: bool) -> None:
        super().__init__()
        self.quiet, self.building, self.saved = quiet, False, False
        self._live = sys.stderr.isatty()
        self._valid: float | None = None

    def __call__(self, event: Event) -> None:
        match event:
            case Saved():
                self.saved = True
            case Began(what="training", of=of, about=about):
                self.building = False
                self.close()
                if not self.quiet:
                    super().__call__(Warned(f"{about}; Ctrl-C saves"))
                self._show(_training_bar(live=self._live), "train", total=of, line="")
            case Step():
                self._step(event)
            case _:
                self.building = self.building or isinstance(event, Began)
                super().__call__(event)

    def _step(self, step: Step) -> None:
        self._valid = step.valid if step.valid is not None else self._valid
        valid = "-" if self._valid is None else f"{self._valid:.3f}"
        left = f"{int(step.seconds_left) // 60}:{int(step.seconds_left) % 60:02d}"
        line = f"loss {step.loss:.3f}  valid {valid}  {step.tokens_per_second:,.0f} tokens/s  {left} left"
        self._bar.update(self._task, completed=step.done, line=line)
        if not self._live and step.valid is not None:
            warn(f"step {step.done}/{step.of}  {line}")


def _training_bar(*, live: bool) -> Any:
    """A progress bar on stderr followed by the field `line`, which includes the time left; disabled if not `live`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[line]}")
    return Progress(*columns, console=Console(stderr=True), disable=not live)
