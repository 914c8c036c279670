"""Draws all pictures of a run and writes them to files. Pictures that a run doesn't have are left out and listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from musicgen.checkpoint import AnyRun, TaskRun
from musicgen.errors import UsageError
from musicgen.io.atomic import keep_inputs, together, write_text
from musicgen.pictures import (
    alignment,
    attention,
    canvas,
    confusion,
    densities,
    forecast,
    gates,
    gradients,
    loss,
    memory,
    pitches,
)
from musicgen.pictures.subject import Absent, Subject
from musicgen.piece import Piece

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Album", "draw_run", "refuse_to_replace"]

PICTURES = {kind.NAME: kind.draw for kind in (loss, gradients, memory, pitches, attention, gates)}
# Of runs of other tasks: those of the training, and by task its own, as figures and tables.
OF_TRAINING = {kind.NAME: kind.draw for kind in (loss, gradients)}
OF_TASKS = {
    "classify": confusion.drawn,
    "forecast": forecast.drawn,
    "perform": densities.drawn,
    "translate": alignment.drawn,
}
OWN_NAMES = (
    *(confusion.NAME, confusion.TABLE),
    *forecast.NAMES,
    *(densities.NAME, densities.TABLE),
    *(alignment.NAME, alignment.TABLE),
)
ALL = (*PICTURES, *OWN_NAMES)


@dataclass
class Album:
    """Figures by file name, in order, tables (CSV) by file name, and a line for each picture that isn't to be had.

    `pattern` matches all names that may be among them.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)
    pattern: str | None = None

    def save(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write figures and tables into `folder`, or none, and return their paths. The folder is created if its parent
        exists.

        Raises UsageError before anything is written if there are no figures, or if a file exists and `overwrite` is
        False.
        """
        folder = Path(folder)
        if not self.figures:
            raise UsageError("this run has nothing to draw", where=folder, hint="name a piece with `piece`")
        refuse_to_replace(folder, overwrite=overwrite, patterns=(self.pattern,) if self.pattern else ALL)
        paths = [folder / name for name in (*self.tables, *self.figures)]
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
        try:
            with together(paths, overwrite=overwrite) as drawn:
                for path, text in zip(drawn, self.tables.values(), strict=False):
                    write_text(path, text)
                for path, figure in zip(drawn[len(self.tables) :], self.figures.values(), strict=True):
                    canvas.write_png(figure, path)
        except BaseException:
            if made:
                folder.rmdir()
            raise
        return paths


def refuse_to_replace(
    folder: str | Path,
    *,
    overwrite: bool = False,
    inputs: Iterable[str | Path | None] = (),
    patterns: Iterable[str] = ALL,
) -> None:
    """Raise UsageError if pictures can't be written to `folder`, if some exist there and `overwrite` is False, or if
    one of them is an input. Their names match one of `patterns`. Called before drawing, which takes a while.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file, not a folder", where=folder, hint="choose another name")
    if not folder.parent.is_dir():
        raise UsageError("its folder does not exist", where=folder, hint=f"create {folder.parent} first")
    there = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    keep_inputs(there, inputs)
    if there and not overwrite:
        raise UsageError("already exists", where=there[0], hint="pass `overwrite` to replace it")


def draw_run(run: AnyRun, folder: str | Path, *, piece: Piece | None = None) -> Album:
    """All pictures of the run in `folder`. Attention and gates, and what a task draws, are drawn for `piece`.

    Without a piece, the first piece of the validation split that is long enough is used. Raises UsageError if
    matplotlib is not installed or the piece has no notes.
    """
    subject, album = Subject(run, Path(folder), piece), Album()
    try:
        _ = subject.corpus
    except Absent as reason:
        album.left_out.append(f"what needs the corpus: {reason}")
    for name, draw in (OF_TRAINING if isinstance(run, TaskRun) else PICTURES).items():
        try:
            album.figures |= draw(subject)
        except Absent as reason:
            album.left_out.append(f"{name.removesuffix('.layer*.png')}: {reason}")
    if isinstance(run, TaskRun) and run.task in OF_TASKS:
        try:
            figures, tables = OF_TASKS[run.task](subject)
            album.figures |= figures
            album.tables |= tables
        except Absent as reason:
            album.left_out.append(f"{run.task}: {reason}")
    return album
