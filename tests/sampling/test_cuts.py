"""Where a piece is cut: on the grid of the music, however its last note ends."""

from __future__ import annotations

import numpy as np
import pytest

from musicgen.piece import METER, TEMPO, Piece, Track, notes_array
from musicgen.sampling.cuts import plain_cut

QUARTER = 480


def piece(notes, *, meter=(4, 4)) -> Piece:
    rows = [(round(start * QUARTER), round(length * QUARTER), 60, 80) for start, length in notes]
    maps = np.array([(0, 500_000)], TEMPO), np.array([(0, *meter)], METER)
    return Piece(QUARTER, (Track("", 0, notes=notes_array(rows)),), *maps)


def line(onsets, *, length=1.0, last=1.0):
    """Notes of one length in quarters, and a last one of another."""
    return [*((at, length) for at in onsets[:-1]), (onsets[-1], last)]


@pytest.mark.parametrize(
    ("ends_at", "expected"),
    [
        (1920, 1920),
        (1920 - 120, 1920),
        (1920 - 121, 1920 - 121),
        (1440, 1440),
        (1920 + 120, 1920),
        (1920 + 121, 2041),
        (1, 1),
    ],
)
def test_the_cut_moves_to_a_bar_line_within_a_sixteenth(ends_at, expected):
    assert plain_cut(piece([(0, ends_at / QUARTER)])) == expected


def test_the_cut_never_loses_a_note_on_the_bar_line():
    assert plain_cut(piece([(0, 4), (4, 1 / 8)])) == 1980


@pytest.mark.parametrize("last", [0.1, 0.25, 0.5, 0.75, 0.95, 1.0, 1.05, 1.25])
def test_a_detached_or_late_last_note_does_not_move_the_beat(last):
    quarters = [float(at) for at in range(10)]
    assert plain_cut(piece(line(quarters, last=last))) == 10 * QUARTER


@pytest.mark.parametrize("last", [0.1, 0.25, 0.45, 0.5, 0.6])
def test_the_grid_is_as_fine_as_the_music(last):
    eighths = [at / 2 for at in range(19)]
    assert plain_cut(piece(line(eighths, length=0.5, last=last))) == 9.5 * QUARTER
    sixteenths = [at / 4 for at in range(37)]
    assert plain_cut(piece(line(sixteenths, length=0.25, last=last / 2))) == 9.25 * QUARTER
    triplets = [at / 3 for at in range(28)]
    assert plain_cut(piece(line(triplets, length=1 / 3, last=min(last, 0.45)))) == round((9 + 1 / 3) * QUARTER)


def test_a_note_that_is_held_over_a_bar_line_ends_on_the_grid():
    quarters = [float(at) for at in range(8)]
    assert plain_cut(piece(line(quarters, last=2.9))) == 10 * QUARTER


@pytest.mark.parametrize("meter", [(3, 4), (2, 4), (4, 4)])
def test_a_piece_with_a_pickup_ends_in_the_middle_of_a_bar(meter):
    length = 4 * meter[0] / meter[1]
    beats = [float(at) for at in range(round(4 * length - 1))]
    assert plain_cut(piece(line(beats, last=0.4), meter=meter)) == round((4 * length - 1) * QUARTER)


def test_beats_of_compound_meters_are_dotted():
    beats = [1.5 * at for at in range(7)]
    assert plain_cut(piece(line(beats, length=1.5, last=0.3), meter=(6, 8))) == 10.5 * QUARTER


@pytest.mark.parametrize("seed", range(5))
def test_hands_that_are_off_the_grid_go_on_with_its_beat(seed):
    rng = np.random.default_rng(seed)
    onsets = [at + float(off) for at, off in zip(range(10), rng.uniform(-0.07, 0.07, 10), strict=True)]
    onsets[0] = abs(onsets[0])
    assert plain_cut(piece(line(onsets, length=0.8, last=0.3))) == 10 * QUARTER


def test_music_without_a_grid_is_cut_where_it_ends():
    rng = np.random.default_rng(0)
    onsets = np.cumsum(rng.uniform(0.3, 1.1, 40)).tolist()
    music = piece(line(onsets, last=0.2))
    starts, _ = music.bar_starts(music.end)
    assert min(abs(starts - music.end)) > QUARTER / 4
    assert plain_cut(music) == music.end


def test_the_last_note_stays_whole_where_it_begins_early():
    onsets = [*(float(at) for at in range(9)), 8.95]  # meant for the ninth beat
    assert plain_cut(piece(line(onsets, last=0.5))) == 10 * QUARTER
