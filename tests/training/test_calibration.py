"""How sure a model is: fitted where it is lowest, the same from one pass as by itself, and nothing to training."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from step_kinds import KINDS, build, some
from torch.nn import functional as F
from training_tunes import REMI, Tunes, log, recipe

from musicgen.checkpoint import load_run
from musicgen.errors import UnreadableError
from musicgen.evaluation.likelihood import evaluate
from musicgen.models.heads.following import following_of
from musicgen.recipe import AugmentSettings
from musicgen.runs.files import sha256
from musicgen.training.calibration import LEAST, MOST, around, fitted
from musicgen.training.loop import train


@pytest.mark.parametrize("true", [0.5, 0.8, 1.0, 1.3])
def test_the_sharpness_of_scores_that_are_too_sure_is_found(true):
    torch.manual_seed(0)
    logits = torch.randn(4000, 6) * 2
    chosen = torch.multinomial((logits * true).softmax(-1), 1)[:, 0]

    def nats_SF(values):
        return torch.stack([F.cross_entropy(logits * v, chosen).view(1) for (v,) in values])

    inverse_temperature = (1.0,)
    for _ in range(6):
        inverse_temperature = fitted(inverse_temperature, nats_SF(around(inverse_temperature)))
    assert inverse_temperature[0] == pytest.approx(true, rel=0.06)
    below, here, above = nats_SF(
        [(inverse_temperature[0] * 0.95,), inverse_temperature, (inverse_temperature[0] * 1.05,)]
    )
    assert here < min(below, above)


def test_a_parabola_without_a_lowest_point_moves_nothing_and_limits_hold():
    assert fitted((0.7,), torch.tensor([[1.0], [1.0], [1.0]])) == (0.7,)
    assert fitted((0.7, 0.9), torch.tensor([[math.nan] * 2] * 3)) == (0.7, 0.9)
    assert fitted((LEAST,), torch.tensor([[0.0], [1.0], [2.1]])) == (LEAST,)
    assert fitted((MOST,), torch.tensor([[2.1], [1.0], [0.0]])) == (MOST,)


@pytest.mark.parametrize("kind", KINDS)
def test_several_from_one_pass_are_those_of_models_sharpened_so(kind):
    tokenizer, shape = KINDS[kind]
    torch.manual_seed(0)
    net, (ids, targets) = build("lstm", tokenizer, **shape), some(kind)
    fields = len(shape.get("fields", (1,)))
    values = [(pair * 3)[:fields] for pair in ((0.6, 0.9), (1.0, 1.0), (1.4, 0.5))]
    asked = {"pad": tokenizer.vocabulary.id("pad"), "following_VV": following_of(tokenizer)}
    with torch.no_grad():
        together = net.nats_at(ids, targets, **asked, inverse_temperature=values)
        assert net.inverse_temperature == (1.0,) * fields  # its own stays
        for inverse_temperature, nats in zip(values, together, strict=True):
            net.set_inverse_temperature(inverse_temperature)
            torch.testing.assert_close(nats, net.nats(ids, targets, **asked)[0])
            if not net.settings.fields:  # and what sampling sees says the same
                logits = net(ids)[0].masked_fill(~asked["following_VV"][ids], -torch.inf) if shape else net(ids)[0]
                torch.testing.assert_close(
                    -logits.log_softmax(-1).gather(2, targets[..., None])[..., 0], nats, atol=1e-4, rtol=1e-4
                )
        assert not torch.allclose(together[0], together[1])
        net.set_inverse_temperature((1.0,) * fields)
        torch.testing.assert_close(together[1], net.nats(ids, targets, **asked)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_training_goes_without(kind):
    tokenizer, shape = KINDS[kind]
    net, (ids, targets) = build("gru", tokenizer, **shape).train(), some(kind)
    asked = {"pad": tokenizer.vocabulary.id("pad"), "following_VV": following_of(tokenizer)}
    before, _ = net.nats(ids, targets, **asked)
    net.set_inverse_temperature([0.5] * len(net.inverse_temperature))
    assert torch.equal(net.nats(ids, targets, **asked)[0], before)


def test_a_sharpness_that_is_none_is_refused():
    net = build("gru", REMI)
    for values in ((), (1.0, 1.0), (0.0,), (-1.0,), (math.nan,), (math.inf,)):
        with pytest.raises(ValueError, match="inverse temperatures are 1 numbers above 0"):
            net.set_inverse_temperature(values)


def test_a_run_that_learned_by_heart_is_told_to_be_less_sure(tmp_path):
    settings = recipe("lstm", steps=250, evaluate_every=250, learning_rate=2e-2)
    shape = {**settings.model, "width": 64, "dropout": 0.0}
    settings = replace(settings, model=shape, augment=AugmentSettings(0, 0, 0))
    plain = train(Tunes(), REMI, recipe=settings.with_train(calibrate=False), folder=tmp_path / "plain", device="cpu")
    card = train(Tunes(), REMI, recipe=settings, folder=tmp_path / "run", device="cpu")
    assert plain["valid_nats_per_token"] > card["valid_nats_per_token"]
    run = load_run(tmp_path / "run")
    assert load_run(tmp_path / "plain").model.inverse_temperature == (1.0,)
    assert 0 < run.model.inverse_temperature[0] < 1
    assert run.card["sharpness"] == list(run.model.inverse_temperature)
    figures = evaluate(run.model, Tunes(), REMI)
    assert figures.nats_per_token == pytest.approx(card["valid_nats_per_token"], rel=0.02)
    told = [float(row["valid_nats_per_token"]) for row in log(tmp_path / "run")]
    assert card["valid_nats_per_token"] <= min(told) + 1e-9


def test_a_card_with_another_models_sharpness_is_refused(tmp_path):
    train(Tunes(), REMI, recipe=recipe("lstm", steps=1), folder=tmp_path / "run", device="cpu")
    card, manifest = tmp_path / "run" / "card.json", tmp_path / "run" / "manifest.json"
    for wrong in ([1.0, 1.0], [0], "sharp", 3):
        card.write_text(json.dumps({**json.loads(card.read_text()), "sharpness": wrong}))
        told = json.loads(manifest.read_text())
        told["sha256"]["card.json"] = sha256(card)
        manifest.write_text(json.dumps(told))
        with pytest.raises(UnreadableError, match=r"sharpness (doesn't fit the model|is .*, not a list)"):
            load_run(tmp_path / "run")
