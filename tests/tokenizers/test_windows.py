"""Windows as X and y: every step in its place, shapes, and what is too short; one-hot rows."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.errors import UsageError
from musicgen.tokenizers import one_hot, windows


@pytest.mark.parametrize(("lags", "horizon"), [(4, 2), (1, 1), (7, 3), (1, 9)])
def test_each_row_is_a_stretch_of_the_ids_and_what_follows_it(lags, horizon):
    ids = np.random.default_rng(0).integers(0, 500, 10)
    X, y = windows(ids, lags=lags, horizon=horizon)
    assert X.shape == (10 - lags - horizon + 1, lags)
    assert y.shape == (len(X), horizon)
    for n in range(len(X)):
        assert [*X[n], *y[n]] == ids[n : n + lags + horizon].tolist()


def test_steps_with_fields_keep_them():
    ids = np.arange(40).reshape(8, 5)
    X, y = windows(ids, lags=3, horizon=2)
    assert (X.shape, y.shape) == ((4, 3, 5), (4, 2, 5))
    assert (X[1] == ids[1:4]).all()
    assert (y[1] == ids[4:6]).all()


def test_a_series_of_numbers_is_no_less_a_series():
    X, y = windows(np.array([0.5, 1.5, 2.5]), lags=2, horizon=1)
    assert (X.tolist(), y.tolist()) == ([[0.5, 1.5]], [[2.5]])


def test_windows_do_not_change_the_ids_behind_them():
    X, _ = windows(np.arange(9))
    with pytest.raises(ValueError, match="read-only"):
        X[0, 0] = 7


def test_too_few_steps_are_said():
    assert len(windows(np.arange(6))[0]) == 1
    with pytest.raises(UsageError, match="4 lags and a horizon of 2 take 6 tokens, and here are 5; give fewer `lags`"):
        windows(np.arange(5))
    for wrong in ({"lags": 0}, {"horizon": 0}):
        with pytest.raises(UsageError, match="both are 1 or more"):
            windows(np.arange(9), **wrong)


def test_a_one_hot_row_picks_its_column_as_an_embedding_does():
    weight = np.random.default_rng(1).normal(size=(12, 3))
    ids = np.array([11, 0, 5, 5])
    rows = one_hot(ids, 12)
    assert (rows.sum(axis=1) == 1).all()
    assert (rows.argmax(axis=1) == ids).all()
    assert np.allclose(rows @ weight, weight[ids])
    with pytest.raises(UsageError, match="ids 0 to 11 don't fit a vocabulary of 11"):
        one_hot(ids, 11)
