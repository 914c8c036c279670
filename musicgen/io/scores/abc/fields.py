"""Parse the fields of ABC tunes: meters, unit lengths, tempi, keys, voices, the order of parts.

Lengths are Fractions of a whole note. Functions return None for text that they can't parse; the caller then ignores
the field with a warning, and the previous value stays in force.

Source: ABC standard 2.1, sections 3.1.6 to 3.1.14, 4.6, 7 and 10; tempo words and `sound=` as in abc2midi.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction

__all__ = ["Key", "Props", "key_of", "length_of", "meter_of", "parts_of", "properties", "tempo_of", "unit_of"]

MAX_PARTS = 1000  # sections in the order that P: asks for
SHARPS, FLATS = "fcgdaeb", "beadgcf"
NATURAL = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
CIRCLE = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
MODES = {"maj": 0, "ion": 0, "mix": -1, "dor": -2, "min": -3, "aeo": -3, "phr": -4, "loc": -5, "lyd": 1, "m": -3}
ALTER = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}
WORDS = {
    "larghissimo": 40, "adagissimo": 44, "lentissimo": 48, "largo": 56, "adagio": 59, "lento": 62, "larghetto": 66,
    "adagietto": 76, "andante": 88, "andantino": 96, "moderato": 104, "allegretto": 112, "allegro": 120, "vivace": 168,
    "vivo": 180, "presto": 192, "allegrissimo": 208, "vivacissimo": 220, "prestissimo": 240,
}  # fmt: skip
CLEF = re.compile(r"(?:treble|bass|alto|tenor|soprano|mezzo(?:soprano)?|baritone|perc|none|[GFC](?=[1-5]))"
                  r"\d?(?:([+\-])(8|15)|[\^_]8)?$", re.IGNORECASE)  # fmt: skip
TONIC = re.compile(r"([A-G])([#b]?)[ \t]*([A-Za-z]*)")
SIGN = re.compile(r"(\^\^?|__?|=)([A-Ga-g])")
PROPERTY = re.compile(r"([A-Za-z-]+)[ \t]*=[ \t]*(\"[^\"]*\"?|[^ \t]+)|(\"[^\"]*\"?|[^ \t]+)")
NOTE_NAME = re.compile(r"(\^\^?|__?|=)?([A-Ga-g])([,']*)")


# ---- time ----------------------------------------------------------------------------------------------


def length_of(text: str) -> Fraction:
    """The length of a note in unit lengths, from the digits behind it. Raises ValueError beyond 9999 and 1/1024.

    >>> length_of(""), length_of("3/2"), length_of("//")
    (Fraction(1, 1), Fraction(3, 2), Fraction(1, 4))
    """
    above, slashes, below = text.partition("/")
    if len(above) > 4 or len(below) > 10:
        raise ValueError(text[:20])
    number = Fraction(int(above or 1))
    if slashes:
        more = below.count("/")
        digits = below.replace("/", "")
        divisor = int(digits or 2) * 2**more
        if not 0 < divisor <= 1024:
            raise ValueError(text[:20])
        number /= divisor
    return number


def meter_of(text: str) -> tuple[int, int] | None:
    """(numerator, denominator) of a meter, (0, 0) for free meter; None for other text.

    >>> meter_of("C|"), meter_of("(2+3)/8"), meter_of("none"), meter_of("9999/1")
    ((2, 2), (5, 8), (0, 0), None)
    """
    text = text.strip()
    if text in ("C", "C|"):
        return (4, 4) if text == "C" else (2, 2)
    if text.lower() in ("none", ""):
        return 0, 0
    total = Fraction(0)
    denominator = 1
    terms = re.findall(r"\(?[ \t]*(\d{1,3}(?:[ \t]*\+[ \t]*\d{1,3})*)[ \t]*\)?[ \t]*/[ \t]*(\d{1,3})", text[:60])
    if not terms or not re.fullmatch(r"[ \t\d+/()]*", text):
        return None
    for above, below in terms:
        if int(below) not in (1, 2, 4, 8, 16, 32, 64):
            return None
        total += Fraction(sum(map(int, re.findall(r"\d+", above))), int(below))
        denominator = max(denominator, int(below))
    numerator = total * denominator
    return (int(numerator), denominator) if 1 <= numerator <= 64 else None


def unit_of(text: str) -> Fraction | None:
    """The unit note length, 2 to 1/512 of a whole note; None for other text."""
    found = re.match(r"(\d{1,3})[ \t]*(?:/[ \t]*(\d{1,3}))?[ \t]*$", text)
    if found is None or not int(found[2] or 1):
        return None
    unit = Fraction(int(found[1]), int(found[2] or 1))
    return unit if Fraction(1, 512) <= unit <= 2 else None


def tempo_of(text: str, unit: Fraction) -> float | None:
    """Quarters a minute of a Q: field; None for words alone. Raises ValueError for text that can't be parsed.

    >>> tempo_of('"Allegro" 3/8=60', Fraction(1, 8)), tempo_of("C3=100", Fraction(1, 8))
    (90.0, 150.0)
    """
    words = re.findall(r'"([^"]*)"?', text)
    rest = re.sub(r'"[^"]*"?', " ", text).strip()
    if not rest:
        return next((float(bpm) for word in words for name, bpm in WORDS.items() if word.strip().lower() == name), None)
    beat, sign, number = rest.rpartition("=")
    found = re.match(r"[ \t]*(?:ca?\.)?[ \t]*(\d{1,4}(?:\.\d{1,4})?)", number)
    if found is None:
        raise ValueError(rest)
    length = unit
    if sign:
        length = Fraction(0)
        for old, above, below in re.findall(r"(C)?(\d{0,3})(?:/(\d{1,3}))?", beat)[:8]:
            if old:  # old syntax: C is the unit length
                length += unit * Fraction(int(above or 1), max(1, int(below or 1)))
            elif above:
                length += Fraction(int(above), max(1, int(below or 1)))
        if not length:
            raise ValueError(rest)
    return float(length * 4) * float(found[1])


# ---- keys ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key signature: alterations in semitones by letter, and its fifths and mode if it is a standard one."""

    alters: dict[str, int] = field(default_factory=dict)
    fifths: int | None = 0
    minor: bool = False


def key_of(text: str) -> tuple[Key | None, str]:
    """(key, remaining text) of a K: field; the key is None if the field names none, as in `K:bass`.

    Raises ValueError for an unknown mode.

    >>> key_of("E Dorian clef=bass")[0].fifths, key_of("D ^g")[0].alters
    (2, {'f': 1, 'c': 1, 'g': 1})
    """
    text = text.strip()
    if not text:
        return Key(), ""
    key, rest = _named_key(text)
    explicit = re.match(r"exp\b[ \t]*", rest, re.IGNORECASE)
    if explicit is not None:
        rest = rest[explicit.end() :]
    alters = dict(key.alters) if key is not None and explicit is None else {}
    signs = 0
    while (sign := SIGN.match(rest)) is not None:
        alters[sign[2].lower()] = ALTER[sign[1]]
        rest = rest[sign.end() :].lstrip(" \t,")
        signs += 1
    if signs or explicit is not None:
        key = Key(alters, _fifths(alters), key is not None and key.minor)
    return key, rest


def _named_key(text: str) -> tuple[Key | None, str]:
    """The key at the begin of a field, or None, and the remaining text."""
    word = re.match(r"(none|HP|Hp)\b", text)
    if word is not None:
        alters = {} if word[1] == "none" else {"f": 1, "c": 1}
        return Key(alters, len(alters)), text[word.end() :].lstrip()
    found = TONIC.match(text)
    if found is None or CLEF.match(text.split()[0]):
        return None, text
    mode = found[3].lower()
    shift = next((by for name, by in MODES.items() if mode == name or (name != "m" and mode.startswith(name))), None)
    if shift is None:
        known = not mode or mode in ("exp", *PROPERTIES) or CLEF.match(text[found.start(3) :].split()[0])
        if not known:
            raise ValueError(found[3])
    end = found.end() if shift is not None else found.end(2)
    fifths = CIRCLE[found[1]] + {"#": 7, "b": -7, "": 0}[found[2]] + (shift or 0)
    key = Key(_signature(fifths), fifths if -7 <= fifths <= 7 else None, shift == -3)
    return key, text[end:].lstrip()


def _signature(fifths: int) -> dict[str, int]:
    """Semitones by letter of a signature; beyond seven fifths, letters are altered twice."""
    order, by = (SHARPS, 1) if fifths > 0 else (FLATS, -1)
    alters: dict[str, int] = {}
    for i in range(abs(fifths)):
        letter = order[i % 7]
        alters[letter] = alters.get(letter, 0) + by
    return alters


def _fifths(alters: dict[str, int]) -> int | None:
    """The fifths of a standard signature, else None."""
    altered = {letter: by for letter, by in alters.items() if by}
    return next((f for f in range(-7, 8) if _signature(f) == altered), None)


# ---- properties behind a key or a voice -----------------------------------------------------------------

PROPERTIES = ("clef", "octave", "transpose", "middle", "stafflines", "shift", "sound", "score", "instrument", "name")


@dataclass(frozen=True)
class Props:
    """Further properties in K: and V: fields; None for those that aren't given."""

    name: str | None = None
    octave: int | None = None
    clef_octave: int | None = None
    transpose: int | None = None
    percussion: bool | None = None


def properties(text: str) -> Props:
    """The clef, octave, transposition and name in a K: or V: field.

    >>> properties('clef=treble-8 name="Tenor"')
    Props(name='Tenor', octave=None, clef_octave=-1, transpose=None, percussion=False)
    """
    props = Props()
    for name, value, bare in PROPERTY.findall(text):
        name, value = name.lower(), (value or bare).strip('"')
        if name in ("", "clef"):
            clef = CLEF.match(value)
            if clef is not None:
                by = {"+": 1, "-": -1}.get(clef[1] or "", 0) * (2 if clef[2] == "15" else 1)
                props = replace(props, clef_octave=by, percussion=value.lower().startswith("perc"))
        elif name == "octave" and re.fullmatch(r"[+-]?\d", value):
            props = replace(props, octave=int(value))
        elif name in ("transpose", "t") and re.fullmatch(r"[+-]?\d{1,2}", value):
            props = replace(props, transpose=int(value))
        elif name in ("sound", "shift", "instrument"):
            props = replace(props, transpose=_interval(name, value))
        elif name in ("name", "nm"):
            props = replace(props, name=" ".join(value.replace("\\n", " ").split()))
    return props


def _interval(name: str, value: str) -> int | None:
    """Semitones of `sound=` and `shift=` (from one note to another) or `instrument=` (from c to a note), or None."""
    notes: list[int] = [
        NATURAL[letter.lower()] + ALTER.get(sign, 0) + 12 * (letter.islower() + marks.count("'") - marks.count(","))
        for sign, letter, marks in NOTE_NAME.findall(value[:20])
    ]
    if not notes:
        return None
    return notes[-1] - (12 if name == "instrument" or len(notes) == 1 else notes[0])


# ---- the order of parts ---------------------------------------------------------------------------------


def parts_of(text: str) -> list[str] | None:
    """The labels of a P: field in the header, groups and repeats expanded; None for other text and beyond MAX_PARTS.

    >>> "".join(parts_of("A.(AB)2C3"))
    'AABABCCC'
    """
    stack: list[list[str]] = [[]]
    last: list[str] = []
    for token in re.findall(r"\d+|\S", text[:500]):
        if token == "(":
            stack.append([])
            last = []
        elif token == ")":
            if len(stack) == 1:
                return None
            last = stack.pop()
            stack[-1] += last
        elif token.isdecimal():
            if not last or len(token) > 3:
                return None
            stack[-1] += last * (int(token) - 1)
            last = []
        elif token.isalpha() and token.isascii():
            last = [token]
            stack[-1] += last
        elif token != ".":
            return None
        if sum(map(len, stack)) > MAX_PARTS:
            return None
    return stack[0] if len(stack) == 1 else None
