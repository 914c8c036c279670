"""The chords of new bars: from a text that is repeated, or from the chord symbols of the piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from musicgen.errors import UsageError
from musicgen.sampling.cadences import beat_of
from musicgen.tokenizers.constraints.harmony import Chord, ChordBar
from musicgen.tonality import Symbol, fitting_key, progression

if TYPE_CHECKING:
    from musicgen.sampling.kept import Ground

__all__ = ["Told", "beat_steps", "chord_bars", "chords_of_bars", "own_chords"]

Told = tuple[tuple[tuple[float, Symbol], ...], ...]  # of each new bar: (share of the bar at which it begins, chord)


def chords_of_bars(text: str, *, bars: int) -> Told:
    """The chords of a progression, each of a bar's lasting equally long, repeated over the new bars."""
    asked = progression(text)
    return tuple(
        tuple((n / len(bar), symbol) for n, symbol in enumerate(bar))
        for bar in (asked[k % len(asked)] for k in range(bars))
    )


def own_chords(ground: Ground) -> Told:
    """The chord symbols of the piece: of the same bars where it has some, and behind its last bar from the first again.

    Raises UsageError if it has none.
    """
    piece, chords = ground.piece, ground.piece.chords
    if not len(chords):
        raise UsageError("`chords` file: the piece has no chord symbols", hint="write them, as in `chords` 'Am F C G'")
    last = max(int(chords["tick"].max()), piece.end - 1)
    lines, _ = piece.bar_starts(last)
    more, _ = piece.bar_starts(int(np.ceil(lines[-1])) + 64 * 4 * piece.ticks_per_quarter)
    edges = more[: len(lines) + 1]
    told, running = [], None
    symbols = [(int(row["tick"]), Symbol.read(str(row["symbol"]))) for row in chords]
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        mine = [((tick - begin) / (end - begin), s) for tick, s in symbols if begin - 0.5 <= tick < end - 0.5]
        if running is not None and (not mine or mine[0][0] > 1e-3):
            mine.insert(0, (0.0, running))
        told.append(tuple((max(0.0, at), symbol) for at, symbol in mine))
        running = mine[-1][1] if mine else running
    return tuple(told[(ground.first_bar + k) % len(told)] for k in range(ground.bars))


def chord_bars(told: Told, *, ground: Ground, key: frozenset[int] | None) -> tuple[ChordBar, ...]:
    """The bars with their chords on the grid. The scale around a chord is the key, or else the major key that all these
    chords fit best."""
    every = [symbol.tones for bar in told for _, symbol in bar if symbol.tones]
    scale = key if key is not None else fitting_key(every)
    silence = Symbol("N.C.", frozenset(), -1)
    found = []
    for line, steps, bar in zip(ground.lines.tolist(), ground.steps, told, strict=False):
        chords: dict[int, Symbol] = {0: silence}
        chords |= {min(round(at * steps), steps - 1): symbol for at, symbol in bar}
        found.append(
            ChordBar(
                steps,
                beat_steps(ground, line),
                tuple(Chord(at, s.tones, s.bass, scale, s.name) for at, s in sorted(chords.items())),
            )
        )
    return tuple(found)


def beat_steps(ground: Ground, tick: int) -> int:
    """The beat at a tick in grid steps: the denominator's note, or three of them in 6/8, 9/8 and 12/8."""
    return max(1, int(beat_of(*ground.piece.meter_at(tick)) * ground.tokenizer.steps))
