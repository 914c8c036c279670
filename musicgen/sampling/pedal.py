"""Adds sustain pedal (controller 64) to new music by repeating the pedalling of the last bars before the cut.

The most typical of the last bars is the one whose pedalling differs least from that of the others; the new bars repeat
it, with its values. If the pedal doesn't change within that bar because it is held over several bars, the new bars
repeat all of the last bars in order, so that it changes as often. A channel that has no pedal in most of these bars
gets none. No other controllers are written. Controllers belong to a channel of a port, whatever track they are in.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from musicgen.io.channels import Channels
from musicgen.io.controllers import SUSTAIN, changes
from musicgen.io.splice import NewPart
from musicgen.piece import CONTROL, Piece
from musicgen.sampling.plan import Plan

__all__ = ["pedalled"]

BARS = 8  # last bars before the cut that are considered
PLACES = 24  # points per quarter at which bars are compared
DOWN = 64  # controller value from which the pedal counts as down
LEAST = 16  # a maximum below this counts as no pedal


@dataclass(frozen=True)
class BarOfPedal:
    """The pedal in one bar: its value (0..127) at the bar line, and (ticks from the bar line, value) of each change."""

    before: int
    changes: tuple[tuple[float, int], ...]

    def at(self, ticks: float) -> int:
        """The pedal value `ticks` after the bar line."""
        value = self.before
        for when, to in self.changes:
            if when > ticks:
                break
            value = to
        return value


def pedalled(parts: Sequence[NewPart], channels: Channels, piece: Piece, plan: Plan) -> list[NewPart]:
    """The parts with pedal events added; all parts of a channel get the same ones. `channels` and `piece` are those of
    the source."""
    homes = [_channel(part, channels) for part in parts]
    playing = sorted({home for home in homes if home is not None})
    new = {
        channel: _repeated(bars, plan)
        for channel, controls in zip(playing, channels.settings(np.array(playing, np.int64))[0], strict=True)
        if (bars := _typical(_pedal(controls, plan.cut), piece, plan))
    }
    return [
        part if home is None or home not in new else replace(part, controls=new[home])
        for part, home in zip(parts, homes, strict=True)
    ]


def _channel(part: NewPart, channels: Channels) -> int | None:
    """The channel of a part, 16 * port + channel; None for drums and for a part that is new in the file."""
    if part.is_drum or part.track is None or part.channel is None:
        return None
    return 16 * channels.port_of(part.track) + part.channel


def _pedal(controls: np.ndarray, cut: int) -> np.ndarray:
    """The pedal events (CONTROL) of a channel before the cut."""
    ticks, values = changes(controls, SUSTAIN)
    found = np.zeros(int(np.searchsorted(ticks, cut)), CONTROL)
    found["tick"], found["number"], found["value"] = ticks[: len(found)], SUSTAIN, values[: len(found)]
    return found


def _typical(changes: np.ndarray, piece: Piece, plan: Plan) -> list[BarOfPedal]:
    """The bars whose pedal is to be repeated in turn, usually one; empty if half or more of the last bars have none."""
    if not len(changes):
        return []
    begin, length = plan.anchor.bar_start, plan.anchor.bar_length
    meters = piece.meters["tick"][piece.meters["tick"] < begin]
    count = min(BARS, int((begin - (int(meters[-1]) if len(meters) else 0)) / length + 0.01))
    bars = [_bar(changes, begin - k * length, length) for k in range(count, 0, -1)]
    places = np.arange(max(1, round(length / plan.anchor.ticks_per_quarter * PLACES))) + 0.5
    ticks = places * plan.anchor.ticks_per_quarter / PLACES
    values = np.array([[bar.at(t) for t in ticks.tolist()] for bar in bars]).reshape(count, -1)
    if not count or values.max() < LEAST:
        return []
    down = values >= min(DOWN, values.max())  # for a pedal that stays below DOWN, its maximum
    if 2 * down.any(axis=1).sum() <= count:
        return []
    apart = (down[:, None] != down[None]).sum(axis=(1, 2))
    apart[~down.any(axis=1)] = apart.max() + 1
    typical = bars[count - 1 - int(np.argmin(apart[::-1]))]  # the last one of ties
    return [typical] if typical.changes else bars


def _bar(changes: np.ndarray, begin: float, length: float) -> BarOfPedal:
    first, last = np.searchsorted(changes["tick"], [begin, begin + length])
    inside = changes[first:last]
    moves = tuple(zip((inside["tick"] - begin).tolist(), inside["value"].tolist(), strict=True))
    return BarOfPedal(int(changes["value"][first - 1]) if first else 0, moves)


def _repeated(bars: list[BarOfPedal], plan: Plan) -> np.ndarray:
    """Pedal events (CONTROL) that repeat `bars` from the cut, where the pedal is up, to the end, where it is lifted."""
    begin, length, cut = plan.anchor.bar_start, plan.anchor.bar_length, plan.cut
    found: list[tuple[int, int, int]] = []
    now = 0

    def move(tick: int, value: int) -> None:
        nonlocal now
        if value != now and cut <= tick < plan.end:
            found.append((tick, SUSTAIN, value))
            now = value

    soon = length / 8
    for bar in itertools.cycle(bars):
        if begin >= plan.end:
            break
        # At a bar line the pedal takes the bar's first value, unless that was held over and is lifted soon after.
        into = max(0.0, cut - begin)
        lifted_soon = any(to == 0 and into < when <= into + soon for when, to in bar.changes)
        if now or not lifted_soon:
            move(round(begin + into), bar.at(into) if into else bar.before)
        for when, to in bar.changes:
            move(round(begin + when), to)
        begin += length
    if now:
        found.append((plan.end, SUSTAIN, 0))
    return np.array(found, CONTROL)
