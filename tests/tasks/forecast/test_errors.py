"""Errors by horizon, counted by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from forecast_pieces import pitches_of

from musicgen.tasks.forecast.errors import errors_of, naive_errors, paired

ONE = np.array([1.0])


def test_errors_are_counted_from_full_lags_on_and_up_to_the_end():
    series = pitches_of([60, 62, 64, 66, 68])
    forecast_THK = np.full((5, 2, 1), 64.0)
    found = errors_of([forecast_THK], [series], lags=2, naive_K=np.array([2.0]))
    # One ahead of steps 1, 2 and 3 stand 64, 66 and 68; two ahead of 1 and 2 stand 66 and 68.
    assert found.targets[:, 0].tolist() == [3, 2]
    assert found.mae[:, 0].tolist() == [2, 3]
    assert found.rmse[:, 0].tolist() == pytest.approx([np.sqrt(20 / 3), np.sqrt(10)])
    assert found.mase[:, 0].tolist() == [1, 1.5]
    assert found.spread[:, 0].tolist() == [0, 0]


def test_what_is_missing_is_no_target_and_gaps_can_be_told_apart():
    series = pitches_of([60, 62, 64, 66, 68, 70])
    series = dataclasses.replace(series, observed_TK=np.array([1, 1, 0, 1, 1, 1], bool)[:, None])
    forecast_THK = series.value_TK[:, None]  # the last value: off by 2 throughout
    counts = {
        gaps: int(errors_of([forecast_THK], [series], lags=1, naive_K=ONE, gaps=gaps).targets[0, 0])
        for gaps in ("all", "outside", "inside")
    }
    assert counts == {"all": 4, "outside": 3, "inside": 1}
    assert naive_errors([series], K=1).tolist() == [2]


def test_intervals_are_over_pieces():
    rng = np.random.default_rng(0)
    pieces = [pitches_of(rng.integers(55, 80, 30)) for _ in range(30)]
    offsets = rng.normal(3, 1, 30)
    exact = [np.concatenate([each.value_TK[1:], each.value_TK[-1:]])[:, None] for each in pieces]
    off = [truth + offset for truth, offset in zip(exact, offsets, strict=True)]
    found = errors_of(off, pieces, lags=1, naive_K=ONE)
    assert found.mae_low[0, 0] < 3 < found.mae_high[0, 0]
    assert found.mae_high[0, 0] - found.mae_low[0, 0] == pytest.approx(4 * 1 / np.sqrt(30), rel=0.3)
    worse = errors_of([each + 0.5 for each in off], pieces, lags=1, naive_K=ONE)
    difference, low, high = paired(worse, found)
    assert low[0, 0] == pytest.approx(difference[0, 0])  # every piece is half a semitone worse
    assert high[0, 0] == pytest.approx(0.5)
