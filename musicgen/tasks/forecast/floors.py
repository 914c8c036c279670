"""What needs no network: simple forecasts that a model has to beat, and a linear autoregression.

Shapes: T steps, H horizon, K series, L lags, P columns of a regression, N its rows. Forecasts are in the series' units.

Sources: Hyndman and Athanasopoulos 2021, "Forecasting: principles and practice", 3rd edition, section 5.2 (mean, naive,
seasonal naive, drift).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from musicgen.corpus.split import spread
from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.tasks.forecast.series import Series, counted, inputs_of

__all__ = ["Floor", "autoregression", "fitted_floors"]

BARS = (1, 2, 4, 8)  # seasons that are tried, beside those of a fixed number of steps
STEPS = range(2, 33)
SEARCHED = 200  # pieces of the training split: more would choose the same, and take seconds
FEWEST = 0.5  # a season that fewer than this share of steps have is none

Floor = Callable[[Series], np.ndarray]  # a series -> forecast_THK after each of its steps


def fitted_floors(train: Sequence[Series], *, settings: ForecastSettings) -> dict[str, Floor]:
    """The floors by name, with what they need of the training split: its mean, the best season, the regression."""
    K, H = len(settings.targets), settings.horizon
    mean_K = np.array(settings.scales)[:K, 0]
    season = best_season([train[n] for n in spread(len(train), SEARCHED).tolist()], K=K, H=H)
    return {
        "mean": lambda series: np.broadcast_to(mean_K, (len(series), H, K)),
        "last value": lambda series: np.repeat(series.value_TK[:, None, :K], H, axis=1),
        "drift": lambda series: drift(series.value_TK[:, :K], H=H),
        "a bar ago": lambda series: seasonal(series.value_TK[:, :K], series.bar_T, H=H),
        f"{season} ago": lambda series: seasonal(series.value_TK[:, :K], season.of(series), H=H),
        "autoregression": autoregression(train, settings=settings),
    }


def drift(value_TK: np.ndarray, *, H: int) -> np.ndarray:
    """The line from the first value through the last one, drawn on: forecast_THK."""
    slope_TK = (value_TK - value_TK[0]) / np.maximum(np.arange(len(value_TK)), 1)[:, None]
    return value_TK[:, None] + slope_TK[:, None] * np.arange(1, H + 1)[:, None]  # type: ignore[no-any-return]


def seasonal(value_TK: np.ndarray, season_T: np.ndarray, *, H: int) -> np.ndarray:
    """The value a season before what is forecast, so many seasons before that it is known: forecast_THK.

    `season_T` is the season in steps at each step; where it is 0 the last value is taken.

    >>> seasonal(np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0, 0, 0, 3]), H=4)[-1, :, 0].tolist()
    [2.0, 3.0, 4.0, 2.0]
    """
    ahead_H = np.arange(1, H + 1)
    season_T1 = np.maximum(season_T, 1)[:, None]
    back_TH = season_T1 * -(-ahead_H // season_T1)
    at_TH = np.maximum(np.arange(len(value_TK))[:, None] + ahead_H - back_TH, 0)
    found: np.ndarray = value_TK[at_TH]
    return found


@dataclass(frozen=True)
class Season:
    """A season: `number` bars, or steps."""

    number: int
    in_bars: bool

    def __str__(self) -> str:
        unit = "bar" if self.in_bars else "step"
        return f"{self.number} {unit}{'s' * (self.number > 1)}"

    def of(self, series: Series) -> np.ndarray:
        """The season in steps at each step, 0 where the series hasn't lasted so long."""
        steps = np.arange(len(series))
        if not self.in_bars:
            return np.where(steps >= self.number, self.number, 0)
        at, whole = steps, np.ones(len(steps), bool)
        for _ in range(self.number):
            whole &= series.bar_T[at] > 0
            at = at - series.bar_T[at]
        return np.where(whole, steps - at, 0)


def best_season(train: Sequence[Series], *, K: int, H: int) -> Season:
    """The season with the least mean absolute error in the training split, in standard deviations over all series and
    horizons. A season of one bar stands as a floor of its own and is not chosen unless none is as good."""
    deviation_K = np.concatenate([each.value_TK[:, :K] for each in train]).std(axis=0) + 1e-9
    best, least = Season(1, True), np.inf
    for season in [Season(n, True) for n in BARS[1:]] + [Season(n, False) for n in STEPS]:
        total, count, had, steps = 0.0, 0, 0, 0
        for each in train:
            season_T = season.of(each)
            had, steps = had + int((season_T > 0).sum()), steps + len(season_T)
            forecast_THK = seasonal(each.value_TK[:, :K], season_T, H=H)
            for h in range(1, min(H, len(each) - 1) + 1):
                error = np.abs(forecast_THK[:-h, h - 1] - each.value_TK[h:, :K]) / deviation_K
                there = each.observed_TK[h:, :K]
                total, count = total + float(error[there].sum()), count + int(there.sum())
        if count and had >= FEWEST * steps and total / count < least:
            best, least = season, total / count
    return best


def autoregression(train: Sequence[Series], *, settings: ForecastSettings) -> Floor:
    """A linear regression of each step ahead on the last `lags` steps of all inputs, by least squares."""
    K, H, L = len(settings.targets), settings.horizon, settings.lags
    mean_K, deviation_K = np.array(settings.scales)[:K].T

    def rows(series: Series) -> np.ndarray:
        """The lags (T, P) before each step, the step itself included, padded with 0 as a model's are."""
        x_TF = inputs_of(series, settings=settings).astype(np.float64)
        padded = np.concatenate([np.zeros((L - 1, x_TF.shape[1])), x_TF])
        lagged = [padded[L - 1 - lag : L - 1 - lag + len(x_TF)] for lag in range(L)]
        return np.concatenate(lagged, axis=1)

    moments: dict[tuple[int, int], list[np.ndarray]] = {}
    for series in train:
        lags_TP = rows(series)
        y_TK = (series.value_TK[:, :K] - mean_K) / deviation_K
        counted_TK = counted(series, settings=settings)
        for h in range(1, min(H, len(series) - L) + 1):
            for k in range(K):
                there = np.flatnonzero(counted_TK[h + L - 1 :, k]) + L - 1
                X, y = lags_TP[there], y_TK[there + h, k]
                sums = moments.setdefault((h, k), [np.zeros((X.shape[1],) * 2), np.zeros(X.shape[1])])
                sums[0] += X.T @ X
                sums[1] += X.T @ y
    weight_HKP = np.zeros((H, K, L * settings.n_inputs))
    for (h, k), (square_PP, product_P) in moments.items():
        # The normal equations by lstsq: constant columns repeat, and a column may be all 0.
        weight_HKP[h - 1, k] = np.linalg.lstsq(square_PP, product_P, rcond=1e-10)[0]

    def forecast(series: Series) -> np.ndarray:
        found: np.ndarray = np.einsum("tp,hkp->thk", rows(series), weight_HKP) * deviation_K + mean_K
        return found

    return forecast
