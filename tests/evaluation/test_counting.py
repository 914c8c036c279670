"""Counts with back-off over fields: exact likelihoods, nothing read ahead, conditions that tell something."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from musicgen.evaluation.counting import Condition, Table, choose, counted_nats
from musicgen.tokenizers.vocabulary import Field

FLAT = (Field("token", 0, 10),)
FIELDS = (Field("pitch", 1, 4), Field("part", 5, 3))
PITCH, PART = 0, 1
EVERY = [Condition(field, back) for field in (PITCH, PART) for back in (1, 2)]
KINDS = {PITCH: [*EVERY, Condition(PITCH, 1, PART)], PART: [*EVERY, Condition(PART, 1, PITCH)]}


def drawn(seed: int, *, steps: int = 40) -> np.ndarray:
    """Steps of two fields, a fifth of the pitches empty."""
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(1, 5, steps), rng.integers(5, 8, steps)], axis=1)
    rows[rng.random(steps) < 0.2, PITCH] = 0
    return rows


def last_nats(counted: list[np.ndarray], ends: list[np.ndarray], conditions, fields) -> np.ndarray:
    """The nats of the last step of each of `ends`."""
    table = Table([*counted, *ends], fields)
    nats_N = counted_nats(table, conditions, pieces=len(counted))
    return nats_N[np.flatnonzero(np.diff(table.piece_N, append=-1))[len(counted) :]]


@pytest.mark.parametrize("depth", [0, 1, 3, 5])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_chances_of_all_steps_sum_to_one(depth, length):
    before = drawn(9)[:length]
    ends = [np.vstack([before, step]) for step in product(range(1, 5), range(5, 8))]
    conditions = [KINDS[field][:depth] for field in (PITCH, PART)]
    nats = last_nats([drawn(1), drawn(2)], ends, conditions, FIELDS)
    assert np.exp(-nats).sum() == pytest.approx(1, abs=1e-12)


def test_nothing_counted_is_uniform():
    nats = last_nats([], [drawn(1)[:1].repeat(2, 0)], [[], []], FIELDS)
    assert nats == pytest.approx(np.log(12 if drawn(1)[0, PITCH] else 3))


def test_it_is_witten_bell():
    """By hand: after 1 come 2, 2, 3: 3 times, 2 types; in all, 1 three times, 2 twice, 3 once: 6 times, 3 types."""
    nats = last_nats([np.array([9, 1, 2, 1, 2, 1, 3])], [np.array([1, 2])], [[Condition(0, 1)]], FLAT)
    below = (2 + 3 * 0.1) / (6 + 3)
    assert np.exp(-nats[0]) == pytest.approx((2 + 2 * below) / (3 + 2))


def test_what_was_counted_more_often_is_likelier():
    often = [last_nats([np.array([9, *[1, 2] * n, 1, 3])], [np.array([1, 2])], [[Condition(0, 1)]], FLAT)[0]
             for n in (0, 1, 2, 5)]  # fmt: skip
    assert often == sorted(often, reverse=True)
    assert len(set(often)) == 4


def test_a_history_never_seen_backs_off():
    counted, end = [np.array([9, 1, 2, 1, 2, 3])], [np.array([7, 2])]
    shallow, deep = (last_nats(counted, end, [[Condition(0, 1)] * depth], FLAT) for depth in (0, 1))
    assert deep == pytest.approx(shallow)


def test_no_condition_reads_ahead_or_over_the_edge_of_a_piece():
    rows, edge = drawn(3), drawn(4)
    for t, field in product((5, 17), (PITCH, PART)):
        changed = rows.copy()
        changed[t, field:] = [4, 7][field:]
        changed[t + 1 :] = drawn(5)[t + 1 :]
        changed[:, PITCH] = np.where(rows[:, PITCH] == 0, 0, np.maximum(1, changed[:, PITCH]))
        for condition in KINDS[field]:
            one, two = (Table([edge, piece], FIELDS) for piece in (rows, changed))
            at = one.at(field, None)
            until = at <= len(edge) + t
            mine, theirs = one.values(condition, field, at), two.values(condition, field, at)
            assert mine[until].tolist() == theirs[until].tolist(), (t, field, condition)
            first = at == len(edge) + 1
            alone = Table([rows], FIELDS)
            there = alone.at(field, None)
            assert mine[at > len(edge)].tolist() == alone.values(condition, field, there).tolist()
            if first.any() and condition.back == 2 and condition.field >= field:
                assert mine[first].tolist() == [0]


def test_empty_fields_are_passed_over_and_cost_nothing():
    rows = np.array([[1, 5], [2, 6], [0, 7], [0, 5], [3, 6]])
    table = Table([rows], FIELDS)
    assert table.at(PITCH, None).tolist() == [1, 4]
    assert table.values(Condition(PITCH, 1), PITCH, np.array([1, 4])).tolist() == [1, 2]
    assert table.values(Condition(PITCH, 1), PART, np.array([1, 2, 4])).tolist() == [2, 2, 3]
    nats_N = counted_nats(table, [[], []], pieces=0)
    assert nats_N == pytest.approx([0, np.log(12), np.log(3), np.log(3), np.log(12)])


def test_the_condition_that_tells_all_is_chosen_first():
    """The part of a step says its pitch; the pitch says nothing of the part."""
    pieces = [drawn(seed) for seed in range(20)]
    for rows in pieces:
        rows[1:, PITCH] = rows[:-1, PART] - 4
    table = Table(pieces, FIELDS)
    assert choose(table, PITCH, most=3)[:1] == (Condition(PART, 1),)
    assert choose(table, PART, most=3) == (), "drawn at random"
    assert choose(table, PITCH, most=0) == ()


def test_a_part_is_followed_through_the_others():
    """Each part repeats its own pitch, and the parts take turns at random: only the part's own last pitch tells."""
    pieces = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        own, rows = rng.integers(1, 5, 3), drawn(seed)
        rows[1:, PITCH] = own[rows[:-1, PART] - 5]
        pieces.append(rows)
    assert choose(Table(pieces, FIELDS), PITCH, most=3)[0] == Condition(PITCH, 1, PART)


def test_a_flat_tokenizer_gets_an_ngram_of_the_order_that_the_pieces_have():
    """Each id is the sum of the two before it, modulo 7: two ids tell all, one tells nothing."""
    pieces = []
    for start in product(range(7), range(7)):
        ids = [*start]
        while len(ids) < 12:
            ids.append((ids[-1] + ids[-2]) % 7)
        pieces.append(1 + np.array(ids))
    assert choose(Table(pieces, FLAT), 0, most=5)[:2] == (Condition(0, 1), Condition(0, 2))


@pytest.mark.parametrize("pieces", [0, 1, 2])
def test_few_pieces_are_enough_to_choose_on(pieces):
    table = Table([np.array([9, *[1, 2] * 30])] * pieces, FLAT)
    assert choose(table, 0, most=5)[:1] == ((Condition(0, 1),) if pieces else ())
