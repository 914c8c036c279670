"""What is drawn of a resampled series is what its cells have."""

from __future__ import annotations

import numpy as np

from musicgen.pictures.resampling import draw_resampling, resampling_rows
from musicgen.tasks.forecast.resampling import resampled

TIMES, VALUES, GRID = np.array([0.0, 0.5, 3.0]), np.array([10.0, 20.0, 40.0]), np.arange(4.0)
WAYS = {m: resampled(TIMES, VALUES, grid_T=GRID, method=m) for m in ("previous", "linear")}


def test_a_panel_a_way_with_missing_cells_hollow():
    figure = draw_resampling(TIMES, VALUES, ways=WAYS, first=0, unit="u", cell="quarter", title="a")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["previous", "linear"]
    notes, full, hollow = figure.axes[0].lines
    assert notes.get_xdata().tolist() == [0, 0.5, 3]
    assert full.get_ydata().tolist() == [20, 40]
    assert hollow.get_xdata().tolist() == [1.5, 2.5]
    assert hollow.get_markerfacecolor() == "white"
    figure.canvas.draw()


def test_a_row_a_cell():
    assert resampling_rows(WAYS, first=2) == [
        {"cell": 2, "missing": True, "previous": 20.0, "linear": 32.0},
        {"cell": 3, "missing": False, "previous": 40.0, "linear": 40.0},
    ]
