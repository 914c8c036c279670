"""Distributions of a number that is measured: mixtures of densities, and bins, over the same integers.

Milliseconds from 0 and velocities from 1 to 127 are integers. A mixture gives an integer its density integrated over
the cell from half below to half above it, and the first and last integer all that lies beyond. A bin shares its
probability equally among its integers. Both sum to 1 over the integers, so their nats are of the same thing and can be
compared; a density's logarithm alone couldn't be, as it depends on the unit.

- Times are mixtures of log-normal distributions, as errors in them grow with the time, beside a point mass at 0: notes
  of a chord begin at once.
- Velocities are mixtures of logistic distributions.

What is known to go wrong with mixtures (Bishop 1994, section 3; Graves 2013, section 4.1) is prevented as follows:

- A component that closes in on a repeated value: the likelihood of a density grows without bounds, that of a cell is at
  most 1. Scales have a floor of a share of the cell's width, so that gradients stay finite, too.
- An observation far from all components: a share OUTLIERS of the probability is spread evenly over all integers, so no
  nats and no gradient are unbounded.
- Dead components: means begin spread over the range, with equal weights and scales that overlap.

Shapes: K components, P numbers of a distribution, (...) any.

Sources: Bishop 1994, "Mixture density networks" (NCRG/94/004); Graves 2013, "Generating sequences with recurrent neural
networks" (arXiv:1308.0850); Salimans et al. 2017, "PixelCNN++" (arXiv:1701.05517), for integers.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from musicgen.models.heads.cells import logistic_cell, logistic_tail, normal_cell, normal_tail

__all__ = ["HEADS", "Binned", "Density", "LogNormals", "Logistics", "Mixture", "density_of"]

HEADS = ("mixture", "binned")
OUTLIERS = 1e-4  # the share of a mixture's probability that is spread evenly over all integers
FLOOR = 0.25  # of a cell's width: the least scale of a component
NEAREST = math.log(0.5)  # of times: where the cell of 0 ends, and the lowest mean
LEAST_SPREAD = 0.01  # of times, in logarithms: nobody repeats an interval to within a hundredth


class Density(nn.Module, ABC):
    """The distribution of an integer from `low` to `most`, given by P numbers that a network puts out."""

    n_numbers: int

    def __init__(self, low: int, most: int) -> None:
        super().__init__()
        self.low, self.most = low, most

    @property
    def count(self) -> int:
        """How many integers there are."""
        return self.most - self.low + 1

    def first_numbers(self) -> Tensor:
        """(P,): the numbers that an untrained network is to put out."""
        return torch.zeros(self.n_numbers)

    @abstractmethod
    def log_chances(self, numbers: Tensor, values: Tensor) -> Tensor:
        """The logarithm of the probability of each integer, float32: numbers (..., P) and values (...) broadcast.

        Integers beyond the range count as its ends.
        """


class Mixture(Density):
    """K components: P is their logits, means and scales, 3 K numbers; further logits come first."""

    further: ClassVar[int] = 0  # logits of parts that are no components

    def __init__(self, low: int, most: int, *, components: int) -> None:
        super().__init__(low, most)
        self.components = components
        self.n_numbers = 3 * components + self.further

    def first_numbers(self) -> Tensor:
        weights = torch.zeros(self.components + self.further)
        return torch.cat([weights, self.first_means(), torch.zeros(self.components)])

    def weights(self, numbers: Tensor) -> Tensor:
        """(..., K): the weight of each component."""
        logits = numbers.float()[..., : self.components + self.further]
        return logits.softmax(-1)[..., self.further :]

    def log_chances(self, numbers: Tensor, values: Tensor) -> Tensor:
        sizes = [self.components + self.further, self.components, self.components]
        logits, means, scales = numbers.float().split(sizes, dim=-1)
        values = values.clamp(self.low, self.most)
        inside = self.of_components(values.float()[..., None], means, scales)
        found = torch.logsumexp(logits.log_softmax(-1) + inside, dim=-1)
        even = found.new_full((), math.log(OUTLIERS / self.count))
        return torch.logaddexp(found + math.log1p(-OUTLIERS), even)

    @abstractmethod
    def first_means(self) -> Tensor:
        """(K,): the numbers that place the means over the range."""

    @abstractmethod
    def of_components(self, values: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        """The logarithm of an integer's probability under each component, and before them the further parts: values
        (..., 1), the numbers of means and scales (..., K)."""


class LogNormals(Mixture):
    """Times: K log-normal distributions, and a point mass at 0. Means and scales are of logarithms."""

    further = 1

    def first_means(self) -> Tensor:
        return torch.linspace(0.0, math.log(self.most / 4), self.components + 2)[1:-1]

    def of_components(self, values: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        means = means.clamp(NEAREST, math.log(self.most) + 1)
        # The cell of a time t is 1 / t wide in logarithms.
        spreads = LEAST_SPREAD + FLOOR * torch.exp(-means) + F.softplus(scales)
        low, high = torch.log((values - 0.5).clamp(min=0.5)), torch.log(values + 0.5)
        zero, last = values < 0.5, values > self.most - 0.5
        within = normal_cell(low, torch.maximum(high, low + 1e-6), means, spreads)
        below = normal_tail(high, means, spreads, above=False)
        beyond = normal_tail(low, means, spreads, above=True)
        found = torch.where(zero, below, torch.where(last, beyond, within))
        point = torch.where(zero, 0.0, -torch.inf).expand(*found.shape[:-1], 1)
        return torch.cat([point, found], dim=-1)


class Logistics(Mixture):
    """Velocities: K logistic distributions. Means and scales are in units of `unit` integers."""

    unit: ClassVar[float] = 16.0

    def first_means(self) -> Tensor:
        return torch.linspace(self.low, self.most, self.components + 2)[1:-1] / self.unit

    def of_components(self, values: Tensor, means: Tensor, scales: Tensor) -> Tensor:
        means = (self.unit * means).clamp(self.low - self.count, self.most + self.count)
        spreads = FLOOR + self.unit * F.softplus(scales) / 2
        within = logistic_cell(values - 0.5, values + 0.5, means, spreads)
        below = logistic_tail(values + 0.5, means, spreads, above=False)
        beyond = logistic_tail(values - 0.5, means, spreads, above=True)
        return torch.where(values < self.low + 0.5, below, torch.where(values > self.most - 0.5, beyond, within))


class Binned(Density):
    """Bins of neighbouring integers, equally likely within a bin; P is a logit a bin.

    With `by_ratio` bins grow in proportion to their integers, as is usual for times, but for small ones, each of which
    has a bin of its own; else all are equally wide.
    """

    firsts_K: Tensor
    log_sizes_K: Tensor

    def __init__(self, low: int, most: int, *, bins: int, by_ratio: bool) -> None:
        super().__init__(low, most)
        firsts = _by_ratio(low, most, bins) if by_ratio else _evenly(low, most, bins)
        edges = torch.tensor([*firsts, most + 1])
        self.n_numbers = len(firsts)
        # Derived from the settings: they are in no weight file.
        self.register_buffer("firsts_K", edges[:-1].clone(), persistent=False)
        self.register_buffer("log_sizes_K", edges.diff().float().log(), persistent=False)

    def log_chances(self, numbers: Tensor, values: Tensor) -> Tensor:
        values = values.clamp(self.low, self.most)
        number = torch.searchsorted(self.firsts_K, values.contiguous(), right=True) - 1
        logs = numbers.float().log_softmax(-1) - self.log_sizes_K
        shape = torch.broadcast_shapes(logs.shape[:-1], number.shape)
        chosen = logs.expand(*shape, -1).gather(-1, number.expand(shape)[..., None])
        return chosen.squeeze(-1)


def _evenly(low: int, most: int, bins: int) -> list[int]:
    """The first integers of equally wide bins, at most one an integer."""
    count = most - low + 1
    bins = min(bins, count)
    return [low + count * n // bins for n in range(bins)]


def _by_ratio(low: int, most: int, bins: int) -> list[int]:
    """The first integers of bins, each at about the same multiple of the one before it, or one above."""
    firsts = [low]
    while len(firsts) < bins and firsts[-1] < most:
        at = firsts[-1]
        left = bins - len(firsts)
        ratio = ((most + 1) / max(at, 1)) ** (1 / (left + 1))
        firsts.append(min(most, max(at + 1, round(at * ratio))))
    return firsts


def density_of(head: str, *, low: int, most: int, is_time: bool, components: int, bins: int) -> Density:
    """The distribution of a time, from 0, or of a velocity: by the head's name a mixture of `components`, or `bins`."""
    if head == "binned":
        return Binned(low, most, bins=bins, by_ratio=is_time)
    return (LogNormals if is_time else Logistics)(low, most, components=components)
