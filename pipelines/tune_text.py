"""A tune as ABC text, in one of the ways in which people write it.

The notes are spelled by `spell_tune`; added are a pickup, repeats around sections, spaces between beats, titles, and
the several ways to write a key and a unit length, so that a model that learns from these texts knows them all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from tunes import Tune

from musicgen.tokenizers.abc.clock import length_of
from musicgen.tokenizers.abc.spelling import PER_QUARTER, spell_tune

__all__ = ["Style", "drawn_style", "written"]

NOTE = re.compile(r'("[^"]*")?([_^=]*[A-Ga-gz][,\']*)(\d*/?\d*)(-?)')
MAJORS, MINORS = ("", " Major", "maj", " major"), ("m", " Minor", "min", " minor")


@dataclass(frozen=True)
class Style:
    """`key` is one of the ways to write major and minor, `again` says whether each line names its first chord anew."""

    number: int = 1
    key: int = 1
    unit: Fraction = Fraction(1, 8)
    spaced: bool = True
    again: bool = False
    repeats: bool = True
    double: bool = False  # a tune in 3/8 written in 3/4
    rhythm: bool = False  # an R: line with the kind of dance


def drawn_style(rng: np.random.Generator, tune: Tune) -> Style:
    """A style by chance."""
    numerator, denominator = tune.meter
    return Style(
        number=int(rng.integers(1, 400)) if rng.random() < 0.5 else 1,
        key=int(rng.choice(4, p=[0.45, 0.35, 0.1, 0.1])),
        unit=Fraction(1, 4) if denominator == 4 and rng.random() < 0.25 else Fraction(1, 8),
        spaced=rng.random() < 0.75,
        again=rng.random() < 0.3,
        repeats=rng.random() < 0.85,
        double=(numerator, denominator) == (3, 8) and rng.random() < 0.7,
        rhythm=rng.random() < 0.3,
    )


def written(tune: Tune, style: Style = Style()) -> str:
    """The text of a tune."""
    piece = tune.piece
    numerator, denominator = tune.meter
    if style.double:  # twice as many ticks a note: as if there were half as many in a quarter
        denominator = 4
        meters = piece.meters.copy()
        meters["denominator"] //= 2
        piece = type(piece)(PER_QUARTER // 2, piece.tracks, piece.tempos, meters, piece.keys, (), piece.chords)
    text = spell_tune(piece)
    body = text.partition("\nK:")[2].partition("\n")[2]
    key = re.search(r"^K:(\S+)", text, re.MULTILINE)
    assert key is not None
    beat = Fraction(3, 8) if denominator == 8 and numerator % 3 == 0 and numerator > 3 else Fraction(1, 4)
    # In units of a quarter only what needs no quarter of a unit is written.
    unit = Fraction(1, 8) if "/" in body else style.unit
    bars = [_spaced(bar.strip(), beat if style.spaced else None, unit) for bar in body.split("|") if bar.strip()]
    pickup = int(len(piece.meters) > 1)
    head = f"X:{style.number}\nT:{tune.title}\n"
    if style.rhythm and tune.kind in ("dance", "song") and tune.title not in ("Song", "Tune"):
        head += f"R:{tune.title.lower()}\n"
    head += f"M:{numerator}/{denominator}\nL:1/{unit.denominator}\n"
    mode = (MINORS if piece.keys["minor"][0] else MAJORS)[style.key]
    return head + f"K:{key[1]}{mode}\n" + _in_lines(bars, tune, style, pickup)


def _spaced(bar: str, beat: Fraction | None, unit: Fraction) -> str:
    """A bar with its lengths in `unit` of a whole note, and a space before each note that begins on a beat."""
    at, out = Fraction(0), []
    for symbol, note, length, tie in NOTE.findall(bar):
        value = length_of(length) * Fraction(1, 8)
        begins = beat is not None and out and at % beat == 0
        out.append((" " if begins else "") + symbol + note + _length(value / unit) + tie)
        at += value
    return "".join(out)


def _length(units: Fraction) -> str:
    if units == 1:
        return ""
    if units.denominator == 1:
        return str(units.numerator)
    return ("" if units.numerator == 1 else str(units.numerator)) + f"/{units.denominator}"


def _in_lines(bars: list[str], tune: Tune, style: Style, pickup: int) -> str:
    """The bars in lines of four, the pickup before the first, with repeats: of what is written twice, and of the
    sections of a dance, which its players repeat."""
    first = bars[0] if pickup else ""
    bars = bars[pickup:]
    parts = _parts(bars, tune, style)
    lines = []
    chord = ""
    for number, (begin, end, is_repeated) in enumerate(parts):
        for at in range(begin, end, 4):
            row = list(bars[at : min(at + 4, end)])
            known = chord
            for bar in row:
                chord = re.findall(r'"[^"]*"', bar)[-1] if '"' in bar else chord
            if known and not row[0].startswith('"') and (style.again or at == begin):
                row[0] = known + row[0]
            line = "|".join(row)
            if at == begin and number == 0 and first:
                line = f"{first}|{line}"
            if is_repeated and at == begin:
                line = f"|:{line}"
            is_last = at + 4 >= end
            line += ":|" if is_last and is_repeated else "|]" if is_last and number == len(parts) - 1 else "|"
            lines.append(line + "\n")
    return "".join(lines)


def _parts(bars: list[str], tune: Tune, style: Style) -> list[tuple[int, int, bool]]:
    """(first bar, bar behind the last, whether it is repeated) of what is written."""
    if not style.repeats:
        return [(0, len(bars), False)]
    ends = [bar + 1 for bar in tune.phrases]
    if not ends:
        size = 8
        ends = list(range(size, len(bars) + 1, size)) if len(bars) % size == 0 else [len(bars)]
    parts: list[tuple[int, int, bool]] = []
    begin = 0
    for end in ends:
        if parts and [_bare(b) for b in bars[begin:end]] == [_bare(b) for b in bars[parts[-1][0] : parts[-1][1]]]:
            parts[-1] = (*parts[-1][:2], True)
        else:
            parts.append((begin, end, bool(tune.phrases)))
        begin = end
    return parts


def _bare(bar: str) -> str:
    return re.sub(r'"[^"]*"', "", bar)
