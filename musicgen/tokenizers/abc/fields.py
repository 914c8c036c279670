"""The header fields of an ABC tune, and the allowed values of those with musical meaning.

A field's values are a finite set of strings that music21 reads; the characters that may follow a prefix are looked up
in a table. Free text (titles, sources) is any line of the alphabet without a comment sign.

Source: the ABC music standard 2.1, sections 3.1 (fields), 3.1.6 to 3.1.14 (M, L, Q, K).
"""

from __future__ import annotations

from functools import cache

__all__ = ["FREE_FIELDS", "MOST_LINES", "TEXT_LENGTH", "follow", "meter_value"]

FREE_FIELDS = "ABCDFGHNORSTZ"  # fields of free text
TEXT_LENGTH = 72  # characters of a line of text
MOST_LINES = 12  # of text fields in a header
END = "\n"

METERS = ("C", "C|", *(f"{n}/{d}" for d, most in ((2, 4), (4, 7), (8, 12)) for n in range(2 if d < 8 else 3, most + 1)))
LENGTHS = ("1/2", "1/4", "1/8", "1/16")  # half of each fits into a bar of every meter
# Number of sharps of each major key (flats are negative), and what each mode adds to it.
ROOTS = {"C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5, "F#": 6, "C#": 7, "F": -1, "Bb": -2, "Eb": -3, "Ab": -4,
         "Db": -5, "Gb": -6, "Cb": -7, "G#": 8, "D#": 9, "A#": 10}  # fmt: skip
MODES = {
    "": 0, "major": 0, "maj": 0, "ionian": 0, "ion": 0, "m": -3, "min": -3, "minor": -3, "aeolian": -3, "aeo": -3,
    "dorian": -2, "dor": -2, "mixolydian": -1, "mix": -1, "lydian": 1, "lyd": 1, "phrygian": -4, "phr": -4,
}  # fmt: skip


@cache
def _keys() -> tuple[str, ...]:
    """All ways to write the keys with at most seven sharps or flats."""
    keys = []
    for root, at in ROOTS.items():
        for mode, shift in MODES.items():
            if abs(at + shift) <= 7:
                for spelling in {mode, mode.capitalize()} if mode != "m" else {mode}:
                    keys += [root + space + spelling for space in ({"", " "} if spelling else {""})]
    return tuple(keys)


def _values(field: str) -> tuple[str, ...]:
    if field == "M":
        return METERS
    if field == "L":
        return LENGTHS
    if field == "K":
        return _keys()
    beats = tuple(f"{unit}={n}" for unit in ("1/2", "3/8", "1/4", "1/8") for n in range(30, 300))
    return (*beats, *(str(n) for n in range(30, 300)))  # Q


@cache
def _continuations(field: str) -> dict[str, str]:
    """{prefix of a value: the characters that may come next}, where a line break ends a value."""
    if field == "X":  # counted, not listed: there are many
        table = {}
        for size in range(6):
            table["9" * size] = "123456789" if not size else ("0123456789" if size < 5 else "") + END
        return table
    found: dict[str, set[str]] = {}
    for value in _values(field):
        for text in (value, " " + value):
            for size in range(len(text)):
                found.setdefault(text[:size], set()).add(text[size])
            found.setdefault(text, set()).add(END)
    return {beginning: "".join(sorted(after)) for beginning, after in found.items()}


def follow(field: str, text: str) -> str:
    """The characters that may follow `text` on a line of `field` (X, M, L, Q or K); empty if no value begins like that.

    >>> follow("M", "6"), follow("L", "1/16")
    ('/', '\\n')
    """
    if field == "X":
        text = "9" * len(text) if text.isdigit() else text
    return _continuations(field).get(text, "")


def meter_value(numerator: int, denominator: int) -> str | None:
    """The meter as the value of an M: field, or None if it isn't one of METERS.

    >>> meter_value(6, 8)
    '6/8'
    """
    text = f"{numerator}/{denominator}"
    return text if text in METERS else None
