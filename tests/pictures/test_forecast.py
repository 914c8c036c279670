"""Pictures of forecasts, and the numbers behind them."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.pictures.forecast import as_csv, draw_errors, draw_forecasts

ROWS = [
    {"series": series, "unit": unit, "horizon": h, "forecast": name, "mae": mae * h, "mae_low": mae, "mae_high": 4 * mae,
     "spread": 0.5}
    for series, unit in (("pitch", "semitones"), ("ioi", "octaves of time"))
    for name, mae in (("lstm", 1.0), ("mean", 3.0), ("8 bars ago", 2.0))
    for h in (1, 2, 3)
]  # fmt: skip


def test_a_line_for_each_forecast_and_a_row_of_panels_for_each_series():
    figure = draw_errors(ROWS, model="lstm", title="a run")
    assert len(figure.axes) == 4
    left = figure.axes[0]
    assert left.get_ylabel() == "pitch: mean absolute error\n(semitones)"
    assert [line.get_label() for line in left.lines] == ["lstm", "mean", "8 bars ago"]
    assert left.lines[0].get_ydata().tolist() == [1, 2, 3]
    assert left.lines[0].get_linewidth() > left.lines[1].get_linewidth()
    figure.canvas.draw()


def test_forecasts_stand_at_the_step_that_they_are_of():
    came_T = np.arange(200.0)
    forecast_TH = np.arange(200.0)[:, None] + np.array([100.0, 400.0])  # says where it was made from, and how far
    figure = draw_forecasts(
        came_T, np.ones(200, bool), forecasts={"lstm": forecast_TH}, horizons=(1, 2), first=16, unit="semitones", title="a"
    )  # fmt: skip
    for axes, h, offset in zip(figure.axes, (1, 2), (100, 400), strict=True):
        x, y = axes.lines[1].get_data()
        assert (x[0], x[-1]) == (16, 111)
        assert (y == x - h + offset).all()
    assert figure.axes[1].get_title(loc="left") == "forecast 2 steps ahead"
    figure.canvas.draw()


def test_rows_are_csv():
    assert as_csv([{"a": 1, "b": "x, y"}]) == 'a,b\n1,"x, y"\n'
    assert as_csv([]) == ""


def test_gaps_are_left_open():
    observed_T = np.arange(50) % 2 == 0
    figure = draw_forecasts(
        np.ones(50), observed_T, forecasts={"gru": np.ones((50, 1))}, horizons=(1,), first=1, unit="u", title="a"
    )
    known = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(known).sum() == pytest.approx(25, abs=1)
