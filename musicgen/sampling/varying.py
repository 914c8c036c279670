"""What returns in a long continuation returns varied: in some bars a part goes on otherwise than it did before.

A model that reads a whole piece repeats it word for word; composers bring bars back with some notes changed. So in a
share of the bars of a section melodic parts may not go on literally on one of the beats, so that its harmony or figure
is another; their rhythm is free to return, and so are the drums. Which bars and beats is drawn by seed.
"""

from __future__ import annotations

import numpy as np

from musicgen.piece import NOTE, Piece
from musicgen.sampling.plan import Plan
from musicgen.tokenizers.bars.voices import Voice
from musicgen.tokenizers.constraints import DRUMS
from musicgen.tokenizers.constraints.repeats import Variations, figures

__all__ = ["variations"]

SHARE = 0.35  # of bars in which something is to vary that returns


def variations(
    plan: Plan, piece: Piece, voices: tuple[Voice, ...], *, steps: int, beat: int, seed: int
) -> Variations | None:
    """The mask for a section's bars by which what was in `piece`, all music before it, returns varied. `voices` are its
    parts, `steps` those of a quarter, `beat` those of a beat. None where no melodic part plays."""
    anchor, players = plan.anchor, plan.constraints.players.parts
    melodic = [n for n in sorted(players or ()) if voices[n].program != DRUMS]
    if not melodic:
        return None
    per_step = anchor.ticks_per_quarter / steps
    bar_steps = round(anchor.bar_length / per_step)
    lines, _ = piece.bar_starts(plan.cut)
    played = {n: _on_grid(piece, voices[n].tracks, lines, per_step) for n in melodic}
    rng = np.random.default_rng((seed, 6))
    places: dict[tuple[int, int], frozenset[int]] = {}
    beats = max(2, bar_steps // beat)
    for bar in range(plan.bars):
        if rng.random() >= SHARE:
            continue
        first = int(rng.integers(beats))
        steps_of = frozenset(range(first * bar_steps // beats, (first + 1) * bar_steps // beats))
        for part in melodic:
            places[part, plan.constraints.bars_before + bar] = steps_of
    return Variations(places, figures(played))


def _on_grid(piece: Piece, tracks: tuple[int, ...], lines: np.ndarray, per_step: float) -> np.ndarray:
    """The (bar, position in steps, pitch) of the notes of some tracks, in order; (N, 3)."""
    notes = np.concatenate([np.empty(0, NOTE), *(piece.tracks[t].notes for t in tracks)])
    bar = np.maximum(0, np.searchsorted(lines, notes["start"] + per_step / 2, side="right") - 1)
    position = np.maximum(0, np.rint((notes["start"] - lines[bar]) / per_step)).astype(np.int64)
    rows = np.stack([bar, position, notes["pitch"].astype(np.int64)], axis=1)
    return rows[np.lexsort(rows.T[::-1])]
