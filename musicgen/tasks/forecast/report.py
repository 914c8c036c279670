"""How well a model forecasts held-out pieces, beside the floors, by series and horizon.

Shapes: B batch, T steps, F numbers that are read a step, H horizon, K series.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from musicgen.models.tasks.forecaster import UNITS, Forecaster, ForecastSettings
from musicgen.tasks.forecast.errors import Errors, errors_of, naive_errors, paired
from musicgen.tasks.forecast.floors import Floor, fitted_floors
from musicgen.tasks.forecast.series import Series, inputs_of
from musicgen.words import counted

__all__ = ["Report", "forecasts_of", "in_words", "report_on", "summary"]

PIECES_AT_ONCE = 16


@dataclass(frozen=True)
class Report:
    """The errors of the model (its family's name comes first) and of each floor, over the same forecasts."""

    settings: ForecastSettings
    errors: dict[str, Errors]

    @property
    def model(self) -> str:
        """The name that the model has among the errors."""
        return next(iter(self.errors))

    def best_floor(self, h: int, k: int, *, of: str = "mae") -> str:
        """The floor with the least error at horizon index `h` of series `k`."""
        floors = {name: each for name, each in self.errors.items() if name != self.model}
        return min(floors, key=lambda name: float(getattr(floors[name], of)[h, k]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the rows, and how the model stands in words."""
        return {"pieces": self.errors[self.model].pieces, "errors": self.rows(), "standing": in_words(self)}

    def lines(self) -> list[str]:
        """A table for each series and measure, a row a way of forecasting, and how the model stands in words."""
        return [line for k in range(len(self.settings.targets)) for line in _tables(self, k)] + in_words(self)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each series, horizon (in steps, from 1) and way of forecasting."""
        return [
            {
                "series": series, "unit": UNITS[series], "horizon": h + 1, "forecast": name,
                **{key: round(float(getattr(each, key)[h, k]), 4)
                   for key in ("mae", "mae_low", "mae_high", "rmse", "mase", "spread")},
                "targets": int(each.targets[h, k]), "pieces": each.pieces,
            }
            for k, series in enumerate(self.settings.targets)
            for h in range(self.settings.horizon)
            for name, each in self.errors.items()
        ]  # fmt: skip


def forecasts_of(model: Forecaster, pieces: Sequence[Series], *, settings: ForecastSettings) -> list[np.ndarray]:
    """forecast_THK after each step of each piece, in the series' units."""
    device = next(model.parameters()).device
    mean_K, deviation_K = np.array(settings.scales)[: len(settings.targets)].T
    result: list[np.ndarray] = []
    order = np.argsort([len(each) for each in pieces], kind="stable")  # pieces of like length are padded least
    for begin in range(0, len(order), PIECES_AT_ONCE):
        some = [pieces[n] for n in order[begin : begin + PIECES_AT_ONCE].tolist()]
        x_BTF = np.zeros((len(some), max(map(len, some)), settings.n_inputs), np.float32)
        for x_TF, series in zip(x_BTF, some, strict=True):
            x_TF[: len(series)] = inputs_of(series, settings=settings)
        found_BTHK = model.forecast(torch.from_numpy(x_BTF).to(device)).cpu().numpy().astype(np.float64)
        result += [
            found_THK[: len(series)] * deviation_K + mean_K for found_THK, series in zip(found_BTHK, some, strict=True)
        ]
    return [result[n] for n in np.argsort(order).tolist()]


def report_on(
    model: Forecaster,
    pieces: Sequence[Series],
    *,
    train: Sequence[Series],
    settings: ForecastSettings,
    floors: dict[str, Floor] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Report:
    """The errors on `pieces` of the model, and of floors fitted to `train` unless they are given."""
    how: dict[str, Any] = {"lags": settings.lags, "naive_K": naive_errors(train, K=len(settings.targets))}
    errors = {model.settings.family: errors_of(forecasts_of(model, pieces, settings=settings), pieces, **how)}
    floors = fitted_floors(train, settings=settings) if floors is None else floors
    for name, floor in floors.items():
        check()
        errors[name] = errors_of([floor(each) for each in pieces], pieces, **how)
    return Report(settings, errors)


def _tables(report: Report, k: int) -> list[str]:
    """The lines of one series."""
    own, series, ahead = report.errors[report.model], report.settings.targets[k], range(report.settings.horizon)
    unit, width = UNITS[series], max(map(len, report.errors))
    scale = own.mae[0, k] / own.mase[0, k]
    counts = f"{counted(own.pieces, 'piece')}, {counted(int(own.targets[0, k]), 'forecast')} one step ahead"
    lines = [f"{series}: {counts}; a MASE of 1 is {scale:.3f} {unit}"]
    for key, title in (
        ("mae", f"mean absolute error ({unit})"),
        ("rmse", f"root mean square error ({unit})"),
        ("mase", "mean absolute scaled error (MASE)"),
        ("spread", "deviation of the forecasts over that of what came"),
    ):
        lines += [f"  {title}, by steps ahead", f"    {'':{width}}" + "".join(f"{h + 1:>8}" for h in ahead)]
        for name, each in report.errors.items():
            lines.append(f"    {name:{width}}" + "".join(f"{getattr(each, key)[h, k]:>8.3f}" for h in ahead))
    spans = [f"{own.mae_low[h, k]:.3f} to {own.mae_high[h, k]:.3f}" for h in (0, -1)]
    last = f"{spans[1]} at {report.settings.horizon}"
    return [*lines, f"  95 % intervals over pieces of the {report.model}'s: {spans[0]} at 1 ahead, {last}"]


def summary(report: Report) -> dict[str, Any]:
    """The model's errors by series as lists over the horizon, beside those of the best floor at each, for a card."""
    own, result = report.errors[report.model], {}
    for k, series in enumerate(report.settings.targets):
        best = [report.best_floor(h, k) for h in range(report.settings.horizon)]
        of_floor = [report.errors[name].mae[h, k] for h, name in enumerate(best)]
        lists = {key: getattr(own, key)[:, k] for key in ("mae", "rmse", "mase", "spread")} | {"floor_mae": of_floor}
        result[series] = {
            "unit": UNITS[series],
            **{key: [round(float(value), 4) for value in values] for key, values in lists.items()},
            "floor": best,
        }
    return result


def in_words(report: Report) -> list[str]:
    """For each series how the model stands to the best floor at the first and the last horizon, and how much less its
    forecasts vary than the music."""
    lines, own = [], report.errors[report.model]
    for k, series in enumerate(report.settings.targets):
        for h in sorted({0, report.settings.horizon - 1}) if len(report.errors) > 1 else ():
            floor = report.best_floor(h, k)
            difference, low, high = (each[h, k] for each in paired(own, report.errors[floor]))
            how = "less than" if high < 0 else "more than" if low > 0 else "no clear difference from"
            lines.append(
                f"{series}, {h + 1} ahead: a mean error of {own.mae[h, k]:.2f} {UNITS[series]}, {how} "
                f"the best floor's {report.errors[floor].mae[h, k]:.2f} ({floor}); {difference:+.2f}, 95 % from "
                f"{low:+.2f} to {high:+.2f}"
            )
        first, last = own.spread[0, k], own.spread[-1, k]
        lines.append(
            f"{series}: the forecasts vary {first:.0%} as much as what came at 1 ahead, {last:.0%} at "
            f"{report.settings.horizon}: they draw near to the mean, as best guesses of one number do"
        )
    return lines
