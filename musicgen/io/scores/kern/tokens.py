"""Parse single tokens of Humdrum files: notes, bar lines, meters, keys, tempi, dynamics, chord symbols.

Durations are Fractions of a quarter. `**kern` spells the accidentals of every sounding pitch, so none is carried over
within a bar; durations are `**recip`: 4 is a quarter, 4. a dotted one, 3%2 two thirds of a whole note, 0 a breve.
Signs that concern only the notation (beams, stems, slurs, articulation, editorial marks, invisible symbols) are
ignored: a note marked `yy` isn't printed, but it sounds.

Sources: Humdrum Reference, `**kern`, `**recip` and barlines; humlib's `recipToDuration` for rational durations and for
chords whose later notes leave theirs out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from musicgen.chords import chord_of, note_name
from musicgen.io.scores.layout import VELOCITIES

__all__ = ["Barline", "Token", "barline", "fifths_of", "level_of", "meter_of", "symbol_of", "tempo_in", "token_of"]

MAX_TOKEN = 2_000  # characters
LONGEST = 4096  # quarters, the longest note
PITCH = re.compile(r"([A-Ga-g])")
RECIP = re.compile(r"(\d+)(?:%(\d+))?")
CLASSES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
START, CONTINUE, STOP = 1, 2, 3  # kinds of ties

SHARPS = "fcgdaeb"
METER = re.compile(r"^\*M(\d+(?:\+\d+)*)/(\d+)(%\d+)?")
UNITS = {"whole": 4.0, "half": 2.0, "quarter": 1.0, "eighth": 0.5, "8th": 0.5, "sixteenth": 0.25, "16th": 0.25}
METRONOME = re.compile(
    rf"\[({'|'.join(UNITS)})((?:-dot)*)\]\s*=\s*(?:c(?:irc)?a?\.?)?\s*(\d{{1,4}}(?:\.\d{{1,4}})?)", re.IGNORECASE
)
BARLINE = re.compile(r"^=+(\d+)?[a-z]?(.*)")


@dataclass(frozen=True, eq=False, slots=True)
class Token:
    """A parsed data token of a kern spine; compared by identity, as equal texts share one object.

    `length` is the time to the next token in quarters: None if the token has no duration, 0 for grace notes. `notes`
    are (pitch, quarters or None, kind of tie); the pitch of an unpitched note is None.
    """

    length: Fraction | None
    notes: tuple[tuple[int | None, Fraction | None, int], ...]
    graces: int = 0
    unpitched: bool = False  # marked by `R`
    strange: bool = False  # neither a note nor a rest


class Barline(NamedTuple):
    numbered: bool
    ends: bool  # a repeat ends here
    starts: bool


def token_of(text: str) -> Token:
    """Parse a data token that isn't null. Raises ValueError with the reason for an impossible note.

    >>> token_of("4.c#_ e").notes
    ((61, Fraction(3, 2), 2), (64, Fraction(3, 2), 0))
    """
    if len(text) > MAX_TOKEN:
        raise ValueError(f"it is longer than {MAX_TOKEN:,} characters")
    parts = text.split()
    if "q" in text or "Q" in text:  # grace notes take no time, whatever note value they have
        return Token(Fraction(0), (), sum(1 for part in parts if "r" not in part and PITCH.search(part)))
    notes: list[tuple[int | None, Fraction | None, int]] = []
    length, strange = None, True
    for part in parts:
        own = _duration(part)
        if length is None:
            length = own
        if "r" in part:
            strange = False
            continue
        found = PITCH.search(part)
        if found is None and "R" not in part and own is None:
            continue
        kind = CONTINUE if "_" in part or ("[" in part and "]" in part) else 0
        kind = kind or (START if "[" in part else STOP if "]" in part else 0)
        notes.append((None if found is None else _pitch(found[1], part), own if own is not None else length, kind))
        strange = strange and found is None and "R" not in part
    if strange and length is None:
        length = Fraction(0)  # a token with neither note nor rest takes no time
    return Token(length, tuple(notes), 0, "R" in text, strange)


def _pitch(letter: str, part: str) -> int:
    # Accidentals should follow the letters at once; in real files a tie's bracket or another mark may come between.
    octave = 4 + part.count(letter) if letter.islower() else 5 - part.count(letter)
    return 12 * octave + CLASSES[letter.lower()] + part.count("#") - part.count("-")


def _duration(part: str) -> Fraction | None:
    found = RECIP.search(part)
    if found is None:
        return None
    digits, over = found[1], found[2]
    dots = part.count(".")
    if len(digits) > 9 or (over and len(over) > 9) or dots > 8:
        raise ValueError("its duration can't be a note's")
    number = int(digits)
    if number:
        length = Fraction(4 * int(over or 1), number)
    elif over is None and len(digits) <= 3:  # breve, long, maxima
        length = Fraction(4 * 2 ** len(digits))
    else:
        raise ValueError("its duration can't be a note's")
    length *= 2 - Fraction(1, 2**dots)
    if not 0 < length <= LONGEST:
        raise ValueError(f"it lasts longer than {LONGEST:,} quarters" if length else "its duration can't be a note's")
    return length


def barline(token: str) -> Barline:
    """Parse a bar line: whether it has a number, ends a repeat, and starts one.

    >>> barline("=12:|!|:")
    Barline(numbered=True, ends=True, starts=True)
    """
    found = BARLINE.match(token)
    drawn = re.sub(r"[^:|!]", "", found[2]) if found else ""
    strokes = [i for i, c in enumerate(drawn) if c != ":"]
    if not strokes:
        return Barline(bool(found and found[1]), False, False)
    return Barline(bool(found and found[1]), ":" in drawn[: strokes[-1]], ":" in drawn[strokes[0] :])


def meter_of(token: str) -> tuple[int, int] | None:
    """The (numerator, denominator) of `*M3/4`, `*M2+3/8` or `*M3/0`; None for another token.

    >>> meter_of("*M3/0")
    (6, 1)
    """
    found = METER.match(token)
    if found is None or found[3] or len(token) > 40:
        return None
    numerator, below = sum(int(n) for n in found[1].split("+")), found[2]
    if not int(below):  # the denominator is a breve (0) or a long (00)
        return numerator * 2 ** len(below), 1
    return numerator, int(below)


def fifths_of(signature: str) -> int | None:
    """The circle-of-fifths number, -7 to 7, of a signature such as `*k[f#c#]`; None for an unusual one."""
    notes = re.findall(r"[a-g][#-]", signature[:20])
    flats = all(n[1] == "-" for n in notes)
    if {n[0] for n in notes} != set((SHARPS[::-1] if flats else SHARPS)[: len(notes)]):
        return None
    return (-1 if flats else 1) * len(notes) if flats or all(n[1] == "#" for n in notes) else None


def tempo_in(text: str) -> float | None:
    """Quarters a minute of a metronome mark in a text such as `Allegro [quarter-dot] = c. 60`."""
    found = METRONOME.search(text)
    if found is None:
        return None
    dots = found[2].lower().count("-dot")
    return UNITS[found[1].lower()] * (2 - 0.5 ** min(dots, 4)) * float(found[3])


def level_of(token: str) -> int | None:
    """The velocity that the last dynamic mark of a `**dynam` token sets; None for hairpins and accents alone."""
    level = None
    for word in re.findall(r"[a-zA-Z]+", token):
        mark = word.strip("XxYyv")
        loud = re.fullmatch(r"[sr]?f+z?(p+)", mark)  # fp, sfp, ffp: the level after the accent
        level = VELOCITIES.get(mark, VELOCITIES.get(loud[1], level) if loud else level)
    return level


# ---- chord symbols -------------------------------------------------------------------------------------

CHORD = re.compile(r"^([A-Ga-g])(#{1,2}|b{1,2}|-{1,2})?(?:[:\s]\s*)?([^/]*?)\s*(?:/\s*(\S+))?$")
# Chord kinds of MusicXML, as `**mxhm` spells them, and the shorthands of Harte et al. 2005, "Symbolic representation
# of musical chords", with the spelling of lead sheets for each.
KINDS = {
    "major": "", "minor": "m", "augmented": "+", "diminished": "dim", "dominant": "7", "major-seventh": "maj7",
    "minor-seventh": "m7", "diminished-seventh": "dim7", "augmented-seventh": "+7", "half-diminished": "m7b5",
    "major-minor": "mMaj7", "major-sixth": "6", "minor-sixth": "m6", "dominant-ninth": "9", "major-ninth": "maj9",
    "minor-ninth": "m9", "dominant-11th": "11", "major-11th": "maj11", "minor-11th": "m11", "dominant-13th": "13",
    "major-13th": "maj13", "minor-13th": "m13", "suspended-second": "sus2", "suspended-fourth": "sus4", "power": "5",
    "maj": "", "min": "m", "aug": "+", "min7": "m7", "hdim7": "m7b5", "minmaj7": "mMaj7", "maj6": "6", "min6": "m6",
    "min9": "m9", "min11": "m11", "min13": "m13",
}  # fmt: skip
DEGREES = {1: 0, 2: 2, 3: 4, 4: 5, 5: 7, 6: 9, 7: 11, 9: 2, 11: 5, 13: 9}


def symbol_of(token: str) -> str | None:
    """The chord symbol of a token of `**mxhm` ("B- minor-seventh/F") or in Harte's notation ("Bb:min7/5"), or None.

    >>> symbol_of("B- minor-seventh/F"), symbol_of("C#:min/b3"), symbol_of("r")
    ('Bbm7/F', 'C#m/E', None)
    """
    token = token.strip()
    if token in ("N", "none", "N.C.", "NC"):
        return "N.C."
    found = CHORD.match(token) if len(token) <= 60 else None
    if found is None:
        return None
    root = found[1].upper() + (found[2] or "").replace("-", "b")
    symbol = root + KINDS.get(found[3], found[3])
    if found[4]:
        symbol += f"/{_bass(root, found[4])}"
    return symbol if chord_of(symbol) is not None else None


def _bass(root: str, bass: str) -> str:
    """The name of the bass note, which is given as a name or as a degree above the root."""
    degree = re.fullmatch(r"([b#]*)(\d{1,2})", bass)
    chord = chord_of(root)
    if degree is None or int(degree[2]) not in DEGREES or chord is None:
        return bass[:1].upper() + bass[1:].replace("-", "b")
    shift = degree[1].count("#") - degree[1].count("b")
    return note_name(chord[0] + DEGREES[int(degree[2])] + shift)
