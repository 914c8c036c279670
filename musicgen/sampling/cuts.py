"""Where a piece is cut to be continued at its end: on a bar line, or on the grid of the music.

Players let go of notes early (staccato) or late. The new music must not begin off the beat for that, so the cut isn't
where the last note ends but on the next position at which the piece could go on. Times are ticks of the piece.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import Piece

__all__ = ["plain_cut"]

GRID_BARS = 8  # the last bars, whose onsets show the grid
FEWEST_ONSETS = 4  # onsets needed for that
ON_GRID = 0.9  # share of onsets that must lie on it
NEAR = 0.08  # quarters that players are off a grid: 40 ms at 120 quarters a minute
LATE = 0.25  # quarters: a note that ends at most a sixteenth late ended in time
FINER = (1 / 2, 1 / 3, 1 / 4, 1 / 6)  # of a quarter: subdivisions of a beat that notes are written on


def plain_cut(piece: Piece) -> int:
    """The tick at which the music ends.

    It is the nearest bar line, if that is at most a sixteenth note from the end of the last note and no note begins at
    or after it. Otherwise it is the next position on the grid of the last bars' onsets; if they are on no grid, or
    there are too few, the end of the last note.
    """
    end = piece.end
    if not end:
        return 0
    starts, _ = piece.bar_starts(end + piece.ticks_per_quarter)
    near = int(np.rint(starts[np.argmin(np.abs(starts - end))]))
    onsets = np.unique(np.concatenate([track.notes["start"] for track in piece.tracks]))
    if abs(near - end) <= LATE * piece.ticks_per_quarter and near > onsets[-1]:
        return near
    return _next_on_grid(piece, onsets, end)


def _next_on_grid(piece: Piece, onsets: np.ndarray, end: int) -> int:
    """The first position of the music's grid after the last onset at which the note that ends at `end` is over."""
    quarter, last = piece.ticks_per_quarter, int(onsets[-1])
    numerator, denominator = piece.meter_at(last)
    starts, _ = piece.bar_starts(end)
    starts = starts[starts <= end]
    recent = onsets[onsets >= starts[max(0, len(starts) - GRID_BARS)]]
    step = _grid(recent, starts, _steps(numerator, denominator), quarter)
    if step is None:
        return end
    bar, length = float(starts[-1]), 4 * quarter * numerator / denominator
    positions = bar + np.append(np.arange(0, length - step / 8, step), length)
    # An early onset belongs to the position after it, which is too soon for the next note.
    free = (positions >= end - min(LATE * quarter, step / 2)) & (positions - last > step / 2)
    return int(np.rint(positions[free][0])) if free.any() else end


def _steps(numerator: int, denominator: int) -> list[float]:
    """The grids of a meter, from its beat down to sixteenths and triplets, in quarters."""
    unit = 4 / denominator
    beat = 3 * unit if numerator % 3 == 0 and numerator > 3 and denominator >= 8 else unit
    return sorted({beat, unit, *(step for step in (1.0, *FINER) if step < beat)}, reverse=True)


def _grid(onsets: np.ndarray, starts: np.ndarray, steps: list[float], quarter: int) -> float | None:
    """The coarsest of `steps` (quarters) that nearly all onsets lie on, in ticks; None if there is none."""
    if len(onsets) < FEWEST_ONSETS:
        return None
    within = onsets - starts[np.searchsorted(starts, onsets + NEAR * quarter, side="right") - 1]
    for step in steps:
        at = within / (step * quarter)
        off = np.abs(at - np.rint(at)) * step
        # A fine grid has a place near every onset, so that nearness says less there.
        if (off <= min(NEAR, step / 4)).mean() >= ON_GRID:
            return step * quarter
    return None
