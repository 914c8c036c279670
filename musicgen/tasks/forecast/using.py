"""What a run that forecasts is used for: its errors on a corpus, what comes after a piece, and what is drawn of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from musicgen.checkpoint import TaskRun
from musicgen.corpus.store import Corpus
from musicgen.errors import UsageError
from musicgen.models.tasks.forecaster import UNITS, Forecaster, ForecastSettings
from musicgen.piece import Piece
from musicgen.tasks.forecast.floors import Floor
from musicgen.tasks.forecast.report import Report, forecasts_of, report_on
from musicgen.tasks.forecast.series import Series, series_of
from musicgen.tasks.forecast.windows import series_in

__all__ = ["ahead", "forecaster_of", "report_of_run", "series_of_split"]


def forecaster_of(run: TaskRun) -> tuple[Forecaster, ForecastSettings]:
    """The model of a run that forecasts, and its settings."""
    assert isinstance(run.model, Forecaster)
    return run.model, run.model.task


def series_of_split(
    run: TaskRun, corpus: Corpus, *, split: str, check: Callable[[], None] = lambda: None
) -> list[Series]:
    """The series of a split's melodies. Raises UsageError where none has more than `lags` steps."""
    _, settings = forecaster_of(run)
    pieces = series_in(corpus, split, settings=settings, check=check)
    if not pieces:
        what = f"the split {split} has no melody of more than {settings.lags} steps"
        raise UsageError(what, where=corpus.folder, hint="choose another split or another corpus")
    return pieces


def report_of_run(
    run: TaskRun,
    corpus: Corpus,
    *,
    split: str = "valid",
    baseline: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Report:
    """The errors on a split, of the model and, unless there is no `baseline`, of floors fitted to the corpus's training
    split.

    Raises UsageError as `series_of_split`.
    """
    model, settings = forecaster_of(run)
    pieces, train = (series_of_split(run, corpus, split=name, check=check) for name in (split, "train"))
    floors: dict[str, Floor] | None = None if baseline else {}
    return report_on(model, pieces, train=train, settings=settings, floors=floors, check=check)


def ahead(run: TaskRun, piece: Piece) -> list[dict[str, Any]]:
    """What is foreseen after the end of a piece: a row a step ahead, with the value of each series in its unit.

    Lengths of time are told in quarters. Raises UsageError for a piece without as many steps of melody as lags.
    """
    model, settings = forecaster_of(run)
    series = series_of(piece, settings=settings)
    if series is None or len(series) < settings.lags:
        steps = 0 if series is None else len(series)
        what = f"the piece has {steps} steps of melody, and the model reads {settings.lags}"
        raise UsageError(what, hint="give a longer piece")
    last_HK = forecasts_of(model, [series], settings=settings)[0][-1]
    return [
        {"horizon": h, **{name: _told(name, value) for name, value in zip(settings.targets, values_K, strict=True)}}
        for h, values_K in enumerate(last_HK.tolist(), 1)
    ]


def _told(name: str, value: float) -> float:
    """A value as people read it: quarters for lengths of time."""
    return round(float(np.exp2(value)) if UNITS[name] == "octaves of time" else value, 3)
