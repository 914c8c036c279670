"""Masks of pitches that hold throughout: a key or scale, hard or soft, the range of each player, the drums of a kit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.place import Place

__all__ = ["Kit", "LessLikely", "Ranges", "Scale", "of_classes"]


def of_classes(classes: Iterable[int]) -> np.ndarray:
    """Boolean (128,): the pitches of some pitch classes, 0..11."""
    mask: np.ndarray = np.isin(np.arange(128) % 12, list(classes))
    return mask


class Scale(Mask):
    """Melodic players keep to these pitch classes."""

    strict = True

    def __init__(self, classes: Iterable[int]) -> None:
        self.classes = frozenset(classes)
        self._mask = of_classes(self.classes)

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        return None if kit else self._mask


class LessLikely(Mask):
    """For melodic players, pitches outside these classes are `share` times as likely as without it, 0 < share < 1."""

    def __init__(self, classes: Iterable[int], *, share: float) -> None:
        self._bias = np.where(of_classes(classes), 0.0, math.log(share))

    def bias(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        return None if kit else self._bias


class Ranges(Mask):
    """The lowest and highest pitch of melodic players: of all, and of some their own."""

    strict = True

    def __init__(self, everyone: tuple[int, int], own: Mapping[int, tuple[int, int]]) -> None:
        self._everyone = _between(*everyone)
        self._own = {player: _between(*pair) for player, pair in own.items()}

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        return None if kit else self._everyone if player is None else self._own.get(player, self._everyone)


class Kit(Mask):
    """The drums that may be struck."""

    strict = True

    def __init__(self, drums: Iterable[int]) -> None:
        self._mask: np.ndarray = np.isin(np.arange(128), list(drums))

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        return self._mask if kit else None


def _between(low: int, high: int) -> np.ndarray:
    mask = np.zeros(128, bool)
    mask[low : high + 1] = True
    return mask
