"""What returns in long music returns varied: masks say where a part may not go on as it did before."""

from __future__ import annotations

import numpy as np
from part_pieces import PARTS
from songs import song

from musicgen.sampling.plan import make_plan
from musicgen.sampling.request import Request
from musicgen.sampling.varying import SHARE, variations
from musicgen.tokenizers.constraints.repeats import Variations, figures
from musicgen.tokenizers.place import BarPlace

BASS_LINE = np.array([(0, 0, 60), (0, 24, 62), (0, 48, 64), (1, 0, 60), (1, 24, 62), (1, 48, 65), (2, 0, 67)])


def at(position: int, *before: tuple[int, int, int]) -> BarPlace:
    """A place in the first bar of new music, behind the (bar, position, pitch) that player 0 has played."""
    place = BarPlace(24, window_steps=24)
    place.bars, place.position = 1 + before[-1][0], position
    place.history = tuple((0, *each) for each in before)
    return place


def test_a_figure_goes_on_otherwise_where_it_is_to_be_varied():
    mask = Variations({(0, 0): frozenset({48})}, figures({0: BASS_LINE}))
    found = mask.bias(at(48, (0, 0, 60), (0, 24, 62)), 0, kit=False)
    assert found is not None
    assert set(np.flatnonzero(found).tolist()) == {64, 65}
    assert (found[[64, 65]] < -5).all()


def test_other_figures_places_and_players_are_free():
    mask = Variations({(0, 0): frozenset({48})}, figures({0: BASS_LINE}))
    assert mask.bias(at(48, (0, 0, 60), (0, 24, 63)), 0, kit=False) is None
    assert mask.bias(at(72, (0, 0, 60), (0, 24, 62)), 0, kit=False) is None
    assert mask.bias(at(48, (0, 0, 60), (0, 24, 62)), 1, kit=False) is None
    assert mask.bias(at(48, (0, 24, 62)), 0, kit=False) is None


def test_figures_reach_over_a_bar_line():
    assert figures({0: BASS_LINE})[0, ((1, 24, 62), (1, 48, 65)), 0] == {67}


def test_a_share_of_the_bars_is_varied_in_melodic_parts_alone():
    piece = song()
    plan = make_plan(piece, PARTS, request=Request(bars=16), context=None)
    masks = [variations(plan, piece, plan.ensemble.voices, steps=24, beat=24, seed=seed) for seed in range(40)]
    places = [each for mask in masks if mask is not None for each in mask.places]
    assert {part for part, _ in places} == {0, 1, 2}
    bars = np.mean([len({bar for _, bar in mask.places}) for mask in masks if mask is not None])
    assert abs(bars / 16 - SHARE) < 0.06
    again = variations(plan, piece, plan.ensemble.voices, steps=24, beat=24, seed=3)
    assert again is not None
    assert masks[3] is not None
    assert again.places == masks[3].places
