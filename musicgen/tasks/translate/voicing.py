"""Targets as notes: chords laid out for a keyboard below the melody, voices as parts.

Times are grid steps until `ticks` turns them into those of a piece.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from musicgen.chords import chord_of
from musicgen.piece import CHORD, NOTE
from musicgen.tasks.translate.harmony import NO_CHORD, pitch_classes, symbol_of
from musicgen.tasks.translate.pairs import PER_QUARTER, REST, Pair

__all__ = ["chord_notes", "symbols", "voice_notes"]

BASS = 40  # the lowest bass, E2; it stays within the octave above
LOWEST, HIGHEST = 50, 69  # of the other tones
SOFT = 60  # velocity of a chord; the melody usually has more
CLOSEST = 12  # semitones between the lowest and the highest of them


def chord_notes(pair: Pair, *, ticks_per_quarter: int) -> np.ndarray:
    """The chords as NOTE rows: the root in the bass, and the tones in close position, as near to the chord before as
    can be and under the melody where there is room. They are struck where they change and in every bar."""
    rows: list[tuple[int, int, int, int]] = []
    last: tuple[int, ...] = (55, 60, 64)
    for (begin, end), chord in zip(pair.steps_M2.tolist(), pair.values_MK[:, 0].tolist(), strict=True):
        if chord == NO_CHORD:
            continue
        sounding = (pair.notes_N3[:, 0] < end) & (pair.notes_N3[:, 1] > begin)
        ceiling = int(pair.notes_N3[sounding, 2].min(initial=HIGHEST + 1))
        last = _laid_out(chord, last, ceiling=ceiling)
        root = (chord - 1) % 12
        pitches = {BASS + (root - BASS) % 12, *last}  # low tones may be the bass itself
        at, length = _ticks(begin, end, ticks_per_quarter)
        rows += [(at, length, pitch, SOFT) for pitch in pitches]
    return _notes(rows)


def voice_notes(pair: Pair, voice: int, *, ticks_per_quarter: int, velocity: int) -> np.ndarray:
    """One voice of the target, 0 the highest, as NOTE rows."""
    values, struck = pair.values_MK[:, voice], pair.struck_MK[:, voice] | (pair.values_MK[:, voice] == REST)
    begins = np.flatnonzero(struck)
    ends = np.append(begins[1:], len(values))
    rows = []
    for first, stop in zip(begins.tolist(), ends.tolist(), strict=True):
        if values[first] != REST:
            begin, end = int(pair.steps_M2[first, 0]), int(pair.steps_M2[stop - 1, 1])
            rows.append((*_ticks(begin, end, ticks_per_quarter), int(values[first]), velocity))
    return _notes(rows)


def symbols(pair: Pair, *, ticks_per_quarter: int, fifths: int = 0) -> np.ndarray:
    """The chords as symbols (CHORD rows), where they change, spelled as in the key with that signature."""
    chords = pair.values_MK[:, 0].tolist()
    changes = [n for n, (one, other) in enumerate(pairwise([-1, *chords])) if one != other]
    rows = []
    for n in changes:
        name = symbol_of(chords[n], fifths=fifths)
        root, bass, mask, _ = chord_of(name) or (-1, -1, 0, name)
        rows.append((_ticks(int(pair.steps_M2[n, 0]), 0, ticks_per_quarter)[0], root, bass, mask, name))
    return np.array(rows, CHORD)


def _laid_out(chord: int, last: tuple[int, ...], *, ceiling: int) -> tuple[int, ...]:
    """The tones of a chord, one each, within an octave: where they move least from those before, then the lowest."""
    tones = sorted(pitch_classes(chord))
    found = []
    for low in range(LOWEST, HIGHEST - CLOSEST + 4):
        if low % 12 in tones:
            pitches = tuple(sorted(low + (tone - low) % 12 for tone in tones))
            moves = sum(min(abs(pitch - before) for before in last) for pitch in pitches)
            found.append((max(0, pitches[-1] - ceiling + 1) * 2 + moves, pitches))
    return min(found)[1]


def _ticks(begin: int, end: int, ticks_per_quarter: int) -> tuple[int, int]:
    """(tick, length in ticks) of grid steps."""
    at, stop = (round(step * ticks_per_quarter / PER_QUARTER) for step in (begin, end))
    return at, max(1, stop - at)


def _notes(rows: list[tuple[int, int, int, int]]) -> np.ndarray:
    return np.array(sorted(rows, key=lambda row: (row[0], row[2])), NOTE)
