"""The learning rate over a run: a linear warm-up, then a cosine down to a hundredth.

Source: Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts; the warm-up from Vaswani et al. 2017.
"""

from __future__ import annotations

import math

__all__ = ["learning_rate"]

FLOOR = 0.01


def learning_rate(progress: float, *, peak: float, warmup: float) -> float:
    """The learning rate at `progress` (0..1) of the run; `warmup` is the share of the run for the warm-up.

    >>> [round(learning_rate(p, peak=1.0, warmup=0.1), 3) for p in (0.05, 0.1, 1.0)]
    [0.5, 1.0, 0.01]
    """
    if progress < warmup:
        return peak * max(progress, 0.01 * warmup) / warmup
    rest = min(1.0, (progress - warmup) / (1 - warmup))
    return peak * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * rest)) / 2)
