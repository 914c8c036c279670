"""A mask that keeps music to given chords.

On a beat a melodic player begins tones of the chord; between beats a scale is free, but such a note lasts an eighth at
most. A bass begins on the chord's bass where the chord does, on the strong beats its tones, and elsewhere the scale,
for a beat at most. No note sounds on into a chord that it isn't part of. So passing notes and neighbours stay possible,
and what is heard on a beat is the chord (the tones and accents of Aldwell and Schachter 2003, "Harmony and Voice
Leading", units 20 and 21).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.tokenizers.constraints.mask import Mask
from musicgen.tokenizers.constraints.tones import of_classes
from musicgen.tokenizers.place import BarPlace, Place

__all__ = ["Chord", "ChordBar", "Chords"]

ON_BEAT = 8  # an onset within 1/8 of a quarter of a beat is heard on it


@dataclass(frozen=True)
class Chord:
    """A chord from the step `begin` of its bar on: the pitch classes of its tones, of its bass, and of the scale around
    it, and its symbol; no tones at all leave everything free."""

    begin: int
    tones: frozenset[int]
    bass: int
    scale: frozenset[int]
    name: str = ""


@dataclass(frozen=True)
class ChordBar:
    """A new bar: its length and its beat in grid steps, and its chords in order, the first at step 0."""

    steps: int
    beat: int
    chords: tuple[Chord, ...]

    @property
    def strong(self) -> int:
        """The steps from one strong beat to the next: half a bar of an even number of beats, else the bar."""
        return self.steps // 2 if (self.steps // self.beat) % 2 == 0 else self.steps


class Chords(Mask):
    """Music keeps to the chords of its bars; bars beyond these are free."""

    strict = True

    def __init__(self, bars: tuple[ChordBar, ...], *, steps: int, basses: frozenset[int]) -> None:
        """`steps`: grid steps in a quarter; `basses`: players that are a bass."""
        self._bars, self._eighth, self._near, self._basses = bars, steps // 2, steps / ON_BEAT, basses
        sets = {s for bar in bars for c in bar.chords for s in (c.tones, c.scale | c.tones, frozenset({c.bass}))}
        self._masks = {classes: of_classes(classes) for classes in sets}

    def pitches(self, place: Place, player: int | None, *, kit: bool) -> np.ndarray | None:
        assert isinstance(place, BarPlace)
        chord = None if kit else self._at(place)
        if chord is None or not chord.tones:
            return None
        bar, position = self._bars[place.bar_number], place.position
        if player not in self._basses:
            return self._masks[chord.tones if self._is_on(position, bar.beat) else chord.scale | chord.tones]
        if self._is_on(position - chord.begin, bar.steps):
            return self._masks[frozenset({chord.bass})]
        return self._masks[chord.tones if self._is_on(position, bar.strong) else chord.scale | chord.tones]

    def lengths(self, place: BarPlace, lengths: np.ndarray, *, kit: bool) -> np.ndarray | None:
        chord = None if kit else self._at(place)
        if chord is None:
            return None
        most, pitch_class = self._until_another(place), place.pitch % 12
        if chord.tones and pitch_class not in chord.tones:
            passing = self._bars[place.bar_number].beat if place.player in self._basses else self._eighth
            most = passing if most is None else min(most, passing)
        return None if most is None else lengths <= max(most, int(lengths.min()))

    def at(self, bar: int, position: int) -> Chord | None:
        """The chord at a step of a new bar, counted from 0; None where all is free."""
        if not 0 <= bar < len(self._bars) or position < 0:
            return None
        return next(chord for chord in reversed(self._bars[bar].chords) if chord.begin <= position)

    def _at(self, place: BarPlace) -> Chord | None:
        return self.at(place.bar_number, place.position)

    def _is_on(self, position: int, beat: int) -> bool:
        return min(position % beat, -position % beat) <= self._near and position > -self._near

    def _until_another(self, place: BarPlace) -> int | None:
        """The steps until a chord begins that the note whose pitch was given last is no tone of; None: none does."""
        start = -place.position
        for bar in self._bars[place.bar_number :]:
            for chord in bar.chords:
                at = start + chord.begin
                if at > 0 and chord.tones and place.pitch % 12 not in chord.tones:
                    return at
            start += bar.steps
        return None
