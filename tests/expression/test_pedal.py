"""The pedal that is drawn: as often as its probabilities say, in runs, and held only where it is down."""

from __future__ import annotations

import numpy as np

from musicgen.expression.pitched import HELD, PRESSED, UP
from musicgen.expression.playing import _drawn_pedal


def test_the_pedal_is_drawn_as_often_as_its_probabilities_say():
    chances = np.tile([0.5, 0.3, 0.2], (20_000, 1))
    drawn = _drawn_pedal(chances, np.random.default_rng(1))
    assert abs((drawn == UP).mean() - 0.5) < 0.06
    runs = np.diff(np.flatnonzero(np.diff((drawn == UP).astype(int))))
    assert runs.mean() > 5  # chord by chord it would be two
    assert not ((drawn[1:] == HELD) & (drawn[:-1] == UP)).any()
    assert drawn[0] != HELD
    inside = (drawn[1:] != UP) & (drawn[:-1] != UP)
    assert abs((drawn[1:][inside] == PRESSED).mean() - 0.4) < 0.03


def test_a_pedal_that_is_sure_is_not_drawn_otherwise():
    always = _drawn_pedal(np.tile([0.0, 1.0, 0.0], (50, 1)), np.random.default_rng(2))
    assert always.tolist() == [PRESSED] + [HELD] * 49
    assert (_drawn_pedal(np.tile([1.0, 0.0, 0.0], (50, 1)), np.random.default_rng(2)) == UP).all()
