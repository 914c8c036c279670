"""Places of rows are those that the tokenizer spells, and time is that of the decoded piece."""

from __future__ import annotations

import numpy as np
import pytest
from part_pieces import PARTS, programs_of, random_piece, tune, tune_rows

from musicgen.errors import UsageError
from musicgen.models.layouts import MemoryLayout
from musicgen.models.memory.walk import bar_steps, walk
from musicgen.tokenizers import Parts
from musicgen.tokenizers.bars import grid
from musicgen.tokenizers.bars.grid import DENOMINATORS
from musicgen.tokenizers.bars.music import BarSettings

LAYOUT = MemoryLayout.of(PARTS.memory)
METERS = ((0, 3, 4), (1440, 5, 8), (3840, 12, 4))


@pytest.mark.parametrize("kind", ["plain", "accompanied", "spans"])
def test_notes_stand_where_the_tokenizer_says(kind):
    rows = tune_rows(0, kind)
    w, n = walk(rows, LAYOUT), PARTS.notes(rows)
    places = w.note - 1
    assert np.array_equal(places, n.at)
    assert np.array_equal(w.bar[places], n.bar)
    assert np.array_equal(w.x[places], n.position)
    assert np.array_equal(w.note_part, n.program)
    assert np.array_equal(w.pitch, n.pitch + 128 * w.drum)
    assert set(w.note_part[w.drum].tolist()) == {3}
    assert w.programs.tolist() == programs_of(rows)


def test_time_is_that_of_the_piece():
    piece = random_piece(1, meters=METERS)
    rows = PARTS.encode(piece).astype(np.int64)
    w = walk(rows, LAYOUT)
    once = PARTS.decode(rows)
    per_step = once.ticks_per_quarter // PARTS.steps
    for part, track in enumerate(once.tracks):
        assert (w.time[w.note - 1][w.note_part == part] * per_step).tolist() == track.notes["start"].tolist()


def test_bars_told_ahead_stand_apart_and_those_around_the_hole_follow_one_another():
    plain, told = PARTS.encode(tune(0, bars=11)).astype(np.int64), tune_rows(0, "infilled")
    w = walk(told, LAYOUT)
    is_bar = told[:, 3] == LAYOUT.bar
    count = len(PARTS.bar_positions(plain))
    ahead = w.bar[is_bar] >= count
    assert w.bar[is_bar][~ahead].tolist() == list(range(count - 3))
    assert np.diff(w.bar[is_bar][ahead]).tolist() == [1, 1]
    assert ahead.tolist() == [False] * (count - 6) + [True] * 3 + [False] * 3


def test_notes_of_a_part_are_in_order_of_time_and_chords_are_counted():
    w = walk(tune_rows(1), LAYOUT)
    for part in range(4):
        mine = np.flatnonzero(w.note_part == part)
        assert w.rank[mine].tolist() == list(range(len(mine)))
        assert w.last[mine].tolist() == [-1, *mine[:-1].tolist()]
        assert w.order[np.isin(w.order, mine)].tolist() == mine.tolist()
    places = w.note - 1
    onsets = list(zip(w.time[places].tolist(), w.note_part.tolist(), strict=True))
    assert w.chord[places].tolist() == [onsets[:i].count(onset) for i, onset in enumerate(onsets)]
    assert w.chord.max() > 0


def test_bars_are_as_long_as_the_grammar_has_them():
    meters = np.arange(64 * len(DENOMINATORS))
    for steps in (24, 48):
        assert bar_steps(meters, steps).tolist() == [grid.bar_steps(value, steps) for value in meters.tolist()]


def test_a_layout_comes_from_its_tokenizer():
    for steps in (24, 48):
        tokenizer = Parts(BarSettings(steps))
        layout = MemoryLayout.of(tokenizer.memory)
        assert [(f.first, f.size) for f in tokenizer.fields] == list(zip(layout.first, layout.sizes, strict=True))
    with pytest.raises(UsageError, match="the layout of steps has no 'again'"):
        MemoryLayout.of({name: value for name, value in PARTS.memory.items() if name != "again"})
    with pytest.raises(UsageError, match="the layout of steps has an unknown 'more'"):
        MemoryLayout.of({**PARTS.memory, "more": 1})
