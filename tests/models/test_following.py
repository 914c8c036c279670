"""Likelihoods over the ids that may follow: they sum to one over those, and training through the mask stays finite."""

from __future__ import annotations

import math

import pytest
import torch

from musicgen.models import ModelSettings, build_model
from musicgen.models.heads.following import following_of, masked, scored_targets

V, PAD, EOS = 6, 0, 2
FOLLOWING = torch.zeros(V, V, dtype=torch.bool)
FOLLOWING[:, 3:] = True
FOLLOWING[3, 3] = FOLLOWING[4, 3:5] = False


class Unordered:
    following = None


class Ordered:
    following = FOLLOWING.numpy()


def model(family: str):
    return build_model(ModelSettings(family, V, width=16, layers=1, heads=2, context=16), seed=1)


@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_what_may_follow_sums_to_one_and_the_rest_is_impossible(family):
    net = model(family).eval()
    for last in range(V):
        ids = torch.tensor([[1, 5, last]])
        for token in range(1, V):
            targets = torch.tensor([[5, last, token]])
            nats, _ = net.nats(ids, targets, pad=PAD, following_VV=FOLLOWING)
            assert math.isinf(nats[0, 2].item()) == (not FOLLOWING[last, token])
        every = [
            net.nats(ids, torch.tensor([[5, last, t]]), pad=PAD, following_VV=FOLLOWING)[0][0, 2] for t in (3, 4, 5)
        ]
        assert torch.stack(every).neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_without_a_table_nothing_changes():
    net = model("lstm").eval()
    ids, targets = torch.tensor([[1, 3, 4]]), torch.tensor([[3, 4, EOS]])
    plain, _ = net.nats(ids, targets, pad=PAD)
    open_, _ = net.nats(ids, targets, pad=PAD, following_VV=torch.ones(V, V, dtype=torch.bool))
    assert torch.equal(plain, open_)
    assert following_of(Unordered()) is None
    assert scored_targets(targets, None, pad=PAD) is targets


def test_ends_and_padding_are_not_scored_and_gradients_are_finite():
    net = model("lstm")
    table = following_of(Ordered())
    assert table is not None
    ids = torch.tensor([[1, 3, 5, 4, EOS, PAD, PAD]])
    targets = scored_targets(torch.tensor([[3, 5, 4, EOS, PAD, PAD, PAD]]), table, pad=PAD)
    assert targets.tolist() == [[3, 5, 4, PAD, PAD, PAD, PAD]]
    nats, _ = net.nats(ids, targets, pad=PAD, following_VV=table)
    assert (nats[0] > 0).tolist() == [True] * 3 + [False] * 4
    nats.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_the_mask_depends_on_the_id_before():
    logits = masked(torch.zeros(1, 2, V), torch.tensor([[3, 4]]), FOLLOWING)
    assert torch.equal(logits[0].isfinite(), FOLLOWING[[3, 4]])
