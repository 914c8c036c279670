"""What a classifier reads: every class as often as the others, and every step of a piece that is scored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from classify_tunes import SHAPE, make_corpus

from musicgen.models import FAMILIES, ModelSettings
from musicgen.models.tasks.classifier import POOLINGS
from musicgen.models.tasks.registry import build_task_model
from musicgen.recipe import Recipe, TrainSettings
from musicgen.tasks.classify.labels import labels_of
from musicgen.tasks.classify.scoring import Scored
from musicgen.tasks.classify.windows import Draw, Windows, windows_over
from musicgen.tokenizers import load_tokenizer

PAD = 0


def classifier(family: str = "gru", **task):
    table = {"name": "classify", "classes": ["a", "b", "c"], **task}
    return build_task_model(ModelSettings(vocabulary_size=20, **{**SHAPE, "family": family}), table, seed=1).eval()


@pytest.mark.parametrize("size", [1, 7, 8, 9, 20])
def test_windows_cover_a_piece_and_none_is_short_but_of_a_short_piece(size):
    ids = np.arange(size)
    windows = windows_over(ids, length=8, most=100)
    assert set(np.concatenate(windows).tolist()) == set(range(size))
    assert {len(window) for window in windows} == {min(8, size)}
    assert len(windows_over(np.arange(1000), length=8, most=5)) == 5


@pytest.mark.parametrize("balance", ["sampling", "weights", "none"])
def test_classes_count_the_same_where_they_are_balanced(tmp_path, balance):
    corpus = make_corpus(tmp_path)
    found = labels_of(corpus, label="folder").of("train")
    few = [each for each in found if each[1] == 0] + [each for each in found if each[1] == 1][:2]
    recipe = Recipe({}, TrainSettings(batch=200, length=16), task={"name": "classify", "balance": balance})
    draw = Draw(corpus, few, load_tokenizer(corpus.spec), recipe=recipe)
    batch = draw(3)
    weight = batch.weights_B[batch.classes_B == 1].sum() / batch.weights_B.sum()
    assert abs(weight - 0.5) < 0.15 if balance != "none" else weight < 0.35
    assert torch.equal(draw(3).ids, batch.ids)
    assert not torch.equal(draw(4).ids[:, :8], batch.ids[:, :8])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_body_is_pooled_over_what_counts_alone(family):
    windows = [np.arange(1, 12), np.arange(3, 9)]
    for pooling in POOLINGS:
        model = classifier(family, pooling=pooling)
        together = Windows.of(windows, pad=PAD)
        logits_BK = model(together.ids, together.lengths_B)
        for row, window in zip(logits_BK, windows, strict=True):
            alone = Windows.of([window], pad=PAD)
            torch.testing.assert_close(model(alone.ids, alone.lengths_B)[0], row, rtol=1e-4, atol=1e-5)


def test_the_probabilities_of_a_piece_are_the_mean_over_its_windows():
    model, pieces = classifier(), [np.arange(1, 20) % 19, np.arange(1, 6)]
    scored = Scored(pieces, length=8, pad=PAD, most=10)
    chances_SPK = scored.chances(model, inverse_temperature=[(1.0,), (0.5,)])
    windows = [Windows.of([window], pad=PAD) for window in windows_over(pieces[0], length=8, most=10)]
    logits = torch.cat([model(window.ids, window.lengths_B) for window in windows])
    for at, value in enumerate((1.0, 0.5)):
        expected = (logits * value).softmax(-1).mean(0).detach().numpy()
        np.testing.assert_allclose(chances_SPK[at, 0], expected, rtol=1e-4)
    np.testing.assert_allclose(chances_SPK.sum(-1), 1.0)
