"""The numbers behind the pictures, on models and embeddings whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from musicgen.errors import UnreadableError
from musicgen.models import ModelSettings, build_model
from musicgen.pictures.probes import (
    gradient_by_lag,
    input_rows,
    pitch_classes,
    plane,
    read_columns,
    read_gradients,
    similarity_by_interval,
)

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


@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_an_id_has_a_row(family, embedding):
    rows_VC = input_rows(model(family, embedding=embedding))
    assert rows_VC is not None
    assert rows_VC.shape == (V, 64 if (family, embedding) == ("lstm", "one-hot") else 16)


def circle(pitch_P: np.ndarray) -> np.ndarray:
    """A made-up embedding in which each pitch class stands at its hour on the circle of fifths."""
    angle = pitch_P * 7 % 12 / 12 * math.tau
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)


def test_similarity_of_a_circle_of_fifths():
    pitch_P = np.arange(36, 84)
    got = similarity_by_interval(circle(pitch_P), pitch_P)
    assert got == pytest.approx([math.cos(interval * 7 % 12 / 12 * math.tau) for interval in range(25)])


def test_similarity_where_no_pair_is():
    got = similarity_by_interval(circle(np.array([60, 67])), np.array([60, 67]), widest=8)
    assert np.isfinite(got).tolist() == [True] + [False] * 6 + [True, False]


def test_pitch_classes_forget_the_register():
    """However large the share of the register, what is left is the circle."""
    pitch_P = np.arange(36, 84)
    rows_PC = circle(pitch_P)
    rows_PC[:, 2] = pitch_P
    means_12C = pitch_classes(rows_PC, pitch_P)
    inner = pitch_classes(rows_PC[6:-6], pitch_P[6:-6])
    assert means_12C is not None
    assert inner is not None
    assert np.linalg.norm(inner[:, :2] - circle(np.arange(12))[:, :2], axis=1).max() < 0.3
    assert np.abs(means_12C[:, 2]).max() < 2  # of 48 semitones
    assert pitch_classes(rows_PC[:11], pitch_P[:11]) is None


def test_the_plane_keeps_distances_of_what_is_flat():
    generator = np.random.default_rng(3)
    flat = generator.normal(size=(9, 2))
    turned = flat @ np.linalg.qr(generator.normal(size=(5, 5)))[0][:2] + 7
    points, shares = plane(turned)
    assert shares.sum() == pytest.approx(1)
    assert np.linalg.norm(points[:, None] - points[None], axis=2) == pytest.approx(
        np.linalg.norm(flat[:, None] - flat[None], axis=2)
    )


def test_logs_are_read_and_what_is_none_is_named(tmp_path):
    log, gradients = tmp_path / "log.csv", tmp_path / "gradients.csv"
    log.write_text("step,valid\n4,\n8,2.5\n9")
    columns = read_columns(log)
    assert columns["step"].tolist() == [4, 8]
    assert math.isnan(columns["valid"][0])
    gradients.write_text("step,layer,norm\n4,embedding,0.5\n4,head,1\n8,embedding,0.25\n8,head,2\n")
    layers = read_gradients(gradients)
    assert list(layers) == ["embedding", "head"]
    assert layers["embedding"][1].tolist() == [0.5, 0.25]
    log.write_text("step\nfour\n")
    with pytest.raises(UnreadableError, match=r"log.csv: 'four' is not a number; train the run again"):
        read_columns(log)
    gradients.write_text("step,norm\n")
    with pytest.raises(UnreadableError, match="has no column 'layer'"):
        read_gradients(gradients)
    log.write_text("")
    with pytest.raises(UnreadableError, match="can't be read"):
        read_columns(log)
