"""Calibration: one inverse temperature per field, fitted on validation data during training.

A model that begins to overfit still improves its ranking of the next steps while it becomes overconfident. Multiplying
its logits by a number below 1 corrects that. Each validation measures the loss at the current inverse temperature and
slightly below and above it, so the reported loss is always measured, never extrapolated.

Shapes: F fields, or 1 if a step is a single id.

Source: Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599), who fit it after training.
"""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["around", "fitted"]

SIDE = 0.1  # relative distance of the two outer measurements; the loss is convex in the value, not in its logarithm
LEAST, MOST = 0.25, 2.0


def around(inverse_temperature: tuple[float, ...]) -> list[tuple[float, ...]]:
    """The three points at which to measure: slightly below, at, and slightly above the current values."""
    return [tuple(value * (1 + side) for value in inverse_temperature) for side in (-SIDE, 0.0, SIDE)]


def fitted(inverse_temperature: tuple[float, ...], nats_3F: Tensor) -> tuple[float, ...]:
    """The inverse temperature of each field at the minimum of the parabola through nats_3F, measured at `around`.

    It moves at most twice as far as the outer measurements, stays within LEAST..MOST, and is unchanged if the parabola
    has no minimum.
    """
    values = []
    for value, (below, there, above) in zip(inverse_temperature, nats_3F.double().t().tolist(), strict=True):
        bend = below - 2 * there + above
        moves = (below - above) / (2 * bend) if 0 < bend < math.inf else 0.0
        value *= 1 + SIDE * min(max(moves, -2.0), 2.0)
        values.append(round(min(max(value, LEAST), MOST), 4))
    return tuple(values)
