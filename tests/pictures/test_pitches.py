"""How pitches lie to one another, on embeddings whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from musicgen.models import ModelSettings, build_model
from musicgen.pictures.pitches import input_rows, pitch_classes, plane, similarity_by_interval

V = 30


@pytest.mark.parametrize("family", ["lstm", "transformer"])
@pytest.mark.parametrize("embedding", ["learned", "one-hot"])
def test_an_id_has_a_row(family, embedding):
    settings = ModelSettings(family, V, width=16, layers=1, heads=2, context=12, embedding=embedding)
    rows_VC = input_rows(build_model(settings))
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
