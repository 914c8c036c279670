"""The lessons of `docs/course/` as data: their code, the lines of musicgen that they quote, their figures and pictures.

A page is the source of everything: its ```python blocks are the cells of the notebook beside it, and what these cells
leave in `figures` is the table between the marks `figures`. Nothing in a page is typed twice.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["COURSE", "ROOT", "Lesson", "Stale", "lessons", "notebook_text", "table", "with_figures", "with_lines"]

ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "docs" / "course"
# [`musicgen/models/a.py:12`](../../musicgen/models/a.py#L12): `code of that line`
QUOTE = re.compile(r"\[`(?P<path>[\w/.]+):\d+`\]\(\.\./\.\./[\w/.]+#L\d+\): `(?P<code>[^`\n]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.S | re.M)
DETAILS = re.compile(r"^<details>.*?^</details>\n", re.S | re.M)
TABLE = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->\n)", re.S)
SMALLEST = 1e-3  # figures below are written as powers of ten


class Stale(Exception):
    """What a page says of musicgen no longer holds, and can't be mended by a script."""


@dataclass(frozen=True)
class Lesson:
    """A page with its text. Its number and name are those of the file, `03-convolution.md`."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def cells(self) -> list[tuple[str, str]]:
        """("markdown" or "code", text) in order. Solutions, inside <details>, belong to the Markdown around them."""
        hidden = [match.span() for match in DETAILS.finditer(self.text)]
        cells: list[tuple[str, str]] = []
        at = 0
        for match in FENCE.finditer(self.text):
            if match[1] != "python" or any(begin <= match.start() < end for begin, end in hidden):
                continue
            cells += [("markdown", self.text[at : match.start()]), ("code", match[2])]
            at = match.end()
        cells.append(("markdown", self.text[at:]))
        return [(kind, text.strip("\n")) for kind, text in cells if text.strip()]

    @property
    def code(self) -> str:
        """The code of all cells, as one program."""
        return "\n\n".join(text for kind, text in self.cells if kind == "code")

    @property
    def solutions(self) -> list[str]:
        """The programs inside <details>. Each goes on where the lesson's code ended."""
        inside = [match[0] for match in DETAILS.finditer(self.text)]
        return [body for text in inside for kind, body in FENCE.findall(text) if kind == "python"]

    @property
    def commands(self) -> list[str]:
        """What stands behind `$ ` in its ```console blocks."""
        blocks = [body for kind, body in FENCE.findall(self.text) if kind == "console"]
        return [line[2:] for body in blocks for line in body.splitlines() if line.startswith("$ ")]


def lessons() -> list[Lesson]:
    """All numbered pages that have code, in order."""
    pages = [Lesson(path, path.read_text(encoding="utf-8")) for path in sorted(COURSE.glob("[0-9][0-9]-*.md"))]
    return [page for page in pages if page.code]


# ---- lines of code -----------------------------------------------------------------------------------------


def with_lines(text: str) -> str:
    """A page with the numbers at which its quoted lines stand today.

    Raises Stale for a line that its file no longer has, or has more than once.
    """

    def found(match: re.Match[str]) -> str:
        path, code = match["path"], match["code"]
        source = ROOT / path
        if not source.is_file():
            raise Stale(f"there is no {path}: quote the line where it is now, or another: {code}")
        numbers = [n for n, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1) if code in line]
        if len(numbers) != 1:
            raise Stale(f"{path} has {len(numbers)} lines with this code: quote one that it has once: {code}")
        return f"[`{path}:{numbers[0]}`](../../{path}#L{numbers[0]}): `{code}`"

    return QUOTE.sub(found, text)


# ---- figures -----------------------------------------------------------------------------------------------


def table(figures: Mapping[str, Sequence[float]]) -> str:
    """A Markdown table of figures: name -> one value a seed, as mean and sample standard deviation."""
    seeds = max(map(len, figures.values()))
    rows = [f"| what | mean of {seeds} seeds | standard deviation |", "|---|---:|---:|"]
    for name, values in figures.items():
        mean = statistics.fmean(values)
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        rows.append(f"| {name} | {_number(mean)} | {_number(spread, of=mean)} |")
    return "\n".join(rows) + "\n"


def _number(value: float, *, of: float | None = None) -> str:
    size = abs(value if of is None else of)
    if value == 0:
        return "0"
    if size < SMALLEST or size >= 1e5:
        return f"{value:.1e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.1f}" if size >= 100 else f"{value:.3f}"


def with_figures(text: str, figures: Mapping[str, Sequence[float]]) -> str:
    """A page with this table between its marks. Raises Stale for a page without marks."""
    if not TABLE.search(text):
        raise Stale("the page has no place for its figures: write <!-- figures --> and <!-- /figures -->")
    return TABLE.sub(lambda match: f"{match[1]}\n{table(figures)}\n{match[2]}", text)


# ---- notebooks ---------------------------------------------------------------------------------------------


def notebook_text(lesson: Lesson) -> str:
    """The page as a notebook (nbformat 4.5), without outputs, which come from the reader's own machine."""
    cells = []
    for number, (kind, text) in enumerate(lesson.cells):
        cell: dict[str, object] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append({**cell, "source": text.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
