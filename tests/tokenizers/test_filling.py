"""Holes in sequences: what is read before them is what a model has learned to read, and what is given comes back."""

from __future__ import annotations

import numpy as np
import pytest
from part_pieces import PARTS, random_piece, tune

from musicgen.tokenizers.bars.filling import Hole, read_hole, told_around, with_drawn
from musicgen.tokenizers.bars.tasks import accompanied, infilled
from musicgen.tokenizers.constraints import Constraints, LengthLimits, PlayerLimits

V = PARTS.vocabulary
ONSET, PART = 3, 4
EVERYONE = frozenset(range(4))
PIECES = {
    "tune": tune(0),
    "long bars": tune(1, long_bars=True),
    "random": random_piece(3, programs=(40, 40, 0), drums=1, meters=((0, 3, 4), (2880, 2, 4))),
}


def rows_of_piece(name: str) -> np.ndarray:
    return PARTS.encode(PIECES[name]).astype(np.int64)


def whole(reading) -> np.ndarray:
    return np.concatenate([reading.past, reading.prompt])


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("room", [40, 400])
def test_with_all_parts_missing_the_music_before_is_read_as_it_stands(name, room):
    rows = rows_of_piece(name)
    bars = PARTS.bar_positions(rows)
    for begin in range(len(bars)):
        reading = read_hole(rows, PARTS, Hole(begin, begin + 1, EVERYONE), room=room, towards=False)
        assert np.array_equal(whole(reading), rows[: bars[begin]])
        assert list(reading.begun) == rows[bars[begin]][:ONSET].tolist()
        assert len(reading.prompt) <= max(room, len(rows[: bars[0]]))
        assert [len(bar.steps) for bar in reading.given] == [0]


def test_what_follows_is_told_as_in_training():
    rows = rows_of_piece("tune")
    count = len(PARTS.bar_positions(rows))
    for begin, end in ((1, 3), (3, 5), (2, 6)):
        reading = read_hole(rows, PARTS, Hole(begin, end, EVERYONE), room=4000)
        behind = min(8, count - end)
        trained = infilled(rows, PARTS, begin=begin, hole=end, end=end + behind, tail=0)
        assert np.array_equal(whole(reading), trained[: len(whole(reading))])
        assert V.id("here") in whole(reading)[:, ONSET]


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("parts", [frozenset({0}), frozenset({1, 2}), frozenset({0, 3})])
def test_given_parts_are_told_as_in_training(name, parts):
    rows = rows_of_piece(name)
    count = len(PARTS.bar_positions(rows))
    hole = Hole(1, count, parts)
    reading = read_hole(rows, PARTS, hole, room=4000)
    if name != "long bars":  # training leaves these as they are
        trained = accompanied(rows, PARTS, frozenset(range(4)) - parts)
        assert np.array_equal(whole(reading), trained[: len(whole(reading))])
    given = sum(bar.steps.count(V.id("again")) for bar in reading.given)
    assert given == hole.bars
    there = PARTS.notes(rows)
    for number, bar in enumerate(reading.given, start=1):
        told = np.array(bar.steps).reshape(-1, 6)
        mine = (there.bar == number) & ~np.isin(there.program, sorted(parts))
        pitches = told[told[:, 0] != 0, 0] - np.where(
            V.is_kind(told[told[:, 0] != 0, 0], "drum"), V.base["drum"], V.base["pitch"]
        )
        assert sorted(pitches.tolist()) == sorted(there.pitch[mine].tolist())
        assert bar.meter == rows[PARTS.bar_positions(rows)[number], PART]


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("parts", [EVERYONE, frozenset({1}), frozenset({0, 3})])
def test_a_hole_filled_with_what_was_there_is_the_piece_again(name, parts):
    rows = rows_of_piece(name)
    bars = PARTS.bar_positions(rows)
    for begin, end in ((0, 2), (1, len(bars)), (2, 3)):
        hole = Hole(begin, end, parts)
        filled = accompanied(rows, PARTS, EVERYONE - parts) if name != "long bars" and parts != EVERYONE else rows
        at = np.append(PARTS.bar_positions(filled), len(filled) - 1)
        drawn = filled[at[begin] : at[end] + 1].copy()
        drawn[-1, ONSET:] = 0  # as after sampling: the last note without what follows it
        assert np.array_equal(with_drawn(rows, PARTS, hole, drawn), rows)


def test_music_around_is_all_but_what_is_missing():
    rows = rows_of_piece("tune")
    hole = Hole(2, 4, frozenset({1, 3}))
    around = PARTS.notes(told_around(rows, PARTS, hole))
    there = PARTS.notes(rows)
    outside = (there.bar < 2) | (there.bar >= 4)
    assert sorted(zip(around.program, around.pitch, strict=True)) == sorted(
        zip(there.program[outside], there.pitch[outside], strict=True)
    )
    only = random_piece(0, programs=(0, 32), drums=0)
    assert not len(told_around(PARTS.encode(only), PARTS, Hole(0, 99, frozenset({1}))))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("parts", [EVERYONE, frozenset({0}), frozenset({2, 3})])
def test_what_the_grammar_allows_in_a_hole_keeps_what_is_given(seed, parts):
    """At random among what is allowed: given notes come out as they are, others play only if asked, in their bars."""
    rng = np.random.default_rng(seed)
    rows = PARTS.encode(tune(seed, long_bars=seed % 3 == 0)).astype(np.int64)
    hole = Hole(1, 4, parts)
    reading = read_hole(rows, PARTS, hole, room=4000, towards=seed % 2 == 0)
    grammar = PARTS.grammar()
    for token in (*whole(reading).ravel().tolist(), *reading.begun):
        grammar.advance(token)
    rests = tuple((part, 1) for part in sorted(parts))
    grammar.constrain(
        Constraints(
            players=PlayerLimits(parts=parts, part_count=4, longest_rests=rests),
            length=LengthLimits(hole.bars, may_end=False),
            given=reading.given,
        )
    )
    drawn = list(reading.begun)
    while len(drawn) < 6 * 4000:
        allowed = np.flatnonzero(grammar.allowed())
        bar = V.id("bar")
        # Bars end soon, or random walks would take all day.
        token = bar if bar in allowed and rng.random() < 0.3 else int(rng.choice(allowed))
        if grammar.ends(token):
            break
        grammar.advance(token)
        drawn.append(token)
    drawn += [0] * (-len(drawn) % 6)
    ids = np.array(drawn).reshape(-1, 6)
    new, there = PARTS.notes(ids), PARTS.notes(rows)
    theirs = ~np.isin(new.program, sorted(parts))
    given = ~np.isin(there.program, sorted(parts)) & (there.bar >= 1) & (there.bar < 4)

    def listed(notes, mine, first):
        columns = (notes.bar - first, notes.position, notes.program, notes.pitch, notes.duration, notes.velocity)
        return sorted(zip(*(column[mine].tolist() for column in columns), strict=True))

    assert listed(new, theirs, 0) == listed(there, given, 1)
    assert (ids[:, ONSET] == V.id("bar")).sum() == hole.bars
    meters = ids[ids[:, ONSET] == V.id("bar"), PART]
    assert meters.tolist() == rows[PARTS.bar_positions(rows)[1:4], PART].tolist()
    for part in parts:  # nobody who may rest for one bar rests for two
        played = np.unique(new.bar[new.program == part])
        assert len(played) >= 1
        assert np.diff(np.concatenate([[-1], played, [hole.bars]])).max() <= 2
