"""Where bars begin, whatever the meters, and what a piece may not have."""

from __future__ import annotations

import math

import numpy as np
import pytest

from musicgen import piece as pieces
from musicgen.errors import ResourceError
from musicgen.piece import METER, NOTE, TEMPO, Piece, Track


def by_walking(piece: Piece, until: int) -> tuple[list[float], list[int]]:
    """The same bar by bar, as the definition says it."""
    ticks, numerators, denominators = (column.tolist() for column in piece.meter_segments())
    starts, rows = [], []
    for row, begin in enumerate(ticks):
        if begin > until and row:
            break
        stop = min(ticks[row + 1] if row + 1 < len(ticks) else math.inf, until + 1)
        length = 4 * piece.ticks_per_quarter * numerators[row] / denominators[row]
        bar = 0
        while bar == 0 or begin + bar * length < stop - 1e-9 * length:
            starts.append(begin + bar * length)
            rows.append(row)
            bar += 1
    return starts, rows


def test_bars_begin_where_meters_put_them():
    rng = np.random.default_rng(0)
    for _ in range(300):
        quarter = int(rng.choice([1, 7, 24, 480]))
        at = np.sort(rng.choice(quarter * 20 + 1, size=int(rng.integers(0, 6)), replace=False))
        meters = np.array([(t, rng.integers(1, 13), 2 ** rng.integers(0, 7)) for t in at], METER)
        piece, until = Piece(quarter, meters=meters), int(rng.integers(0, quarter * 30))
        starts, rows = piece.bar_starts(until)
        assert (starts.tolist(), rows.tolist()) == by_walking(piece, until)


def test_a_change_of_meter_a_tick_is_no_more_work_than_other_bars():
    meters = np.array([(tick, 1 + tick % 7, 4) for tick in range(200_000)], METER)
    starts, rows = Piece(480, meters=meters).bar_starts(199_999)
    assert np.array_equal(starts, np.arange(200_000))
    assert np.array_equal(rows, np.arange(200_000))


@pytest.mark.parametrize(
    ("meters", "until", "told"),
    [
        ([], 2**40, "the piece has 572,662,307 bars, and more than 524,288 are no music"),
        ([(0, 1, 64)], 480 * 180_000, "the piece has 2,880,001 bars"),
        ([(0, 4, 4), (2**50, 3, 4)], 2**52, "bars, and more than 524,288 are no music"),
    ],
)
def test_more_bars_than_music_has_are_refused_before_there_is_room_for_them(meters, until, told):
    with pytest.raises(ResourceError) as caught:
        Piece(480, meters=np.array(meters, METER)).bar_starts(until)
    assert told in str(caught.value)
    assert str(caught.value).endswith("; cut the silence out, or write a longer meter")


def test_the_most_bars_that_there_may_be(monkeypatch):
    monkeypatch.setattr(pieces, "MOST_BARS", 10)
    assert len(Piece(480).bar_starts(1920 * 10 - 1)[0]) == 10
    with pytest.raises(ResourceError):
        Piece(480).bar_starts(1920 * 10)


def test_seconds_of_far_ticks():
    """The product of ticks and microseconds is beyond 64 bits here."""
    tempos = np.array([(0, 15_000_000), (2**50, 60_000)], TEMPO)
    notes = np.zeros(1, NOTE)
    notes["start"], notes["duration"] = 2**50 + 480, 480
    piece = Piece(480, (Track(notes=notes),), tempos)
    assert piece.seconds == pytest.approx(2**50 / 480 * 15 + 0.12, rel=1e-12)
