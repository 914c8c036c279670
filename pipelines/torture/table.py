"""What the torture has in common: a row of its table, how much of it is asked for, and printing.

A module of this folder that `__main__.py` names has a function `rows(plan)` that yields rows as they are done. A row is
one kind of torture: what was tried, how often, and how often it went wrong. What went wrong is told on stderr by
`complain`, a line each, with all that is needed to try it again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Plan", "Row", "complain", "count", "print_table"]


@dataclass(frozen=True)
class Row:
    """One line of the table; `note` says what came of it beside failing."""

    name: str
    tried: int
    failed: int
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Plan:
    """How much: `share` of the usual number of tries; where the data lie, where scratch files may, which draws."""

    share: float = 1.0
    seed: int = 0
    data: Path = field(default_factory=lambda: Path(__file__).parents[3] / "shared" / "data")
    scratch: Path = Path()

    def of(self, usual: int) -> int:
        """So many tries, where `usual` are the whole; at least one."""
        return max(1, round(usual * self.share))


def count(name: str, cases: Iterable[Callable[[], str | None]], *, note: str = "") -> Row:
    """The row of cases that each give None, or say what is wrong. Any exception is a failure, too."""
    begun, tried, failed = time.monotonic(), 0, 0
    for case in cases:
        tried += 1
        try:
            wrong = case()
        except Exception as error:  # a case that breaks must not hide those behind it
            wrong = f"{type(error).__name__}: {error}"
        if wrong is not None:
            failed += 1
            complain(f"{name}, case {tried}: {wrong}")
    return Row(name, tried, failed, time.monotonic() - begun, note)


def complain(line: str) -> None:
    """What went wrong, on stderr."""
    print(line, file=sys.stderr, flush=True)


def print_table(rows: Iterable[Row]) -> None:
    """The table, in columns."""
    table = [("what", "tried", "failed", "seconds", "note")]
    table += [(row.name, f"{row.tried:,}", f"{row.failed:,}", f"{row.seconds:.0f}", row.note) for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(4)]
    for line in table:
        numbers = "  ".join(text.rjust(width) for text, width in zip(line[1:4], widths[1:], strict=True))
        print(f"{line[0].ljust(widths[0])}  {numbers}  {line[4]}".rstrip())
