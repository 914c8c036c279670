"""Distributions in classes, and noise with a memory."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.errors import UnreadableError
from musicgen.expression.bins import Bins
from musicgen.expression.habits import Habits
from musicgen.expression.noise import Noise, Residuals, fitted, normal_scores, shares


def test_quantile_and_share_are_each_others_inverse():
    random = np.random.default_rng(0)
    bins = Bins(-2.0, 0.5, 8)
    chances = random.dirichlet(np.ones(8), 200)
    share = random.uniform(0.01, 0.99, 200)
    values = bins.quantile(chances, share)
    assert np.allclose(bins.share(chances, values), share, atol=1e-3)
    assert values.min() >= -2
    assert values.max() <= 2


def test_normal_scores_are_the_inverse_of_shares():
    values = np.array([-2.0, -0.3, 0.0, 1.5])
    assert np.allclose(normal_scores(shares(values)), values, atol=1e-6)


def test_noise_has_the_variance_and_the_memory_that_it_says():
    count = 4000
    chord, chord_s = np.repeat(np.arange(count), 2), 0.25 * np.arange(count)
    noise = Noise(slow=0.5, slow_s=2.0, chord=0.2, place=0.1)
    value = noise.draw(chord, chord_s, place=np.arange(2 * count) % 400, generator=np.random.default_rng(1))
    assert value.std() == pytest.approx(1, abs=0.1)
    first, second = value[::2], value[1::2]
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.7, abs=0.08)
    assert np.corrcoef(first[:-8], first[8:])[0, 1] == pytest.approx(0.5 / np.e, abs=0.12)


def test_fitted_finds_the_noise_that_was_drawn():
    chord, chord_s = np.repeat(np.arange(1500), 2), 0.25 * np.arange(1500)
    drawn = Noise(slow=0.5, slow_s=2.0, chord=0.2)
    residuals = [
        Residuals(drawn.draw(chord, chord_s, place=None, generator=np.random.default_rng(k)), chord, chord_s[chord])
        for k in range(4)
    ]
    found = fitted(residuals)
    assert found.slow == pytest.approx(0.5, abs=0.1)
    assert 1 <= found.slow_s <= 4
    assert found.chord == pytest.approx(0.2, abs=0.1)


def test_habits_come_back_from_plain_values_and_others_are_refused():
    habits = Habits(14.0, 0.01, Noise(0.5, 2.0, 0.1), Noise())
    assert Habits.from_dict(habits.to_dict(), where="x") == habits
    with pytest.raises(UnreadableError, match="'velocity_spread' of the habits is 'loud'"):
        Habits.from_dict({**habits.to_dict(), "velocity_spread": "loud"}, where="x")
    with pytest.raises(UnreadableError, match="lack a number"):
        Habits.from_dict({"velocity_spread": 1.0}, where="x")
