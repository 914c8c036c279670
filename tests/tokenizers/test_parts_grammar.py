"""The grammar of `parts`: it accepts what is encoded, what it allows decodes, and what is asked of it holds."""

from __future__ import annotations

import numpy as np
import pytest
from limits import limited
from part_pieces import LAYOUTS, PARTS, programs_of, random_piece, tune, tune_rows

from musicgen.piece import METER, Piece, Track, notes_array
from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars.music import BarSettings
from musicgen.tokenizers.bars.voices import Voice
from musicgen.tokenizers.constraints import Anchor, Constraints

V = PARTS.vocabulary
GRIDS = pytest.mark.parametrize("tokenizer", [PARTS, Parts(BarSettings(48))], ids=["24", "48"])
ONSET, PART = 3, 4


def walk(walker, *, seed: int, tokenizer=PARTS, most: int = 400, marks: float = 1.0) -> np.ndarray:
    """Rows of uniform draws from what a walker allows; `marks` weighs bars, so that walks have more than one."""
    rng = np.random.default_rng(seed)
    often = {tokenizer.vocabulary.id("bar"): marks, tokenizer.vocabulary.id("eos"): marks / 4}
    ids: list[int] = []
    while len(ids) < most * 6:
        choices = np.flatnonzero(walker.allowed())
        weights = np.array([often.get(int(c), 1.0) for c in choices])
        token = int(rng.choice(choices, p=weights / weights.sum()))
        if walker.ends(token):
            break
        ids.append(token)
        walker.advance(token)
    ids += [0] * (-len(ids) % 6)  # a walk may end inside a step
    return np.array(ids).reshape(-1, 6)


def assert_allowed(walker, rows: np.ndarray) -> None:
    for n, token in enumerate(rows.ravel().tolist()):
        assert walker.allowed()[token], (n // 6, V.token(token), rows[n // 6])
        walker.advance(token)


@GRIDS
def test_every_encoding_is_accepted(tokenizer):
    meters = ((), ((0, 64, 1),), ((0, 5, 8), (1200, 7, 16)), ((0, 4, 4), (1001, 4, 4)), ((0, 7, 64), (2100, 3, 64)))
    for seed, map_ in enumerate(meters):
        assert_allowed(tokenizer.grammar(), tokenizer.encode(random_piece(seed, meters=map_, notes=20)))
    assert_allowed(tokenizer.grammar(), tokenizer.encode(Piece()))
    assert_allowed(tokenizer.grammar(), tokenizer.encode(random_piece(0, programs=(40,) * 70, notes=2)))


@GRIDS
def test_whatever_is_allowed_decodes(tokenizer):
    notes = bars = 0
    for seed in range(8):
        ids = walk(tokenizer.grammar(), seed=seed, tokenizer=tokenizer, most=120, marks=15)
        piece = tokenizer.decode(ids)
        piece.validate()
        assert piece.n_notes == tokenizer.count_notes(ids)
        assert tokenizer.decode(tokenizer.encode(piece)) == tokenizer.on_grid(piece)
        notes, bars = notes + piece.n_notes, bars + len(tokenizer.bar_positions(ids))
    assert notes > 100
    assert bars > 20


def asked(**more) -> Constraints:
    return limited(meter=(5, 8), bars=6, may_end=False, max_notes_a_bar=12, max_empty_bars=0, **more)


def prompt(*programs: int, tokenizer=PARTS) -> tuple:
    """A walker behind the parts of a piece that is to come, and their rows."""
    rows = tokenizer.encode(Piece(), voices=tuple(map(Voice, programs)))[: 1 + len(programs)]
    walker = tokenizer.grammar()
    for token in rows.ravel().tolist():
        walker.advance(token)
    return walker, rows


def notes_behind(walker, rows, constraints: Constraints, *, seed: int):
    walker.constrain(constraints)
    return PARTS.notes(np.concatenate([rows, walk(walker, seed=seed, most=3000, marks=3)]))


def test_what_is_asked_holds():
    kit = np.isin(np.arange(128), [36, 38, 42])
    own = np.zeros(128, bool)
    own[60:73] = True
    request = asked(
        parts=frozenset({0, 1, 3}),
        part_count=4,
        by_part=((0, own), (3, kit)),
        chord_sizes=((0, 1), (1, 2)),
        low=48,
        high=76,
        classes=frozenset({0, 2, 4, 5, 7, 9, 11}),
        tempo_changes=False,
    )
    for seed in range(6):
        n = notes_behind(*prompt(40, 0, 70, 128), request, seed=seed)
        assert n.bar.max() == 5
        assert np.bincount(n.bar, minlength=6).min() >= 1
        assert np.bincount(n.bar, minlength=6).max() <= 12
        assert n.position.max() < 60
        assert set(n.program.tolist()) == {0, 1, 3}, "all that may play do, and no other"
        assert set(n.pitch[n.program == 3].tolist()) <= {36, 38, 42}
        melodic = n.pitch[n.program != 3]
        assert set((melodic % 12).tolist()) <= {0, 2, 4, 5, 7, 9, 11}
        assert melodic.min() >= 48
        assert melodic.max() <= 76
        assert n.pitch[n.program == 0].min() >= 60
        assert n.pitch[n.program == 0].max() <= 72
        for part, most in ((0, 1), (1, 2)):
            onsets = n.bar[n.program == part] * 1000 + n.position[n.program == part]
            assert np.unique(onsets, return_counts=True)[1].max() <= most


def test_a_part_whose_own_pitches_are_not_in_the_key_keeps_its_own():
    own = np.arange(128) == 61
    n = notes_behind(*prompt(40), asked(by_part=((0, own),), classes=frozenset({0})), seed=0)
    assert set(n.pitch.tolist()) == {61}


def test_polyphony_is_limited():
    for seed in range(3):
        n = notes_behind(*prompt(40, 128), asked(max_polyphony=3), seed=seed)
        start = n.bar * 60 + n.position
        for t in np.unique(start):
            assert int(((start <= t) & (start + n.duration > t)).sum()) <= 3


@pytest.mark.parametrize("count", [1, 3, 64])
def test_as_many_parts_enter_as_are_asked_for(count):
    for seed in range(4):
        request = asked(part_count=count, programs=frozenset({40, 128}))
        ids = walk(PARTS.grammar(request), seed=seed, most=500, marks=5)
        assert len(programs_of(ids)) == count
        assert set(programs_of(ids)) <= {40, 128}
        assert PARTS.notes(ids).bar.max() == 5


def test_programs_that_are_asked_for_are_those_that_play():
    for seed in range(3):
        n = notes_behind(*prompt(40, 0, 128), asked(programs=frozenset({0}), part_count=3), seed=seed)
        assert set(n.program.tolist()) == {1}
    n = notes_behind(*prompt(40, 128), asked(low=60, high=60, classes=frozenset({1})), seed=0)
    assert set(n.program.tolist()) == {1}, "where no pitch is left drums play"


def test_a_part_plays_drums_if_it_is_one():
    walker, rows = prompt(40, 128)
    ids = np.concatenate([rows, walk(walker, seed=0, most=300)])
    leading, note = ids[:-1], ids[1:]
    placed = (leading[:, ONSET] >= V.base["position"]) & (note[:, 1] != 0)
    drums = V.is_kind(note[placed, 0], "drum")
    assert placed.sum() > 20
    assert np.array_equal(drums, leading[placed, PART] == V.id("part", 1))


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("end", [None, -1, -2, 57, 83])
def test_rows_of_tasks_are_prompts(kind, end):
    rows = tune_rows(0, kind)[:end]
    walker = PARTS.grammar()
    for n, row in enumerate(rows.tolist()):
        for column, token in enumerate(row):
            allowed = walker.allowed()
            if token not in [V.id(mark) for mark in ("after", "here", "again")] and (column, row[ONSET]) != (
                PART,
                V.id("here"),
            ):
                assert allowed[token], (n, V.token(token))
            walker.advance(token)
    last = int(rows[-1, ONSET])
    if last == V.id("eos"):
        return
    walker.constrain(limited(bars=3, may_end=False, max_notes_a_bar=8))
    ids = walk(walker, seed=1, marks=5)
    more = np.concatenate([rows, ids])
    assert np.array_equal(ids[0, :3] != 0, [last >= V.base["position"]] * 3), "a note is due or none is"
    PARTS.decode(more).validate()
    added = PARTS.count_notes(ids)
    assert added > 3
    assert PARTS.count_notes(more) == PARTS.count_notes(rows) + added


def test_behind_the_marks_of_a_hole_a_bar_begins():
    rows = tune_rows(0, "infilled")
    for mark in ("after", "here"):
        at = int(np.flatnonzero(rows[:, ONSET] == V.id(mark))[0])
        walker = PARTS.grammar()
        for token in rows[: at + 1].ravel().tolist():
            walker.advance(token)
        for wanted in (0, 0, 0, V.id("bar")):
            assert np.flatnonzero(walker.allowed()).tolist() == [wanted]
            walker.advance(wanted)


def test_behind_again_a_bar_begins_anew():
    rows = tune_rows(0, "accompanied")
    at = int(np.flatnonzero(rows[:, ONSET] == V.id("again"))[2])
    walker = PARTS.grammar()
    for token in rows[: at + 1].ravel().tolist():
        walker.advance(token)
    walker.constrain(limited(parts=frozenset({1, 3}), bars=1, may_end=False, max_empty_bars=0))
    for _ in range(3):
        walker.advance(0)
    assert walker.allowed()[V.slice("position", 0, 48)].all(), "from the first position of the bar on"
    walker.advance(V.id("position"))
    assert np.flatnonzero(walker.allowed()).tolist() == [V.id("part", 1), V.id("part", 3)]


def test_inside_a_piece_its_parts_are_still_to_enter():
    walker = PARTS.grammar(inside=True)
    assert_allowed(walker, PARTS.encode(tune(1))[1:])


def test_a_copy_goes_its_own_way():
    walker, _ = prompt(40)
    other = walker.copy()
    for token in (0, 0, 0, V.id("enter"), V.id("part", 1), V.id("program", 7)):
        other.advance(token)
    assert walker.entered == [40]
    assert other.entered == [40, 7]


def test_new_music_begins_at_its_anchor():
    notes = notes_array([(tick, 240, 60, 80) for tick in (0, 960, 1920, 2880)])
    piece = Piece(480, (Track(notes=notes),), meters=np.array([(0, 2, 4)], METER))
    cut = 2880 + 480
    rows = PARTS.encode(piece, until=cut)
    walker = PARTS.grammar()
    for token in (*rows[:-1].ravel().tolist(), *rows[-1, :3].tolist()):
        walker.advance(token)
    anchor = Anchor(cut, 2880, 960.0, 480, 500_000, fills=True)
    walker.constrain(limited(meter=(2, 4), bars=2, may_end=False, max_empty_bars=0), anchor=anchor)
    positions = np.flatnonzero(walker.allowed()[V.slice("position")])
    assert positions.tolist() == list(range(24, 48))
