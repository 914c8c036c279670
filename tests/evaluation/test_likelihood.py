"""Likelihoods against a sum written out by hand, whatever the windows; musical statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from musicgen.errors import UnreadableError, UsageError
from musicgen.evaluation.figures import Tally
from musicgen.evaluation.likelihood import evaluate, step_nats
from musicgen.evaluation.statistics import statistics
from musicgen.models import ModelSettings, build_model
from musicgen.piece import METER, Piece, Track, notes_array
from musicgen.scoring import Scoring
from musicgen.tokenizers import Remi

REMI = Remi()
V = len(REMI.vocabulary)
PLAIN = Scoring(pad=0)


class Tunes:
    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        every, self.rows = [], []
        for n in range(4):
            notes = [(i * 480, 480, int(rng.integers(55, 75)), 80) for i in range(20 + 10 * n)]
            ids = REMI.encode(Piece(480, (Track(notes=notes_array(notes)),)))
            self.rows.append((sum(map(len, every)), len(ids)))
            every.append(ids)
        self.tokens = np.concatenate(every)

    def spans(self, split: str) -> np.ndarray:
        return np.array({"train": self.rows[:3], "valid": self.rows[3:]}.get(split, []), np.int64).reshape(-1, 2)


def model(family: str, context: int):
    return build_model(ModelSettings(family, V, width=16, layers=1, heads=2, context=context), seed=3).eval()


def by_hand(net, ids: np.ndarray) -> float:
    with torch.inference_mode():
        logits, _ = net(torch.from_numpy(ids[None, :-1].astype(np.int64)))
    return F.cross_entropy(logits[0], torch.from_numpy(ids[1:].astype(np.int64)), reduction="sum").item()


@pytest.mark.parametrize("family", ["lstm", "transformer"])
def test_a_piece_within_the_context_is_the_plain_sum(family):
    tunes = Tunes()
    ids = tunes.tokens[: tunes.rows[0][1]].astype(np.int64)
    net = model(family, 512)
    assert step_nats(net, ids, PLAIN).sum() == pytest.approx(by_hand(net, ids), rel=1e-5)


def test_every_token_is_scored_once_past_the_context():
    """With a model that ignores its input, windows can't change the sum."""
    tunes = Tunes()
    ids = tunes.tokens[: tunes.rows[2][1]].astype(np.int64)
    net = model("transformer", 16)
    with torch.no_grad():
        net.norm.weight.zero_()
    assert step_nats(net, ids, PLAIN).sum() == pytest.approx((len(ids) - 1) * math.log(V), rel=1e-5)


def test_the_figures_fit_together():
    tunes = Tunes()
    got = evaluate(model("lstm", 64), tunes, REMI)
    assert got.tokens == tunes.rows[3][1] - 1
    assert got.notes == 50
    assert got.perplexity == pytest.approx(math.exp(got.nats_per_token))
    assert got.bits_per_token == pytest.approx(got.nats_per_token / math.log(2))
    assert got.nats_per_note * got.notes == pytest.approx(got.nats_per_token * got.tokens)


def test_an_untrained_model_is_near_uniform():
    assert evaluate(model("transformer", 64), Tunes(), REMI).nats_per_token == pytest.approx(math.log(V), abs=0.2)


def test_a_split_without_pieces():
    with pytest.raises(UsageError, match="the corpus has no pieces in its split 'test'; choose train, valid or test"):
        evaluate(model("lstm", 64), Tunes(), REMI, split="test")


def test_no_notes_is_no_average():
    tally = Tally(REMI)
    tally.add(REMI.encode(Piece()), np.ones(3))
    got = tally.figures("test")
    assert (got.notes, got.nats_per_note, got.nats_per_second, got.nats_per_frame) == (0, None, None, None)


def test_statistics_of_a_known_piece():
    bar = [(0, 480, 60, 80), (480, 480, 64, 80), (960, 960, 67, 80)]
    notes = notes_array([(1920 * b + s, d, p, v) for b in (0, 1, 3) for s, d, p, v in bar])
    piece = Piece(480, (Track(notes=notes),), meters=np.array([(0, 4, 4)], METER))
    got = statistics(piece)
    assert (got["notes"], got["bars"], got["notes_per_bar"]) == (9, 4, 2.25)
    assert got["silent_bars"] == 0.25
    assert got["repeated_bars"] == pytest.approx(1 / 3, abs=1e-4)
    assert got["polyphony"] == 1.0
    assert got["pitch_range"] == [60, 67]
    assert got["pitch_class_entropy"] == pytest.approx(math.log2(3), abs=1e-3)
    assert statistics(piece, begin=1920, end=3840)["notes"] == 3
    assert statistics(Piece()) == {"notes": 0, "bars": 0}


@pytest.mark.parametrize("family", ["window", "lstm", "transformer"])
def test_a_horizon_is_measured_step_by_step(family):
    tunes = Tunes()
    net = build_model(ModelSettings(family, V, width=16, layers=1, heads=2, context=512, horizon=3), seed=3).eval()
    with torch.no_grad():
        for layer in net.ahead:
            torch.nn.init.normal_(layer.weight)
    figure = evaluate(net, tunes, REMI, split="valid")
    ahead = figure.nats_per_token_ahead
    offset, size = tunes.spans("valid")[0]
    ids = torch.from_numpy(tunes.tokens[offset : offset + size].astype(np.int64))[None]
    with torch.inference_mode():
        by_step, _ = net.nats_ahead(ids[:, :-1], ids[:, 1:], pad=0)
    assert ahead == pytest.approx([nats.mean().item() for nats in by_step], rel=1e-5)
    assert ahead[0] == pytest.approx(figure.nats_per_token, rel=1e-5)
    plain = evaluate(model(family, 512), tunes, REMI, split="valid")
    assert plain.nats_per_token_ahead is None
    assert "nats_per_token_ahead" not in plain.to_dict()


def test_a_text_that_is_no_tune_counts_but_not_by_the_second():
    class Unreadable(Remi):
        def decode(self, ids):
            if len(ids) == tunes.rows[0][1]:
                raise UnreadableError("no tune")
            return super().decode(ids)

    tunes, net = Tunes(), model("lstm", 512)
    whole, partly = (evaluate(net, tunes, tokenizer, split="train") for tokenizer in (REMI, Unreadable()))
    assert partly.nats_per_token == whole.nats_per_token
    assert 0 < partly.seconds < whole.seconds
    first = step_nats(net, tunes.tokens[: tunes.rows[0][1]].astype(np.int64), PLAIN).sum()
    told = whole.nats_per_token * whole.tokens - first
    assert partly.nats_per_second == pytest.approx(told / partly.seconds, rel=1e-4)
