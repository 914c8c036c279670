"""Seven bodies forecast melodies, beside floors; and what resampling and missing data cost on tempo and velocity.

    OMP_NUM_THREADS=1 python pipelines/benchmarks/forecasting.py --tunes CORPUS --performances CORPUS --work DIR

Built corpora of tunes and of performances. All bodies have about as many parameters and the same steps of training;
weights are chosen on the validation split, errors are of the test split. Intervals are over its pieces, of the mean
over seeds. Runs are kept in --work, with the pictures, and are not trained again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from measure import header, parser, table

from musicgen.api import train
from musicgen.checkpoint import TaskRun, load_task_run
from musicgen.corpus.store import Corpus
from musicgen.models.tasks.forecaster import UNITS, ForecastSettings
from musicgen.pictures.canvas import figure_of, write_png
from musicgen.pictures.forecast import as_csv
from musicgen.pictures.resampling import draw_resampling, resampling_rows
from musicgen.tasks.forecast.errors import Errors, errors_of, naive_errors, paired
from musicgen.tasks.forecast.floors import autoregression, fitted_floors
from musicgen.tasks.forecast.report import forecasts_of
from musicgen.tasks.forecast.resampling import resampled
from musicgen.tasks.forecast.series import Series, events_of, scales_of, series_of
from musicgen.tasks.forecast.using import forecaster_of
from musicgen.tasks.forecast.windows import series_in
from musicgen.tasks.pieces import pieces_of

# Widths at which two layers (a CNN: four) have about 80,000 parameters.
WIDTHS = {"window": 64, "cnn": 72, "rnn": 144, "gru": 80, "lstm": 72, "cnn-lstm": 56, "transformer": 56}
MELODY = {"series": "pitch", "covariates": "ioi,duration,position"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "LSTM as above": ("lstm", {}),
    "pitch alone": ("lstm", {"covariates": ""}),
    "pitch alone, recursive": ("lstm", {"covariates": "", "strategy": "recursive"}),
    "pitch, time and duration": ("lstm", {"series": "pitch,ioi,duration", "covariates": ""}),
    "absolute error as loss": ("lstm", {"loss": "mae"}),
    "relative to the last value": ("lstm", {"relative": "last"}),
    "window as above": ("window", {}),
    "window of 64 lags": ("window", {"lags": 64}),
}
WAYS = [("previous", "indicator"), ("linear", "indicator"), ("mean", "indicator"), ("mean", "mask"), ("mean", "fill")]
SHOWN = (1, 2, 4, 8)


class Bench:
    """Runs in a folder, trained when they are first asked for."""

    def __init__(self, work: Path, *, steps: int) -> None:
        self.work, self.steps = work, steps
        self._series: dict[tuple[Path, str, str], list[Series]] = {}

    def run(self, corpus: Path, *, family: str, task: Mapping[str, Any], seed: int) -> TaskRun:
        """The run of a family with the settings of its task, a folder each."""
        told = "-".join(str(value).replace(",", "+") for value in task.values() if value != "")
        folder = self.work / f"{corpus.name}-{family}-{told}-{seed}"
        if not (folder / "manifest.json").is_file():
            changes = {"model.width": WIDTHS[family], "model.layers": 2, "train.steps": self.steps}
            train(
                corpus, output=folder, model=family, task={"name": "forecast", **task}, seed=seed, changes=changes,
                device="cpu", overwrite=folder.exists(),
            )  # fmt: skip
        return load_task_run(folder, task="forecast")

    def series(self, corpus: Path, split: str, settings: ForecastSettings) -> list[Series]:
        """The series of a split, made once."""
        key = (corpus, split, str((settings.inputs, settings.every, settings.resample, settings.lags)))
        if key not in self._series:
            self._series[key] = series_in(Corpus.open(corpus), split, settings=settings)
        return self._series[key]


def of_seeds(all_of: Sequence[list[np.ndarray]], pieces: Sequence[Series], **how: Any) -> tuple[Errors, np.ndarray]:
    """(the errors of each piece as the mean over seeds, the deviation between seeds of the mean absolute error)."""
    each = [errors_of(forecasts, pieces, **how) for forecasts in all_of]
    mean = {name: np.mean([getattr(one, name) for one in each], axis=0)
            for name in ("mae", "rmse", "mase", "mae_low", "mae_high", "spread", "absolute_PHK")}  # fmt: skip
    return dataclasses.replace(each[0], **mean), np.std([one.mae for one in each], axis=0, ddof=min(1, len(each) - 1))


def bodies(bench: Bench, corpus: Path, *, seeds: Sequence[int], families: Iterable[str]) -> None:
    """The table of bodies and floors by horizon, with the picture."""
    found: dict[str, tuple[Errors, np.ndarray, int, float]] = {}
    for family in families:
        runs = [bench.run(corpus, family=family, task=MELODY, seed=seed) for seed in seeds]
        _, settings = forecaster_of(runs[0])
        pieces = bench.series(corpus, "test", settings)
        how = {"lags": settings.lags, "naive_K": naive_errors(bench.series(corpus, "train", settings), K=1)}
        forecasts = [forecasts_of(forecaster_of(run)[0], pieces, settings=settings) for run in runs]
        seconds = float(np.mean([run.card["seconds"] for run in runs]))
        found[family] = (*of_seeds(forecasts, pieces, **how), runs[0].card["parameters"], seconds)
    floors = fitted_floors(bench.series(corpus, "train", settings), settings=settings)
    errors = {name: errors_of([floor(each) for each in pieces], pieces, **how) for name, floor in floors.items()}
    print(
        f"Pitch of melodies, {len(pieces)} pieces of the test split, {errors['mean'].targets[0, 0]:,} forecasts of a "
        f"note ahead; a MASE of 1 is {how['naive_K'][0]:.3f} semitones. Mean absolute error in semitones:\n"
    )
    ahead = range(settings.horizon)
    columns = ["forecast", "parameters", "seconds", *(f"{h + 1}" for h in ahead), "RMSE 1", "RMSE 8", "spread 1, 8"]

    def row(name: str, each: Errors, more: Sequence[Any]) -> list[Any]:
        half = (each.mae_high - each.mae_low)[:, 0] / 2
        mae = [f"{each.mae[h, 0]:.2f}" + (f" ± {half[h]:.2f}" if h in (0, settings.horizon - 1) else "") for h in ahead]
        return [name, *more, *mae, *(f"{each.rmse[h, 0]:.2f}" for h in (0, -1)),
                ", ".join(f"{each.spread[h, 0]:.2f}" for h in (0, -1))]  # fmt: skip

    rows = [row(name, each, ["", ""]) for name, each in errors.items()]
    rows += [row(name, each, [f"{count:,}", f"{seconds:.0f}"]) for name, (each, _, count, seconds) in found.items()]
    table(columns, rows)
    between = max(float(deviation.max()) for _, deviation, _, _ in found.values())
    print(f"\nBetween seeds the error of a body deviates by {between:.3f} at most. Differences by pieces, 95 %:\n")
    season = next(name for name in errors if name.endswith(" ago") and name != "a bar ago")
    for other in ("autoregression", season):
        rows = []
        for name, (each, *_) in found.items():
            difference, low, high = paired(each, errors[other])
            rows.append(
                [name, *(f"{difference[h - 1, 0]:+.2f} ({low[h - 1, 0]:+.2f} to {high[h - 1, 0]:+.2f})" for h in SHOWN)]
            )
        table([f"less {other}", *map(str, SHOWN)], rows)
        print()
    draw_bodies({name: each for name, (each, *_) in found.items()}, errors, bench.work / "bodies.png")


def draw_bodies(found: Mapping[str, Errors], floors: Mapping[str, Errors], path: Path) -> None:
    """Errors by horizon of bodies in colour and floors in grey, and how much the forecasts vary; CSV beside."""
    figure = figure_of(12, 5)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    marks = dict(zip(floors, ("s", "v", "^", "D", "P", "X"), strict=False))
    for name, each in {**floors, **found}.items():
        ahead = np.arange(1, len(each.mae) + 1)
        style: Any = {"marker": "o", "markersize": 4, "linewidth": 1.6}
        if name in floors:
            style = {"marker": marks[name], "markersize": 4, "linewidth": 0.9, "color": "0.45", "linestyle": "--"}
        left.plot(ahead, each.mae[:, 0], label=name, **style)
        right.plot(ahead, each.spread[:, 0], **style)
    left.set_ylabel("mean absolute error (semitones)")
    right.set_ylabel("deviation of the forecasts over that of what came")
    left.legend(frameon=False, fontsize=8, ncols=2)
    for axes in (left, right):
        axes.set_xlabel("horizon (notes ahead)")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
    write_png(figure, path)
    rows = [
        {
            "forecast": name,
            "horizon": h + 1,
            "mae": each.mae[h, 0],
            "rmse": each.rmse[h, 0],
            "spread": each.spread[h, 0],
        }
        for name, each in {**floors, **found}.items()
        for h in range(len(each.mae))
    ]
    path.with_suffix(".csv").write_text(as_csv(rows), encoding="utf-8")


def variants(bench: Bench, corpus: Path, *, seeds: Sequence[int]) -> None:
    """What settings of the task change, over the same targets."""
    rows = []
    for name, (family, change) in VARIANTS.items():
        runs = [bench.run(corpus, family=family, task={**MELODY, **change}, seed=seed) for seed in seeds]
        _, settings = forecaster_of(runs[0])
        # Longer lags must be judged by the same targets, and can't have those of the first notes.
        pieces = bench.series(corpus, "test", dataclasses.replace(settings, lags=64))[::3]
        forecasts = [forecasts_of(forecaster_of(run)[0], pieces, settings=settings) for run in runs]
        each, _ = of_seeds(forecasts, pieces, lags=64, naive_K=np.ones(len(settings.targets)))
        cells = [f"{each.mae[h - 1, 0]:.2f}" for h in SHOWN] + [f"{each.rmse[h, 0]:.2f}" for h in (0, -1)]
        rows.append([name, *cells, ", ".join(f"{each.spread[h, 0]:.2f}" for h in (0, -1))])
    print(f"Settings, of forecasts from the 64th note on, of {len(pieces)} tunes:\n")
    table(["setting", *(f"{h}" for h in SHOWN), "RMSE 1", "RMSE 8", "spread 1, 8"], rows)
    print()


def resampling(bench: Bench, corpus: Path, *, name: str, every: str) -> None:
    """What each way of resampling, and of treating missing cells, costs a linear regression; with the picture."""
    rows = []
    events = events_by_piece(corpus, name=name, every=every)
    for resample, missing in WAYS:
        settings = ForecastSettings(series=name, every=every, resample=resample, missing=missing)
        train_series, pieces = (bench.series(corpus, split, settings) for split in ("train", "test"))
        settings = dataclasses.replace(settings, scales=scales_of(train_series))
        # All ways are judged by one truth: the mean of a cell's notes, where it has some.
        means = bench.series(corpus, "test", dataclasses.replace(settings, resample="mean"))
        truth = [dataclasses.replace(each, value_TK=mean.value_TK) for each, mean in zip(pieces, means, strict=True)]
        floor = autoregression(train_series, settings=settings)
        forecasts = [floor(each) for each in pieces]
        line = [resample, missing, f"{lost(events, resample):.2f}"]
        for gaps in ("outside", "inside"):
            each = errors_of(forecasts, truth, lags=settings.lags, naive_K=np.ones(1), gaps=gaps)
            line += [f"{each.mae[h - 1, 0]:.2f}" for h in (1, 4, 8)]
        rows.append(line)
    share = 1 - np.concatenate([each.observed_TK for each in pieces]).mean()
    print(
        f"{name} in {UNITS[name]}, cells of one {every}: {len(pieces)} pieces, {share:.1%} of the cells are missing. "
        "Mean absolute error of the autoregression 1, 4 and 8 cells ahead, from cells with a note and from gaps:\n"
    )
    ahead = (1, 4, 8)
    table(["resampled", "missing", "lost", *map(str, ahead), *(f"{h}, in a gap" for h in ahead)], rows)
    print()
    draw(bench.work / f"resampling-{name}.png", corpus, name=name, every=every)


def events_by_piece(corpus: Path, *, name: str, every: str) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The series' numbers at their own times, and the grid, of the pieces of the test split that have some."""
    settings = ForecastSettings(series=name, every=every)
    return [
        events_of(piece, name, every=every)
        for _, piece in pieces_of(Corpus.open(corpus), "test")
        if series_of(piece, settings=settings) is not None
    ]


def lost(events: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], method: str) -> float:
    """The mean absolute difference between the numbers at the notes and those of their cells."""
    off = []
    for times_N, values_N, grid_T in events:
        value_T, _ = resampled(times_N, values_N, grid_T=grid_T, method=method)
        off.append(np.abs(values_N - value_T[np.searchsorted(grid_T, times_N, side="right") - 1]))
    return float(np.concatenate(off).mean())


def draw(path: Path, corpus: Path, *, name: str, every: str) -> None:
    """The picture of one held-out piece, where it has the most gaps, with its CSV."""
    times_N, values_N, grid_T = max(events_by_piece(corpus, name=name, every=every)[:8], key=lambda each: len(each[2]))
    ways = {m: resampled(times_N, values_N, grid_T=grid_T, method=m) for m in ("previous", "linear", "mean")}
    gaps = np.convolve(~ways["mean"][1], np.ones(48), mode="valid")
    first = int(np.argmax(np.where(gaps <= 20, gaps, 0)))
    title = f"{name} of a performance's melody, resampled to {every}s"
    figure = draw_resampling(times_N, values_N, ways=ways, first=first, unit=UNITS[name], cell=every, title=title)
    write_png(figure, path)
    path.with_suffix(".csv").write_text(as_csv(resampling_rows(ways, first=first)), encoding="utf-8")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tunes", type=Path, required=True, help="a built corpus of tunes")
    made.add_argument("--performances", type=Path, required=True, help="a built corpus with tempo and velocity")
    made.add_argument("--work", type=Path, default=Path("runs/forecasting"), help="runs and pictures are kept here")
    made.add_argument("--steps", type=int, default=300)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--every", default="eighth", help="the grid of tempo and velocity")
    chosen = made.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(chosen.work, steps=20 if chosen.quick else chosen.steps)
    seeds = chosen.seeds[:1] if chosen.quick else chosen.seeds
    header("Forecasts of melodies, tempo and velocity", "torch")
    for name in ("tempo", "velocity"):
        resampling(bench, chosen.performances, name=name, every=chosen.every)
    bodies(bench, chosen.tunes, seeds=seeds, families=["window", "lstm"] if chosen.quick else WIDTHS)
    if not chosen.quick:
        variants(bench, chosen.tunes, seeds=seeds[:1])


if __name__ == "__main__":
    main()
