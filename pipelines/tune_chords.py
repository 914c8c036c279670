"""Which chord sounds in a stretch of music: a major or minor triad, a seventh chord or a diminished triad.

The pitch classes of a stretch, weighted by how long they sound, are held against templates: what fits counts for a
chord, what doesn't counts against it, and so does a tone of it that is missing. The lowest note speaks for its
own triad, and of chords that fit alike the one within the key is taken.

Source: Fujishima 1999, "Realtime chord recognition of musical sound" (templates of pitch classes); Pardo and Birmingham
2002, "Algorithms for chordal analysis" (what counts against a chord).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Heard", "heard_chords"]

# Quality, intervals above the root, and what a chord of it must be better by than a plain triad.
QUALITIES = (("", (0, 4, 7), 0.0), ("m", (0, 3, 7), 0.0), ("7", (0, 4, 7, 10), 0.05), ("m7", (0, 3, 7, 10), 0.16),
             ("dim", (0, 3, 6), 0.06))  # fmt: skip
AGAINST, MISSING, ROOT_BELOW, IN_KEY = 0.9, 0.14, 0.22, 0.1
LEAST = 0.02  # of the weight: less is silence of a pitch class
WORSE_THAN = 0.25  # a score below tells no chord
TWO_OVER_ONE = 0.12  # by which two chords in a bar must be better than one
MAJOR = (0, 2, 4, 5, 7, 9, 11)


@dataclass(frozen=True)
class Heard:
    """A chord from `at` on, in the unit of the notes: its root as a pitch class and its quality."""

    at: int
    root: int
    quality: str


def _templates() -> tuple[np.ndarray, np.ndarray]:
    """(tones of each chord, (60, 12) boolean; what each must be better by, (60,))."""
    tones = np.zeros((len(QUALITIES) * 12, 12), bool)
    for number, (_, intervals, _) in enumerate(QUALITIES):
        for root in range(12):
            tones[number * 12 + root, [(root + i) % 12 for i in intervals]] = True
    return tones, np.repeat([needed for _, _, needed in QUALITIES], 12)


TONES, NEEDED = _templates()


def heard_chords(
    notes: np.ndarray, melody: np.ndarray, *, bars: list[tuple[int, int]], fifths: int, halves: dict[int, int]
) -> list[Heard]:
    """The chords of `bars` (begin, end), at most two a bar, none where one goes on.

    `notes` are (n, 3): begin, end and pitch of all that sounds, `melody` the same of the tune, which is among them and
    counts half. `fifths` is the signature of the key, `halves` the length of the first half by the length of a bar;
    bars of other lengths have one chord.
    """
    weight = np.ones(len(notes))
    tune = {tuple(row) for row in melody.tolist()}
    weight[[tuple(row) in tune for row in notes.tolist()]] = 0.5
    scale = np.zeros(12, bool)
    scale[[(step + 7 * fifths) % 12 for step in MAJOR]] = True
    inside = (TONES & ~scale).sum(1) == 0
    found: list[Heard] = []

    def add(at: int, chord: int) -> None:
        quality, root = QUALITIES[chord // 12][0], chord % 12
        if chord >= 0 and (not found or (found[-1].root, found[-1].quality) != (root, quality)):
            found.append(Heard(at, root, quality))

    for begin, end in bars:
        whole, whole_score = _best(notes, weight, begin, end, inside)
        middle = begin + halves.get(end - begin, 0)
        if middle > begin:
            first, first_score = _best(notes, weight, begin, middle, inside)
            second, second_score = _best(notes, weight, middle, end, inside)
            share = (middle - begin) / (end - begin)
            both = share * first_score + (1 - share) * second_score
            if first != second and min(first, second) >= 0 and both > whole_score + TWO_OVER_ONE:
                add(begin, first)
                add(middle, second)
                continue
        add(begin, whole)
    return found


def _best(notes: np.ndarray, weight: np.ndarray, begin: int, end: int, inside: np.ndarray) -> tuple[int, float]:
    """(number of the chord in TONES or -1, its score) of a stretch."""
    length = np.minimum(notes[:, 1], end) - np.maximum(notes[:, 0], begin)
    here = length > 0
    if not here.any():
        return -1, 0.0
    pitch = notes[here, 2]
    amount = np.bincount(pitch % 12, weights=(length * weight)[here], minlength=12)
    amount = (amount / amount.sum()) ** 0.7  # a tone that is held long tells little more than one that is there
    amount /= amount.sum()
    early = here & (notes[:, 0] < begin + max(1, (end - begin) // 4))
    bass = int(notes[early, 2].min() if early.any() else pitch.min()) % 12
    missing = (TONES & (amount < LEAST)).sum(1)
    score = TONES @ amount - AGAINST * (~TONES @ amount) - MISSING * missing - NEEDED
    score[np.arange(len(TONES)) % 12 == bass] += ROOT_BELOW
    score[inside] += IN_KEY
    best = int(np.argmax(score))
    return (best, float(score[best])) if score[best] > WORSE_THAN else (-1, float(score[best]))
