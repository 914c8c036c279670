"""A piece's melody as series of numbers: a row a note, or a row a cell of an even grid.

Shapes: N notes, T steps, K series and covariates, F numbers that a model reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicgen.errors import ResourceError
from musicgen.melody import melody_of
from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.piece import Piece
from musicgen.tasks.forecast.resampling import filled_forward, resampled

__all__ = ["Series", "counted", "events_of", "inputs_of", "scales_of", "series_of"]

QUARTERS = {"quarter": 1.0, "eighth": 0.5}
MOST_STEPS = 2**18  # of a grid, in a piece: 36 hours in seconds
FEWEST_NOTES = 2


@dataclass(frozen=True)
class Series:
    """One piece's series.

    `value_TK` has the numbers in their own units, gaps filled, and `observed_TK` says which were there; K counts the
    settings' series, then the covariates but for the position. `tick_T` is where a step stands, `phase_T` where in its
    bar, 0 to below 1, and `bar_T` how many steps before it the same place of the bar before was, 0 where none was.
    """

    source: str
    tick_T: np.ndarray
    value_TK: np.ndarray
    observed_TK: np.ndarray
    phase_T: np.ndarray
    bar_T: np.ndarray

    def __len__(self) -> int:
        return len(self.tick_T)

    def until(self, steps: int) -> Series:
        """The first steps alone."""
        cut = {name: getattr(self, name)[:steps] for name in vars(self) if name != "source"}
        return replace(self, **cut)


def series_of(piece: Piece, *, settings: ForecastSettings, source: str = "") -> Series | None:
    """The series of the piece's melody; None where it has fewer than two notes or a grid would be out of bounds."""
    notes = melody_of(piece)
    if len(notes) < FEWEST_NOTES:
        return None
    columns = _columns(piece, notes)
    if settings.every == "note":
        tick_T = notes["start"]
        raw = [columns[name] for name in settings.numbers]
        observed = [~np.isnan(values) for values in raw]
        values = [filled_forward(each) for each in raw]
    else:
        try:
            tick_T, times_N, grid_T = _grid(piece, notes, every=settings.every)
        except ResourceError:
            return None
        values, observed = [], []
        for name in settings.numbers:
            known = ~np.isnan(columns[name])
            if not known.any():
                return None
            value_T, there_T = resampled(times_N[known], columns[name][known], grid_T=grid_T, method=settings.resample)
            values.append(value_T)
            observed.append(_sounding(notes, tick_T) if name == "pitch" else there_T)
    if any(np.isnan(each).any() for each in values):
        return None
    bars, rows = piece.bar_starts(int(tick_T[-1]))
    _, numerators, denominators = piece.meter_segments()
    bar = np.maximum(np.searchsorted(bars, tick_T, side="right") - 1, 0)
    length_T = (4.0 * piece.ticks_per_quarter * numerators / denominators)[rows[bar]]
    steps = np.arange(len(tick_T))
    ago = np.searchsorted(tick_T, tick_T - length_T + 0.5, side="right") - 1
    return Series(
        source,
        tick_T,
        np.stack(values, axis=1),
        np.stack(observed, axis=1),
        (tick_T - bars[bar]) / length_T,
        np.where(ago >= 0, steps - ago, 0),
    )


def events_of(piece: Piece, series: str, *, every: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(times_N, values_N, grid_T) of one series of the melody before it is resampled: its numbers at the notes that
    have one, and the beginnings of the cells of an even grid, in cells from the first on.

    Raises ResourceError for a grid of too many cells.
    """
    notes = melody_of(piece)
    values = _columns(piece, notes)[series]
    _, times_N, grid_T = _grid(piece, notes, every=every)
    return times_N[~np.isnan(values)], values[~np.isnan(values)], grid_T


def _columns(piece: Piece, notes: np.ndarray) -> dict[str, np.ndarray]:
    """Each series (N,) float64 as of the notes; NaN where a note has none."""
    quarter = float(piece.ticks_per_quarter)
    since = np.concatenate([[np.nan], np.diff(notes["start"]) / quarter])
    seconds = np.concatenate([[np.nan], np.diff(piece.to_seconds(notes["start"]))])
    return {
        "pitch": notes["pitch"].astype(np.float64),
        "velocity": notes["velocity"].astype(np.float64),
        "duration": np.log2(notes["duration"] / quarter),
        "ioi": np.log2(since),
        "tempo": 60 * since / seconds,  # local: since the onset before
    }


def _grid(piece: Piece, notes: np.ndarray, *, every: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(tick of each cell, times of the notes, times of the cells): times in cells, from that of the first note on.

    Cells of quarters begin on quarters from tick 0, those of seconds with the first note. Raises ResourceError for a
    grid of too many cells.
    """
    start = notes["start"]
    if every == "second":
        times_N = piece.to_seconds(start) - piece.to_seconds(start[0])
    else:
        per_cell = QUARTERS[every] * piece.ticks_per_quarter
        times_N = start / per_cell - start[0] // per_cell
    if times_N[-1] >= MOST_STEPS:
        raise ResourceError(f"the piece has more than {MOST_STEPS:,} steps")
    grid_T = np.arange(int(times_N[-1]) + 1, dtype=np.float64)
    if every != "second":
        return np.rint((grid_T + start[0] // per_cell) * per_cell).astype(np.int64), times_N, grid_T
    # The tempo map turned round, by the notes: only bars are looked up by these ticks.
    return np.rint(np.interp(grid_T, times_N, start)).astype(np.int64), times_N, grid_T


def _sounding(notes: np.ndarray, tick_T: np.ndarray) -> np.ndarray:
    """Whether the melody sounds in each cell: a pitch that is held is no missing one, a rest is."""
    ends = np.append(tick_T[1:], np.iinfo(np.int64).max)
    last = np.searchsorted(notes["start"], ends) - 1
    there: np.ndarray = (last >= 0) & ((notes["start"] + notes["duration"])[np.maximum(last, 0)] > tick_T)
    return there


def scales_of(pieces: Sequence[Series]) -> list[list[float]]:
    """[mean, standard deviation] of each column over the observed values of all steps."""
    value = np.concatenate([each.value_TK for each in pieces])
    seen = np.concatenate([each.observed_TK for each in pieces])
    known = [value[seen[:, k], k] for k in range(value.shape[1])]
    return [[float(v.mean()), float(v.std())] if len(v) else [0.0, 0.0] for v in known]


def counted(series: Series, *, settings: ForecastSettings) -> np.ndarray:
    """(T, K): which values are learned from; with `missing` fill, those that were filled in, too."""
    observed_TK = series.observed_TK[:, : len(settings.targets)]
    return np.ones_like(observed_TK) if settings.missing == "fill" else observed_TK


def inputs_of(series: Series, *, settings: ForecastSettings) -> np.ndarray:
    """x_TF, float32: standardised values, which of them are missing if that is told, the place in the bar as a point on
    a circle, and 1, which tells the beginning of a piece from the padding before it."""
    mean_K, deviation_K = np.array(settings.scales).T
    parts = [(series.value_TK - mean_K) / deviation_K]
    if settings.tells_missing:
        parts.append(~series.observed_TK)
    if "position" in settings.inputs:
        turn = 2 * np.pi * series.phase_T
        parts.append(np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return np.concatenate([*parts, np.ones((len(series), 1))], axis=1).astype(np.float32)
