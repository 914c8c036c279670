"""forecast-*.png: errors by horizon beside the floors, forecasts of one melody beside what came, and what its series
became on an even grid; the numbers of each as CSV.

Shapes: T steps, H horizon, K series.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from musicgen.checkpoint import TaskRun
from musicgen.errors import UsageError
from musicgen.models.tasks.forecaster import UNITS, ForecastSettings
from musicgen.pictures import canvas
from musicgen.pictures.resampling import draw_resampling, resampling_rows
from musicgen.pictures.subject import Absent, Subject
from musicgen.piece import Piece
from musicgen.tasks.forecast.floors import fitted_floors
from musicgen.tasks.forecast.report import forecasts_of, report_on
from musicgen.tasks.forecast.resampling import METHODS, resampled
from musicgen.tasks.forecast.series import Series, events_of, series_of
from musicgen.tasks.forecast.using import forecaster_of
from musicgen.tasks.forecast.windows import series_in
from musicgen.tasks.pieces import pieces_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["NAMES", "as_csv", "draw_errors", "draw_forecasts", "drawn"]

NAMES = ("forecast-*.png", "forecast-*.csv")
HORIZONS = (1, 4, 8)
SHOWN = 96  # steps of a melody: more can't be told apart
COLOURS = {
    "mean": "tab:gray", "last value": "tab:olive", "drift": "tab:brown", "a bar ago": "tab:pink",
    "autoregression": "tab:green",
}  # fmt: skip
OURS, SEASONAL = "tab:blue", "tab:orange"


def drawn(subject: Subject) -> tuple[dict[str, Figure], dict[str, str]]:
    """(pictures, tables as CSV text) of a run that forecasts, by file name.

    Errors are of the validation split. Forecasts are of the melody of the subject's piece, or of the first held-out one
    that is long enough. Raises Absent without a corpus that has melodies, UsageError if matplotlib is not installed or
    the piece is too short.
    """
    run, corpus = subject.run, subject.needed_corpus()
    assert isinstance(run, TaskRun)
    model, settings = forecaster_of(run)
    train, pieces = (series_in(corpus, split, settings=settings) for split in ("train", "valid"))
    if not pieces:
        raise Absent("no melody of the validation split is long enough")
    melody = _melody(pieces, subject.piece, settings=settings)
    floors = fitted_floors(train, settings=settings)
    report = report_on(model, pieces, train=train, settings=settings, floors=floors)
    title = f"{subject.name}, {run.card.get('steps', 0):,} steps"
    figures = {
        "forecast-errors.png": draw_errors(
            report.rows(), model=report.model, title=f"{title}: errors of forecasts, {len(pieces)} held-out pieces"
        )
    }
    tables = {"forecast-errors.csv": as_csv(report.rows())}
    foreseen = forecasts_of(model, [melody], settings=settings)[0]
    for k, series in enumerate(settings.targets):
        floor = report.best_floor(settings.horizon - 1, k)
        forecasts = {report.model: foreseen[:, :, k], floor: floors[floor](melody)[:, :, k]}
        parts = _forecasts(melody, k, forecasts=forecasts, settings=settings, title=f"{title}: {melody.source}")
        figures[f"forecast-{series}.png"], tables[f"forecast-{series}.csv"] = parts
    if settings.every != "note":
        first = next((one for record, one in pieces_of(corpus, "valid") if record.source == melody.source), None)
        if (piece := subject.piece or first) is not None:
            figure, table = _on_grid(piece, settings=settings, title=f"{melody.source}, cells of one {settings.every}")
            figures["forecast-grid.png"], tables["forecast-grid.csv"] = figure, table
    return figures, tables


def _forecasts(
    melody: Series, k: int, *, forecasts: Mapping[str, np.ndarray], settings: ForecastSettings, title: str
) -> tuple[Figure, str]:
    """The picture and the table of series `k` of a melody, from the first step that is forecast at each horizon."""
    first, series = settings.lags - 1 + settings.horizon, settings.targets[k]
    horizons = [h for h in HORIZONS if h <= settings.horizon]
    figure = draw_forecasts(
        melody.value_TK[:, k],
        melody.observed_TK[:, k],
        forecasts=forecasts,
        horizons=horizons,
        first=first,
        unit=f"{series} ({UNITS[series]})",
        title=title,
    )
    rows = [
        {
            "step": t,
            "came": round(float(melody.value_TK[t, k]), 4),
            "observed": bool(melody.observed_TK[t, k]),
            **{
                f"{who} {h} ahead": round(float(each[t - h, h - 1]), 4)
                for who, each in forecasts.items()
                for h in horizons
            },
        }
        for t in range(first, min(len(melody), first + SHOWN))
    ]
    return figure, as_csv(rows)


def _on_grid(piece: Piece, *, settings: ForecastSettings, title: str) -> tuple[Figure, str]:
    """The picture and the table of what the first series of a piece became by each way of resampling."""
    series = settings.targets[0]
    times_N, values_N, grid_T = events_of(piece, series, every=settings.every)
    ways = {method: resampled(times_N, values_N, grid_T=grid_T, method=method) for method in METHODS}
    unit = f"{series}\n({UNITS[series]})"
    figure = draw_resampling(times_N, values_N, ways=ways, first=0, unit=unit, cell=settings.every, title=title)
    return figure, as_csv(resampling_rows(ways, first=0))


def _melody(pieces: list[Series], piece: Piece | None, *, settings: ForecastSettings) -> Series:
    """The series to draw forecasts of. Raises UsageError for a piece that is too short."""
    least = settings.lags + settings.horizon
    if piece is None:
        return next((each for each in pieces if len(each) >= least + SHOWN), max(pieces, key=len))
    series = series_of(piece, settings=settings, source="the piece")
    if series is None or len(series) <= least:
        steps = 0 if series is None else len(series)
        what = f"the piece has {steps} steps of melody, and the picture needs more than {least}"
        raise UsageError(what, hint="choose a longer `piece`")
    return series


def draw_errors(rows: Iterable[Mapping[str, Any]], *, model: str, title: str) -> Figure:
    """For each series its mean absolute error by horizon, of the model with its 95 % interval over pieces and of the
    floors, and how much the forecasts vary.

    `rows` are those of a report: series, unit, horizon, forecast, mae, mae_low, mae_high, spread. `model` is the name
    of the model among the forecasts. Raises UsageError if matplotlib is not installed.
    """
    rows = list(rows)
    series = list(dict.fromkeys(row["series"] for row in rows))
    figure = canvas.figure_of(11, 4.2 * len(series))
    panels = figure.subplots(len(series), 2, squeeze=False, width_ratios=[3, 2])
    for name, (left, right) in zip(series, panels, strict=True):
        mine = [row for row in rows if row["series"] == name]
        for forecast in dict.fromkeys(row["forecast"] for row in mine):
            some = [row for row in mine if row["forecast"] == forecast]
            ahead, mae, spread, low, high = (
                np.array([row[key] for row in some]) for key in ("horizon", "mae", "spread", "mae_low", "mae_high")
            )
            ours = forecast == model
            style: Any = {
                "color": OURS if ours else COLOURS.get(forecast, SEASONAL),
                "linewidth": 2.2 if ours else 1.2, "marker": "o" if ours else ".", "zorder": 3 if ours else 2,
            }  # fmt: skip
            left.plot(ahead, mae, label=forecast, **style)
            if ours:
                left.fill_between(ahead, low, high, color=OURS, alpha=0.2, linewidth=0)
            right.plot(ahead, spread, **style)
        left.set_ylabel(f"{name}: mean absolute error\n({mine[0]['unit']})")
        # One floor that is far off all along would leave the others flat: it is cut off.
        names = dict.fromkeys(row["forecast"] for row in mine)
        tops = [0.0, *sorted(max(row["mae"] for row in mine if row["forecast"] == each) for each in names)]
        left.set_ylim(0, 1.1 * (tops[-2] if tops[-1] > 2 * tops[-2] else tops[-1]))
        left.legend(frameon=False, fontsize=9, ncols=2)
        right.axhline(1, color="black", linewidth=0.8, linestyle=":")
        right.set_ylim(0, 1.25)
        right.set_ylabel("deviation of the forecasts\nover that of what came")
        for axes in (left, right):
            axes.set_xlabel("horizon (steps ahead)")
            axes.set_xticks(sorted({row["horizon"] for row in mine})[:: max(1, len(ahead) // 16)])
            axes.grid(alpha=0.25)
    canvas.entitle(figure, title)
    return figure


def draw_forecasts(
    came_T: np.ndarray,
    observed_T: np.ndarray,
    *,
    forecasts: Mapping[str, np.ndarray],
    horizons: Iterable[int],
    first: int,
    unit: str,
    title: str,
) -> Figure:
    """What came in the steps from `first` on, and for each horizon a panel with the forecasts of the same steps.

    `forecasts` are forecast_TH by name, after each step; the model's comes first. Raises UsageError if matplotlib is
    not installed.
    """
    horizons = list(horizons)
    figure = canvas.figure_of(12, 2.6 * len(horizons) + 0.6)
    panels = figure.subplots(len(horizons), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    at = np.arange(first, min(len(came_T), first + SHOWN))
    known = np.where(observed_T[at], came_T[at], np.nan)
    for h, axes in zip(horizons, panels, strict=True):
        axes.step(at, known, where="mid", color="black", linewidth=1.2, label="what came")
        for colour, (name, forecast_TH) in zip((OURS, SEASONAL, "tab:green"), forecasts.items(), strict=False):
            ours = colour == OURS
            axes.plot(
                at, forecast_TH[at - h, h - 1], color=colour, label=name, marker=".", markersize=5 if ours else 3,
                linewidth=1.4 if ours else 0.8, alpha=1 if ours else 0.8,
            )  # fmt: skip
        axes.set_ylabel(unit)
        axes.set_title(f"forecast {h} step{'s' * (h > 1)} ahead", fontsize=10, loc="left")
        axes.grid(alpha=0.25)
    panels[0].legend(frameon=False, fontsize=9, ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    panels[-1].set_xlabel("step of the melody")
    canvas.entitle(figure, title)
    return figure


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV text, with the keys of the first as its head; "" for none."""
    rows = list(rows)
    if not rows:
        return ""
    text = io.StringIO()
    table = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
