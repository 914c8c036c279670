"""Parts that a request names are heard, or the take says that one isn't."""

from __future__ import annotations

import numpy as np
import pytest
from songs import song
from uniform_parts import composer

from musicgen.composer import Request, Source
from musicgen.gm import find_program
from musicgen.piece import NOTE
from musicgen.sampling.faults import Stretch, hardly_any


@pytest.mark.parametrize("bars", [1, 2, 4, 8])
def test_every_instrument_of_a_new_piece_is_heard(bars):
    takes = composer().takes(
        Source.nothing(), request=Request(bars=bars, tracks=("piano", "bass", "drums", "flute")), count=3
    )
    for take in takes:
        sounds = [(t.program, t.is_drum) for t in take.piece.tracks if len(t.notes)]
        assert len(sounds) == 4
        for track in take.piece.tracks:
            rest = np.diff(np.unique(track.notes["start"] // 1920), prepend=-1, append=bars)
            assert rest.max() <= 3  # two bars of rest


def test_a_part_that_is_new_to_a_piece_is_heard():
    for take in composer().takes(Source.of_piece(song()), request=Request(bars=6, tracks=("1", "cello")), count=3):
        new = next(t for t in take.piece.tracks if t.program == find_program("cello"))
        assert len(np.unique(new.notes["start"] // 1920)) >= 2


def test_a_part_that_plays_in_few_bars_is_not_heard():
    notes = np.zeros(3, NOTE)
    notes["start"], notes["duration"] = [0, 100, 1920], 100
    stretch = Stretch(notes, np.zeros(3, int), np.zeros(3, bool), 0, 8, 1920, 480)
    assert hardly_any(stretch, np.ones(3, bool))
    assert not hardly_any(Stretch(notes, stretch.part, stretch.drum, 0, 4, 1920, 480), np.ones(3, bool))
    assert hardly_any(stretch, np.zeros(3, bool))
