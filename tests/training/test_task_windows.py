"""Windows of music in parts: with their past in one key and one loudness, as tasks, and some pieces more often."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from memory_models import build
from part_pieces import PARTS, tune
from training_tunes import on_steps

from musicgen.errors import UsageError
from musicgen.models.layouts import ONSET, PART, VELOCITY
from musicgen.recipe import AugmentSettings, Recipe, TrainSettings, recipe_toml
from musicgen.tokenizers import Notes
from musicgen.training.batch import Batch
from musicgen.training.batches import Batches, augmented
from musicgen.training.loop import train

STILL = AugmentSettings(0, 0, 0)
V = PARTS.vocabulary
LENGTH = 40


class Tunes:
    """Four tunes for training, one of them for validation, too."""

    def __init__(self, weights: tuple[float, ...] = ()) -> None:
        pieces = [PARTS.encode(tune(seed)) for seed in range(4)]
        ends = np.cumsum([len(piece) for piece in pieces])
        self.tokens = np.concatenate(pieces)
        self.rows = np.stack([ends - [len(piece) for piece in pieces], [len(piece) for piece in pieces]], axis=1)
        if weights:
            self.weights = lambda split: np.array(weights)

    def spans(self, split: str) -> np.ndarray:
        return self.rows if split == "train" else self.rows[:1]


def batches(augment: AugmentSettings, **given) -> Batches:
    return Batches(Tunes(**given), PARTS, length=LENGTH, batch=4, seed=0, augment=augment, pasts=True)


def whole_rows(batch: Batch) -> list[np.ndarray]:
    """Past and window of each row of a batch, together, without padding."""
    assert torch.equal(batch.inputs[:, 1:], batch.targets[:, :-1])
    rows = [
        np.concatenate([past, window, [last]])
        for past, window, last in zip(batch.pasts, batch.inputs.numpy(), batch.targets[:, -1].numpy(), strict=True)
    ]
    return [row[(row != 0).any(axis=1)] for row in rows]


def test_past_and_window_are_varied_as_one():
    """In one key, at one tempo, with the same instruments, and as loud as each other."""
    data = batches(AugmentSettings(-5, 6, 2, programs=0.5, loudness=1.0))
    source, seen = Tunes(), set()
    for step in range(6):
        for row in whole_rows(data(step)):
            plain = next(
                piece[: len(row)]
                for piece in (source.tokens[a : a + n] for a, n in source.rows)
                if len(piece) >= len(row) and np.array_equal(piece[: len(row), [1, 3]], row[:, [1, 3]])
            )
            shift = row[:, 0].astype(int) - plain[:, 0]
            melodic = V.is_kind(plain[:, 0], "pitch")
            assert len(set(shift[melodic].tolist())) == 1
            assert not shift[~melodic].any()
            told = set(zip(plain[:, VELOCITY].tolist(), row[:, VELOCITY].tolist(), strict=True))
            assert len(told) == len({before for before, _ in told}), "one level stays one"
            assert all(after for before, after in told if before)
            assert np.array_equal(row[1:, PART], plain[1:, PART])
            seen.add((int(shift[melodic][0]), int(row[0, PART]), *row[1:5, 5].tolist()))
    assert len(seen) > 10


def test_tasks_come_as_often_as_asked_and_hold_what_the_music_does():
    data, plain = batches(AugmentSettings(0, 0, 0, infill=0.4, accompany=0.4)), batches(STILL)
    kinds: Counter = Counter()
    for step in range(12):
        told = whole_rows(data(step))
        assert torch.equal(data(step).inputs, data(step).inputs)
        assert torch.equal(data(step).targets, data(step).targets)
        for row in told:
            marks = {V.token(int(i)).split("_")[0] for i in row[:, ONSET]} & {"again", "here"}
            kinds[marks.pop() if marks else "plain"] += 1
            assert not marks
            assert row[0, ONSET] == V.id("bos"), "the past goes back to the beginning"
            PARTS.decode(row).validate()
    assert min(kinds.values()) > 3, kinds
    assert all((whole_rows(plain(step))[0][:, ONSET] != V.id("again")).all() for step in range(4))
    assert data(0).inputs.shape == (4, LENGTH, 6)


def test_a_tokenizer_without_tasks_says_so():
    with pytest.raises(UsageError, match="tasks, and the tokenizer notes has none; leave infill and accompany out"):
        Batches(Tunes(), Notes(), length=LENGTH, batch=4, seed=0, augment=AugmentSettings(infill=0.1))


def test_pieces_are_drawn_by_their_weight():
    drawn: Counter = Counter()
    data, even = batches(STILL, weights=(0, 3, 1, 1)), batches(STILL, weights=(1, 1, 1, 1))
    rng = np.random.default_rng(0)
    for _ in range(600):
        past, window = data._window(rng)
        drawn[
            next(n for n, (a, size) in enumerate(data.spans) if np.shares_memory(window, data.tokens[a : a + size]))
        ] += 1
        assert len(past) + len(window) <= data.spans[:, 1].max()
    assert drawn[0] == 0
    assert 1.8 < drawn[1] / drawn[2] < 4.5
    assert 0.6 < drawn[2] / drawn[3] < 1.6
    for step in range(3):
        assert torch.equal(even(step).inputs, batches(STILL)(step).inputs), "where all weigh the same, nothing changes"


def test_one_variation_does_not_change_the_draws_of_the_others():
    ids = PARTS.encode(tune(0))
    plain, louder = (
        augmented(ids, PARTS, AugmentSettings(-5, 6, 2, 1.0, loudness=loudness), np.random.default_rng(3))
        for loudness in (0.0, 1.0)
    )
    others = [0, 1, 3, 4, 5]
    assert np.array_equal(plain[:, others], louder[:, others])
    assert not np.array_equal(plain, louder)


def test_shares_out_of_range_are_refused_and_others_stand_in_the_recipe():
    for name in ("loudness", "infill", "accompany"):
        with pytest.raises(UsageError, match=rf"\[augment\] {name} is 1.5; give a share from 0 to 1"):
            AugmentSettings(**{name: 1.5})
        assert f"{name} = 0.25" in recipe_toml(Recipe(augment=AugmentSettings(**{name: 0.25})))


@pytest.mark.parametrize("memory", [True, False])
def test_a_run_trains_resumes_and_is_scored(tmp_path, memory):
    shape = {"family": "gru", "width": 16, "layers": 1, "context": 64, "with_memory": memory}
    settings = TrainSettings(steps=4, batch=2, length=LENGTH, evaluate_every=2, precision="float32")
    augment = AugmentSettings(loudness=0.5, infill=0.3 if memory else 0.0, accompany=0.3 if memory else 0.0)
    given = {"recipe": Recipe(shape, settings, augment), "device": "cpu"}
    card = train(Tunes(), PARTS, folder=tmp_path / "whole", **given)
    assert 0 < card["valid_nats_per_token"] < 40

    def interrupt(progress):
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Tunes(), PARTS, folder=tmp_path / "parts", listener=on_steps(interrupt), **given)
    train(Tunes(), PARTS, folder=tmp_path / "parts", resume=True, **given)
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    assert build("gru", with_memory=memory).recalls == memory
