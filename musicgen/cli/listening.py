"""How long work is shown: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Any, Self

from musicgen.cli.options import progress_bar, warn
from musicgen.errors import printable
from musicgen.progress import Listener, Progress
from musicgen.words import counted

__all__ = ["Shown", "TrainingShown"]


class Shown(Listener):
    """Lines go to stderr, counts to a bar there; a context, which takes the bar off."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._what = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar off, if there is one."""
        if self._bar is not None:
            self._bar.stop()
        self._bar, self._what = None, ""

    def on_line(self, text: str) -> None:
        # This may be called from a signal's handler, in the middle of another line that goes through a buffer.
        try:
            os.write(sys.stderr.fileno(), f"{printable(text)}\n".encode())
        except (OSError, ValueError):  # no real stream
            warn(text)

    def on_file(self, done: int, total: int) -> None:
        self._count("files", done, total)

    def on_piece(self, done: int, total: int) -> None:
        self._count("pieces", done, total)

    def _count(self, what: str, done: int, total: int) -> None:
        if self._what != what:
            self._show(progress_bar(), what, total=total)
        self._bar.update(self._task, completed=done, total=total)

    def _show(self, bar: Any, what: str, **options: Any) -> None:
        self.close()
        self._bar, self._what = bar, what
        self._task = bar.add_task(what, **options)
        bar.start()


class TrainingShown(Shown):
    """What `musicgen train` shows: loss, validation loss, tokens a second, time left; off a terminal, a line an
    evaluation.

    `building` is true while the corpus is built, `saved` from when a run that can be resumed lies in its folder.
    """

    def __init__(self, corpus: str, *, quiet: bool) -> None:
        super().__init__()
        self.corpus, self.quiet = corpus, quiet
        self.building, self.saved = False, False
        self._live = sys.stderr.isatty()
        self._valid: float | None = None

    def on_build(self, place: object) -> None:
        self.building = True
        self.on_line(f"building a corpus from {self.corpus} at {place}")

    def on_begin(self, *, pieces: int, tokens: int, steps: int, family: str, device: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self.building = False
        self.close()
        if not self.quiet:
            self.on_line(f"{counted(pieces, 'piece')}, {counted(tokens, 'token')}; {family} on {device}; Ctrl-C saves")
        columns = BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[line]}")
        bar = Progress(*columns, console=Console(stderr=True), disable=not self._live)
        self._show(bar, "train", total=steps, line="")

    def on_saved(self) -> None:
        self.saved = True

    def on_step(self, progress: Progress) -> None:
        p = progress
        self._valid = p.valid if p.valid is not None else self._valid
        valid = "-" if self._valid is None else f"{self._valid:.3f}"
        left = f"{int(p.seconds_left) // 60}:{int(p.seconds_left) % 60:02d}"
        line = f"loss {p.loss:.3f}  valid {valid}  {p.tokens_per_second:,.0f} tokens/s  {left} left"
        self._bar.update(self._task, completed=p.step, line=line)
        if not self._live and p.valid is not None:
            warn(f"step {p.step}/{p.steps}  {line}")
