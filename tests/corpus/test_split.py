"""No work straddles the splits, and the splits depend on nothing but names and seed."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from musicgen.corpus.augment import draw_transposition, draw_transpositions
from musicgen.corpus.split import assign_splits, fingerprint, merge_works, work_key
from musicgen.errors import UsageError
from musicgen.piece import Piece, Track, notes_array


@pytest.mark.parametrize(
    "name",
    ["fugue.mid", "Fugue take 2.mid", "fugue_v3.mid", "fugue (1).mxl", "fugue copy.mid", "fugue-take-2 (3).mid",
     "fugue [2].mid", "FUGUE_Version 4.krn", "fugue copy 2.midi", "fugue (take 3).mid"],
)  # fmt: skip
def test_takes_belong_to_one_work(name):
    assert work_key(f"bach/{name}") == "bach/fugue"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bwv1.mid", "bwv2.mid"), ("op.10 no.3.mid", "op.10 no.4.mid"), ("sonata_1.mid", "sonata_2.mid"),
        ("a/x.mid", "b/x.mid"), ("t.abc#1 A", "t.abc#2 B"), ("v1.mid", "v2.mid"), ("copy.mid", "take.mid"),
    ],
)  # fmt: skip
def test_different_works_stay_different(one, other):
    assert work_key(one) != work_key(other)


def test_by_folder_and_by_tune():
    assert work_key("c/sonata/1.mid", by_folder=True) == work_key("c/sonata/2.mid", by_folder=True) == "c/sonata"
    assert work_key("t.abc#1 Belfast") == work_key("t.abc#9 Belfast (2)")


def melody(shift=0, per=480, count=40, seed=1):
    rng = np.random.default_rng(seed)
    pitches = rng.integers(50, 70, count) + shift
    rows = [(i * per // 2, per // 2, int(p), 72) for i, p in enumerate(pitches)]
    return Piece(per, (Track("", 0, False, notes_array(rows)),))


def test_fingerprints_know_a_piece_in_every_key_and_resolution():
    assert fingerprint(melody()) == fingerprint(melody(5)) == fingerprint(melody(per=96))
    assert fingerprint(melody()) != fingerprint(melody(seed=2))
    assert fingerprint(melody(count=10)) == fingerprint(Piece()) == ""
    drums = replace(melody().tracks[0], is_drum=True)
    assert fingerprint(Piece(480, (*melody().tracks, drums))) == fingerprint(melody())


def test_pieces_with_the_same_beginning_are_one_work():
    keys = ["c", "b", "a", "d", "b"]
    assert merge_works(keys, ["1", "2", "1", "", "1"]) == ["a", "a", "a", "d", "a"]
    assert merge_works(keys, [""] * 5) == keys


@pytest.mark.parametrize(
    ("n", "valid", "test"), [(1, 0, 0), (2, 1, 0), (3, 1, 1), (10, 1, 1), (40, 2, 2), (100, 5, 5), (0, 0, 0)]
)
def test_shares(n, valid, test):
    splits = list(assign_splits(f"w{i}" for i in range(n)).values())
    assert (splits.count("valid"), splits.count("test")) == (valid, test)


def test_splits_depend_on_names_and_seed_only():
    works = [f"w{i}" for i in range(100)]
    shuffled = random.Random(0).sample(works, 100)
    assert assign_splits(works) == assign_splits(shuffled + works)
    assert assign_splits(works) != assign_splits(works, seed=1)
    assert set(assign_splits(works, valid=0, test=0).values()) == {"train"}
    # A work that comes later doesn't move the others by more than the shares do.
    more = assign_splits([*works, "new"])
    assert sum(more[w] != s for w, s in assign_splits(works).items()) <= 3


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.1), (1, 0)])
def test_shares_must_leave_something_to_train_on(shares):
    with pytest.raises(UsageError, match="below 1 together"):
        assign_splits(["a"], valid=shares[0], test=shares[1])


def test_transpositions_are_uniform_and_repeatable():
    drawn = draw_transpositions(np.random.default_rng(0), 12_000)
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == list(range(-5, 7))
    assert counts.min() > 850
    assert draw_transposition(np.random.default_rng(3)) == draw_transposition(np.random.default_rng(3))
    with pytest.raises(UsageError, match="above the highest"):
        draw_transposition(np.random.default_rng(0), low=2, high=1)
