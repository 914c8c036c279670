"""Layers step as they read, whoever stands beside them, and the model stays what it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from musicgen.composer import Composer
from musicgen.errors import UsageError
from musicgen.models import FAMILIES, ModelSettings, build_model, hardware
from musicgen.models.layers.linear import Linear
from musicgen.sampling.decoder import EagerDecoder
from musicgen.sampling.eager import _Product, can_round, prepared
from musicgen.tokenizers import Remi

REMI = Remi()


def small(family: str, *, width: int = 16):
    return build_model(ModelSettings(family, len(REMI.vocabulary), width=width, layers=2, heads=2, context=32), seed=1)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_decoder_shares_the_weights_of_its_model_and_changes_none(family):
    model = small(family).eval()
    before, ids = copy.deepcopy(model.state_dict()), torch.arange(20)[None]
    with torch.no_grad():
        read, _ = model.read(ids)
        twin = prepared(model, int8=True)
        assert [p.data_ptr() for p in twin.parameters()] == [p.data_ptr() for p in model.parameters()]
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        state, told = None, []
        for t in range(20):  # the model itself steps as ever
            hidden_BTC, state = model.read(ids[:, t : t + 1], state)
            told.append(hidden_BTC)
    torch.testing.assert_close(torch.cat(told, dim=1), read, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_rows_go_on_from_where_they_stand_as_often_as_asked(family):
    decoder = EagerDecoder(small(family))
    ids = np.arange(12)
    with decoder.drawing():
        rows = decoder.select(decoder.read(ids[:8]), [0, 0, 0])
        first = decoder.step(rows, [[1], [2], [3]])
        again = decoder.select(decoder.step(rows, [[3], [2], [1]]), [2, 1, 0])
        assert np.array_equal(decoder.next_step(first).logits_BK(0), decoder.next_step(again).logits_BK(0))
        whole = decoder.read(np.append(ids[:8], 2))
        expected = decoder.next_step(whole).logits_BK(0)[0]
        np.testing.assert_allclose(decoder.next_step(first).logits_BK(0)[1], expected, atol=1e-4)


@pytest.mark.parametrize("width", [16, 20, 31, 48])
def test_layers_that_the_kernel_would_read_past_keep_their_32_bits(width):
    layer, x = Linear(width, 7), torch.randn(3, width)
    assert can_round(layer) is (width % 16 == 0 and hardware.has_int8())
    net = small("window", width=width)
    exact = net.eval()(torch.ones(1, 1, dtype=torch.int64))[0]
    rough = prepared(net, int8=True)(torch.ones(1, 1, dtype=torch.int64))[0]
    assert torch.allclose(exact, rough, atol=0.05)
    if can_round(layer):
        assert torch.allclose(_Product(layer, rounded=True)(x), layer(x), atol=0.05)


@pytest.mark.parametrize(
    ("device", "works", "width", "text"),
    [
        ("cuda", True, 32, "`int8`: weights of 8 bits are for a CPU, not for cuda; use `device` cpu"),
        ("cpu", False, 32, "`int8`: this PyTorch can't multiply with weights of 8 bits on this CPU; leave `int8` out"),
        (
            "auto",
            True,
            20,
            "`int8`: this cnn model has no layer for it: none is a multiple of 16 wide; leave `int8` out",
        ),
    ],
)
def test_a_wish_for_8_bits_that_cant_be_met_says_so(device, works, width, text, monkeypatch):
    from musicgen.checkpoint import Run
    from musicgen.recipe import Recipe
    from musicgen.sampling import eager

    monkeypatch.setattr(eager, "has_int8", lambda: works)
    run = Run(small("cnn", width=width), REMI, Recipe(), {}, "run", "0")
    with pytest.raises(UsageError) as caught:
        Composer(run, device=device, int8=True)
    assert str(caught.value) == text
