"""Simple forecasts, on series whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_pieces import pitches_of, tune

from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.tasks.forecast.errors import errors_of, naive_errors
from musicgen.tasks.forecast.floors import autoregression, best_season, drift, fitted_floors, seasonal
from musicgen.tasks.forecast.series import scales_of, series_of

BAR = [60, 64, 67, 72]


def test_drift_goes_on_along_the_line():
    assert drift(np.array([[1.0], [2.0], [5.0]]), H=2)[-1, :, 0].tolist() == [7, 9]


def test_music_that_returns_each_bar_is_foreseen_by_the_bar():
    series = pitches_of(BAR * 4)
    forecast_THK = seasonal(series.value_TK, series.bar_T, H=6)
    for h in range(1, 7):
        assert (forecast_THK[4:-h, h - 1] == series.value_TK[4 + h :]).all()


@pytest.mark.parametrize(("period", "season"), [(3, "3 steps"), (8, "2 bars"), (16, "4 bars")])
def test_the_best_season_is_the_period(period, season):
    rng = np.random.default_rng(period)
    some = [pitches_of(list(rng.integers(55, 80, period)) * (96 // period)) for _ in range(4)]
    assert str(best_season(some, K=1, H=2)) == season


def test_an_autoregression_finds_what_is_linear():
    angle = np.arange(200) * 0.7
    some = [pitches_of(np.rint(64 + 20 * np.sin(angle + shift))) for shift in range(5)]
    settings = ForecastSettings(lags=8, horizon=3, scales=scales_of(some))
    how = {"lags": 8, "naive_K": naive_errors(some, K=1)}
    errors = {
        name: errors_of([floor(each) for each in some], some, **how)
        for name, floor in fitted_floors(some, settings=settings).items()
    }
    assert errors["autoregression"].mae.max() < 1  # the sines were rounded to semitones
    assert errors["last value"].mae.min() > 5
    assert errors["mean"].spread.max() == 0
    assert errors["last value"].mase[0, 0] == pytest.approx(1, abs=0.02)


def test_a_gap_is_no_target_of_the_regression():
    settings = ForecastSettings(every="quarter", lags=2, horizon=1, scales=[[64.0, 4.0]])
    some = series_of(tune([60, 62, 0, 62, 64, 0, 0, 60, 62, 0, 62] * 3), settings=settings)
    forecast_THK = autoregression([some], settings=settings)(some)
    assert forecast_THK.shape == (len(some), 1, 1)
    assert np.isfinite(forecast_THK).all()
