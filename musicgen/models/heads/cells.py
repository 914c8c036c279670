"""Logarithms of the probability that a continuous variable falls into a cell, an interval of the line.

Data that are integers have no density but probabilities: that of an integer is a density integrated over its cell. The
difference of two values of the distribution function, taken as it stands, is 0 in float32 a few deviations away from
the mean, and its logarithm minus infinity. What follows stays finite, with finite gradients, wherever the bounds do.

Shapes: all arguments broadcast. Scales are above 0.

Source: Salimans et al. 2017, "PixelCNN++" (arXiv:1701.05517), section 2.1, for logistic distributions.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["logistic_cell", "logistic_tail", "normal_cell", "normal_tail"]

NARROW = 0.02  # deviations: narrower cells are integrated by a formula, as the difference would be rounding errors


def logistic_cell(low: Tensor, high: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log P(low < X <= high) of a logistic distribution.

    Exact: s(b) - s(a) = s(b) s(-a) (1 - exp(a - b)) for the sigmoid s, three factors of which none cancels.
    """
    width = (high - low) / scale
    return F.logsigmoid((high - mean) / scale) + F.logsigmoid((mean - low) / scale) + torch.log(-torch.expm1(-width))


def logistic_tail(edge: Tensor, mean: Tensor, scale: Tensor, *, above: bool) -> Tensor:
    """log P(X > edge), or log P(X <= edge), of a logistic distribution."""
    sign = -1.0 if above else 1.0
    return F.logsigmoid(sign * (edge - mean) / scale)


def normal_cell(low: Tensor, high: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """log P(low < X <= high) of a normal distribution.

    A wide cell is the difference of two logarithms of the distribution function, on the side of the mean where both are
    small. In a narrow one the density is nearly exponential, and is integrated as such.
    """
    a, b = (low - mean) / scale, (high - mean) / scale
    a, b = torch.where(a + b > 0, -b, a), torch.where(a + b > 0, -a, b)
    width = (high - low) / scale  # b - a, without its rounding errors
    narrow = width < NARROW
    # Each branch gets bounds that suit it, since a gradient of NaN times 0 is NaN.
    wide_b = torch.where(narrow, a + NARROW, b)
    upper, lower = torch.special.log_ndtr(wide_b), torch.special.log_ndtr(a)
    difference = upper + torch.log(-torch.expm1((lower - upper).clamp(max=-1e-30)))
    middle = (a + b) / 2
    thin = width.clamp(max=NARROW)
    half = (middle.abs() * thin / 2).clamp(min=1e-4)
    # log(sinh(h) / h), how much an exponential's integral exceeds its middle's height times the width.
    excess = half + torch.log(-torch.expm1(-2 * half)) - torch.log(2 * half)
    density = -middle.square() / 2 - 0.5 * math.log(2 * math.pi) + torch.log(thin) + excess
    return torch.where(narrow, density, difference)


def normal_tail(edge: Tensor, mean: Tensor, scale: Tensor, *, above: bool) -> Tensor:
    """log P(X > edge), or log P(X <= edge), of a normal distribution."""
    sign = -1.0 if above else 1.0
    return torch.special.log_ndtr(sign * (edge - mean) / scale)
