"""Chord symbols: parse one such as `Bbm7/F` to root, bass and pitch classes, and transpose it.

Pitch classes count semitones above C, 0..11; a set of them is a bit mask, bit k for pitch class k. Symbols are
read as lead sheets write them (Brandt and Roemer 1976, "Standardized Chord Symbol Notation", and the kinds of
MusicXML 4.0's `<kind>`); text after a known quality is read as alterations and added notes, and unknown text is only
kept in the symbol.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["chord_of", "key_name", "note_name", "plain_symbol", "spelled", "transposed_symbol"]

NO_CHORD = re.compile(r"(?i)^(n\.?\s*c\.?|no chord|tacet)$")
SYMBOL = re.compile(r"^([A-Ga-g])(##|bb|[#b♯♭]?)(.*?)(?:/([A-Ga-g])([#b♯♭]?))?$")
CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
CIRCLE = [letter + sign for sign in ("b", "", "#") for letter in "FCGDAEB"]  # a fifth apart, from Fb
LONGEST = 24  # characters of a symbol that are kept

# Qualities, the longest spelling first where one begins another; intervals in semitones above the root.
QUALITIES: tuple[tuple[str, tuple[int, ...]], ...] = (
    (r"(maj|major|Maj|M|Δ|\^|j)\s*(13)", (0, 4, 7, 11, 2, 9)),
    (r"(maj|major|Maj|M|Δ|\^|j)\s*(9|11)", (0, 4, 7, 11, 2)),
    (r"(maj|major|Maj|M|Δ|\^|j)\s*7|Δ|\^", (0, 4, 7, 11)),
    (r"(minor|min|mi|m|-)\s*\(?(maj|major|Maj|M|Δ|\^)\s*7\)?", (0, 3, 7, 11)),
    (r"(m|min|mi|-)7\s*\(?(b5|♭5|-5)\)?|ø7?|half-diminished", (0, 3, 6, 10)),
    (r"(dim|o|°|diminished)\s*7", (0, 3, 6, 9)),
    (r"dim|o|°|diminished", (0, 3, 6)),
    (r"(minor|min|mi|m|-)\s*13", (0, 3, 7, 10, 2, 9)),
    (r"(minor|min|mi|m|-)\s*11", (0, 3, 7, 10, 2, 5)),
    (r"(minor|min|mi|m|-)\s*9", (0, 3, 7, 10, 2)),
    (r"(minor|min|mi|m|-)\s*7", (0, 3, 7, 10)),
    (r"(minor|min|mi|m|-)\s*6/?9", (0, 3, 7, 9, 2)),
    (r"(minor|min|mi|m|-)\s*6", (0, 3, 7, 9)),
    (r"(aug|\+|augmented)\s*7", (0, 4, 8, 10)),
    (r"aug|\+|augmented", (0, 4, 8)),
    (r"6/?9", (0, 4, 7, 9, 2)),
    (r"13", (0, 4, 7, 10, 2, 9)),
    (r"11", (0, 4, 7, 10, 2, 5)),
    (r"9", (0, 4, 7, 10, 2)),
    (r"7", (0, 4, 7, 10)),
    (r"6", (0, 4, 7, 9)),
    (r"5|power", (0, 7)),
    (r"minor|min|mi|m(?!aj)|-", (0, 3, 7)),
    (r"major|maj|Maj|M", (0, 4, 7)),
    (r"", (0, 4, 7)),
)
_QUALITIES = tuple((re.compile(pattern), intervals) for pattern, intervals in QUALITIES)
DEGREES = {1: 0, 2: 2, 3: 4, 4: 5, 5: 7, 6: 9, 7: 10, 9: 2, 10: 4, 11: 5, 12: 7, 13: 9}
ALTERED = re.compile(r"(add|no|omit|sus|[#b♯♭+-])\s*(maj|M)?(\d{1,2})?")


@lru_cache(4096)
def chord_of(symbol: str) -> tuple[int, int, int, str] | None:
    """(root, bass, mask of pitch classes, symbol) of a chord symbol; None for text that isn't one.

    The root of "N.C." is -1, its mask 0.

    >>> chord_of("C7/E")
    (0, 4, 1169, 'C7/E')
    """
    symbol = " ".join(symbol.split())[:LONGEST]
    if NO_CHORD.match(symbol):
        return -1, -1, 0, "N.C."
    found = SYMBOL.match(symbol)
    if found is None:
        return None
    root = _pitch_class(found[1], found[2])
    bass = _pitch_class(found[4], found[5]) if found[4] else root
    mask = 1 << bass
    for interval in _intervals(found[3].strip()):
        mask |= 1 << (root + interval) % 12
    return root, bass, mask, symbol


def transposed_symbol(symbol: str, semitones: int) -> str:
    """The same chord `semitones` higher, with roots spelled as in NAMES.

    >>> transposed_symbol("F#m7/C#", 1)
    'Gm7/D'
    """
    found = SYMBOL.match(symbol)
    if found is None:
        return symbol
    root = note_name(_pitch_class(found[1], found[2]) + semitones)
    bass = f"/{note_name(_pitch_class(found[4], found[5]) + semitones)}" if found[4] else ""
    return f"{root}{found[3]}{bass}"[:LONGEST]


def plain_symbol(symbol: str) -> str | None:
    """The triad or seventh chord nearest to a symbol: its root with "", m, 7, m7 or dim, without a bass.

    None for "N.C." and for text that is no chord.

    >>> [plain_symbol(symbol) for symbol in ("Bbmaj7/D", "F#m7b5", "Gm9", "C13", "N.C.")]
    ['Bb', 'F#dim', 'Gm7', 'C7', None]
    """
    chord, found = chord_of(symbol), SYMBOL.match(" ".join(symbol.split())[:LONGEST])
    if chord is None or found is None or chord[0] < 0:
        return None
    intervals = _intervals(found[3].strip())
    minor = 3 in intervals and 4 not in intervals
    sign = {"♯": "#", "♭": "b"}.get(found[2], found[2])
    root = found[1].upper() + sign if len(sign) < 2 else note_name(chord[0])
    if minor and 6 in intervals and 7 not in intervals:
        return f"{root}dim"
    return f"{root}{'m' * minor}{'7' * (10 in intervals)}"


def note_name(pitch_class: int) -> str:
    """The usual name of a pitch class, without an octave."""
    return NAMES[pitch_class % 12]


def spelled(pitch_class: int, *, fifths: int) -> str:
    """The name of a pitch class as the key with that signature, -7 .. 7, spells it: its own notes, or the nearest on
    the circle of fifths.

    >>> [spelled(1, fifths=fifths) for fifths in (3, -3)]
    ['C#', 'Db']
    """
    # CIRCLE begins at Fb, eight fifths below C; a major key's notes lie from one fifth below its tonic to five above.
    alike = [n for n in range(len(CIRCLE)) if (7 * (n - 8)) % 12 == pitch_class % 12]
    return CIRCLE[min(alike, key=lambda n: abs(n - 8 - fifths - 2))]


def key_name(fifths: int, *, minor: bool = False) -> str:
    """The name of the key with that signature, -7 (flats) .. 7 (sharps), as ABC and lead sheets spell it.

    >>> key_name(-2), key_name(-2, minor=True)
    ('Bb major', 'G minor')
    """
    return f"{CIRCLE[8 + fifths + 3 * minor]} {'minor' if minor else 'major'}"


def _pitch_class(letter: str, accidental: str) -> int:
    shift = sum({"#": 1, "♯": 1, "b": -1, "♭": -1}[sign] for sign in accidental)
    return (CLASSES[letter.upper()] + shift) % 12


def _intervals(quality: str) -> set[int]:
    """The intervals (semitones above the root) of a quality, the text between root and bass."""
    # The last quality is empty and matches any text.
    intervals, end = next((i, found.end()) for pattern, i in _QUALITIES if (found := pattern.match(quality)))
    notes, rest = set(intervals), quality[end:]
    for word, major, number in ALTERED.findall(rest):
        degree = int(number or (4 if word == "sus" else 0))
        if degree not in DEGREES:
            continue
        interval = DEGREES[degree]
        if word == "sus":
            notes -= {3, 4}
            notes.add(interval)
        elif word in ("no", "omit"):
            notes -= {3, 4} if degree == 3 else {6, 7, 8} if degree == 5 else {interval}
        elif word == "add":
            notes.add(11 if degree == 7 and major else interval)
        else:
            if degree == 5:
                notes -= {6, 7, 8}
            elif degree not in (9, 11, 13):
                notes.discard(interval)
            notes.add((interval + (1 if word in "#♯+" else -1)) % 12)
    return notes
