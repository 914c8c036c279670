"""The comparison of kern files with verovio: what is set aside as explained, and what isn't."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from kern_texts import kern

from musicgen.io.midi import Limits
from musicgen.io.scores.kern.piece import score_of

PIPELINES = Path(__file__).parents[2] / "pipelines"
QUARTER = 240


@pytest.fixture
def check(monkeypatch):
    monkeypatch.syspath_prepend(PIPELINES / "checks")
    return importlib.import_module("kern_oracle")


def notes(*rows):
    """(onset, pitch, length) in quarters."""
    return Counter((onset * QUARTER, pitch, length * QUARTER) for onset, pitch, length in rows)


def test_notes_in_pieces_at_bar_lines_are_the_same_notes(check):
    bars = {0, 4 * QUARTER, 8 * QUARTER}
    mine = notes((3, 60, 2), (5, 62, 1))
    assert check.differences(mine, notes((3, 60, 1), (4, 60, 1), (5, 62, 1)), bars) == (Counter(), Counter(), 1)
    assert check.differences(mine, notes((3, 60, 1), (5, 62, 1)), bars) == (Counter(), Counter(), 1)
    assert check.differences(mine, mine, bars) == (Counter(), Counter(), 0)


def test_other_differences_stay(check):
    mine = notes((3, 60, 2), (5, 62, 1))
    for theirs in (notes((3, 60, 1.5), (5, 62, 1)), notes((3, 61, 2), (5, 62, 1)), notes((3, 60, 2)), notes()):
        extra, missing, cut = check.differences(mine, theirs, {0, 4 * QUARTER})
        assert (extra, missing) == (mine - theirs, theirs - mine)
        assert extra
        assert not cut


def test_what_is_taken_out_is_named_and_changes_nothing_that_we_read(check):
    text = kern("""
        **kern  **kern
        *ITrd1c2  *
        *tremolo  *
        16c  4e
        16c  .
        .  .
        8c  .
        rq  .
        *Xtremolo  *
        4d  4f
        *-  *-
    """)
    without, names = check.edited(text)
    assert names == ["abbreviations", "transposed", "grace rests", "empty rows"]
    assert check.edited(without) == (without, [])
    before, after = (check.ours(score_of(t, "t.krn", Limits()), played=False)[0] for t in (text, without))
    assert before == after
    assert before.total() == 6


def test_the_order_of_an_expansion_list_is_compared_too(check):
    score = score_of(kern("**kern\n*>[A,A]\n*>A\n4c\n*-\n"), "t.krn", Limits())
    assert check.ours(score, played=False)[0] == notes((0, 60, 1))
    assert check.ours(score, played=True)[0] == notes((0, 60, 1), (1, 60, 1))


@pytest.mark.skipif(importlib.util.find_spec("verovio") is not None, reason="verovio is here")
def test_without_verovio_nothing_is_compared_and_nothing_fails():
    command = [sys.executable, PIPELINES / "checks" / "kern_oracle.py", "nothing.krn"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "verovio is not installed: nothing was compared\n")
