"""Filters narrow the choice as their papers say, whatever the logits; a draw takes one number and no more."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pytest
import torch

from musicgen.errors import CheckError, UsageError
from musicgen.sampling.filters import SamplingSettings, choose, shares

INF, NAN = math.inf, math.nan
V = 300
OPEN = {"temperature": 1.0, "top_p": 1.0}  # everything off


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_logits(*, seed: int = 0, size: int = V) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, size).astype(np.float32)


def probabilities(logits, *, history=(), ids=None, **settings) -> np.ndarray:
    chosen = SamplingSettings(**{**OPEN, **settings})
    shares_K = shares(np.asarray(logits, np.float64), chosen, history=history, ids=ids)
    return shares_K / shares_K.sum()


def kept(logits, **settings) -> list[int]:
    return np.flatnonzero(probabilities(logits, **settings)).tolist()


def by_the_papers(logits, settings: SamplingSettings, history=()) -> np.ndarray:
    """One filter after another over ids in order from the best, as the papers put them."""
    x = [float(value) for value in logits]
    for i in set(history):
        x[i] = x[i] / settings.repetition_penalty if x[i] > 0 else x[i] * settings.repetition_penalty
    order = sorted(range(len(x)), key=lambda i: (-x[i], i))
    if settings.temperature == 0:
        order = order[:1]
    if settings.top_k:
        order = order[: settings.top_k]
    weight = {i: math.exp((x[i] - x[order[0]]) / (settings.temperature or 1)) for i in order}
    total, summed, nucleus = sum(weight.values()), 0.0, []
    for i in order:
        if nucleus and summed >= settings.top_p * total:
            break
        nucleus.append(i)
        summed += weight[i]
    left = {i: weight[i] for i in nucleus if weight[i] >= settings.min_p * weight[order[0]]}
    return np.array([left.get(i, 0.0) / sum(left.values()) for i in range(len(x))])


@pytest.mark.parametrize(
    "settings",
    [
        SamplingSettings(),
        SamplingSettings(top_p=1.0),
        SamplingSettings(temperature=0.0),
        *(SamplingSettings(*given) for given in itertools.product([0.8, 1.3], [0, 25], [0.9], [0.0, 0.05], [1.0, 1.3])),
    ],
    ids=str,
)
def test_filters_one_after_another(settings):
    for seed in range(10):
        logits = some_logits(seed=seed).round(1)  # with ties
        history = np.random.default_rng(seed).integers(0, V, 20).tolist()
        got = shares(logits, settings, history=history)
        np.testing.assert_allclose(got / got.sum(), by_the_papers(logits, settings, history), rtol=1e-9)


FILTERS = [
    {},
    {"temperature": 0.0},
    {"temperature": 1e-300},
    {"temperature": 0.7},
    {"temperature": 1e300},
    {"top_k": 1},
    {"top_k": 5},
    {"top_k": 10**9},
    {"top_p": 0.0},
    {"top_p": 0.9},
    {"min_p": 0.1},
    {"min_p": 1.0},
    {"typical_p": 0.5},
    {"repetition_penalty": 1.2},
    {"repetition_penalty": 1e-300},
    {"temperature": 0.8, "top_k": 20, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1},
]

ODD = {
    "one id": [2.0],
    "equal": [0.0] * 7,
    "NaN among others": [NAN, 1.0, 2.0, NAN],
    "one left": [-INF, NAN, -4.0, -INF],
    "+inf": [1.0, INF, 2.0],
    "+inf twice": [INF, 1.0, INF, NAN],
    "huge": [3e38, -3e38, 3e38, 0.0],
    "tiny differences": [1e-38, 0.0, -1e-38],
}


@pytest.mark.parametrize("settings", FILTERS, ids=str)
@pytest.mark.parametrize("odd", ODD.values(), ids=list(ODD))
def test_odd_logits_leave_a_clean_choice(odd, settings):
    logits = np.array(odd)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chances = probabilities(logits, history=[0], **settings)
    assert np.array_equal(logits, odd, equal_nan=True), "the input stays as it was"
    assert chances.sum() == pytest.approx(1)
    never = np.isnan(logits) | np.isneginf(logits) | (~np.isposinf(logits) & np.isposinf(logits).any())
    assert not chances[never].any()


@pytest.mark.parametrize("settings", FILTERS, ids=str)
@pytest.mark.parametrize("logits", [[-INF, -INF], [NAN, -INF], [NAN]], ids=str)
def test_nothing_left_is_an_error(logits, settings):
    with pytest.raises(CheckError, match=r"no id is left to draw from: every logit is -inf or NaN; loosen"):
        choose(np.array(logits), SamplingSettings(**settings), generator(0), history=[0])


@pytest.mark.parametrize("strict", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}], ids=str)
def test_the_strictest_value_keeps_the_best_alone(strict):
    assert kept(some_logits(), **strict) == [some_logits().argmax()]


@pytest.mark.parametrize("strict", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}], ids=str)
def test_of_equal_logits_the_lower_id_is_the_better(strict):
    assert kept([0.0, 2.0, 2.0, 2.0], **strict) == [1]
    assert kept([5.0, 2.0, 9.0, 2.0, 2.0], top_k=4) == [0, 1, 2, 3]
    assert kept([0.0] * 10, top_p=0.45) == [0, 1, 2, 3, 4]


def test_temperatures_past_all_numbers():
    np.testing.assert_array_equal(
        probabilities(some_logits(), temperature=1e-300), probabilities(some_logits(), top_k=1)
    )
    np.testing.assert_allclose(probabilities(some_logits(), temperature=1e300), 1 / V)


def test_top_p_by_hand():
    logits = np.log([0.5, 0.2, 0.2, 0.1])
    assert kept(logits, top_p=0.4) == [0]
    assert kept(logits, top_p=0.6) == [0, 1]
    assert kept(logits, top_p=0.8) == [0, 1, 2]


def test_min_p_by_hand():
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    assert kept(logits, min_p=0.5) == [0, 1]
    assert kept(logits, min_p=0.25) == [0, 1, 2]


def test_repetition_penalty_by_hand():
    logits = [2.0, -2.0, 3.0, -1.0]
    punished = probabilities([1.0, -4.0, 3.0, -1.0])
    np.testing.assert_allclose(probabilities(logits, history=[0, 1, 1], repetition_penalty=2.0), punished)
    np.testing.assert_allclose(
        probabilities(logits, history=[7, 8], ids=np.array([7, 8, 9, 10]), repetition_penalty=2.0), punished
    )
    np.testing.assert_allclose(probabilities(logits, repetition_penalty=2.0), probabilities(logits))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"temperature": -0.1}, "temperature is -0.1; give a number of at least 0"),
        ({"temperature": INF}, "temperature is inf; give a number of at least 0"),
        ({"temperature": NAN}, "temperature is nan; give a number of at least 0"),
        ({"top_k": -1}, "top_k is -1; give a whole number of at least 0"),
        ({"top_k": 2.5}, "top_k is 2.5; give a whole number of at least 0"),
        ({"top_p": 1.01}, "top_p is 1.01; give a number from 0 to 1"),
        ({"top_p": "0.9"}, "top_p is '0.9'; give a number from 0 to 1"),
        ({"min_p": -1}, "min_p is -1; give a number from 0 to 1"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0; give a number above 0"),
    ],
)
def test_settings_out_of_range(change, text):
    with pytest.raises(UsageError) as caught:
        SamplingSettings(**change).validate()
    assert str(caught.value) == text


def test_settings_in_range():
    for settings in (SamplingSettings(), SamplingSettings(0, 0, 0, 0, 0.5), SamplingSettings(100, 10**9, 1, 1, 9)):
        assert settings.validate() is settings


def test_a_draw_follows_the_probabilities():
    chances = np.array([0.5, 0.0, 0.3, 0.15, 0.05])
    settings, source = SamplingSettings(**OPEN), generator(7)
    with np.errstate(divide="ignore"):
        logits = np.log(chances)
    counts = np.bincount([choose(logits, settings, source) for _ in range(20_000)], minlength=5) / 20_000
    assert counts[1] == 0
    np.testing.assert_allclose(counts, chances, atol=0.015)


def test_a_draw_takes_one_number():
    """So that later draws don't depend on what was ruled out in the earlier ones."""
    free, forced = generator(3), generator(3)
    choose(some_logits(), SamplingSettings(), free)
    choose(some_logits(), SamplingSettings(temperature=0), forced)
    assert torch.equal(free.get_state(), forced.get_state())
    torch.rand((), dtype=torch.float64, generator=(once := generator(3)))
    assert torch.equal(free.get_state(), once.get_state())


def test_a_draw_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    choose(some_logits(), SamplingSettings(), generator(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_top_p_is_that_of_a_step_whatever_its_fields():
    settings = SamplingSettings(top_p=0.9)
    assert settings.of_field("pitch").top_p == 0.9
    assert settings.of_field("pitch", fields=5).top_p ** 5 == pytest.approx(0.9)
    assert SamplingSettings(top_p=1.0).of_field("pitch", fields=5).top_p == 1.0


def test_typical_sampling_leaves_out_the_most_likely_where_it_says_too_little():
    """Meister et al. 2023, section 4: what is kept is nearest to the entropy and has the mass asked for."""
    p = np.array([0.4, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05])
    entropy = -(p * np.log(p)).sum()
    away = np.abs(-np.log(p) - entropy)
    for mass in (0.25, 0.5, 0.75):
        chosen = kept(np.log(p), typical_p=mass)
        order = np.argsort(away, kind="stable")
        assert sorted(order[: len(chosen)].tolist()) == chosen
        assert p[chosen].sum() >= mass - 1e-9
        assert p[chosen].sum() - p[order[len(chosen) - 1]] < mass
    assert 0 not in kept(np.log(p), typical_p=0.25)
    assert kept(np.log(p), typical_p=1.0) == list(range(7))


def test_a_bias_makes_an_id_so_many_times_as_likely_at_any_temperature():
    logits, bias = some_logits(size=5), np.log([1, 0.25, 1, 1, 1])
    for temperature in (0.5, 1.0, 2.0):
        settings = SamplingSettings(temperature=temperature, top_p=1.0)
        ratio = shares(logits, settings, bias_K=bias) / shares(logits, settings)
        assert ratio[1] / ratio[0] == pytest.approx(0.25)
