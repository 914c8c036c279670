"""What the benchmarks share: options, a header, interleaved timing, medians and ratios, and a table to copy.

A round runs every way once, in order, so that a slow moment of the machine hits all of them alike. The clock is the
CPU time of this process, all its threads together: neither other work nor a second thread makes a way look faster.
A first round that doesn't count loads what is loaded lazily. Tables are Markdown, for RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from musicgen.workers import cores

__all__ = ["ROOT", "Spread", "header", "interleave", "parser", "ratio", "table", "versus"]

ROOT = Path(__file__).resolve().parents[2]  # of the repository


@dataclass(frozen=True)
class Spread:
    """The values of one quantity over the rounds, in the order in which they were taken."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def show(self, form: str = ".3g") -> str:
        """The median, and the lowest and highest value.

        >>> Spread((1.0, 3.0, 2.0)).show(".1f")
        '2.0 (1.0 to 3.0)'
        """
        return f"{self.median:{form}} ({min(self.values):{form}} to {max(self.values):{form}})"

    def each(self, function: Callable[[float], float]) -> Spread:
        """The spread of a function of the value: seconds to notes a second, say."""
        return Spread(tuple(function(value) for value in self.values))


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of what every benchmark takes: `--quick` and `--rounds` (None: what the script thinks right)."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="a small sample and few rounds: does it still hold?")
    made.add_argument("--rounds", type=int, help="how often each way is measured")
    return made


def interleave(
    ways: dict[str, Callable[[], Any]], *, rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, Spread]:
    """Seconds by `clock` of each way, run `rounds` times in turns after a round that doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            gc.collect()  # one way's rubbish is not the next one's work,
            gc.freeze()  # nor is searching what stands ready for all of them
            begun = clock()
            way()
            if number:
                seconds[name].append(clock() - begun)
    return {name: Spread(tuple(values)) for name, values in seconds.items()}


def ratio(slow: Spread, fast: Spread) -> float:
    """How many times faster `fast` is: the ratio of the medians of their seconds.

    >>> ratio(Spread((4.0, 6.0)), Spread((0.5,)))
    10.0
    """
    return slow.median / fast.median


def versus(value: float, target: float, *, unit: str = "x", most: bool = False, form: str = ".1f") -> str:
    """`value` beside its target: at least `target`, or with `most` at most.

    >>> versus(9.0, 10)
    '9.0 x, target >= 10 x: missed'
    """
    met = value <= target if most else value >= target
    sign = "<=" if most else ">="
    return f"{value:{form}} {unit}, target {sign} {target:g} {unit}: {'met' if met else 'missed'}"


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table whose columns line up in a terminal too."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), flush=True)


def header(title: str, *packages: str) -> None:
    """Print what a result depends on: date, commit, processor, load, and versions of Python and `packages`."""
    print(f"\n## {title}, {datetime.date.today()}\n")
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"commit {_commit()}; {cores()} cores of {_processor()}{load}; Python {platform.python_version()}", end="")
    for name in packages:
        try:
            print(f", {name} {metadata.version(name)}", end="")
        except metadata.PackageNotFoundError:
            print(f", {name} absent", end="")
    print("\n", flush=True)


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
