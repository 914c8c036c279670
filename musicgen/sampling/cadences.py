"""How music closes: which chords lead to the last one, where in its bar that begins and how long it lasts.

Of 202 pieces of six kinds about half begin their last chord on the last bar line and a quarter in the middle of the
bar; the dominant stands in the half bar before it in 45 of 100. Tunes end as their phrases do, so the ends of a piece's
phrases of four bars count most. Chords and their order are those of Aldwell and Schachter 2003, "Harmony and Voice
Leading", units 7 to 11; without leading notes the seventh degree leads to the tonic, as in modal and popular music.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from musicgen.chords import note_name
from musicgen.piece import NOTE, Piece
from musicgen.tokenizers.constraints.harmony import Chord

__all__ = ["Cadence", "Rest", "beat_of", "cadences", "places"]

MAJOR_SCALE, MINOR_SCALE = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
LEADING = 0.15  # share of the raised seventh degree in both, from which music has leading notes
PHRASE = 4  # bars
PHRASES = 12  # the last ones, whose ends are looked at
OWN = 6.0  # weight of the piece's own ends of phrases, beside 3 of all music's
NEAR = 0.1  # quarters: an onset is on a beat, a note a beat long


@dataclass(frozen=True)
class Cadence:
    """Chords that lead to the last one, in order, and how likely they are beside others."""

    chords: tuple[Chord, ...]
    weight: float


@dataclass(frozen=True)
class Rest:
    """Where a last chord begins in its bar and how long it lasts, in quarters, and how likely that is."""

    begin: float
    length: float
    weight: float


def cadences(tonic: int, *, minor: bool, weights: np.ndarray) -> list[Cadence]:
    """The cadences of a key; `weights` (12,) tell how much each pitch class sounds in the music before."""
    degrees = np.roll(weights, -tonic)
    scale = MINOR_SCALE if minor else MAJOR_SCALE
    third, sixth = (3, 8) if minor else (4, 9)
    seventh = float(degrees[11] + degrees[10])

    def chord(root: int, *tones: int, kind: str = "") -> Chord:
        classes = frozenset((tonic + step) % 12 for step in (root, *tones))
        around = frozenset((tonic + step) % 12 for step in scale if step != 10 or 11 not in tones)
        low = (tonic + root) % 12
        return Chord(0, classes, low, around, note_name(low) + kind)

    four = chord(5, sixth, 0, kind="m" if minor else "")
    if seventh and degrees[11] < LEADING * seventh:
        flat = chord(10, 2, 5)
        before = chord(8, 0, third) if minor else four
        return [
            Cadence((flat,), 2),
            Cadence((before, flat), 1),
            Cadence((chord(7, 10, 2, kind="m"),), 1),
            Cadence((four,), 1),
        ]
    five, two = chord(7, 11, 2, 5, kind="7"), chord(2, 5, sixth, kind="dim" if minor else "m")
    return [Cadence((five,), 2), Cadence((four, five), 2), Cadence((two, five), 2), Cadence((four,), 0.5)]


def places(piece: Piece, *, cut: int, last: int) -> list[Rest]:
    """Where the last chord of music may stand that goes on from `cut` (ticks), and ends with the whole bar `last` after
    it, counted from 0: as in all music, and as the piece's phrases end that have their last bar where this one has."""
    quarter = piece.ticks_per_quarter
    numerator, denominator = piece.meter_at(cut)
    bar = 4 * numerator / denominator
    beat = beat_of(numerator, denominator)
    half = bar / 2 if round(bar / beat) % 2 == 0 else None
    found = [Rest(0.0, length, 2.0 * share) for length, share in _lengths(bar, beat)]
    if half is not None:
        found += [Rest(half, length, share) for length, share in _lengths(half, beat)]
    lines, _ = piece.bar_starts(cut)
    lines = lines[lines < cut + quarter * NEAR]
    tables = [track.notes for track in piece.tracks if not track.is_drum]
    notes = np.concatenate([np.empty(0, NOTE), *tables])
    at = np.searchsorted(lines, notes["start"] + NEAR * quarter, side="right") - 1
    here = len(lines) - int(lines[-1] >= cut - quarter * NEAR)  # the bars before the cut
    own: list[tuple[float, float]] = []
    for number in range(here - PHRASE + last % PHRASE, -1, -PHRASE):
        mine = notes[at == number]
        if number >= here or not len(mine) or piece.meter_at(round(lines[number])) != (numerator, denominator):
            continue
        # The longest note, for a pickup to the next phrase may follow it.
        longest = mine[mine["duration"] >= (1 - NEAR) * mine["duration"].max()]
        onset = float(longest["start"].max() - lines[number]) / quarter
        begin, length = round(onset / beat) * beat, float(longest["duration"].max()) / quarter
        if abs(onset - begin) <= NEAR and begin <= bar / 2 and length >= beat * (1 - 2 * NEAR):
            own.append((begin, min(bar - begin, max(beat, round(2 * length) / 2))))
        if len(own) == PHRASES:
            break
    return found + [Rest(begin, length, OWN / len(own)) for begin, length in own]


def beat_of(numerator: int, denominator: int) -> float:
    """The beat of a meter in quarters: the denominator's note, or three of them in 6/8, 9/8 and 12/8."""
    return 4 / denominator * (3 if denominator >= 8 and numerator % 3 == 0 and numerator > 3 else 1)


def _lengths(rest: float, beat: float) -> list[tuple[float, float]]:
    """The lengths that a last chord may have where `rest` quarters of its bar are left, and the share of each: the
    whole rest, half of it, or a beat."""
    if rest <= beat:
        return [(rest, 1.0)]
    return [(rest, 0.5), (max(beat, rest / 2), 0.25), (beat, 0.25)]
