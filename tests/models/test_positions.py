"""Kinds of positions of a Transformer: each steps as it reads whole, and tells of the order what it can."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from musicgen.errors import UsageError
from musicgen.models import ModelSettings, build_model
from musicgen.models.ladder.transformer import attention_weights
from musicgen.models.layers.positions import Sinusoids
from musicgen.recipe import Recipe, TrainSettings
from musicgen.sampling.decoder import EagerDecoder
from musicgen.training.next_note import NextNote

V, CONTEXT = 40, 16
POSITIONS = ["none", "sinusoidal", "learned", "rotary"]


def transformer(positions: str, **changes):
    shape = {"width": 32, "layers": 2, "heads": 2, "context": CONTEXT, "positions": positions, **changes}
    model = build_model(ModelSettings("transformer", V, **shape), seed=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10 if parameter.ndim == 2 else 1)
    return model


def some_ids(steps: int) -> torch.Tensor:
    return torch.randint(V, (2, steps), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("positions", POSITIONS)
def test_steps_of_the_decoder_equal_the_whole_pass(positions):
    model = transformer(positions)
    steps = CONTEXT if positions == "learned" else 3 * CONTEXT  # the others slide past their context
    ids = some_ids(steps)[:1]
    with torch.no_grad():
        whole, _ = model(ids)
    decoder = EagerDecoder(model)
    with decoder.drawing():
        rows = decoder.read(ids[0, :5].numpy())
        for t in range(5, steps + 1):
            logits = torch.from_numpy(decoder.next_step(rows).logits_BK(0))
            torch.testing.assert_close(logits, whole[:, t - 1], atol=1e-4, rtol=1e-4)
            if t < steps:
                rows = decoder.step(rows, [[int(ids[0, t])]])


@pytest.mark.parametrize("positions", POSITIONS)
def test_the_weights_of_attention_are_those_that_are_computed_with(positions):
    """Value vectors summed by the weights give what the block adds."""
    model, ids = transformer(positions, layers=1), some_ids(9)
    (weights_BHTT,) = attention_weights(model, ids)
    torch.testing.assert_close(weights_BHTT.sum(-1), torch.ones(2, 2, 9))
    block = model.blocks[0]
    with torch.no_grad():
        x_BTC, turns = model.placed(ids, 0)
        normed_BTC = block.attention_norm(x_BTC)
        values_BHTD = block.attention.query_key_value(normed_BTC).unflatten(-1, (3, 2, 16))[:, :, 2].transpose(1, 2)
        summed_BTC = (weights_BHTT @ values_BHTD).transpose(1, 2).flatten(2)
        added_BTC, _ = block.attention(normed_BTC, turns, None)
        torch.testing.assert_close(block.attention.project(summed_BTC), added_BTC, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("positions", POSITIONS)
def test_only_without_positions_does_the_order_of_the_past_not_matter_to_one_layer(positions):
    model = transformer(positions, layers=1)
    ids = some_ids(8)
    turned = torch.cat([ids[:, :7].flip(1), ids[:, 7:]], dim=1)
    with torch.no_grad():
        same = torch.allclose(model(ids)[0][:, -1], model(turned)[0][:, -1], atol=1e-4)
    assert same == (positions == "none")


def test_sinusoids_are_those_of_the_paper():
    C = 8
    added_TC = Sinusoids(16, C, size=1 / math.sqrt(2))(3, 5000).numpy()
    position, i = np.arange(3, 5003)[:, None], np.arange(C // 2)
    angle = position / 10_000 ** (2 * i / C)
    np.testing.assert_allclose(added_TC, np.concatenate([np.sin(angle), np.cos(angle)], axis=1), atol=1e-6)


def test_learned_positions_end_with_the_context():
    model = transformer("learned")
    with pytest.raises(UsageError) as refused, torch.no_grad():
        model(some_ids(CONTEXT + 1))
    assert str(refused.value) == (
        "model.positions = learned: step 17 is past the 16 positions that this model has learned; "
        "ask for less, or train with a longer context, or with rotary positions"
    )
    with torch.no_grad():
        _, state = model(some_ids(CONTEXT))
    with pytest.raises(UsageError, match="step 17 is past"), torch.no_grad():
        model(some_ids(1), state)


def test_training_windows_need_as_many_positions():
    recipe = Recipe({}, TrainSettings(length=CONTEXT + 1))
    with pytest.raises(UsageError) as refused:
        NextNote().check_request(transformer("learned"), recipe, torch.device("cpu"), taught=False)
    assert str(refused.value) == (
        "model.positions = learned: windows of 17 tokens need as many positions, and 16 are learned; "
        "make train.length and model.context equal"
    )
    NextNote().check_request(transformer("rotary"), recipe, torch.device("cpu"), taught=False)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"positions": "sinusoid"}, "positions is 'sinusoid'; did you mean 'sinusoidal'?"),
        (
            {"family": "lstm", "positions": "none"},
            "positions is 'none', and the family lstm reads its steps in order anyway",
        ),
        (
            {"recurrence": "loop"},
            "recurrence is 'loop', and the family transformer has none; leave it out, or choose from",
        ),
        ({"family": "gru", "recurrence": "hand"}, "recurrence is 'hand'; choose from fused, loop"),
    ],
)
def test_settings_of_other_families_are_refused(changes, text):
    with pytest.raises(UsageError) as refused:
        ModelSettings(**{"family": "transformer", "vocabulary_size": V, **changes})
    assert text in str(refused.value)
