"""How sure a model should be: one number a field, fitted on held-out music while the model is trained.

A model that has begun to learn its pieces by heart still gets better at saying which step is likelier than which, while
it becomes surer than it is right. Its scores times a number below 1 mend that. Each validation measures at the number
of the one before and a little to either side, so what is told of a run was measured, not extrapolated.

Shapes: F fields, or 1 where a step is one id.

Source: Guo et al. 2017, "On calibration of modern neural networks" (arXiv:1706.04599), who fit it after training.
"""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["around", "fitted"]

SIDE = 0.1  # how far to either side it is measured, as a share; in it, unlike in its logarithm, nats are convex
LEAST, MOST = 0.25, 2.0


def around(inverse_temperature: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Where to measure: a little below, there, a little above."""
    return [tuple(value * (1 + side) for value in inverse_temperature) for side in (-SIDE, 0.0, SIDE)]


def fitted(inverse_temperature: tuple[float, ...], nats_3F: Tensor) -> tuple[float, ...]:
    """The inverse temperature of each field at which the parabola through what `around` measured is lowest.

    At most twice as far as was measured, and between LEAST and MOST; unchanged where there is no lowest point.
    """
    values = []
    for value, (below, there, above) in zip(inverse_temperature, nats_3F.double().t().tolist(), strict=True):
        bend = below - 2 * there + above
        moves = (below - above) / (2 * bend) if 0 < bend < math.inf else 0.0
        value *= 1 + SIDE * min(max(moves, -2.0), 2.0)
        values.append(round(min(max(value, LEAST), MOST), 4))
    return tuple(values)
