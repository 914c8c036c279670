"""A forecaster over every body: causal, of the lags that were asked for, and fed back where it is recursive."""

from __future__ import annotations

import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings
from musicgen.models.tasks.forecaster import Forecaster, ForecastSettings

LAGS, HORIZON = 4, 3


def model(family: str, **settings) -> Forecaster:
    torch.manual_seed(0)
    made = Forecaster(
        ModelSettings(family, 10, width=16, layers=1, heads=2),
        ForecastSettings(**{"lags": LAGS, "horizon": HORIZON, **settings}),
    )
    torch.nn.init.normal_(made.head.weight, std=0.5)
    return made.eval()


def some(F: int, *, B: int = 2, T: int = 12) -> torch.Tensor:
    x_BTF = torch.randn(B, T, F, generator=torch.Generator().manual_seed(1))
    x_BTF[..., -1] = 1
    return x_BTF


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_forecast_of_each_step_depends_on_no_later_one(family):
    net = model(family, series="pitch,ioi")
    x_BTF = some(3)
    before = net.forecast(x_BTF)
    assert before.shape == (2, 12, HORIZON, 2)
    x_BTF[:, 8:] += 1
    after = net.forecast(x_BTF)
    torch.testing.assert_close(after[:, :8], before[:, :8])
    assert not torch.allclose(after[:, 8], before[:, 8])


@pytest.mark.parametrize("family", list(FAMILIES))
def test_windows_see_their_lags_and_recurrence_sees_all(family):
    net = model(family)
    x_BTF = some(2).requires_grad_()
    forecast_BTHK, _ = net(x_BTF)
    forecast_BTHK[:, -1].sum().backward()
    seen = (x_BTF.grad.abs().sum(dim=(0, 2)) > 0).tolist()
    reach = {"window": LAGS, "transformer": LAGS, "cnn": 7}.get(family, 12)  # two layers of three taps
    assert seen == [False] * (12 - reach) + [True] * reach


@pytest.mark.parametrize("family", list(FAMILIES))
def test_a_recursive_forecast_is_that_after_reading_what_was_foreseen(family):
    net = model(family, strategy="recursive", series="pitch,ioi")
    x_BTF = some(3, T=6)
    whole = net.forecast(x_BTF)
    assert whole.shape == (2, 6, HORIZON, 2)
    with torch.no_grad():
        told = x_BTF
        for h in range(HORIZON):
            one_BTHK, _ = net(told)
            torch.testing.assert_close(whole[:, -1, h], one_BTHK[:, -1, 0], atol=1e-5, rtol=1e-4)
            next_B1F = torch.cat([one_BTHK[:, -1, 0], torch.ones(2, 1)], dim=-1)[:, None]
            told = torch.cat([told, next_B1F], dim=1)


def test_the_first_forecasts_are_the_mean_or_the_last_value():
    x_BTF = some(2)
    for relative, first in (("mean", torch.zeros(2, 12)), ("last", x_BTF[..., 0])):
        net = model("gru", relative=relative)
        torch.nn.init.zeros_(net.head.weight)
        for h in range(HORIZON):
            assert torch.equal(net.forecast(x_BTF)[:, :, h, 0], first)


def test_a_cnn_has_the_layers_that_its_lags_need():
    for lags in (1, 2, 3, 4, 7, 8, 15, 16, 64):
        body = model("cnn", lags=lags).body
        assert body.reach >= lags
        assert len(body.blocks) == 1 or 1 + 2 * (2 ** (len(body.blocks) - 1) - 1) < lags


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"series": "pich"}, r"recipe: \[task\] series has no 'pich'; did you mean 'pitch'\?"),
        ({"series": "pitch", "covariates": "pitch"}, r"\[task\] 'pitch' is named twice; name each series once"),
        ({"series": ""}, r"\[task\] series is empty; choose from pitch, velocity"),
        ({"series": "position"}, r"\[task\] series has no 'position'"),
        ({"every": "bar"}, r"\[task\] every is 'bar'; choose from eighth, note, quarter, second"),
        ({"lags": 0}, r"\[task\] lags is 0; give a whole number of at least 1"),
        ({"horizon": 65}, r"\[task\] horizon is 65; give a whole number up to 64"),
        ({"strategy": "recursive", "covariates": "ioi"}, r"covariates aren't foreseen; name them as series, or choose"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(settings, line):
    with pytest.raises(UsageError, match=line):
        ForecastSettings(**settings)
