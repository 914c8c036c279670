"""The grammar of the performance tokenizer, requests, and notes that begin at a cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from limits import limited
from performance_pieces import MAJOR, PLAIN, both, piece_of, pieces, random_piece, spelled, walk

from musicgen.tokenizers.constraints import Anchor

# ---- the grammar ---------------------------------------------------------------------------------------


@both
@pieces
def test_the_grammar_accepts_every_encoding(tokenizer, piece):
    walker = tokenizer.grammar()
    for i, token in enumerate(tokenizer.encode(piece, until=5000).tolist()):
        assert walker.allowed()[token], (i, tokenizer.vocabulary.token(token))
        walker.advance(token)


@both
def test_whatever_the_grammar_allows_decodes_and_is_spelled_alike(tokenizer):
    for seed in range(20):
        ids = walk(tokenizer, seed=seed, constraints=limited(may_end=False))
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids) > 0
        once = tokenizer.on_grid(piece)
        assert [t.notes.tolist() for t in once.tracks] == [t.notes.tolist() for t in piece.tracks]
        assert tokenizer.on_grid(once) == once


def test_a_copy_walks_alone():
    walker = PLAIN.grammar()
    for token in PLAIN.encode(random_piece(6))[:50].tolist():
        walker.advance(token)
    before = walker.allowed()
    other = walker.copy()
    for token in PLAIN.encode(random_piece(7))[1:50].tolist():
        other.advance(token)
    assert np.array_equal(walker.allowed(), before)


def test_notes_end_after_twenty_seconds():
    walker, v = PLAIN.grammar(), PLAIN.vocabulary
    for token in [v.id("bos"), v.id("on", 60), v.id("shift", 49), v.id("on", 50), *[v.id("shift", 99)] * 19]:
        assert walker.allowed()[token]
        walker.advance(token)
    assert np.flatnonzero(walker.allowed()[v.slice("shift")]).max() == 49
    walker.advance(v.id("shift", 49))
    assert spelled(PLAIN, np.flatnonzero(walker.allowed())) == ["off_50", "off_60"]


ANCHOR = Anchor(tick=1200, bar_start=960.0, bar_length=960.0, ticks_per_quarter=480, microseconds=600_000, fills=True)
PROMPT = PLAIN.encode(piece_of((0, 1200, 50, 80), (960, 240, 61, 80)), until=1200)[:-1]


@both
@pytest.mark.parametrize("fills", [False, True])
def test_constraints_hold(tokenizer, fills):
    asked = limited(
        programs=frozenset({40, 128}),
        low=50,
        high=70,
        classes=MAJOR,
        bars=4,
        may_end=False,
        max_notes_a_bar=10,
        max_empty_bars=0,
        chord_sizes=((40, 2),),
    )
    anchor = ANCHOR if fills else replace(ANCHOR, bar_start=1200.0, fills=False)
    bar = 120  # steps
    end = 5 * bar - 30 if fills else 4 * bar
    prompt = tokenizer.encode(piece_of((0, 1200, 50, 80)), until=1200)[:-1]
    for seed in range(10):
        ids = walk(tokenizer, seed=seed, constraints=asked, anchor=anchor, prompt=prompt, most=3000)
        assert len(ids) < 3000
        assert not (ids == tokenizer.vocabulary.id("eos")).any()
        notes = tokenizer.decode(ids).tracks[0].notes
        start = notes["start"] // 10
        assert start.max() < end
        assert set((notes["pitch"] % 12).tolist()) <= MAJOR
        assert notes["pitch"].min() >= 50
        assert notes["pitch"].max() <= 70
        assert np.bincount((start + (30 if fills else 0)) // bar).max() <= 10
        assert np.diff(start, prepend=0, append=end).max() <= bar
        for t in np.unique(notes["start"]):
            assert int(((notes["start"] <= t) & (notes["start"] + notes["duration"] > t)).sum()) <= 2


def test_polyphony_is_limited():
    for seed in range(5):
        notes = (
            PLAIN.decode(walk(PLAIN, seed=seed, constraints=limited(max_polyphony=3, may_end=False))).tracks[0].notes
        )
        for t in np.unique(notes["start"]):
            assert int(((notes["start"] <= t) & (notes["start"] + notes["duration"] > t)).sum()) <= 3


@both
@pytest.mark.parametrize(
    "asked",
    [
        limited(programs=frozenset({128}), bars=3, may_end=False, max_empty_bars=0),
        limited(low=60, high=60, classes=frozenset({1}), bars=3, may_end=False, max_empty_bars=0),
    ],
)
def test_where_nothing_may_sound_time_goes_on(tokenizer, asked):
    ids = walk(tokenizer, seed=0, constraints=asked, most=3000)
    assert len(ids) < 3000
    assert tokenizer.count_notes(ids) == 0


def test_one_pitch_alone_is_struck_again_and_again():
    asked = limited(low=60, high=60, bars=20, may_end=False, max_empty_bars=0, max_notes_a_bar=2)
    ids = walk(PLAIN, seed=1, constraints=asked, anchor=ANCHOR, prompt=PROMPT, most=3000)
    assert len(ids) < 3000
    assert PLAIN.count_notes(ids) >= 20


# ---- new music -----------------------------------------------------------------------------------------


def test_new_notes_count_from_the_cut():
    v = PLAIN.vocabulary
    names = [("off", 61), ("on", 62), ("shift", 59), ("velocity", 10), ("on", 64), ("shift", 0), ("off", 62)]
    notes, program = PLAIN.new_notes(PROMPT, np.array([v.id(*name) for name in names]), ANCHOR)
    assert notes[0].tolist() == (1200, 488, 62, 82)  # 61 steps at 0.8 ticks a millisecond
    assert notes[1].tolist() == (1680, 16000, 64, 42), "not ended: as long as a note may last"
    assert program.tolist() == [0, 0]
    assert [len(a) for a in PLAIN.new_notes(PROMPT[:1], np.zeros(0, np.int64), ANCHOR)] == [0, 0]


@both
def test_new_notes_begin_at_the_cut_or_later(tokenizer):
    for seed in range(5):
        asked = limited(bars=3, may_end=False, max_empty_bars=0)
        ids = walk(tokenizer, seed=seed, constraints=asked, anchor=ANCHOR, prompt=PROMPT, most=3000)
        notes, _ = tokenizer.new_notes(PROMPT, ids, ANCHOR)
        assert len(notes) == tokenizer.count_notes(ids) > 0
        assert notes["start"].min() >= ANCHOR.tick
        assert notes["start"].max() <= ANCHOR.bar_start + 4 * ANCHOR.bar_length
        assert notes["duration"].min() >= 1
