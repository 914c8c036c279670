"""How far back a model listens, on models whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from musicgen.models import ModelSettings, build_model
from musicgen.pictures.memory import gradient_by_lag

V, PAD = 30, 0
FIELDS = ((0, 10), (10, 20))


def model(family: str, **changes):
    return build_model(ModelSettings(family, V, **{"width": 16, "layers": 1, "heads": 2, "context": 12, **changes}))


def some_ids(fields: bool = False, T: int = 24) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if not fields:
        return torch.randint(1, V, (3, T), generator=generator)
    columns = [torch.randint(max(1, first), first + size, (3, T), generator=generator) for first, size in FIELDS]
    return torch.stack(columns, dim=2)


def lags(net, ids: torch.Tensor) -> np.ndarray:
    return gradient_by_lag(net, ids[:, :-1], ids[:, 1:], pad=PAD)


@pytest.mark.parametrize("fields", [(), FIELDS])
def test_a_window_hears_nothing_past_its_lags(fields):
    norm_NK = lags(model("window", context=5, fields=fields), some_ids(bool(fields)))
    assert norm_NK.shape == (3, 23)
    assert (norm_NK[:, :5] > 0).all()
    assert not norm_NK[:, 5:].any()


def test_attention_hears_as_far_as_its_context():
    norm_NK = lags(model("transformer"), some_ids())
    assert (norm_NK[:, :12] > 0).all()
    assert not norm_NK[:, 12:].any()


@pytest.mark.parametrize("family", ["rnn", "gru", "lstm", "cnn-lstm"])
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_recurrence_hears_all_and_ever_less(family, embedding):
    norm_NK = lags(model(family, embedding=embedding), some_ids())
    assert (norm_NK > 0).all()
    assert (norm_NK[:, 15:].mean(axis=1) < norm_NK[:, :5].mean(axis=1)).all()


def test_lags_are_the_gradient_of_the_embedded_step():
    """Against differences: the last step's nats, with one number of the embedded input moved."""
    net, ids = model("lstm").double().eval(), some_ids()
    inputs, last = ids[:, :-1], ids[:, -1]

    def nats(lag: int, unit: int, by: float) -> torch.Tensor:
        def move(_module, _ids, x):
            x = x.clone()
            x[:, -1 - lag, unit] += by
            return x

        hook = net.embedding.register_forward_hook(move)
        with torch.no_grad():
            logits, _ = net(inputs)
        hook.remove()
        return -logits[:, -1].log_softmax(-1).gather(1, last[:, None])[:, 0]

    for lag in (0, 4):
        slope = torch.stack([(nats(lag, unit, 1e-4) - nats(lag, unit, -1e-4)) / 2e-4 for unit in range(16)])
        assert lags(net, ids)[:, lag] == pytest.approx(slope.norm(dim=0).numpy(), rel=1e-3)


def test_a_probe_leaves_no_gradient_and_no_hook():
    net, ids = model("lstm", embedding="one-hot"), some_ids()
    first = lags(net, ids)
    assert all(p.grad is None for p in net.parameters())
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())
    assert np.array_equal(first, lags(net, ids))
