"""Errors of forecasts by horizon, with intervals over pieces.

Shapes: T steps, H horizon, K series, P pieces, R resamples.

Sources: mean absolute scaled error: Hyndman and Koehler 2006, "Another look at measures of forecast accuracy",
International Journal of Forecasting 22(4); percentile bootstrap: Efron and Tibshirani 1993, "An introduction to the
bootstrap", chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicgen.tasks.forecast.series import Series

__all__ = ["Errors", "errors_of", "naive_errors", "paired"]

RESAMPLES = 1000


@dataclass(frozen=True)
class Errors:
    """Errors of one way of forecasting, (H, K) each, in the series' units: `mae` and `rmse` over all targets, `mase`
    the first over the naive error of the training split.

    `mae_low` to `mae_high` holds the mean with 95 % probability, were other pieces drawn. `spread` is the standard
    deviation of the forecasts over that of what came: 1 for forecasts as varied as the music, 0 for a constant.
    `targets` were counted, of `pieces`. `absolute_PHK` are each piece's sums of absolute errors, `counts_PHK` its
    targets.
    """

    mae: np.ndarray
    rmse: np.ndarray
    mase: np.ndarray
    mae_low: np.ndarray
    mae_high: np.ndarray
    spread: np.ndarray
    targets: np.ndarray
    pieces: int
    absolute_PHK: np.ndarray
    counts_PHK: np.ndarray


def errors_of(
    forecasts: Sequence[np.ndarray], pieces: Sequence[Series], *, lags: int, naive_K: np.ndarray, gaps: str = "all"
) -> Errors:
    """The errors of forecast_THK after each step of each piece.

    Counted are forecasts from steps that have `lags` steps behind them, themselves included, to observed values.
    `gaps` says from where: "all" steps, those with a value ("outside"), or without one ("inside"). `naive_K` is what
    `naive_errors` says of the training split.
    """
    H, K = forecasts[0].shape[1:]
    moments = np.zeros((len(pieces), 7, H, K))
    for p, (forecast_THK, series) in enumerate(zip(forecasts, pieces, strict=True)):
        for h in range(1, min(H, len(series) - lags) + 1):
            begin = lags - 1
            foreseen, came = forecast_THK[begin:-h, h - 1], series.value_TK[begin + h :, :K]
            counted = series.observed_TK[begin + h :, :K]
            if gaps != "all":
                there = series.observed_TK[begin:-h, :K]
                counted = counted & (there if gaps == "outside" else ~there)
            error = foreseen - came
            sums = (np.ones_like(error), np.abs(error), error**2, foreseen, foreseen**2, came, came**2)
            for m, each in enumerate(sums):
                moments[p, m, h - 1] = (each * counted).sum(axis=0)
    n, absolute, square, *rest = moments.sum(axis=0)
    n = np.maximum(n, 1)
    deviations = [np.sqrt(np.maximum(b / n - (a / n) ** 2, 0)) for a, b in (rest[:2], rest[2:])]
    low, high = _interval(moments[:, 1], moments[:, 0])
    return Errors(
        mae=absolute / n,
        rmse=np.sqrt(square / n),
        mase=absolute / n / naive_K,
        mae_low=low,
        mae_high=high,
        spread=deviations[0] / np.maximum(deviations[1], 1e-12),
        targets=moments[:, 0].sum(axis=0).astype(np.int64),
        pieces=int((moments[:, 0].sum(axis=(1, 2)) > 0).sum()),
        absolute_PHK=moments[:, 1],
        counts_PHK=moments[:, 0],
    )


def naive_errors(train: Sequence[Series], *, K: int) -> np.ndarray:
    """The mean absolute change (K,) from one observed value to the next step's, in the training split: a MASE of 1."""
    total, count = np.zeros(K), np.zeros(K)
    for series in train:
        both = series.observed_TK[1:, :K] & series.observed_TK[:-1, :K]
        total += (np.abs(np.diff(series.value_TK[:, :K], axis=0)) * both).sum(axis=0)
        count += both.sum(axis=0)
    found = total / np.maximum(count, 1)
    return np.where(found > 0, found, 1.0)


def paired(first: Errors, second: Errors) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(difference, low, high), (H, K) each: the mean absolute error of `first` less that of `second`, of the same
    pieces, with its 95 % interval over pieces."""
    difference_PHK = first.absolute_PHK - second.absolute_PHK
    return first.mae - second.mae, *_interval(difference_PHK, first.counts_PHK)


def _interval(sums_PHK: np.ndarray, counts_PHK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of the ratio of sums over pieces, by the bootstrap."""
    P = len(sums_PHK)
    drawn_RP = np.random.default_rng(0).multinomial(P, np.full(P, 1 / P), size=RESAMPLES).astype(np.float64)
    ratio_RHK = np.einsum("rp,phk->rhk", drawn_RP, sums_PHK) / np.maximum(
        np.einsum("rp,phk->rhk", drawn_RP, counts_PHK), 1
    )
    low, high = np.quantile(ratio_RHK, [0.025, 0.975], axis=0)
    return low, high
