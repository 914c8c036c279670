"""Densities over integers: probabilities that sum to 1, finite numbers and gradients, and what an oracle says."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from musicgen.models.heads.cells import logistic_cell, normal_cell, normal_tail
from musicgen.models.heads.densities import OUTLIERS, Binned, Logistics, LogNormals, density_of

MOST = 2000
KINDS = {
    "times, mixture": {"head": "mixture", "low": 0, "most": MOST, "is_time": True},
    "times, one component": {"head": "mixture", "low": 0, "most": MOST, "is_time": True, "components": 1},
    "times, binned": {"head": "binned", "low": 0, "most": MOST, "is_time": True},
    "velocities, mixture": {"head": "mixture", "low": 1, "most": 127, "is_time": False},
    "velocities, binned": {"head": "binned", "low": 1, "most": 127, "is_time": False},
}


@pytest.fixture(params=KINDS)
def density(request):
    return density_of(**{"components": 6, "bins": 24, **KINDS[request.param]})


def numbers(density, scale: float, rows: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(int(scale))
    return density.first_numbers() + scale * torch.randn(rows, density.n_numbers, generator=generator)


@pytest.mark.parametrize("scale", [0.0, 1.0, 10.0, 1e3, 1e6])
def test_all_integers_together_have_a_probability_of_1(density, scale):
    every = torch.arange(density.low, density.most + 1)
    logs = density.log_chances(numbers(density, scale)[:, None], every)
    assert logs.dtype == torch.float32
    assert torch.allclose(logs.double().logsumexp(-1), torch.zeros(7, dtype=torch.float64), atol=1e-4)
    assert (logs <= 1e-5).all()


@pytest.mark.parametrize("scale", [0.0, 3.0, 100.0, 1e4, 1e8])
def test_nats_and_gradients_are_finite_whatever_the_network_puts_out(density, scale):
    given = numbers(density, scale).requires_grad_()
    values = torch.tensor([density.low, density.low + 1, density.low + 2, 60, 126, density.most - 1, density.most])
    nats = -density.log_chances(given, values)
    (gradient,) = torch.autograd.grad(nats.sum(), given)
    assert nats.isfinite().all()
    assert gradient.isfinite().all()


def test_a_mixture_never_gives_an_integer_less_than_its_share_of_the_outliers(density):
    if isinstance(density, Binned):
        return
    every = torch.arange(density.low, density.most + 1)
    logs = density.log_chances(numbers(density, 1e4)[:, None], every)
    assert logs.min() >= math.log(OUTLIERS / density.count) - 1e-4


def test_integers_beyond_the_range_count_as_its_ends(density):
    given = numbers(density, 1.0)[:1]
    ends = density.log_chances(given[:, None], torch.tensor([density.low, density.most]))
    beyond = density.log_chances(given[:, None], torch.tensor([density.low - 5, density.most + 5]))
    assert torch.equal(ends, beyond)


def test_a_component_that_closes_in_on_a_repeated_value_gains_no_more_than_certainty():
    """Of a density the likelihood would grow without bounds."""
    for density, value in ((LogNormals(0, MOST, components=2), 500), (Logistics(1, 127, components=2), 64)):
        given = torch.nn.Parameter(density.first_numbers())
        optimizer = torch.optim.Adam([given], 0.1)
        for _ in range(400):
            loss = -density.log_chances(given, torch.tensor(value))
            optimizer.zero_grad()
            loss.backward()
            assert given.grad is not None
            assert given.grad.isfinite().all()
            optimizer.step()
        assert 0 <= loss.item() < 3.0


def test_a_mixture_learns_data_with_several_modes_better_than_bins_do():
    generator = torch.Generator().manual_seed(1)
    modes = torch.tensor([5.0, 60.0, 200.0, 900.0])[torch.randint(4, (4000,), generator=generator)]
    values = (modes * (0.1 * torch.randn(4000, generator=generator)).exp()).round().long()
    density = LogNormals(0, MOST, components=8)
    given = torch.nn.Parameter(density.first_numbers())
    optimizer = torch.optim.Adam([given], 0.05)
    for _ in range(300):
        loss = -density.log_chances(given, values).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    weights = given[: density.components + 1].softmax(-1)[1:]
    assert (weights > 0.1).sum() >= 4  # no mode is left to a component that is as wide as all of them
    binned = Binned(0, MOST, bins=24, by_ratio=True)
    counts = torch.bincount(torch.searchsorted(binned.firsts_K, values, right=True) - 1, minlength=24)
    best = -binned.log_chances((counts + 1e-9).log(), values).mean()
    assert loss.item() < best.item() - 0.2


def test_cells_are_those_of_a_float64_oracle_from_the_middle_to_far_out():
    """Widths from a millionth of a deviation to a hundred, and up to 30 deviations away."""
    generator = np.random.default_rng(0)
    mean, scale = generator.normal(size=4000), np.exp(generator.normal(size=4000))
    low = mean + scale * generator.uniform(-30, 30, 4000)
    high = low + scale * 10 ** generator.uniform(-6, 2, 4000)
    low32, high32 = (torch.tensor(each, dtype=torch.float32) for each in (low, high))
    mean32, scale32 = (torch.tensor(each, dtype=torch.float32) for each in (mean, scale))
    wide = [each.double() for each in (low32, high32, mean32, scale32)]
    a, b = (wide[0] - wide[2]) / wide[3], (wide[1] - wide[2]) / wide[3]
    # By 400 steps of Simpson's rule in float64, of the density times exp(its largest logarithm).
    t = a + (b - a) * torch.linspace(0, 1, 401, dtype=torch.float64)[:, None]
    rule = torch.tensor([1.0, *([4.0, 2.0] * 199), 4.0, 1.0], dtype=torch.float64)[:, None]
    inside = (b - a) < 1.0  # where the rule is exact
    for cell, log_density in (
        (normal_cell, lambda t: -(t**2) / 2 - 0.5 * math.log(2 * math.pi)),
        (logistic_cell, lambda t: -t.abs() - 2 * torch.log1p(torch.exp(-t.abs()))),
    ):
        logs = log_density(t)
        true = torch.log((rule * torch.exp(logs - logs.amax(0))).sum(0) * (b - a) / 1200) + logs.amax(0)
        found = cell(low32, high32, mean32, scale32).double()
        # An interval itself is only as exact as float32 tells its ends apart.
        known = inside & ((high32 - low32) > 1e-3 * (1 + low32.abs()))
        assert known.sum() > 500
        assert (found - true)[known].abs().max() < 0.01
        assert found[high32 > low32].isfinite().all()


def test_tails_and_cells_add_up():
    edges = torch.linspace(-3, 3, 50)
    mean, scale = torch.tensor(0.3), torch.tensor(0.7)
    parts = [normal_tail(edges[0], mean, scale, above=False), normal_tail(edges[-1], mean, scale, above=True)]
    parts += list(normal_cell(edges[:-1], edges[1:], mean, scale))
    assert float(torch.stack(parts).logsumexp(0)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("bins", [2, 3, 8, 64, 500, 4096])
def test_bins_of_times_are_as_many_as_asked_and_grow(bins):
    density = Binned(0, MOST, bins=bins, by_ratio=True)
    sizes = density.log_sizes_K.exp().round()
    assert len(sizes) == min(bins, MOST + 1)
    assert sizes.sum() == MOST + 1
    assert sizes[0] == 1
    assert (sizes.diff()[:-1] >= -1).all()  # but for rounding, and the last, which has what is left


def test_as_many_bins_as_integers_tell_each_apart():
    density = Binned(1, 127, bins=4096, by_ratio=False)
    given = torch.randn(127)
    found = density.log_chances(given, torch.arange(1, 128))
    assert torch.allclose(found, given.log_softmax(-1))
