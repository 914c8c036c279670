"""Series of melodies: by note, on grids, with what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from forecast_pieces import QUARTER, pitches_of, tempos, tune

from musicgen.models.tasks.forecaster import ForecastSettings
from musicgen.piece import Piece
from musicgen.tasks.forecast.resampling import resampled
from musicgen.tasks.forecast.series import inputs_of, scales_of, series_of


def series(piece: Piece, **settings):
    found = series_of(piece, settings=ForecastSettings(**settings), source="a")
    assert found is not None
    return found


def test_a_step_a_note_and_a_column_a_series():
    found = series(
        tune([60, 64, 67], lengths=[1, 0.5, 2], tempos=tempos((0, 60), (1, 120))),
        series="pitch,duration,ioi",
        covariates="velocity,tempo,position",
    )
    assert found.value_TK[:, 0].tolist() == [60, 64, 67]
    assert found.value_TK[:, 1].tolist() == [0, -1, 1]  # octaves of a quarter
    assert found.value_TK[:, 2].tolist() == [0, 0, -1]  # the first has none before it
    assert found.observed_TK[:, 2].tolist() == [False, True, True]
    assert found.value_TK[:, 3].tolist() == [60, 64, 67]
    assert found.value_TK[1:, 4].tolist() == [60, 120]
    assert found.phase_T.tolist() == [0, 0.25, 0.375]


def test_a_bar_ago_is_the_same_place_whatever_stood_between():
    found = series(tune([60] * 7, lengths=[2, 1, 0.5, 0.5, 1, 1, 2], meter=4))
    # The first bar has four notes, at quarters 0, 2, 3, 3.5; the second has three, at 4, 5, 6.
    assert found.bar_T.tolist() == [0, 0, 0, 0, 4, 5, 5]


@pytest.mark.parametrize(("every", "steps"), [("quarter", 6), ("eighth", 11), ("second", 6)])
def test_a_rest_is_missing_and_a_held_note_is_not(every, steps):
    piece = tune([60, 62, 0, 64, 65], lengths=[1, 1, 1, 2, 1], tempos=tempos((0, 60)))
    found = series(piece, every=every, resample="previous")
    assert len(found) == steps
    at = {"quarter": 1, "eighth": 2, "second": 1}[every]
    assert found.value_TK[::at, 0].tolist() == [60, 62, 62, 64, 64, 65]
    assert found.observed_TK[::at, 0].tolist() == [True, True, False, True, True, True]


def test_a_velocity_is_missing_where_no_note_begins():
    piece = tune([60, 62, 64], lengths=[1, 2, 1])
    found = series(piece, series="velocity", every="quarter", resample="mean")
    assert found.observed_TK[:, 0].tolist() == [True, True, False, True]


def test_seconds_follow_the_tempo_and_bars_are_looked_up_by_tick():
    piece = tune([60, 62, 64, 65], lengths=[4, 4, 4, 4], tempos=tempos((0, 60), (4, 120)))
    found = series(piece, every="second")
    assert len(found) == 9  # the notes begin at 0, 4, 6 and 8 s
    assert found.value_TK[:, 0].tolist() == [60] * 4 + [62] * 2 + [64] * 2 + [65]
    assert found.bar_T.tolist() == [0] * 4 + [4, 3, 2, 2, 2]


def test_a_grid_begins_with_the_cell_of_the_first_note():
    piece = tune([0, 60, 62], lengths=[2.5, 1, 1])
    found = series(piece, every="quarter")
    assert found.tick_T.tolist() == [2 * QUARTER, 3 * QUARTER]
    assert found.value_TK[:, 0].tolist() == [60, 62]


def test_what_has_no_melody_has_no_series():
    for piece in (Piece(), tune([60])):
        assert series_of(piece, settings=ForecastSettings()) is None
    far = tune([60, 62], lengths=[2**18 + 1, 1])
    assert series_of(far, settings=ForecastSettings(every="quarter")) is None


def test_lines_alone_know_what_comes():
    times, values, grid = np.array([0.0, 4.0]), np.array([0.0, 8.0]), np.arange(5.0)
    before = {m: resampled(times[:1], values[:1], grid_T=grid[:4], method=m)[0] for m in ("previous", "linear", "mean")}
    after = {m: resampled(times, values, grid_T=grid, method=m)[0][:4] for m in before}
    assert {m: before[m].tolist() == after[m].tolist() for m in before} == {
        "previous": True, "linear": False, "mean": True,
    }  # fmt: skip


def test_inputs_are_standardised_and_tell_what_is_missing():
    piece = tune([60, 0, 68], lengths=[1, 1, 1])
    told = ForecastSettings(every="quarter", covariates="position", scales=[[64.0, 4.0]])
    found = series_of(piece, settings=told)
    x_TF = inputs_of(found, settings=told)
    assert x_TF.shape == (3, told.n_inputs)
    np.testing.assert_allclose(x_TF[:, 0], [-1, -1, 1])
    np.testing.assert_allclose(x_TF[:, 1], [0, 1, 0])
    np.testing.assert_allclose(x_TF[:, 2:4], [[1, 0], [0, 1], [-1, 0]], atol=1e-6)
    assert (x_TF[:, -1] == 1).all()


def test_scales_are_of_what_was_observed():
    piece = tune([60, 0, 0, 0, 68], lengths=[1] * 5)
    found = series_of(piece, settings=ForecastSettings(every="quarter"))
    assert scales_of([found]) == [[64.0, 4.0]]
    assert scales_of([pitches_of([60, 60])]) == [[60.0, 0.0]]
