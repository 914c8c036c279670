"""Parse small elements of MusicXML: numbers, meters, keys, transpositions, tempi, dynamics, chord symbols.

Pure functions of an element; they return None for what they can't parse.

Source: MusicXML 4.0 (W3C), the elements' own pages.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple
from xml.etree.ElementTree import Element

from musicgen.chords import LONGEST, chord_of, note_name, transposed_symbol
from musicgen.io.scores.layout import VELOCITIES

__all__ = [
    "CLASSES", "MARKS", "PITCHES", "Transposition", "chord_symbol", "key_of", "level_of", "meter_of",
    "metronome_of", "number_of", "text_of", "transposition_of", "velocity_of",
]  # fmt: skip

CLASSES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
# Without accents (sfz, fz, rf), after which the level is as before.
MARKS = {**VELOCITIES, "n": 10, "pppppp": 10, "ppppp": 10, "fffff": 127, "ffffff": 127, "sfpp": 33}
# (step, alter, octave) in the usual spelling -> MIDI pitch
PITCHES: dict[tuple[str | None, str | None, str | None], int] = {
    (step, alter, str(octave)): 12 * (octave + 1) + number + shift
    for step, number in CLASSES.items()
    for alter, shift in {None: 0, "0": 0, "1": 1, "-1": -1, "2": 2, "-2": -2}.items()
    for octave in range(10)
}
FORTE = 90  # the velocity that 100 percent means in MusicXML
NUMBER = re.compile(r"\s*([+-]?)([0-9]{1,12})(?:\.([0-9]{0,9})[0-9]*)?\s*")
# Note values in quarters.
VALUES = {
    "1024th": Fraction(1, 256), "512th": Fraction(1, 128), "256th": Fraction(1, 64), "128th": Fraction(1, 32),
    "64th": Fraction(1, 16), "32nd": Fraction(1, 8), "16th": Fraction(1, 4), "eighth": Fraction(1, 2),
    "quarter": Fraction(1), "half": Fraction(2), "whole": Fraction(4), "breve": Fraction(8), "long": Fraction(16),
    "maxima": Fraction(32),
}  # fmt: skip
# Kinds of chords, in the spelling of `musicgen.chords`.
KINDS = {
    "major": "", "minor": "m", "augmented": "aug", "diminished": "dim", "dominant": "7", "major-seventh": "maj7",
    "minor-seventh": "m7", "diminished-seventh": "dim7", "augmented-seventh": "aug7", "half-diminished": "m7b5",
    "major-minor": "m(maj7)", "major-sixth": "6", "minor-sixth": "m6", "dominant-ninth": "9", "major-ninth": "maj9",
    "minor-ninth": "m9", "dominant-11th": "11", "major-11th": "maj11", "minor-11th": "m11", "dominant-13th": "13",
    "major-13th": "maj13", "minor-13th": "m13", "suspended-second": "sus2", "suspended-fourth": "sus4", "power": "5",
    "pedal": "5no5", "Neapolitan": "", "Italian": "7no5", "French": "7b5", "German": "7", "Tristan": "m7b5",
}  # fmt: skip
ALTERATIONS = {-2: "bb", -1: "b", 0: "", 1: "#", 2: "##"}


class Transposition(NamedTuple):
    """From written to sounding pitch: semitones, diatonic steps, and an added octave doubling (-12, 12 or 0)."""

    semitones: int = 0
    steps: int | None = 0
    beside: int = 0


def text_of(element: Element, path: str) -> str:
    """The stripped text of a descendant; "" if there is none."""
    return (element.findtext(path) or "").strip()


def number_of(text: str | None) -> Fraction | None:
    """A decimal number of at most twelve digits before the point and nine behind it."""
    return _number(text) if text and len(text) < 40 else None


@lru_cache(maxsize=4096)
def _number(text: str) -> Fraction | None:
    found = NUMBER.fullmatch(text)
    if found is None:
        return None
    value = Fraction(int(found[2])) + (Fraction(int(found[3]), 10 ** len(found[3])) if found[3] else 0)
    return -value if found[1] == "-" else value


def meter_of(time: Element) -> tuple[int, int] | None:
    """(numerator, denominator) of `<time>`, sums added up: 3+2 over 8 is 5/8, 2/4 + 3/8 is 7/8. None for none."""
    beats = [[number_of(n) for n in re.split(r"\s*\+\s*", (e.text or "").strip())] for e in time.findall("beats")]
    values = [number_of(e.text) for e in time.findall("beat-type")]
    if not beats or len(beats) != len(values):
        return None
    total, unit = Fraction(0), 1
    for counts, value in zip(beats, values, strict=True):
        if value not in (1, 2, 4, 8, 16, 32, 64) or any(n is None or n <= 0 for n in counts):
            return None
        total += Fraction(sum(n for n in counts if n is not None), value)
        unit = max(unit, int(value))
    while total * unit % 1 and unit < 64:  # such as 2.5 over 4
        unit *= 2
    numerator = total * unit
    return (int(numerator), unit) if numerator.denominator == 1 and 1 <= numerator <= 64 else None


def key_of(key: Element, transposition: Transposition) -> tuple[int, bool] | None:
    """(fifths in concert pitch, whether minor) of `<key>`; None for non-traditional keys."""
    fifths = number_of(key.findtext("fifths"))
    if fifths is None or fifths.denominator != 1 or abs(fifths) > 7:
        return None
    steps, semitones = transposition.steps, transposition.semitones
    moved = int(fifths) + 7 * semitones - 12 * (round(semitones * 7 / 12) if steps is None else steps)
    while abs(moved) > 7:  # the enharmonic key
        moved -= 12 if moved > 0 else -12
    return moved, text_of(key, "mode").lower() in ("minor", "aeolian")


def transposition_of(transpose: Element) -> Transposition | None:
    """Parse `<transpose>`: semitones and octaves; `<double>` adds the octave below (or above)."""
    chromatic = number_of(transpose.findtext("chromatic") or "0")
    octaves = number_of(transpose.findtext("octave-change") or "0")
    if chromatic is None or octaves is None or abs(chromatic) > 127 or abs(octaves) > 10:
        return None
    diatonic = number_of(transpose.findtext("diatonic"))
    steps = None if diatonic is None else round(diatonic) + 7 * round(octaves)
    double = transpose.find("double")
    beside = 0 if double is None else 12 if double.get("above") == "yes" else -12
    return Transposition(round(chromatic) + 12 * round(octaves), steps, beside)


def velocity_of(percent: str | None) -> int | None:
    """MusicXML's percentage of forte as a velocity, 1..127."""
    value = number_of(percent)
    return None if value is None or value < 0 else min(127, max(1, round(value * FORTE / 100)))


def level_of(dynamics: Element) -> int | None:
    """The velocity of the marks in `<dynamics>`; None without marks or for accents alone."""
    return next((MARKS[child.tag] for child in dynamics if child.tag in MARKS), None)


def metronome_of(metronome: Element) -> tuple[Fraction | None, Fraction | None] | None:
    """`<metronome>` as (quarters a minute, None), or as (None, factor of the tempo) for an equation of note values.

    The number may stand among words ("c. 72"); "72-80" means the middle. In "quarter = eighth" the left side is the old
    value and the right side the new one of the same duration, so the tempo is halved.
    """
    sides: list[Fraction] = []
    last = Fraction(0)  # the value of the last dot, or of the note without dots
    for child in metronome:
        if child.tag == "beat-unit":
            if (child.text or "").strip() not in VALUES:
                return None
            last = VALUES[(child.text or "").strip()]
            sides.append(last)
        elif child.tag == "beat-unit-dot" and sides:
            last /= 2
            sides[-1] += last
        elif child.tag == "beat-unit-tied" and sides:
            value = VALUES.get(text_of(child, "beat-unit"))
            sides[-1] += _dotted(value, len(child.findall("beat-unit-dot"))) if value else 0
    if len(sides) == 1:
        per_minute = _per_minute(text_of(metronome, "per-minute"))
        return (sides[0] * per_minute, None) if per_minute else None
    if not sides and metronome.find("metronome-relation") is not None:
        before: list[Fraction] = []
        after: list[Fraction] = []
        side = before
        for child in metronome:
            if child.tag == "metronome-relation":
                side = after
            elif child.tag == "metronome-note":
                side.append(_metronome_note(child))
        sides = [sum(before, Fraction(0)), sum(after, Fraction(0))]
    return (None, sides[1] / sides[0]) if len(sides) == 2 and all(sides) else None


def _per_minute(text: str) -> Fraction | None:
    """The number in "72", "c. 72" or "72,5", and the middle of "72-80"."""
    found = re.search(r"(\d{1,4}(?:[.,]\d{1,4})?)(?:\s*(?:-|–|—|to|bis|à)\s*(\d{1,4}(?:[.,]\d{1,4})?))?", text)
    if found is None:
        return None
    numbers = [number_of(n.replace(",", ".")) for n in found.groups() if n]
    return sum((n for n in numbers if n is not None), Fraction(0)) / len(numbers) or None


def _dotted(value: Fraction, dots: int) -> Fraction:
    return value * (2 - Fraction(1, 2 ** min(dots, 8)))


def _metronome_note(note: Element) -> Fraction:
    value = VALUES.get(text_of(note, "metronome-type"), Fraction(0))
    value = _dotted(value, len(note.findall("metronome-dot")))
    actual, normal = (number_of(note.findtext(f"metronome-tuplet/{n}-notes")) for n in ("actual", "normal"))
    return value * normal / actual if actual and normal else value


# ---- chord symbols ---------------------------------------------------------------------------------------


def chord_symbol(harmony: Element, semitones: int) -> str | None:
    """`<harmony>` as a chord symbol at sounding pitch, such as Bbm7/F; None without a root.

    The quality comes from the kind and the degrees. The kind's `text` is used if the kind is unknown, or if the text
    implies more notes ("7b9" without a degree element).
    """
    kind = harmony.find("kind")
    value, written = ((kind.text or "").strip(), (kind.get("text") or "").strip()) if kind is not None else ("", "")
    if value == "none":
        return "N.C."
    root = _pitch(harmony, "root")
    if root is None:
        return None
    quality = KINDS.get(value)
    degrees = "".join(_degree(degree) for degree in harmony.findall("degree"))
    of_kind, of_text = _classes(quality), _classes(written)
    if written and of_text is not None and (of_kind is None or (not degrees and of_kind < of_text)):
        quality = written
    quality = (quality or "") + degrees
    bass = _pitch(harmony, "bass")
    symbol = f"{root}({quality})" if quality[:1] in ("#", "b", "♯", "♭") else root + quality  # C(b5) is not Cb5
    symbol = symbol[: LONGEST - 3] + (f"/{bass}" if bass else "")
    return transposed_symbol(symbol, semitones) if semitones % 12 else symbol


def _classes(quality: str | None) -> set[int] | None:
    """The pitch classes, relative to the root, of a chord quality; None for an unknown one."""
    chord = None if quality is None else chord_of(f"C({quality})" if quality[:1] in ("#", "b") else f"C{quality}")
    return None if chord is None else {k for k in range(12) if chord[2] >> k & 1}


def _pitch(harmony: Element, which: str) -> str | None:
    step = text_of(harmony, f"{which}/{which}-step").upper()
    if step not in CLASSES:
        return None
    alter = round(number_of(harmony.findtext(f"{which}/{which}-alter") or "0") or 0)
    if alter not in ALTERATIONS or (which == "bass" and abs(alter) > 1):
        return note_name(CLASSES[step] + alter)
    return step + ALTERATIONS[alter]


def _degree(degree: Element) -> str:
    """`<degree>` as it is appended to a quality: add9, b5, no3."""
    value = number_of(degree.findtext("degree-value"))
    if value is None or value.denominator != 1 or not 1 <= value <= 13:
        return ""
    alter = round(number_of(degree.findtext("degree-alter") or "0") or 0)
    kind = text_of(degree, "degree-type")
    if kind == "subtract":
        return f"no{value}"
    if kind == "add" and value == 7 and alter == 1:
        return "addmaj7"
    sign = ALTERATIONS.get(max(-1, min(1, alter)), "")
    return f"{sign}{value}" if sign and not (kind == "add" and value in (2, 4, 6)) else f"add{sign}{value}"
