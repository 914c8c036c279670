"""The n-gram floor: it knows the fields of a step, chooses on the training split alone, and is stated in words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from musicgen.evaluation.figures import scored_spans
from musicgen.evaluation.ngram import doubt, evaluate_ngram, standing
from musicgen.piece import Piece, Track, notes_array
from musicgen.tokenizers import Notes, Parts, Remi


class Tunes:
    """Scales up and down, each from another pitch."""

    def __init__(self, tokenizer, *, train: int = 12, valid: int = 4) -> None:
        self.tokenizer, self.train = tokenizer, train
        every, self.rows = [], []
        for n in range(train + valid):
            steps = [0, 2, 4, 5, 7, 5, 4, 2] * 4
            notes = [(i * 480, 480, 50 + n % 12 + step, 80) for i, step in enumerate(steps)]
            ids = tokenizer.encode(Piece(480, (Track(notes=notes_array(notes)),)))
            self.rows.append((sum(map(len, every)), len(ids)))
            every.append(ids)
        self.tokens = np.concatenate(every)

    def spans(self, split: str) -> np.ndarray:
        rows = {"train": self.rows[: self.train], "valid": self.rows[self.train :]}.get(split, [])
        return np.array(rows, np.int64).reshape(-1, 2)


@pytest.fixture(params=[Remi, Notes, Parts], ids=lambda kind: kind.name)
def tokenizer(request):
    return request.param()


def test_it_learns_what_it_counts(tokenizer):
    source = Tunes(tokenizer)
    found, without = evaluate_ngram(source, tokenizer), evaluate_ngram(source, tokenizer, order=1)
    assert (without.order, set(map(len, without.conditions.values()))) == (1, {0})
    assert found.figures.nats_per_note < without.figures.nats_per_note * 0.6
    assert 1 < found.order <= 8
    assert found.figures.notes == without.figures.notes == 4 * 32
    total = found.figures.nats_per_token * found.figures.tokens
    assert found.figures.nats_per_note * found.figures.notes == pytest.approx(total)


def test_the_split_that_is_scored_has_no_say(tokenizer):
    source, other = Tunes(tokenizer), Tunes(tokenizer)
    offset, size = other.rows[-1]
    other.tokens = other.tokens.copy()
    other.tokens[offset + 1 : offset + size - 1] = other.tokens[offset + 1 : offset + size - 1][::-1]
    one, two = evaluate_ngram(source, tokenizer), evaluate_ngram(other, tokenizer)
    assert one.conditions == two.conditions
    assert one.figures.nats_per_token < two.figures.nats_per_token


def test_a_part_of_the_split_is_scored(tokenizer):
    source = Tunes(tokenizer)
    spans = scored_spans(source, "valid", max_tokens=source.rows[-1][1] * 2)
    got = evaluate_ngram(source, tokenizer, max_tokens=source.rows[-1][1] * 2).figures
    assert (len(spans), got.pieces, got.tokens) == (2, 2, int(spans[:, 1].sum()) - 2)


def test_a_part_of_the_training_split_is_counted():
    source = Tunes(Notes())
    assert evaluate_ngram(source, Notes(), most_counted=60).counted_tokens == sum(size for _, size in source.rows[:2])


def test_nothing_to_count_is_uniform():
    remi = Remi()
    got = evaluate_ngram(Tunes(remi, train=0), remi)
    assert (got.counted_tokens, got.order) == (0, 1)
    assert got.figures.nats_per_token == pytest.approx(math.log(len(remi.vocabulary)))


def test_it_tells_what_it_looked_at():
    found = evaluate_ngram(Tunes(Notes()), Notes())
    assert json.loads(json.dumps(found.to_dict()))["conditions"] == found.conditions
    assert list(found.conditions) == ["pitch", "duration", "velocity", "onset", "part"]
    named = {name for names in found.conditions.values() for name in names}
    assert named & {"pitch-1", "onset-1", "onset-1 by part", "pitch-1 by part"}, named


@pytest.mark.parametrize(
    ("nats", "said"),
    [
        (6.0, "behind the floor, 5.0000 nats a token: it has learned less than counting does; train longer or on more"),
        (5.04, "level with the floor, 5.0000 nats a token: it has learned about as much as counting does"),
        (4.96, "level with the floor"),
        (4.0, "ahead of the floor, 5.0000 nats a token: it has learned more than counting does, by 20% of the nats"),
    ],
)
def test_how_a_model_stands_to_it(nats, said):
    assert standing(nats, 5.0).startswith(said)


def test_few_pieces_are_doubted():
    assert [doubt("valid", n) for n in (0, 4)] == [None, None]
    assert doubt("valid", 3) == "valid has 3 pieces: figures may be chance"
    assert doubt("test", 1) == "test has 1 piece: figures may be chance"
