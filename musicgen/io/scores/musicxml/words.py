"""Jumps in MusicXML: as words ("D.S. al Coda"), as drawn signs, and as `<sound>` for playback.

A sign and the words beside it are one jump. Source: MusicXML 4.0 (W3C), `<sound>`, `<segno>`, `<coda>`; the words are
the Italian ones and their German, French and English equivalents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element

__all__ = ["ALONE", "DRAWN", "PLAYED", "Sign", "family", "passes_of", "signs_of_sound", "signs_of_words"]

DRAWN, PLAYED, ALONE = 0, 1, 2  # printed alone; printed with a `<sound>`; a `<sound>` alone
LONGEST = 100  # characters; longer text is no jump

GLYPHS = (
    (re.compile(r"<sym>\s*segno\w*\s*</sym>|<segno>|[\U0001d10b\ue047\ue04a\ue04b]", re.IGNORECASE), " segno "),
    (re.compile(r"<sym>\s*coda\w*\s*</sym>|<coda>|[\U0001d10c\ue048\ue049]", re.IGNORECASE), " coda "),
    (re.compile(r"<[^<>]*>"), " "),  # formatting tags that MuseScore writes into words
)
CAPO = re.compile(r"(?<![a-z])d\.?\s?c\b|\bda\s*capo\b|\bvon\s+(vorn|anfang)|\bfrom\s+the\s+(beginning|top)\b")
SEGNO = re.compile(r"(?<![a-z])d\.?\s?s\b|\bdal?l?\s+(segno|s\b)|\bvom?\s+zeichen\b|\bfrom\s+the\s+sign\b")
AL_FINE = re.compile(r"\b(al|alla|à la|a la|bis|sin|sino|to|jusqu'à la)\b.*\b(fine|fin|ende|schlu(ss|ß)|end)\b")
TO_CODA = re.compile(r"(\b(go|aller)\s+)?(\b(to|al|alla|zur?|zum|à la|a la|vai alla|salta alla)\s+)(the\s+)?coda")
FINE = re.compile(r"fine|fin|ende|schlu(ss|ß)|end")
NUMBERS = re.compile(r"(\d{1,2})\.?(?:\s*[-–—]\s*(\d{1,2}))?")


@dataclass(frozen=True)
class Sign:
    """A repeat, an ending, a jump or its target, at an onset in a measure (FINE ticks; -1: the measure's end).

    `kind` is start, times, ending, ended, line (a bar line within a measure), or a mark of `order.Bar`.
    """

    bar: int
    onset: int
    kind: str
    label: str = ""
    times: int = 0
    source: int = DRAWN


def family(kind: str) -> str:
    """The kind without "al fine" or "al coda": two signs of one family in a measure are the same jump."""
    return "DaCapo" if kind.startswith("DaCapo") else "DalSegno" if kind.startswith("DalSegno") else kind


def signs_of_words(words: list[str], bar: int, onset: int) -> list[Sign]:
    """The sign (in a list) that the words and drawn signs of one direction form together; [] for other words.

    >>> [sign.kind for sign in signs_of_words(["D.S. al", "<coda>"], 0, 0)]
    ['DalSegnoAlCoda']
    """
    text = " ".join(words)
    if len(text) > 4 * LONGEST:
        return []
    for pattern, name in GLYPHS:
        text = pattern.sub(name, text)
    text = " ".join(text.casefold().replace("\xa0", " ").replace("’", "'").replace("‘", "'").split())
    kind = _kind(text) if len(text) <= LONGEST else None
    return [] if kind is None else [Sign(bar, onset, kind)]


def _kind(text: str) -> str | None:
    bare = text.strip(" .,:;!()[]{}*-–'\"")
    only = " ".join(re.sub(r"[^\w\sàß']", " ", text).split())
    capo, segno = CAPO.search(text), SEGNO.search(text)
    if capo or segno:
        found = capo or segno
        name, rest = ("DaCapo" if capo else "DalSegno"), text[found.end() :] if found else ""
        to_fine, to_coda = AL_FINE.search(rest), "coda" in rest
        if capo and not to_fine and not to_coda and re.search(r"\bal\s+segno\b", rest):
            return "DaCapoAlSegno"
        # "al Fine e poi la Coda": the places of the signs decide which comes first.
        if (to_fine and to_coda) or re.search(r"\b(poi|then|dann|puis)\b", rest):
            return name
        return name + ("AlFine" if to_fine else "AlCoda" if to_coda else "")
    if FINE.fullmatch(bare):
        return "Fine"
    if TO_CODA.fullmatch(only):
        return "ToCoda"
    if only in ("coda", "coda coda"):
        return "Coda"
    return "Segno" if only in ("segno", "segno segno") else None


def signs_of_sound(sound: Element, bar: int, onset: int, of_words: list[Sign], *, alone: bool) -> list[Sign]:
    """The jumps of a `<sound>`; if it has none, those of the words beside it, `of_words`.

    The words also tell how far a jump of the `<sound>` goes: al fine, al coda.
    """
    source = ALONE if alone or not of_words else PLAYED
    signs = []
    if sound.get("forward-repeat") == "yes":
        signs.append(Sign(bar, onset, "start", source=source))
    kinds = {"dacapo": "DaCapo", "dalsegno": "DalSegno", "fine": "Fine", "tocoda": "ToCoda"}
    for attribute, kind in {**kinds, "coda": "Coda", "segno": "Segno"}.items():
        value = sound.get(attribute, "no")
        if value == "no" or not value:
            continue
        jump = next((sign.kind for sign in of_words if family(sign.kind) == kind), kind)
        signs.append(Sign(bar, onset, jump, label="" if value == "yes" else value, source=source))
    return signs or of_words


def passes_of(numbers: str) -> frozenset[int]:
    """The passes of an ending, written as "1, 2", "1-3" or "1.2."

    >>> sorted(passes_of("1-3, 5"))
    [1, 2, 3, 5]
    """
    passes: set[int] = set()
    for first, last in NUMBERS.findall(numbers[:200]):
        passes |= set(range(int(first), int(last or first) + 1))
    return frozenset(passes - {0})
