"""Buckets of trust: of arrays as of single numbers, all within their tables, more apart than alike."""

from __future__ import annotations

import itertools

import numpy as np

from musicgen.models.memory.trust import (
    COUNT_BUCKETS,
    LONGEST_STREAK,
    TRUST,
    TRUST_BUCKETS,
    count_bucket,
    trust_bucket,
    trust_of,
    weight_of,
)


def test_pointers():
    every = list(itertools.product(range(6), range(40), range(2)))
    level, streak, agrees = (np.array(column) for column in zip(*every, strict=True))
    found = trust_bucket(level, streak, agrees)
    assert found.tolist() == [trust_of(*one) for one in every]
    assert sorted(set(found.tolist())) == list(range(TRUST_BUCKETS))
    assert (found[level == 0] == 0).all()
    assert (found[level > 0] > 0).all()
    # Longer matches and longer streaks lie apart, and a streak of 16 isn't one of 17.
    assert trust_of(2, 0, 0) != trust_of(1, 0, 0)
    assert trust_of(1, 16, 0) != trust_of(1, 17, 0) == trust_of(1, 1000, 0)
    for one, on_end, alike in every:
        if one < len(TRUST):
            assert not one or TRUST[one][min(on_end, LONGEST_STREAK)] + alike == trust_of(one, on_end, alike)


def test_counts():
    every = [(total, distinct) for total in range(1, 300) for distinct in range(1, total + 1)]
    total, distinct = (np.array(column) for column in zip(*every, strict=True))
    found = count_bucket(total, distinct)
    assert found.tolist() == [weight_of(*one) for one in every]
    assert found.min() > 0
    assert found.max() < COUNT_BUCKETS
    assert count_bucket(np.array([0]), np.array([0])).tolist() == [weight_of(0, 0)] == [0]
    assert len({weight_of(n, 1) for n in (1, 2, 4, 8, 16, 32, 64, 128)}) == 8
