"""How a player's notes are to be played: quantiles of what a network expects, chosen by noise as performers have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from musicgen.expression.drums import instrument_of
from musicgen.expression.examples import OUTPUTS
from musicgen.expression.habits import Habits
from musicgen.expression.noise import shares
from musicgen.expression.pitched import HELD, PRESSED, UP
from musicgen.expression.players import Player
from musicgen.io.controllers import SUSTAIN
from musicgen.piece import CONTROL, Piece

__all__ = ["Played", "balance_and_dynamics", "pedalled", "play", "seconds_a_tick"]

TAIL = 0.01  # quantiles farther out are slips
PEDAL_STAYS = 0.97  # correlation of the walk between chords: some thirty are played alike


@dataclass(frozen=True)
class Played:
    """For each note of a player its `velocity` above the player's mean and its onset's `late_s`, at full strength; for
    each chord what the pedal does (`pitched.PEDAL`), None for drummers."""

    velocity: np.ndarray
    late_s: np.ndarray
    pedal: np.ndarray | None


def play(
    player: Player, chances: Mapping[str, np.ndarray], habits: Habits, *, generator: np.random.Generator
) -> Played:
    """Draw how a player plays. `chances` are the probabilities (N, K) of each output's classes."""
    outputs = OUTPUTS["drums" if player.is_drummer else "pitched"]
    drawn = {}
    for name, noise, kept in (("velocity", habits.velocity, habits.kept), ("timing", habits.timing, 1.0)):
        value = kept * noise.draw(player.chord, player.chord_s, place=player.place, generator=generator)
        share = np.clip(shares(value), TAIL, 1 - TAIL)
        drawn[name] = outputs[name].quantile(chances[name], share)
    balance, dynamics = balance_and_dynamics(player, drawn["velocity"])
    velocity = habits.velocity_spread * (balance + habits.dynamics * dynamics)
    over = (1 - habits.foreseen) * outputs["timing"].mean(chances["timing"])
    late = habits.timing_spread_s * (drawn["timing"] - over)
    if player.pitched is not None:
        late[player.pitched.size[player.chord] == 1] = 0.0  # it is late in no chord
        beat = generator.standard_normal(len(player.chord_s))
        late += habits.beat_spread_s * np.clip(beat, -2, 2)[player.chord]
    velocity -= velocity.mean()
    late -= np.median(late)
    pedal = None
    if "pedal" in chances:
        count = np.bincount(player.chord)
        mean = np.stack([np.bincount(player.chord, column) / count for column in chances["pedal"].T], axis=1)
        pedal = _drawn_pedal(mean, generator)
    return Played(velocity, late, pedal)


def balance_and_dynamics(player: Player, velocity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two parts of a player's velocities (N,), each with a mean of 0, which add up to them but for their mean.

    Balance is what sets apart what sounds together: how far each note stands out of its chord, or how loud a drummer
    strikes each instrument. Dynamics are what goes on in time: how loud each chord is, or each stroke for its
    instrument.
    """
    velocity = velocity - velocity.mean()
    if player.strokes is not None:
        balance = _group_means(instrument_of(player.strokes.pitch), velocity)
        return balance, velocity - balance
    dynamics = _group_means(player.chord, velocity)
    return velocity - dynamics, dynamics


def _group_means(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each value the mean of its group."""
    means: np.ndarray = (np.bincount(group, values) / np.maximum(np.bincount(group), 1))[group]
    return means


def _drawn_pedal(chances: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What the pedal does at each chord (PEDAL), drawn from its probabilities (chords, 3).

    Whether it is up follows a random walk, so that it stays so for a while; between held and pressed each chord draws
    alone. A pedal that isn't down can't be held and is pressed.
    """
    walk, value = np.zeros(len(chances)), float(generator.standard_normal())
    for n, step in enumerate(generator.standard_normal(len(chances)).tolist()):
        value = PEDAL_STAYS * value + np.sqrt(1 - PEDAL_STAYS**2) * step
        walk[n] = value
    up = chances[:, UP] > shares(walk)
    presses = chances[:, PRESSED] / np.maximum(chances[:, PRESSED] + chances[:, HELD], 1e-9)
    pressed = generator.random(len(chances)) < presses
    pressed |= np.append(True, up[:-1])
    return np.where(up, UP, np.where(pressed, PRESSED, HELD))


def pedalled(piece: Piece, player: Player, pedal: np.ndarray, habits: Habits) -> np.ndarray:
    """The sustain pedal of a player as CONTROL rows: down a little after a chord, up where the next one changes it, and
    when the last note ends."""
    tick_s = seconds_a_tick(piece, player.chord_s)
    chord_tick = np.zeros(len(player.chord_s), np.int64)
    chord_tick[player.chord] = player.notes["start"]
    end = int((player.notes["start"] + player.notes["duration"]).max())
    press = np.rint(habits.press_s / tick_s).astype(np.int64)
    lift = np.rint(habits.lift_s / tick_s).astype(np.int64)
    events: list[tuple[int, int]] = []
    down = False
    steps = np.diff(np.append(chord_tick, end)).tolist()
    for tick, does, after, before, step in zip(
        chord_tick.tolist(), pedal.tolist(), press.tolist(), lift.tolist(), steps, strict=True
    ):
        if down and does != HELD:
            events.append((max(tick + before, events[-1][0] + 1), 0))
            down = False
        if does == PRESSED:
            pressed = tick + max(1, min(after, step // 2))
            events.append((max(pressed, events[-1][0] + 1 if events else 0), 127))
            down = True
    if down:
        events.append((max(end, events[-1][0] + 1), 0))
    rows = np.zeros(len(events), CONTROL)
    rows["tick"], rows["value"] = [tick for tick, _ in events], [value for _, value in events]
    rows["number"] = SUSTAIN
    return rows


def seconds_a_tick(piece: Piece, chord_s: np.ndarray) -> np.ndarray:
    """Of a tick at each time, by the tempo there."""
    starts, us = piece.tempos["tick"], piece.tempos["microseconds"]
    if not len(starts):
        return np.full(len(chord_s), 0.5 / piece.ticks_per_quarter)
    at = np.searchsorted(piece.to_seconds(starts), chord_s + 1e-9, side="right") - 1
    found: np.ndarray = np.where(at >= 0, us[np.maximum(at, 0)], 500_000) / (1e6 * piece.ticks_per_quarter)
    return found
