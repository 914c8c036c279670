"""Keys, scales and chord progressions: from text to pitch classes, and the key of given notes.

Pitch classes count semitones above C, 0..11.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np

from musicgen.chords import chord_of, note_name
from musicgen.errors import UsageError
from musicgen.gm import key_pitch_classes

__all__ = ["SCALES", "Symbol", "fitting_key", "key_of_notes", "progression", "scale_pitch_classes",
           "signature_of_notes"]  # fmt: skip

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10, 11), "natural minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11), "melodic minor": (0, 2, 3, 5, 7, 8, 9, 10, 11),
    "ionian": (0, 2, 4, 5, 7, 9, 11), "dorian": (0, 2, 3, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11), "mixolydian": (0, 2, 4, 5, 7, 9, 10), "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10), "pentatonic": (0, 2, 4, 7, 9), "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10), "whole tone": (0, 2, 4, 6, 8, 10), "diminished": (0, 2, 3, 5, 6, 8, 9, 11),
    "chromatic": tuple(range(12)),
}  # fmt: skip
# Krumhansl and Kessler 1982: how well each pitch class fits a major and a minor key.
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# Albrecht and Shanahan 2013: the shares of the notes in pieces of a major and a minor key.
SHARES_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
SHARES_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
LAST_IS_TONIC = 0.1  # nats that a key gains where the last note is its tonic
WRITTEN = 0.3  # nats that the keys of the signature that is written gain
KEYS = tuple(note_name(tonic) + mode for mode in ("", "m") for tonic in range(12))
MOST_CHORDS = 1000


def scale_pitch_classes(text: str) -> frozenset[int]:
    """The pitch classes of a key such as `F#m`, or of a scale with its root such as `D dorian`. Raises UsageError.

    >>> sorted(scale_pitch_classes("A minor pentatonic")), sorted(scale_pitch_classes("G"))
    ([0, 2, 4, 7, 9], [0, 2, 4, 6, 7, 9, 11])
    """
    match = re.fullmatch(r"\s*([A-Ga-g])([#b♯♭]?)[\s_-]+([A-Za-z][A-Za-z _-]*?)\s*", text)
    name = " ".join(re.split(r"[\s_-]+", match[3].lower())) if match else ""
    if match is None or name in ("m", "min", "maj", "major", "minor"):
        try:
            return key_pitch_classes(text)
        except UsageError:
            pass
        hint = f"write a key like G, Bb or F#m, or a scale with its root: D dorian; scales are {', '.join(SCALES)}"
        raise UsageError(f"no key and no scale {text!r}", hint=hint)
    if name not in SCALES:
        near = difflib.get_close_matches(name, SCALES, n=1, cutoff=0)[0]
        raise UsageError(f"no scale {match[3]!r}", hint=f"did you mean {near!r}?")
    root = chord_of(match[1].upper() + match[2])
    assert root is not None
    return frozenset((root[0] + step) % 12 for step in SCALES[name])


def key_of_notes(pitches: np.ndarray, durations: np.ndarray) -> str | None:
    """The key, such as "Am", whose profile correlates best with how long each pitch class sounds; None without notes.

    Source: Krumhansl 1990, "Cognitive Foundations of Musical Pitch", chapter 4.
    """
    weights = np.bincount(np.asarray(pitches) % 12, weights=durations, minlength=12)
    if not weights.sum() or weights.std() == 0:
        return None
    profiles = np.stack([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    return KEYS[int(np.argmax(np.corrcoef(weights, profiles)[0, 1:]))]


def signature_of_notes(pitches: np.ndarray, durations: np.ndarray, *, written: int | None = None) -> int:
    """The signature, -5 (flats) .. 6 (sharps), of the key in which notes are likeliest; 0 without notes.

    A signature that is `written` is taken unless the notes clearly contradict it: files say C major for want of a key.

    Source: Albrecht and Shanahan 2013, "The use of large corpora to train a new type of key-finding algorithm".

    >>> signature_of_notes(np.array([62, 66, 69, 62]), np.array([2, 1, 1, 2]))
    2
    """
    weights = np.bincount(np.asarray(pitches) % 12, weights=durations, minlength=12)
    if not weights.sum():
        return written or 0
    shares = np.stack([np.roll(each, tonic) for each in (SHARES_MAJOR, SHARES_MINOR) for tonic in range(12)])
    fit = np.log(shares / shares.sum(axis=1, keepdims=True)) @ (weights / weights.sum())
    tonic = np.tile(np.arange(12), 2)
    fifths = (7 * tonic + np.repeat((0, -3), 12) + 5) % 12 - 5
    fit += LAST_IS_TONIC * (tonic == pitches[-1] % 12)
    if written is not None:
        fit += WRITTEN * ((fifths - written) % 12 == 0)
    return int(fifths[np.argmax(fit)])


def fitting_key(classes: list[frozenset[int]]) -> frozenset[int]:
    """The pitch classes of the major or natural minor key that holds most of these sets' members."""
    scales = [frozenset((tonic + step) % 12 for step in SCALES["major"]) for tonic in range(12)]
    return max(scales, key=lambda scale: sum(len(scale & each) for each in classes))


@dataclass(frozen=True)
class Symbol:
    """A chord symbol, the pitch classes of its tones (none for N.C.) and of its bass (-1 for N.C.)."""

    name: str
    tones: frozenset[int]
    bass: int

    @classmethod
    def read(cls, text: str) -> Symbol:
        """Raises UsageError for text that is no chord symbol."""
        found = chord_of(text)
        if found is None:
            raise UsageError(f"no chord {text!r}", hint="write chords like Am, F, C/E, G7 or N.C., one a bar")
        _, bass, mask, name = found
        return cls(name, frozenset(k for k in range(12) if mask >> k & 1), bass)


def progression(text: str) -> tuple[tuple[Symbol, ...], ...]:
    """The chords of each bar of a text: bars apart by spaces, or by | where there are some; chords of a bar by commas,
    or by spaces between |. Raises UsageError.

    >>> [[chord.name for chord in bar] for bar in progression("Am F,G C")]
    [['Am'], ['F', 'G'], ['C']]
    >>> [[chord.name for chord in bar] for bar in progression("| Am | F G |")]
    [['Am'], ['F', 'G']]
    """
    bars = [bar for bar in text.split("|") if bar.strip()] if "|" in text else text.split()
    found = tuple(tuple(Symbol.read(name) for name in re.split(r"[\s,]+", bar) if name) for bar in bars)
    found = tuple(bar for bar in found if bar)
    if not found or len(found) > MOST_CHORDS:
        hint = f"give 1 to {MOST_CHORDS} bars of chords, as in 'Am F C G'"
        raise UsageError(f"{text!r} are no chords" if not found else "that are too many chords", hint=hint)
    return found
