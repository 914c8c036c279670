"""A mask of a last chord: who begins it together, at which place of the last bar, of which notes, and for how long."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.constraints.tones import of_classes
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["LastChord"]


class LastChord(Mask):
    """The music closes with a chord in the new bar `bar`, at its step `begin`, and nobody plays after it.

    All parts in `ranges` begin a note there; drums among them strike. Melodic notes are of the pitch classes `tones`,
    the lowest of the part `bass` of the class `root`, and they last about `length` steps. What began before ends there.
    `ranges` tell the lowest and highest pitch of a part, `deep` those of the lowest note of the bass; where a range has
    none of the tones, it doesn't count. The bass begins at least `fewest` notes.
    """

    def __init__(
        self,
        bar: int,
        begin: int,
        *,
        length: int,
        tones: frozenset[int],
        root: int,
        bass: int,
        ranges: Mapping[int, tuple[int, int]],
        deep: tuple[int, int],
        fewest: int = 1,
    ) -> None:
        self._bar, self._begin, self._length, self._bass = bar, begin, length, bass
        self._tones, self._fewest = of_classes(tones), fewest
        self._own = {part: _within(self._tones, span) for part, span in ranges.items()}
        self._root = _within(of_classes([root]), deep)

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        assert isinstance(place, BarPlace)
        if kit or place.new_bar != self._bar or place.position != self._begin:
            return None
        # A part's notes on an onset ascend, so that its first one is its lowest.
        if player == self._bass and (place.pitch < 0 or place.player != player):
            return self._root
        return self._tones if player is None else self._own.get(player, self._tones)

    def begins(self, place: BarPlace, player: int) -> np.ndarray | None:
        if place.new_bar != self._bar:
            return None
        mask: np.ndarray = np.arange(place.bar_steps) <= self._begin
        return mask

    def must(self, place: BarPlace, player: int) -> np.ndarray | None:
        if place.new_bar != self._bar or player not in self._own:
            return None
        mask: np.ndarray = np.arange(place.bar_steps) == self._begin
        return mask

    def least(self, place: Place) -> int:
        assert isinstance(place, BarPlace)
        here = place.new_bar == self._bar and place.position == self._begin and place.player == self._bass
        return place.notes_in_bar + 1 if here and place.chord < self._fewest else 0

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        if kit:
            return None
        until = (self._bar - place.new_bar) * place.bar_steps + self._begin - place.position
        if until > 0:
            return lengths <= max(until, int(lengths.min()))
        mask: np.ndarray = np.arange(len(lengths)) == np.abs(lengths - self._length).argmin()
        return mask


def _within(pitches: np.ndarray, span: tuple[int, int]) -> np.ndarray:
    """Those of the pitches (128, bool) that lie in a range; all of them if none does."""
    mask = pitches.copy()
    mask[: span[0]] = mask[span[1] + 1 :] = False
    return mask if mask.any() else pitches
