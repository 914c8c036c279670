"""Note-ons and note-offs, and settings, brought together by arrays as a loop would."""

from __future__ import annotations

import random
from collections import defaultdict, deque

import numpy as np
import pytest

from musicgen.io.pairing import count_of, last_of, narrow, one_at_a_time, pair_notes


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


def events(rng: random.Random, count: int) -> list[tuple[int, int]]:
    return [(rng.randrange(5), rng.randrange(30)) for _ in range(count)]


def columns(rows: list[tuple[int, int]]) -> list[np.ndarray]:
    return [np.array([row[k] for row in rows], np.int64) for k in (0, 1)]


def test_the_last_event_and_their_number_equal_a_search() -> None:
    rng = random.Random(3)
    for size in (0, 1, 2, 20, 20, 20):
        known, wanted = events(rng, size), events(rng, 30)
        lasts, counts = [], []
        for group, when in wanted:
            before = [(at, place) for place, (other, at) in enumerate(known) if other == group and at <= when]
            lasts.append(max(before)[1] if before else -1)
            counts.append(len(before))
        assert last_of(*columns(known), *columns(wanted)).tolist() == lasts
        assert count_of(*columns(known), *columns(wanted)).tolist() == counts


@pytest.mark.parametrize(
    ("history", "ends"),
    [
        ("0+ 4+ 8-", {0: 1, 1: 2}),  # the first was never switched off
        ("0+ 4+ 4-", {0: 1, 1: -1}),  # the off is that of the note before
        ("0+ 4-  8+ 9+ 9- ", {2: 3, 3: -1}),  # up to 4 all is well
        ("0+ 4- 8+ 8- 9+", {4: -1}),
        ("0+ 1+ 2- 3- 4+", {4: -1}),  # two voices, then one that hangs
        ("0+ 1+ 2+ 3-", {0: 1, 1: 2, 2: 3}),
        ("5- 6+", {1: -1}),
        ("0+ 0+ 4-", {0: 2, 1: 2}),  # struck together, one off for both
        ("0+ 4+ 4+ 8-", {0: 1, 1: 3, 2: 3}),
    ],
)
def test_a_key_of_which_a_note_hangs_sounds_one_note_at_a_time(history: str, ends: dict[int, int]) -> None:
    found = one_at_a_time([int(event[0]) for event in history.split()], [event[1] == "+" for event in history.split()])
    assert found == ends


@pytest.mark.parametrize(("top", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (65535, "u2"), (65536, "u4")])
def test_narrow_keeps_the_values(top: int, kind: str) -> None:
    keys = np.array([0, top])
    assert narrow(keys).dtype == np.dtype(kind)
    assert narrow(keys).tolist() == keys.tolist()
