"""Filters narrow the choice as their papers say, whatever the logits; a draw depends on its own row alone."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch

from musicgen.errors import CheckError, UsageError
from musicgen.sampling.filters import (
    SamplingSettings,
    allow,
    draw,
    min_p,
    repetition_penalty,
    temperature,
    top_k,
    top_p,
)

INF, NAN = math.inf, math.nan
V = 300


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_logits(rows: int = 4, *, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, V, generator=generator(seed))


def row(*logits: float) -> torch.Tensor:
    return torch.tensor([logits])


def kept(logits_BV: torch.Tensor) -> list[list[int]]:
    return [r.isfinite().nonzero().flatten().tolist() for r in logits_BV]


FILTERS = {
    "temperature 0": lambda x: temperature(x, 0),
    "temperature 1e-300": lambda x: temperature(x, 1e-300),
    "temperature 0.7": lambda x: temperature(x, 0.7),
    "temperature 1": lambda x: temperature(x, 1),
    "temperature 1e300": lambda x: temperature(x, 1e300),
    "top_k 0": lambda x: top_k(x, 0),
    "top_k 1": lambda x: top_k(x, 1),
    "top_k 5": lambda x: top_k(x, 5),
    "top_k above V": lambda x: top_k(x, 10**9),
    "top_p 0": lambda x: top_p(x, 0),
    "top_p 0.9": lambda x: top_p(x, 0.9),
    "top_p 1": lambda x: top_p(x, 1),
    "min_p 0": lambda x: min_p(x, 0),
    "min_p 0.1": lambda x: min_p(x, 0.1),
    "min_p 1": lambda x: min_p(x, 1),
    "repetition_penalty 1.2": lambda x: repetition_penalty(x, torch.tensor([[0, -1]]).expand(len(x), 2), 1.2),
    "repetition_penalty 1e-300": lambda x: repetition_penalty(x, torch.tensor([[0, -1]]).expand(len(x), 2), 1e-300),
    "allow all": lambda x: allow(x, torch.ones(x.shape, dtype=torch.bool)),
    "settings": lambda x: SamplingSettings(0.8, 20, 0.9, 0.01, 1.1).apply(x, torch.tensor([[0, -1]]).expand(len(x), 2)),
}

ODD = {
    "one id": row(2.0),
    "equal": torch.zeros(1, 7),
    "NaN among others": row(NAN, 1.0, 2.0, NAN),
    "one left": row(-INF, NAN, -4.0, -INF),
    "+inf": row(1.0, INF, 2.0),
    "+inf twice": row(INF, 1.0, INF, NAN),
    "huge": row(3e38, -3e38, 3e38, 0.0),
    "tiny differences": row(1e-38, 0.0, -1e-38),
    "rows of each kind": torch.stack([row(NAN, 1.0, 2.0)[0], row(INF, 1.0, -INF)[0], row(0.5, 0.1, 0.2)[0]]),
    "half precision": row(1.0, 2.0, 3.0).half(),
    "bfloat16": row(1.0, INF, 3.0).bfloat16(),
    "float64": row(1.0, 2.0, 3.0).double(),
}


@pytest.mark.parametrize("filter_name", FILTERS)
@pytest.mark.parametrize("odd_name", ODD)
def test_odd_logits_leave_a_clean_choice(filter_name, odd_name):
    logits = ODD[odd_name]
    copy = logits.clone()
    filtered = FILTERS[filter_name](logits)
    assert torch.equal(logits.nan_to_num(7.0), copy.nan_to_num(7.0)), "the input stays as it was"
    assert filtered.shape == logits.shape
    probabilities = filtered.softmax(-1)
    assert not filtered.isnan().any()
    assert not filtered.isposinf().any()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones_like(probabilities[:, 0]))
    never = logits.isnan() | logits.isneginf() | (~logits.isposinf() & logits.isposinf().any(-1, keepdim=True))
    ids = draw(filtered, generator(0))
    assert not never[torch.arange(len(ids)), ids].any()


@pytest.mark.parametrize("filter_name", FILTERS)
@pytest.mark.parametrize("logits", [row(-INF, -INF), row(NAN, -INF), row(NAN)], ids=str)
def test_nothing_left_is_an_error(filter_name, logits):
    with pytest.raises(CheckError, match=r"no id is left to draw from in row 1: every logit is -inf or NaN; loosen"):
        FILTERS[filter_name](torch.cat([torch.zeros_like(logits), logits]))


@pytest.mark.parametrize("filter_name", FILTERS)
def test_a_row_is_filtered_the_same_in_any_batch(filter_name):
    logits = some_logits(9)
    logits[3, 5:] = 0.0  # equal ones
    logits[5, :4] = NAN
    logits[7, 9] = INF
    together = FILTERS[filter_name](logits)
    for i in range(len(logits)):
        assert torch.equal(FILTERS[filter_name](logits[i : i + 1]), together[i : i + 1])


@pytest.mark.parametrize("off", ["temperature 1", "top_k 0", "top_k above V", "top_p 1", "min_p 0", "allow all"])
def test_off_changes_nothing(off):
    logits = some_logits()
    assert torch.equal(FILTERS[off](logits), logits)


@pytest.mark.parametrize("best", ["temperature 0", "top_k 1", "top_p 0", "min_p 1"])
def test_the_strictest_value_keeps_the_best_alone(best):
    logits = some_logits()
    assert kept(FILTERS[best](logits)) == [[i] for i in logits.argmax(-1).tolist()]


@pytest.mark.parametrize("best", ["temperature 0", "top_k 1", "top_p 0"])
def test_of_equal_logits_the_lower_id_is_the_better(best):
    assert kept(FILTERS[best](row(0.0, 2.0, 2.0, 2.0))) == [[1]]
    assert kept(top_k(row(5.0, 2.0, 9.0, 2.0, 2.0), 4)) == [[0, 1, 2, 3]]
    assert kept(top_p(torch.zeros(1, 10), 0.45)) == [[0, 1, 2, 3, 4]]


def test_temperatures_past_float32():
    logits = some_logits()
    coldest, hottest = temperature(logits, 1e-300).softmax(-1), temperature(logits, 1e300).softmax(-1)
    assert torch.equal(coldest, temperature(logits, 0).softmax(-1))
    torch.testing.assert_close(hottest, torch.full_like(logits, 1 / V))


@pytest.mark.parametrize("value", [0.2, 0.9, 1.5, 40.0])
def test_temperature_divides(value):
    logits = some_logits()
    torch.testing.assert_close(temperature(logits, value).softmax(-1), (logits / value).softmax(-1))


@pytest.mark.parametrize("k", [1, 2, 17, V - 1])
def test_top_k_keeps_the_k_best(k):
    logits = some_logits()
    filtered = top_k(logits, k)
    assert kept(filtered) == [sorted(ids) for ids in logits.topk(k).indices.tolist()]
    assert torch.equal(filtered[filtered.isfinite()], logits[filtered.isfinite()])


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.95, 0.999])
def test_top_p_keeps_the_fewest_that_sum_to_p(p):
    logits = some_logits().double()
    filtered = top_p(logits, p)
    for before, after in zip(logits.softmax(-1), kept(filtered), strict=True):
        mass = before[after].sum()
        assert mass >= p
        assert mass - before[after].min() < p, "without its least likely id it would fall short"
        assert before[after].min() >= before.sort(descending=True).values[len(after) - 1]


def test_top_p_by_hand():
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    assert kept(top_p(logits, 0.4)) == [[0]]
    assert kept(top_p(logits, 0.6)) == [[0, 1]]
    assert kept(top_p(logits, 0.8)) == [[0, 1, 2]]


def test_min_p_by_hand():
    logits = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    assert kept(min_p(logits, 0.5)) == [[0, 1]]
    assert kept(min_p(logits, 0.25)) == [[0, 1, 2]]


def test_repetition_penalty_by_hand():
    logits = row(2.0, -2.0, 3.0, -1.0)
    history = torch.tensor([[0, 1, 1, -1]])  # twice counts once; -1 is padding
    assert torch.equal(repetition_penalty(logits, history, 2.0), row(1.0, -4.0, 3.0, -1.0))
    assert torch.equal(repetition_penalty(logits, history, 1.0), logits)
    assert torch.equal(repetition_penalty(logits, history[:, :0], 2.0), logits)
    with pytest.raises(UsageError, match="the history holds the id 4, but there are only 4 ids"):
        repetition_penalty(logits, torch.tensor([[4]]), 2.0)


def test_allow():
    logits = row(INF, 1.0, 2.0, NAN)
    assert kept(allow(logits, torch.tensor([False, True, True, True]))) == [[1, 2]]
    with pytest.raises(CheckError, match="no id is left"):
        allow(logits, torch.tensor([[False, False, False, True]]))


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
def test_settings_chain_the_filters(settings):
    logits = some_logits()
    history = torch.randint(V, (4, 20), generator=generator(1))
    chained = repetition_penalty(logits, history, settings.repetition_penalty)
    chained = temperature(chained, settings.temperature)
    chained = min_p(top_p(top_k(chained, settings.top_k), settings.top_p), settings.min_p)
    assert torch.equal(settings.apply(logits, history), chained)


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
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])
    counts = draw(probabilities.log().expand(20_000, 5), generator(7)).bincount(minlength=5) / 20_000
    assert counts[1] == 0
    torch.testing.assert_close(counts, probabilities, atol=0.015, rtol=0)


def test_a_draw_depends_on_its_own_row_alone():
    logits = SamplingSettings().apply(some_logits(16))
    together = draw(logits, [generator(100 + i) for i in range(16)])
    for i in range(16):
        assert draw(logits[i : i + 1], [generator(100 + i)]).item() == together[i]
    assert torch.equal(draw(logits.flip(0), [generator(100 + i) for i in reversed(range(16))]).flip(0), together)


def test_a_draw_takes_one_number_a_row():
    """So that a row's later draws don't depend on what was ruled out in the earlier ones."""
    free, forced = generator(3), generator(3)
    draw(some_logits(1), [free])
    draw(temperature(some_logits(1), 0), [forced])
    assert torch.equal(free.get_state(), forced.get_state())


def test_a_draw_never_takes_what_was_ruled_out():
    logits = torch.full((5000, 6), -INF)
    logits[:, [1, 3]] = torch.tensor([0.0, -30.0])
    assert set(draw(logits, generator(1)).tolist()) == {1}
    logits[:, [1, 3]] = 0.0
    assert set(draw(logits, generator(1)).tolist()) == {1, 3}


def test_a_draw_leaves_the_global_state_alone():
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(some_logits(), [generator(i) for i in range(4)])
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_for_each_row_or_one_for_all():
    with pytest.raises(UsageError, match="2 generators were given for 4 rows; give one a row, or a single one"):
        draw(some_logits(), [generator(0), generator(1)])


def test_top_p_is_that_of_a_step_whatever_its_fields():
    settings = SamplingSettings(top_p=0.9)
    assert settings.of_field("pitch").top_p == 0.9
    assert settings.of_field("pitch", fields=5).top_p ** 5 == pytest.approx(0.9)
    assert SamplingSettings(top_p=1.0).of_field("pitch", fields=5).top_p == 1.0
