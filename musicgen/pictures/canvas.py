"""Helpers shared by all pictures: figures, titles, piano rolls and bar lines over a model's steps, and PNG files.

Figures are made without pyplot, so that no global state changes and no display is needed.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.errors import UsageError, printable
from musicgen.io.atomic import atomic_path
from musicgen.pictures.step_roll import StepNotes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_bars", "draw_roll", "entitle", "figure_of", "plain", "write_png"]

DPI = 110
LONGEST_NAME = 300  # characters of a title


def figure_of(width: float, height: float) -> Figure:
    """A new figure of that size in inches. Raises UsageError if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError(
            "pictures need matplotlib", hint="install it with pip install 'musicgen-symbolic[pictures]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def write_png(figure: Figure, path: Path) -> None:
    """Write a figure as PNG atomically; the same figure gives the same bytes. Raises like `atomic_path`."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None})


def draw_roll(axes: Axes, notes: StepNotes | None, *, steps: int, bars: np.ndarray) -> None:
    """Draw a piano roll of the notes, with time in steps, aligned with the axes below."""
    axes.set_xlim(-0.5, steps - 0.5)
    if notes is None or not len(notes.pitch):
        axes.text(0.5, 0.5, "no notes that can be placed", transform=axes.transAxes, ha="center", va="center")
        axes.set_yticks([])
        return
    for drums, colour in ((False, "tab:blue"), (True, "0.5")):
        mine = notes.is_drum == drums
        left, width = notes.begin[mine] - 0.5, (notes.end - notes.begin)[mine]
        axes.barh(notes.pitch[mine], width, left=left, height=0.9, color=colour, alpha=0.45)
        # The step at which the model reads the pitch.
        axes.barh(notes.pitch[mine], np.ones(int(mine.sum())), left=left, height=0.9, color=colour)
    draw_bars(axes, bars)
    axes.set_ylim(notes.pitch.min() - 2, notes.pitch.max() + 2)
    axes.set_ylabel("pitch (MIDI)")
    axes.tick_params(labelbottom=False)


def draw_bars(axes: Axes, bars: np.ndarray, *, both: bool = False) -> None:
    """Draw thin lines before the steps that begin a bar."""
    style: Any = {"color": "0.3", "linewidth": 0.8, "linestyle": ":"}
    axes.vlines(bars - 0.5, 0, 1, transform=axes.get_xaxis_transform(), **style)
    if both:
        axes.hlines(bars - 0.5, 0, 1, transform=axes.get_yaxis_transform(), **style)


def entitle(figure: Figure, title: str) -> None:
    """Set the figure's title, wrapped to its width, for it may contain a long path."""
    figure.suptitle(textwrap.fill(plain(title), max(40, int(8.5 * figure.get_figwidth()))))


def plain(text: str) -> str:
    """Text that matplotlib shows literally: dollar signs are escaped so that they don't begin a formula."""
    return printable(text)[:LONGEST_NAME].replace("$", r"\$")
