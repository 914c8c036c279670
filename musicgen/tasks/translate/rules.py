"""What a step of a target may be, so that everything that is decoded is music: masks over the values of its fields.

Chords end at an eighth of the bar, at its end, or where a note of the melody begins; no step passes a bar line. Voices
stay in their ranges and don't pause while the soprano sings; unless they may, they neither cross nor move in parallel
fifths or octaves. They move on sixteenths, and where the soprano moves.

Shapes: K the values of a field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musicgen.models.tasks.translate_layout import CHORDS, LONGEST_BAR
from musicgen.tasks.translate.alphabet import HOLD, LOWEST, SILENT, SOUNDING, Alphabet, places
from musicgen.tasks.translate.pairs import PER_QUARTER, REST, Pair

__all__ = ["PERFECT", "RANGES", "Rules"]

# From bass to alto, as Bach writes them: of 35 chorales all but one note in a thousand.
PERFECT = (0, 7)  # intervals modulo an octave that voices don't keep while both move
RANGES = ((36, 62), (47, 69), (52, 76))


@dataclass(frozen=True)
class Rules:
    """The masks for targets over a source, which was moved by so many `semitones`. `crossing` allows voices above the
    one over them, `parallels` perfect intervals in parallel motion."""

    alphabet: Alphabet
    source: Pair
    semitones: int = 0
    crossing: bool = False
    parallels: bool = False

    def allowed(self, field: int, *, time: int, sounding: Sequence[int], chosen: Sequence[int]) -> np.ndarray:
        """(K,) bool: the values that a field of the step at `time` may have.

        `sounding` are the pitches of bass, tenor and alto until then, REST for none; `chosen` the values of this step's
        fields before this one.
        """
        if field == len(self.alphabet.sizes) - 1:
            return self._lengths(time, sounding, chosen)
        if self.alphabet.pair == CHORDS:
            return np.ones(self.alphabet.sizes[0], bool)
        return self._voice(field, time, sounding, chosen)

    def _lengths(self, time: int, sounding: Sequence[int], chosen: Sequence[int]) -> np.ndarray:
        bar = int(places(self.source, np.array([time]))[0][0])
        ends = time + 1 + np.arange(LONGEST_BAR)
        stop = int(self.source.edges_B1[bar + 1])
        unit = PER_QUARTER // (2 if self.alphabet.pair == CHORDS else 4)
        regular = (ends - int(self.source.edges_B1[bar])) % unit == 0
        allowed: np.ndarray = (ends <= stop) & (regular | (ends == stop) | np.isin(ends, self.source.notes_N3[:, 0]))
        if self.alphabet.pair != CHORDS and not self.crossing:
            # A step ends where the soprano would go below what sounds.
            top = max(map(self.pitch, chosen, sounding))
            onset, _, pitch = self.source.notes_N3.T
            under = onset[(onset > time) & (pitch < top)]
            if len(under) and (allowed & (ends <= under[0])).any():
                allowed &= ends <= under[0]
        return allowed

    def _voice(self, field: int, time: int, sounding: Sequence[int], chosen: Sequence[int]) -> np.ndarray:
        low, high = (max(LOWEST, bound + self.semitones) for bound in RANGES[field])
        soprano = self._soprano(time)
        allowed = np.zeros(self.alphabet.sizes[field], bool)
        allowed[SILENT] = soprano == REST  # voices don't pause alone
        allowed[SOUNDING + low - LOWEST : SOUNDING + high - LOWEST + 1] = True
        allowed[HOLD] = sounding[field] != REST
        if field == 2 and list(chosen) == [HOLD, HOLD] and time not in self.source.edges_B1:
            allowed[HOLD] = False  # a step in which nothing begins would be none
        pitches = np.arange(len(allowed)) - SOUNDING + LOWEST
        pitches[HOLD], pitches[SILENT] = sounding[field], REST
        below = list(map(self.pitch, chosen, sounding))
        if not self.crossing:
            floor = max((p for p in below if p != REST), default=REST)
            fits = (pitches == REST) | ((pitches >= floor) & (pitches <= (127 if soprano == REST else soprano)))
            allowed = _kept(allowed, fits, pitches)  # far below its range, the soprano is crossed
        if not self.parallels:
            others = [*zip(sounding, below, strict=False), (self._soprano(time - 1), soprano)]
            allowed = _kept(allowed, ~_parallel(sounding[field], pitches, others), pitches)
        return allowed

    def pitch(self, value: int, before: int) -> int:
        """What a voice sounds with a value, if it sounded `before`."""
        return before if value == HOLD else REST if value == SILENT else value - SOUNDING + LOWEST

    def _soprano(self, time: int) -> int:
        """The source's pitch at a time, REST for none."""
        onset, end, pitch = self.source.notes_N3.T
        at = np.flatnonzero((onset <= time) & (time < end))
        return int(pitch[at[0]]) if len(at) else REST


def _kept(allowed: np.ndarray, wish: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """What is allowed and wished for, unless that leaves no pitch."""
    both: np.ndarray = allowed & wish
    return both if (both & (pitches != REST)).any() or not (allowed & (pitches != REST)).any() else allowed


def _parallel(before: int, pitches_K: np.ndarray, others: Sequence[tuple[int, int]]) -> np.ndarray:
    """(K,) bool: the pitches to which a voice would move from `before` in a perfect interval that it has to another
    voice, whose (pitch before, pitch now) these are, in the same direction."""
    found = np.zeros(len(pitches_K), bool)
    for was, now in others:
        if REST in (before, was, now) or was == now or abs(before - was) % 12 not in PERFECT:
            continue
        same_way = (np.sign(pitches_K - before) == np.sign(now - was)) & (pitches_K != REST)
        found |= same_way & (np.abs(pitches_K - now) % 12 == abs(before - was) % 12)
    return found
