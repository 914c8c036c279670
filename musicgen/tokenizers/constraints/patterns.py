"""A mask of onsets that are given: a borrowed rhythm, or a motif that comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Pattern", "Patterns", "Stroke"]


@dataclass(frozen=True)
class Stroke:
    """An onset of a pattern: its step from the bar line, the lengths (steps) that a note there may have and the one
    pitch that it has; none and None leave that open."""

    position: int
    lengths: tuple[int, ...] = ()
    pitch: int | None = None


@dataclass(frozen=True)
class Pattern:
    """The strokes of a bar, which a player has to play all of, or else may (`is_free`), and no others."""

    strokes: tuple[Stroke, ...]
    is_free: bool = False


class Patterns(Mask):
    """Players keep to patterns in some of the new bars: (player, number of the new bar) -> pattern.

    Before such a bar a player's notes end with their bar, and with `clears` all players' notes do, so that there is
    room for the pattern where few notes may sound at once.
    """

    strict = True

    def __init__(self, patterns: Mapping[tuple[int, int], Pattern], *, clears: bool = False) -> None:
        self._patterns, self._clears = dict(patterns), clears
        self._full = {bar for (_, bar), each in self._patterns.items() if not each.is_free}
        self._strokes = {at: {s.position: s for s in each.strokes} for at, each in self._patterns.items()}

    def binds(self, bar: int) -> bool:
        """Whether somebody has a pattern in a new bar, counted from 0."""
        return any(number == bar for _, number in self._patterns)

    def begins(self, place: BarPlace, player: int) -> np.ndarray | None:
        pattern = self._patterns.get((player, place.bar_number))
        return None if pattern is None else _positions(pattern, place.bar_steps)

    def must(self, place: BarPlace, player: int) -> np.ndarray | None:
        pattern = self._patterns.get((player, place.bar_number))
        return None if pattern is None or pattern.is_free else _positions(pattern, place.bar_steps)

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        assert isinstance(place, BarPlace)
        stroke = self._stroke(place, player)
        if stroke is None or stroke.pitch is None:
            return None
        mask: np.ndarray = np.arange(128) == stroke.pitch
        return mask

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        stroke = self._stroke(place, place.player)
        if stroke is None or not stroke.lengths:
            following = place.bar_number + 1
            if (self._clears and following in self._full) or (place.player, following) in self._patterns:
                return lengths <= max(place.bar_steps - place.position, int(lengths.min()))
            return None
        # A length that the vocabulary lacks becomes the nearest one.
        nearest = np.abs(lengths[:, None] - np.array(stroke.lengths)).argmin(axis=0)
        mask: np.ndarray = np.isin(np.arange(len(lengths)), nearest)
        return mask

    def _stroke(self, place: BarPlace, player: int | None) -> Stroke | None:
        strokes = None if player is None else self._strokes.get((player, place.bar_number))
        return None if strokes is None else strokes.get(place.position)


def _positions(pattern: Pattern, steps: int) -> np.ndarray:
    mask = np.zeros(steps, bool)
    mask[[stroke.position for stroke in pattern.strokes if stroke.position < steps]] = True
    return mask
