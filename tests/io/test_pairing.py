"""Note-ons and note-offs, and settings, brought together by arrays as a loop would."""

from __future__ import annotations

import random
from collections import defaultdict, deque

import numpy as np
import pytest

from musicgen.io.pairing import latest, narrow, pair_notes


def queue_pairs(keys: list[int], is_on: list[bool]) -> list[int]:
    waiting: dict[int, deque[int]] = defaultdict(deque)
    off = [-1] * len(keys)
    for i, (key, begins) in enumerate(zip(keys, is_on, strict=True)):
        if begins:
            waiting[key].append(i)
        elif waiting[key]:
            off[waiting[key].popleft()] = i
    return [o for o, begins in zip(off, is_on, strict=True) if begins]


@pytest.mark.parametrize("keys", [1, 2, 60, 70_000])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_pairing_equals_a_queue_for_each_key(keys: int, share: float) -> None:
    rng = np.random.default_rng(keys)
    for size in (0, 1, 2, 3, 10, 10, 10, 500, 3000):
        key, is_on = rng.integers(0, keys, size), rng.random(size) < share
        assert pair_notes(key, is_on).tolist() == queue_pairs(key.tolist(), is_on.tolist())


def test_latest_equals_a_search() -> None:
    rng = random.Random(3)
    for _ in range(50):
        known = [(rng.randrange(4), rng.randrange(30), rng.randrange(1, 128)) for _ in range(rng.randint(1, 20))]
        wanted = [(rng.randrange(5), rng.randrange(40)) for _ in range(20)]
        expected = []
        for group, when in wanted:
            # Of several at one time the last in the list holds: `max` takes the first, so go backwards.
            before = [k for k in reversed(known) if k[0] == group and k[1] <= when]
            expected.append(max(before, key=lambda k: k[1])[2] if before else 0)
        groups, times, values = (np.array(column) for column in zip(*known, strict=True))
        wanted_groups, wanted_times = (np.array(column) for column in zip(*wanted, strict=True))
        assert latest(values, groups, times, wanted_groups, wanted_times).tolist() == expected


@pytest.mark.parametrize(("top", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_narrow_keeps_the_values(top: int, kind: str) -> None:
    keys = np.array([0, top])
    assert narrow(keys).dtype == np.dtype(kind)
    assert narrow(keys).tolist() == keys.tolist()
