"""Finding by sorted hashes is finding by comparing; single numbers hash as arrays do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from musicgen.models.memory.lookup import counts, mixed, previous, rolling, streaks
from musicgen.models.memory.traces import Rolling, mix, number_of, x_of

ORDERS = (1, 2, 4, 8, 16)


def test_arrays_and_single_numbers_hash_alike():
    rng = np.random.default_rng(0)
    columns = [rng.integers(-(2**62), 2**62, 50), rng.integers(-3, 3, 50), rng.integers(0, 2**63, 50, dtype=np.uint64)]
    for parts in (columns[:1], columns, columns[::-1]):
        expected = [mix(*(int(v) for v in values)) for values in zip(*parts, strict=True)]
        assert mixed(*parts).tolist() == expected
    assert int(mixed(7, np.array([1]))[0]) == mix(7, 1)


def test_hashes_differ_by_value_and_by_order():
    grid = np.arange(300)
    a, b = (of.ravel() for of in np.meshgrid(grid, grid))
    assert len(np.unique(mixed(a, b))) == len(a)
    assert len(np.unique(mixed(a, b) >> np.uint64(20))) == len(a), "the first bits tell them apart, too"
    assert mix(1, 2) != mix(2, 1)


@pytest.mark.parametrize("size", [0, 1, 2, 5, 40])
def test_rolling_hashes_are_equal_where_the_last_items_are(size):
    rng = np.random.default_rng(size)
    items = rng.integers(0, 2, size)
    found, grown = rolling(mixed(items), ORDERS), Rolling()
    for element in mixed(items).tolist():
        grown.append(element)
    for order, hashes in zip(ORDERS, found, strict=True):
        assert hashes.tolist()[order - 1 :] == grown.lists[order][order - 1 :]
        for i in range(order - 1, size):
            for j in range(order - 1, i):
                alike = (items[i - order + 1 : i + 1] == items[j - order + 1 : j + 1]).all()
                assert (hashes[i] == hashes[j]) == alike


@pytest.mark.parametrize("size", [0, 1, 2, 3, 60])
def test_previous_and_counts_are_those_of_a_search(size):
    rng = np.random.default_rng(size)
    keys, values = rng.integers(0, 5, size), rng.integers(-1, 3, size)
    last = [max((j for j in range(i) if keys[j] == keys[i]), default=-1) for i in range(size)]
    assert previous(mixed(keys)).tolist() == last
    total, hits, distinct = counts(mixed(keys), values)
    for i in range(size):
        before = Counter(values[:i][keys[:i] == keys[i]].tolist())
        assert (total[i], hits[i], distinct[i]) == (sum(before.values()), before[int(values[i])], len(before))


def test_streaks_are_counted_group_by_group():
    rng = np.random.default_rng(1)
    group, hit, there = rng.integers(0, 3, 80), rng.random(80) < 0.7, rng.random(80) < 0.8
    order = np.argsort(group, kind="stable")
    begins = np.append(True, group[order][1:] != group[order][:-1])
    found = streaks(hit, there, order, begins)
    now: Counter = Counter()
    for i, g in enumerate(group.tolist()):
        if there[i]:
            assert found[i] == now[g]
            now[g] = now[g] + 1 if hit[i] else 0


def test_places_are_numbered_in_their_order():
    places = [(x, part, chord) for x in (-1, 0, 5, 12287) for part in (-1, 0, 63) for chord in (0, 1, 255)]
    numbers = [number_of(*place) for place in places]
    assert numbers == sorted(set(numbers))
    assert [x_of(number) for number in numbers] == [x for x, _, _ in places]
