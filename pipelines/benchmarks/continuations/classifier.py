"""Can a simple classifier tell takes from true continuations? Logistic regression, cross-validated by piece.

0.5 is the area under the curve of takes that it can't tell, 1 that of takes it always can.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata

__all__ = ["area_under_curve", "cross_validated", "fit"]

FOLDS = 6
PENALTY = 0.02  # of the squared weights, beside the mean loss


def area_under_curve(scores: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has a higher score than a negative; ties count half.

    >>> area_under_curve(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]))
    0.75
    """
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m)) if n and m else np.nan


def fit(x: np.ndarray, y: np.ndarray, *, penalty: float = PENALTY) -> tuple[np.ndarray, float]:
    """(weights, bias) of logistic regression of y (bool) on x (n, features); both classes weigh the same."""
    weight = np.where(y, 0.5 / max(1, y.sum()), 0.5 / max(1, (~y).sum()))
    sign = np.where(y, 1.0, -1.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (x @ theta[:-1] + theta[-1])
        slope = -weight * sign / (1 + np.exp(np.clip(margin, -500, 500)))
        value = (weight * np.logaddexp(0, -margin)).sum() + penalty * (theta[:-1] ** 2).sum()
        return value, np.append(x.T @ slope + 2 * penalty * theta[:-1], slope.sum())

    theta = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    return theta[:-1], float(theta[-1])


def cross_validated(
    takes: np.ndarray, truths: np.ndarray, *, pieces: tuple[Sequence[str], Sequence[str]], kinds: dict[str, str]
) -> np.ndarray:
    """(n takes + n truths,): the score of each row, from a classifier that saw no row of its piece.

    Rows are features, nan where there is nothing to measure; `pieces` names the piece of each row, `kinds` gives a
    piece's kind. Features are standardised within each kind, by the mean and deviation of what was trained on.
    """
    x, y = np.concatenate([takes, truths]), np.arange(len(takes) + len(truths)) < len(takes)
    of = np.array([*pieces[0], *pieces[1]])
    kind = np.array([kinds[name] for name in of])
    # Every kind is spread over the folds, so that each is trained on and scored.
    fold_of = {}
    for k in dict.fromkeys(kind):
        for n, name in enumerate(dict.fromkeys(of[kind == k])):
            fold_of[name] = n % FOLDS
    fold = np.array([fold_of[name] for name in of])
    scores = np.zeros(len(x))
    for k in range(FOLDS):
        train, test = fold != k, fold == k
        if not test.any():
            continue
        if len(set(y[train])) < 2:
            return np.full(len(x), np.nan)
        scaled = _standardised(x, kind, train)
        weights, bias = fit(scaled[train], y[train])
        scores[test] = scaled[test] @ weights + bias
    return scores


def _standardised(x: np.ndarray, kind: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Features around the mean of their kind in units of its deviation; what is missing or constant is 0."""
    result = np.zeros_like(x)
    for each in np.unique(kind):
        mine = kind == each
        seen = x[mine & train]
        known = ~np.isnan(seen)
        count = known.sum(0)
        filled = np.where(known, seen, 0)
        mean = filled.sum(0) / np.maximum(1, count)
        deviation = np.sqrt((np.where(known, seen - mean, 0) ** 2).sum(0) / np.maximum(1, count))
        usable = (count > 2) & (deviation > 1e-9)
        scaled = (x[mine] - mean) / np.where(usable, deviation, 1)
        result[mine] = np.where(np.isnan(scaled) | ~usable, 0, np.clip(scaled, -4, 4))
    return result
