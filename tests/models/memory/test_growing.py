"""A memory that grows row by row says what is recalled of whole sequences, number for number."""

from __future__ import annotations

import numpy as np
import pytest
from part_pieces import LAYOUTS, PARTS, tune_rows

from musicgen.models.layouts import MemoryLayout
from musicgen.models.memory.growing import Memory
from musicgen.models.memory.inputs import column_sizes, columns, last_columns
from musicgen.models.memory.sources import POINTERS, recall
from musicgen.models.memory.traces import Tally

LAYOUT = MemoryLayout.of(PARTS.memory)


def everything(memory: Memory, row: list[int]) -> list:
    """All that a memory says of the next row, that row's earlier fields being chosen."""
    said: list = [memory.pitches(), memory.loudness()]
    for field in POINTERS:
        guesses = memory.guesses(field, row)
        said += [guesses.value, guesses.trust, guesses.weight, [numbers(found) for found in guesses.counted]]
    return said


def numbers(tally: Tally | None) -> list | None:
    return None if tally is None else [tally.total, tally.distinct, tally.counts.tolist()]


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("seed", [5, 6])
def test_step_by_step_is_as_all_at_once(kind, seed):
    rows = tune_rows(seed, kind)
    whole = recall(rows, LAYOUT)
    told = columns(rows, whole, LAYOUT, 0)
    memory = Memory(LAYOUT)
    for r, row in enumerate(rows.tolist()):
        for field in POINTERS if r else ():
            guesses = memory.guesses(field, row)
            own = row[field] - LAYOUT.first[field]
            assert guesses.value == whole.value[field][r].tolist(), (r, field)
            assert guesses.trust == whole.trust[field][r].tolist(), (r, field)
            if row[field]:  # of an empty field nothing is asked
                assert guesses.weight == whole.weight[field][r].tolist(), (r, field)
                shares = [found.counts[own] / found.total if found else 0 for found in guesses.counted]
                np.testing.assert_allclose(shares, whole.share[field][r], 1e-6)
        if r:
            assert list(memory.pitches()) == whole.pitches[r].tolist()
            assert memory.loudness() == whole.loudness[r].tolist()
            assert last_columns(memory) == told[r - 1].tolist(), r
        memory.append(row)
        assert memory.place[-1][:5] == tuple(
            int(of[r]) for of in (whole.walk.bar, whole.walk.x, whole.walk.window, whole.walk.part, whole.walk.time)
        )
    assert (told >= 0).all()
    assert (told < np.array(column_sizes(LAYOUT))).all()


@pytest.mark.parametrize("kind", LAYOUTS)
def test_rows_remembered_together_are_as_one_after_the_other(kind):
    rows = tune_rows(11, kind).tolist()
    for count in (0, 1, 2, 30, len(rows) - 1):
        together, singly = Memory(LAYOUT, rows[:count]), Memory(LAYOUT)
        for row in rows[:count]:
            singly.append(row)
        assert everything(together, rows[count]) == everything(singly, rows[count])
        assert {group: streaks for group, streaks in singly.streaks.items() if any(streaks)} == {
            group: streaks for group, streaks in together.streaks.items() if any(streaks)
        }
        assert (together.after, together.events, together.place) == (singly.after, singly.events, singly.place)


@pytest.mark.parametrize("kind", ["plain", "accompanied"])
def test_rows_that_begin_at_a_bar_line(kind):
    """Nothing is known of the parts' instruments then, and both know the same."""
    rows = tune_rows(7, kind)
    rows = rows[PARTS.bar_positions(rows)[2] :]
    rows[0, :3] = 0
    whole, memory = recall(rows, LAYOUT), Memory(LAYOUT, rows[:1].tolist())
    for r, row in enumerate(rows.tolist()[1:], start=1):
        for field in POINTERS:
            guesses = memory.guesses(field, row)
            assert guesses.value == whole.value[field][r].tolist(), (r, field)
            assert guesses.trust == whole.trust[field][r].tolist(), (r, field)
        memory.append(row)


def test_copies_go_their_own_ways():
    one, other = tune_rows(8)[:90].tolist(), tune_rows(8)[:60].tolist() + tune_rows(9)[30:60].tolist()
    shared = Memory(LAYOUT, one[:60])
    before = everything(shared, one[60])
    left = shared.copy()
    right = left.copy()
    for row_left, row_right in zip(one[60:], other[60:], strict=True):
        left.append(row_left)
        right.append(row_right)
    assert everything(shared, one[60]) == before, "what was copied stays as it was"
    for memory, rows in ((left, one), (right, other)):
        fresh = Memory(LAYOUT, rows)
        assert everything(memory, one[0]) == everything(fresh, one[0])
        assert last_columns(memory) == last_columns(fresh)
    for row in other[60:]:
        shared.append(row)
    assert everything(shared, one[0]) == everything(right, one[0]), "and goes on alone"


def test_asking_changes_nothing():
    rows = tune_rows(10).tolist()
    asked, quiet = Memory(LAYOUT), Memory(LAYOUT)
    for row in rows[:70]:
        if asked.rows:
            everything(asked, row)
            last_columns(asked)
        asked.append(row)
        quiet.append(row)
    assert everything(asked, rows[70]) == everything(quiet, rows[70])
    assert asked.streaks == quiet.streaks
