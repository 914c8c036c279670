"""What a series at uneven times becomes on an even grid, way by way, and which cells are missing.

Shapes: N events, T cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_resampling", "resampling_rows"]

SHOWN = 48  # cells


def draw_resampling(
    times_N: np.ndarray,
    values_N: np.ndarray,
    *,
    ways: Mapping[str, tuple[np.ndarray, np.ndarray]],
    first: int,
    unit: str,
    cell: str,
    title: str,
) -> Figure:
    """A panel for each way of resampling, over the cells from `first` on: the events as dots, the cells' values as
    steps, filled in where an event lies in the cell and hollow where none does.

    `ways` are (values_T, observed_T) by name; times are in cells, of which `cell` says the length. Raises UsageError if
    matplotlib is not installed.
    """
    figure = canvas.figure_of(12, 2.3 * len(ways) + 0.6)
    panels = figure.subplots(len(ways), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for (name, (value_T, observed_T)), axes in zip(ways.items(), panels, strict=True):
        at = np.arange(first, min(len(value_T), first + SHOWN))
        shown = (times_N >= at[0]) & (times_N < at[-1] + 1)
        axes.plot(times_N[shown], values_N[shown], ".", color="0.55", markersize=5, label="notes")
        axes.hlines(value_T[at], at, at + 1, color="tab:blue", linewidth=1.3)
        for there, style in ((True, {"markerfacecolor": "tab:blue"}), (False, {"markerfacecolor": "white"})):
            mine = at[observed_T[at] == there]
            label = "cell" if there else "cell without a note"
            look: Any = {"color": "tab:blue", "markersize": 5, "label": label, **style}
            axes.plot(mine + 0.5, value_T[mine], "o", **look)
        for missing in at[~observed_T[at]]:
            axes.axvspan(missing, missing + 1, color="tab:red", alpha=0.08, linewidth=0)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_ylabel(unit)
        axes.grid(alpha=0.25)
    panels[0].legend(frameon=False, fontsize=9, ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    panels[-1].set_xlabel(f"time in cells of one {cell}")
    canvas.entitle(figure, title)
    return figure


def resampling_rows(ways: Mapping[str, tuple[np.ndarray, np.ndarray]], *, first: int) -> list[dict[str, Any]]:
    """The numbers that are drawn: a row a cell."""
    count = min(len(value_T) for value_T, _ in ways.values())
    some_observed_T = next(iter(ways.values()))[1]
    return [
        {
            "cell": t,
            "missing": not some_observed_T[t],
            **{name: round(float(value_T[t]), 4) for name, (value_T, _) in ways.items()},
        }
        for t in range(first, min(count, first + SHOWN))
    ]
