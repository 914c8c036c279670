"""How a player's notes are drawn: what is foreseen, what is noise, and how far it goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from musicgen.expression.drums import instrument_of
from musicgen.expression.examples import OUTPUTS
from musicgen.expression.habits import Habits
from musicgen.expression.noise import Noise
from musicgen.expression.players import Player, players_of
from musicgen.expression.playing import balance_and_dynamics, play
from musicgen.piece import Piece, Track, notes_array

CHORDS = notes_array([(480 * k, 400, pitch, 80) for k in range(200) for pitch in (48, 55, 72 + k % 5)])
BEAT = notes_array([(240 * k, 60, pitch, 100) for k in range(200) for pitch in ((36, 42) if k % 4 == 0 else (42,))])
HABITS = Habits(15.0, 0.01, Noise(0.5, 8.0, 0.2), Noise())


def player(*, drums: bool) -> Player:
    track = Track("kit", 0, True, BEAT) if drums else Track("piano", 0, False, CHORDS)
    return players_of(Piece(480, (track,)))[0]


def chances(one: Player) -> dict[str, np.ndarray]:
    """Of the network's outputs: normal, with a middle that rises and falls, and one class wide timing."""
    outputs = OUTPUTS["drums" if one.is_drummer else "pitched"]
    count = len(one.notes)
    middle = 0.6 * np.sin(np.arange(count) / 9) + 0.5 * (one.notes["pitch"] > 60)
    found = {}
    for name, bins in outputs.items():
        values = bins.low + bins.step * (np.arange(bins.count) + 0.5)
        found[name] = np.exp(-0.5 * (values[None] - middle[:, None]) ** 2 / 0.6)
        found[name] /= found[name].sum(axis=1, keepdims=True)
    return found


def velocities(one: Player, habits: Habits, *, seed: int = 0) -> np.ndarray:
    return play(one, chances(one), habits, generator=np.random.default_rng(seed)).velocity


@pytest.mark.parametrize("drums", [True, False])
def test_balance_and_dynamics_are_all_that_there_is(drums):
    one = player(drums=drums)
    velocity = np.random.default_rng(1).normal(60, 20, len(one.notes))
    balance, dynamics = balance_and_dynamics(one, velocity)
    assert balance + dynamics == pytest.approx(velocity - velocity.mean())
    assert abs(balance.mean()) < 1e-9
    if drums:
        for kind in np.unique(instrument_of(one.notes["pitch"])):
            assert np.ptp(balance[instrument_of(one.notes["pitch"]) == kind]) < 1e-9
    else:
        assert np.bincount(one.chord, balance) == pytest.approx(np.zeros(len(one.chord_s)))


@pytest.mark.parametrize("drums", [True, False])
def test_the_less_noise_is_kept_the_more_takes_are_alike(drums):
    one = player(drums=drums)
    alike = []
    for kept in (1.0, 0.5, 0.0):
        habits = replace(HABITS, kept=kept)
        alike.append(np.corrcoef(velocities(one, habits, seed=1), velocities(one, habits, seed=2))[0, 1])
    assert alike[0] < alike[1] - 0.1
    assert alike[2] == pytest.approx(1)


@pytest.mark.parametrize("drums", [True, False])
def test_dynamics_grow_and_balance_stays(drums):
    one = player(drums=drums)
    usual, livelier = (velocities(one, replace(HABITS, dynamics=factor)) for factor in (1.0, 2.0))
    (balance, dynamics), (same, grown) = (balance_and_dynamics(one, each) for each in (usual, livelier))
    assert same == pytest.approx(balance)
    assert grown == pytest.approx(2 * dynamics)


def test_timing_that_nobody_bore_out_is_only_noise():
    one = player(drums=True)
    expected = OUTPUTS["drums"]["timing"].mean(chances(one)["timing"])

    def follows(foreseen: float) -> float:
        habits = replace(HABITS, foreseen=foreseen)
        late = play(one, chances(one), habits, generator=np.random.default_rng(3)).late_s
        return float(np.cov(late, expected)[0, 1] / expected.var() / HABITS.timing_spread_s)

    assert follows(1.0) == pytest.approx(1, abs=0.25)
    assert follows(1.0) - follows(0.4) == pytest.approx(0.6, abs=0.01)
