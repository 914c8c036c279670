"""What lies behind the cut of a continuation: kept where that is asked for, else its loss is said."""

from __future__ import annotations

import pytest
from songs import BAR, song
from uniform_parts import composer

from musicgen.composer import Request, Source
from musicgen.errors import UsageError


def test_what_is_left_out_is_said():
    (take,) = composer().continue_(song(), bars=2, start=8)
    assert take.facts["rest"] == {"notes": 4 * (4 + 2 + 3 + 4), "bars": 4, "kept": False}
    (line,) = [line for line in take.facts["warnings"] if line.startswith("rest: ")]
    assert line == "rest: behind the cut 4 bars with 52 notes of the piece are left out; `keep_rest` keeps them"
    (take,) = composer().continue_(song(), bars=2)
    assert "rest" not in take.facts
    assert not [line for line in take.facts["warnings"] if line.startswith("rest: ")]


def test_the_rest_follows_the_new_bars():
    piece = song()
    (take,) = composer().continue_(piece, bars=3, start=8, keep_rest=True)
    assert take.facts["rest"]["kept"] is True
    assert take.facts["settings"]["keep_rest"] is True
    assert take.facts["notes_added"] == len(take.notes)
    for old, new in zip(piece.tracks, take.piece.tracks, strict=True):
        behind = old.notes[old.notes["start"] >= 8 * BAR].copy()
        behind["start"] += 3 * BAR
        assert (new.notes[new.notes["start"] >= 11 * BAR] == behind).all()
    assert take.piece.end == piece.end + 3 * BAR


@pytest.mark.parametrize("asked", [Request(bars=2), Request(seconds=3.0, start=4)])
def test_the_rest_needs_a_bar_and_whole_bars(asked):
    from musicgen.sampling.request import Finish

    with pytest.raises(UsageError, match="can only be kept behind whole bars; give `start` BAR"):
        composer().takes(Source.of_piece(song()), request=asked, finish=Finish(keep_rest=True))
