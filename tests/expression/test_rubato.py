"""Rubato: long notes and ends are stretched, bars stay where they are."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.expression.rubato import beats_of, rubato_tempos, stretches
from musicgen.piece import METER, TEMPO, Piece, Track, notes_array

# Four bars of quarters, of which each last one is a half note; eight times.
PHRASES = notes_array([(480 * k, 480, 60 + k % 7, 80) for k in range(128) if k % 16 != 15])


def phrases(tempos: np.ndarray | None = None) -> Piece:
    tracks = (Track("lead", 0, False, PHRASES),)
    return Piece(480, tracks) if tempos is None else Piece(480, tracks, tempos)


def test_beats_are_those_of_the_meter_and_dotted_where_it_is_compound():
    beat, per_bar = beats_of(phrases())
    assert per_bar == 4
    assert beat.tolist() == (480 * np.arange(127)).tolist()  # up to the last onset
    meters = np.array([(0, 6, 8), (1440 * 4, 3, 4)], METER)
    beat, _ = beats_of(Piece(480, (Track("lead", 0, False, PHRASES[:20]),), meters=meters))
    assert beat.tolist() == [*range(0, 5760, 720), *range(5760, 480 * 21, 480)][: len(beat)]
    late = notes_array([(480 * k + 1920 * 3, 480, 60, 80) for k in range(16)])
    assert beats_of(Piece(480, (Track("lead", 0, False, late),)))[0][0] == 1920 * 3


def test_long_notes_and_the_end_are_stretched_and_nothing_hurries():
    beat, per_bar = beats_of(phrases())
    stretch = stretches(beat, PHRASES["start"], per_bar=per_bar)
    assert np.median(stretch) == 0
    assert stretch.min() > -0.1
    inner = stretch[16:96]
    assert set(np.flatnonzero(inner > 0.1) % 16) == {14, 15}  # the beats of the half note
    assert (np.diff(stretch[-5:]) >= 0).all()
    assert stretch[-1] > 0.3


def test_the_tempo_map_is_bent_by_depth_and_keeps_its_own_changes():
    own = np.array([(0, 500_000), (480 * 60 + 7, 400_000)], TEMPO)
    beat, _ = beats_of(phrases(own))

    def logs(depth: float) -> np.ndarray:
        piece = phrases(rubato_tempos(phrases(own), depth=depth))
        return np.log([piece.tempo_at(int(tick)) / 1e6 for tick in [*beat, 480 * 60 + 7]])

    assert np.array_equal(rubato_tempos(phrases(own), depth=0), own)
    assert logs(0.5) - logs(0) == pytest.approx((logs(1) - logs(0)) / 2, abs=1e-5)
    assert (logs(1) - logs(0)).max() > 0.3


def test_slow_and_fast_tempos_stay_within_what_a_piece_may_have():
    for us in (60_000, 15_000_000):
        rows = rubato_tempos(phrases(np.array([(0, us)], TEMPO)), depth=1)
        assert rows["microseconds"].min() >= 60_000
        assert rows["microseconds"].max() <= 15_000_000


def test_drums_alone_keep_their_tempo_and_one_note_is_enough():
    kit = Track("kit", 0, True, PHRASES)
    assert np.array_equal(rubato_tempos(Piece(480, (kit,)), depth=1), Piece(480, (kit,)).tempos)
    one = Piece(480, (Track("lead", 0, False, PHRASES[:1]),))
    assert rubato_tempos(one, depth=1)["microseconds"].tolist() == [500_000]
