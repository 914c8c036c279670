"""Attention weights, written out, are those that the fused attention uses."""

from __future__ import annotations

import pytest
import torch

from musicgen.models import ModelSettings, build_model
from musicgen.models.ladder.transformer import attention_weights

FIELDS = {"flat": (), "fields": ((0, 10), (10, 20), (30, 10))}


def transformer(kind: str, context: int = 32):
    settings = ModelSettings("transformer", 40, width=24, layers=2, heads=3, context=context, fields=FIELDS[kind])
    return build_model(settings, seed=2)


def some_ids(kind: str, T: int = 20) -> torch.Tensor:
    shape = (2, T) if kind == "flat" else (2, T, 3)
    return torch.randint(0, 10, shape, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("context", [32, 7])
def test_weights_times_values_is_what_the_fused_attention_gives(kind, context):
    model, ids = transformer(kind, context), some_ids(kind)
    read: list[torch.Tensor] = []
    told: list[torch.Tensor] = []
    for block in model.blocks:
        block.attention.query_key_value.register_forward_hook(lambda _m, _x, qkv: read.append(qkv))
        block.attention.project.register_forward_pre_hook(lambda _m, x: told.append(x[0]))
    model.eval().read(ids)
    every_read, every_told = list(read), list(told)  # attention_weights runs the blocks again
    for weights_BHTT, qkv, y_BTC in zip(attention_weights(model, ids), every_read, every_told, strict=True):
        value_BHTD = qkv.unflatten(-1, (3, 3, 8))[:, :, 2].transpose(1, 2)
        ours_BTC = (weights_BHTT @ value_BHTD).transpose(1, 2).flatten(2)
        assert torch.allclose(ours_BTC, y_BTC, atol=1e-5)


def test_a_row_sums_to_one_and_looks_neither_ahead_nor_past_the_context():
    for weights_BHTT in attention_weights(transformer("flat", 7), some_ids("flat")):
        assert weights_BHTT.shape == (2, 3, 20, 20)
        assert torch.allclose(weights_BHTT.sum(dim=-1), torch.ones(2, 3, 20), atol=1e-6)
        assert torch.equal(weights_BHTT, weights_BHTT.tril())
        assert not weights_BHTT.tril(-7).any()
        assert (weights_BHTT.diagonal(-6, dim1=2, dim2=3) > 0).all()


def test_dropout_plays_no_part():
    settings = ModelSettings("transformer", 40, width=24, layers=2, heads=3, context=32, dropout=0.5)
    model, ids = build_model(settings, seed=2).train(), some_ids("flat")
    one, other = attention_weights(model, ids), attention_weights(model, ids)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
