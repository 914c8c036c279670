"""A studied copy knows the piece better, the model itself stays, and the same study gives the same weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from musicgen.checkpoint import model_for
from musicgen.events import Began, Finished, Progress
from musicgen.models import SequenceModel
from musicgen.piece import Piece, Track, notes_array
from musicgen.recipe import Recipe
from musicgen.scoring import Scoring
from musicgen.tokenizers import Parts
from musicgen.training.study import StudySettings, _windows, study

PARTS = Parts()
SCORING = Scoring.of(PARTS)
SETTINGS = StudySettings(updates=8, rate=3e-3, rows=64, length=64)


def tune(*steps: int, count: int = 96) -> np.ndarray:
    rows = [(n * 240, 240, 60 + steps[n % len(steps)], 70) for n in range(count)]
    return PARTS.encode(Piece(480, (Track("", 0, notes=notes_array(rows)),))).astype(np.int64)


@pytest.fixture
def model() -> SequenceModel:
    shape = {"family": "gru", "width": 16, "layers": 1, "context": 64}
    return model_for(Recipe(shape), PARTS).eval()


def nats(model: SequenceModel, ids: np.ndarray) -> float:
    rows = torch.from_numpy(ids)[None]
    with torch.no_grad():
        return float(model.nats(rows[:, :-1], rows[:, 1:], pad=0)[0].sum())


def test_a_studied_copy_knows_the_piece_and_the_model_stays(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    piece = tune(0, 4, 7, 4)
    updates = []
    studied = study(model, [piece], scoring=SCORING, settings=SETTINGS, listener=updates.append)
    count = SETTINGS.updates_for(len(piece))
    steps = [Progress(n, count, "update") for n in range(1, count + 1)]
    assert updates == [Began("study", "update", count), *steps, Finished("study")]
    assert nats(studied, piece) < nats(model, piece)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    moved = {n for n, value in studied.state_dict().items() if not torch.equal(value, before[n])}
    assert moved
    assert all(name.startswith("pointer_head.") for name in moved), "only the head moves"


def test_the_same_study_gives_the_same_weights(model):
    one, two, other = (
        study(model, [tune(0, 4, 7)], scoring=SCORING, settings=SETTINGS, seed=seed) for seed in (3, 3, 4)
    )
    same = [torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_too_little_to_learn_from_leaves_the_model(model):
    assert study(model, [tune(0, 4, count=8)], scoring=SCORING, settings=SETTINGS) is model
    assert study(model, [tune(0, 4)], scoring=SCORING, settings=StudySettings(updates=0)) is model


@pytest.mark.parametrize(("share", "least", "most"), [(1.0, 20, 20), (0.5, 6, 19), (0.0, 0, 5)])
def test_the_piece_in_hand_keeps_its_share_beside_a_shelf(model, monkeypatch, share, least, most):
    piece, shelf = tune(0, 4, 7, 4), tune(24, 26, count=2000)
    high = PARTS.vocabulary.id("pitch", 84)
    looks, look = [], type(model.step_head).nats

    def noted(self, reading, targets, **options):
        looks.append(not (targets == high).any())
        return look(self, reading, targets, **options)

    monkeypatch.setattr(type(model.step_head), "nats", noted)
    study(model, [piece, shelf], scoring=SCORING, settings=StudySettings(updates=20, rows=64, length=32), first=share)
    assert len(looks) == 20
    assert least <= sum(looks) <= most


def test_of_a_long_piece_its_end_is_studied_and_windows_dont_overlap():
    ids = np.arange(1000)[:, None].repeat(6, 1)
    settings = StudySettings(length=64, windows=4)
    found = _windows(ids, 4, settings, np.random.default_rng(0))
    assert len(found) == 4
    assert found[0][1][-1, 0] == 999
    targets = [step for past, window in found for step in window[1:, 0].tolist()]
    assert len(set(targets)) == len(targets)
    assert all(np.array_equal(np.concatenate([past, window]), ids[: len(past) + len(window)]) for past, window in found)
    every = _windows(ids, len(ids), settings, np.random.default_rng(0))
    assert sorted(step for _, window in every for step in window[1:, 0].tolist()) == list(range(1, 1000))


def test_a_head_goes_part_of_the_way(model):
    piece = tune(0, 4, 7, 4)
    whole, half, none = (
        study(model, [piece], scoring=SCORING, settings=replace(SETTINGS, kept=kept)) for kept in (1.0, 0.5, 0.0)
    )
    for a, b, c, was in zip(*(each.parameters() for each in (whole, half, none, model)), strict=True):
        torch.testing.assert_close(b, (a + was) / 2)
        torch.testing.assert_close(c, was)
