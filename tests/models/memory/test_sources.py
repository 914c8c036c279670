"""What is recalled is what a search of everything before finds, and nothing of what comes after."""

from __future__ import annotations

import numpy as np
import pytest
from memory_search import Search
from part_pieces import LAYOUTS, PARTS, tune_rows

from musicgen.models.layouts import DURATION, ONSET, PART, PITCH, VELOCITY, MemoryLayout
from musicgen.models.memory.inputs import columns
from musicgen.models.memory.sources import COUNTS, POINTERS, Recalled, recall

LAYOUT = MemoryLayout.of(PARTS.memory)
FIRST = np.array(LAYOUT.first)


def assert_same(a: Recalled, b: Recalled, rows: slice) -> None:
    for name in ("value", "trust", "share", "weight"):
        for field, found in getattr(a, name).items():
            np.testing.assert_array_equal(found[rows], getattr(b, name)[field][rows], f"{name} of {field}")
    np.testing.assert_array_equal(a.pitches[rows], b.pitches[rows])
    np.testing.assert_array_equal(a.loudness[rows], b.loudness[rows])


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_recalled_is_what_a_search_finds(kind, seed):
    rows = tune_rows(seed, kind)
    found, wanted = recall(rows, LAYOUT), Search(rows, LAYOUT)
    for field, names in POINTERS.items():
        for n, name in enumerate(names):
            for what in ("value", "trust"):
                expected = [row[n] for row in getattr(wanted, what)[field]]
                assert getattr(found, what)[field][:, n].tolist() == expected, (what, field, name)
            if kind == ("returning" if name == "echo" else "plain"):
                assert (found.value[field][:, n] >= 0).sum() > 3, f"{name} of {field} is hardly tested"
        for n, name in enumerate(COUNTS[field]):
            assert found.weight[field][:, n].tolist() == [row[n] for row in wanted.weight[field]], (field, name)
            np.testing.assert_allclose(
                found.share[field][:, n], [row[n] for row in wanted.share[field]], 1e-6, err_msg=f"{field} {name}"
            )
    assert found.pitches.tolist() == wanted.pitches
    assert found.loudness.tolist() == wanted.loudness


@pytest.mark.parametrize("kind", LAYOUTS)
def test_what_comes_later_changes_nothing(kind):
    rows = tune_rows(2, kind)
    whole = recall(rows, LAYOUT)
    told = columns(rows, whole, LAYOUT, 0)
    for end in (1, 2, 5, 7, 20, 41, len(rows) - 1):
        part = recall(rows[:end], LAYOUT)
        assert_same(part, whole, slice(0, end))
        np.testing.assert_array_equal(columns(rows[:end], part, LAYOUT, 0), told[: end - 1])


@pytest.mark.parametrize("field", [PITCH, DURATION, VELOCITY, ONSET, PART])
def test_nothing_of_a_steps_own_field_or_later_ones_is_used(field):
    rows = tune_rows(3)
    whole = recall(rows, LAYOUT)
    at = [r for r in range(20, len(rows) - 1, 9) if rows[r, DURATION] and rows[r, ONSET] >= LAYOUT.position]
    assert len(at) > 5
    later = 0
    for r in at:
        other = rows.copy()
        # Another value of the same kind: a duration, a velocity or a position more, the next part, the pitch above.
        other[r, field] = LAYOUT.part + (rows[r, PART] - LAYOUT.part + 1) % 3 if field == PART else rows[r, field] + 1
        changed = recall(other, LAYOUT)
        assert_same(changed, whole, slice(0, r))
        for f in POINTERS:
            if f <= field:
                for name in ("value", "trust", "weight"):
                    assert np.array_equal(getattr(changed, name)[f][r], getattr(whole, name)[f][r]), (name, f)
            if f < field:
                assert np.array_equal(changed.share[f][r], whole.share[f][r])
        later += any((changed.value[f][r + 1 :] != whole.value[f][r + 1 :]).any() for f in POINTERS)
        # What is told with the row before knows nothing of this one; loudness isn't told at all.
        before, after = (columns(a, b, LAYOUT, 0) for a, b in ((rows, whole), (other, changed)))
        assert np.array_equal(after if field == VELOCITY else after[:r], before if field == VELOCITY else before[:r])
    assert later, "such a change is remembered"


def test_in_another_key_the_same_is_recalled():
    rows = tune_rows(4)
    shifted = PARTS.transposed(rows.astype(np.uint16), 5).astype(np.int64)
    here, there = recall(rows, LAYOUT), recall(shifted, LAYOUT)
    for field in POINTERS:
        np.testing.assert_array_equal(here.trust[field], there.trust[field])
        np.testing.assert_array_equal(here.weight[field], there.weight[field])
        np.testing.assert_array_equal(here.share[field], there.share[field])
    melodic = (here.value[PITCH] >= 0) & (here.value[PITCH] < 128)
    np.testing.assert_array_equal(there.value[PITCH], here.value[PITCH] + 5 * melodic)


def test_a_figure_in_another_key_is_foretold_from_its_second_note_on():
    v = PARTS.vocabulary
    pitches = [60, 62, 64, 60, 67, 69, 71, 67]
    rows = [[0, 0, 0, v.id("bos"), v.id("tempo", 31), v.id("style")]]
    rows += [[0, 0, 0, v.id("enter"), v.id("part"), v.id("program", 40)]]
    rows += [[0, 0, 0, v.id("bar"), v.id("meter", 3 * 7 + 2), 0], [0, 0, 0, v.id("position"), v.id("part"), 0]]
    for n, pitch in enumerate(pitches, start=1):
        note = [v.id("pitch", pitch), v.id("duration", 11), v.id("velocity", 16)]
        rows.append([*note, v.id("position", 12 * n), v.id("part"), 0])
    found = recall(np.array(rows), LAYOUT)
    shifted = POINTERS[PITCH].index("shifted")
    assert found.value[PITCH][-1, shifted] == 67
    assert found.value[PITCH][-2, shifted] == -1, "an order of two intervals is not there yet"
    assert found.value[PITCH][-1, POINTERS[PITCH].index("line")] == -1


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_hardly_any_rows(rows):
    found = recall(tune_rows(0)[:rows], LAYOUT)
    assert found.value[PITCH].shape == (rows, len(POINTERS[PITCH]))
    assert not any((found.trust[field] > 0).any() for field in POINTERS)
