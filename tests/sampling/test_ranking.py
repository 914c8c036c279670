"""The best of several takes: without faults first, then the nearest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from songs import song
from uniform_parts import composer

from musicgen.sampling.ranking import ranked


def test_the_best_takes_come_first_and_say_why():
    (take,) = composer().continue_(song(), bars=1)
    take = replace(take, nats=2.5)

    def made(seed, distance, *faults):
        candidates = [{"kept": False, "distance": 0.0}, {"kept": True, "distance": distance}]
        return replace(take, faults=faults, facts={**take.facts, "seed": seed, "candidates": candidates})

    takes = [made(0, 0.5, "a loop"), made(1, 2.0), made(2, 1.0), made(3, 1.0)]
    best = ranked(takes, 3)
    assert [each.facts["seed"] for each in best] == [2, 3, 1]
    assert best[0].facts["ranked"] == {"rank": 1, "of": 4, "faults": 0, "distance": 1.0, "nats_a_note": 2.5}
    assert ranked(takes, 4)[-1].facts["ranked"] == {
        "rank": 4,
        "of": 4,
        "faults": 1,
        "distance": 0.5,
        "nats_a_note": 2.5,
    }


@pytest.mark.parametrize("best", [1, 2])
def test_a_composer_keeps_the_best_of_its_takes(best):
    kept = composer().continue_(song(), bars=2, takes=3, best=best)
    every = composer().continue_(song(), bars=2, takes=3)
    assert [take.facts["ranked"]["rank"] for take in kept] == list(range(1, best + 1))
    rank = [(len(t.faults), next(c["distance"] for c in t.facts["candidates"] if c["kept"])) for t in every]
    assert kept[0].facts["seed"] == min(range(3), key=lambda k: (*rank[k], k))


def test_the_likelihood_of_a_take_is_told():
    (kept,) = composer().continue_(song(), bars=2, takes=2, best=1)
    assert kept.nats is not None
    assert kept.facts["ranked"]["nats_a_note"] == pytest.approx(kept.nats, abs=1e-4)
    assert kept.nats > 4, "four fields of a note are drawn from uniform logits"
