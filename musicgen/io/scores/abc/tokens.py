"""The tokens of a line of ABC music, and the meaning of bar lines, endings, decorations and quoted texts.

No pattern backtracks, so reading a line takes time in proportion to its length.

Source: ABC standard 2.1, sections 4 (the tune body) and 10.2 (old line breaks).
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = [
    "CHORD_ITEM",
    "DECORATIONS",
    "INLINE",
    "MARKS",
    "SHORTHAND",
    "TOKEN",
    "bar_line",
    "chord_symbol",
    "passes_of",
    "is_jump",
]

LENGTH = r"(\d*(?:/+\d*)?)"
NOTE = rf"(?:(\^\^?|__?|=)(\d+(?:/\d*)?|/+\d*)?)?([A-Ga-g])([,']*){LENGTH}"
SIGN = r"[|:]|\[(?=[|\]:])|\](?=\|)"
LIST = r"\d+(?:[ \t]*[,\-][ \t]*\d+){0,30}"
MOST_PASSES = 16

# Groups of a note: accidental, microtone, letter, octave marks, length.
TOKEN = re.compile(
    rf"""[ \t`]*(?:
      (?P<note>{NOTE})
    | (?P<bar>\.?(?:{SIGN})(?:{SIGN}|\]){{0,20}}(?:[ \t]*(?:\[[ \t]*)?({LIST})[.,]?)?)
    | (?P<rest>[zx]{LENGTH})
    | (?P<string>"([^"]*)"?)
    | (?P<chord>\[((?:[^\[\]|:"!]|"[^"]*"|![^!\s]*!){{1,500}})\]{LENGTH})
    | (?P<ending>\[[ \t]*({LIST})[.,]?)
    | (?P<broken>>+|<+)
    | (?P<tie>-)
    | (?P<tuplet>\((\d{{1,3}})(?::(\d{{0,3}}))?(?::(\d{{0,3}}))?)
    | (?P<overlay>\(&|&\)|&+)
    | (?P<grace>\{{([^{{}}]*)\}})
    | (?P<deco>!([^!\s|\[\]:]+|[DdTt][.aAoO]*[ ]?[CcSs][^!|\[\]:"]{{0,20}})!)
    | (?P<plus>\+([^+\s|]+)\+)
    | (?P<slur>\.?[()])
    | (?P<whole>[ZX](\d{{0,6}}))
    | (?P<letter>[.~H-Wh-w])
    | (?P<quiet>y[\d/]*|[!$*\\\r\n\f\v])
    | (?P<other>[^ \t`])
    )""",
    re.VERBOSE,
)  # fmt: skip
# An inline field; quoted text is matched too, as it may contain what looks like one.
INLINE = re.compile(r'"[^"]*"|\[([A-Za-z]):(?![|:])([^\]]*)\]?')
CHORD_ITEM = re.compile(
    rf'(?P<note>{NOTE})|(?P<rest>[zx]{LENGTH})|(?P<tie>-)|"[^"]*"|![^!]*!|[ \t`.~H-Wh-w()]|(?P<other>.)'
)

MARKS = {
    "segno": "Segno", "coda": "Coda", "fine": "Fine", "dacoda": "ToCoda", "tocoda": "ToCoda", "alcoda": "ToCoda",
    "dc": "DaCapo", "dacapo": "DaCapo", "dcalfine": "DaCapoAlFine", "dacapoalfine": "DaCapoAlFine",
    "dcalcoda": "DaCapoAlCoda", "dacapoalcoda": "DaCapoAlCoda",
    "ds": "DalSegno", "dalsegno": "DalSegno", "dsalfine": "DalSegnoAlFine", "dalsegnoalfine": "DalSegnoAlFine",
    "dsalcoda": "DalSegnoAlCoda", "dalsegnoalcoda": "DalSegnoAlCoda",
}  # fmt: skip
# Decorations that change neither sound nor playing order. Fingerings are 0 to 5.
_QUIET = """
    trill trill( trill) lowermordent uppermordent mordent pralltriller roll turn turnx invertedturn invertedturnx
    arpeggio > accent emphasis fermata invertedfermata tenuto 0 1 2 3 4 5 + plus snap slide wedge upbow downbow open
    thumb breath crescendo( <( crescendo) <) diminuendo( >( diminuendo) >) ~( ~) shortphrase mediumphrase longphrase
    editorial courtesy sfz none nil ped ped( ped-up ped-end ped) marcato ^ / // /// //// tremolo doit fall
    scoop gliss( gliss) glissando( glissando) -( -) 8va( 8va) 8vb( 8vb) 15ma( 15ma) 15mb( 15mb) beambr1 beambr2
    beam-accel beam-rall cresc dim decresc stemless rbstop xstem sp sfp fp fz sf rf style=normal style=rhythm style=x
    style=harmonic style=triangle staccato staccatissimo stopped flageolet"""
DECORATIONS = frozenset(_QUIET.split())
SHORTHAND = {
    ".": "staccato", "~": "roll", "H": "fermata", "L": "accent", "M": "lowermordent", "O": "coda",
    "P": "uppermordent", "S": "segno", "T": "trill", "u": "upbow", "v": "downbow",
}  # fmt: skip

CHORD = re.compile(
    r"[A-G](?:##?|bb?|[♯♭])?"
    r"(?:maj|Maj|min|mi|ma|m|M|dim|aug|sus|add|omit|no|alt|o|ø|°|\+|-|\^|Δ|[#b♯♭]?\d{1,2}|[() ,/])*"
    r"(?:/[A-Ga-g](?:##?|bb?|[♯♭])?)?$|(?i:n\.?c\.?)$"
)
JUMP = re.compile(r"(?i)\b(d\.? ?[cs]\b|da ?capo|dal ?segno|al ?(fine|coda|segno)|fine\b|(to|al) coda)")


@lru_cache(1024)
def bar_line(sign: str) -> tuple[int, int, bool]:
    """(times that the section before it sounds, times for the one behind it, whether it ends a section); 0: no repeat.

    Any sequence of thin and thick lines, brackets and dots is read (ABC 2.1, 4.8).

    >>> bar_line("|"), bar_line(":|"), bar_line("|::"), bar_line("::"), bar_line("|]")
    ((0, 0, False), (2, 0, True), (0, 3, True), (2, 2, True), (0, 0, True))
    """
    sign = sign.lstrip(".")
    dots = len(sign) - len(sign.lstrip(":"))
    if dots == len(sign):
        if dots == 1:
            return 0, 0, False  # a dotted bar line
        times = 1 + (dots + 1) // 2
        return times, times, True
    after = len(sign) - len(sign.rstrip(":"))
    lines = sign.strip(":")
    after = after or lines.count(":")  # colons between lines, as in |:||
    ends = "||" in lines or bool(set("[]") & set(lines.replace("[|]", "")))
    return dots and 1 + dots, after and 1 + after, bool(dots or after or ends)


@lru_cache(1024)
def passes_of(text: str) -> frozenset[int]:
    """The passes, 1 to 16, in which an ending sounds.

    >>> sorted(passes_of("1,3-5"))
    [1, 3, 4, 5]
    """
    passes: set[int] = set()
    for low, high in re.findall(r"(\d{1,3})(?:[ \t]*-[ \t]*(\d{1,3}))?", text[:100]):
        passes |= set(range(int(low), min(int(high or low), MOST_PASSES) + 1))
    return frozenset(p for p in passes if 1 <= p <= MOST_PASSES)


@lru_cache(1024)
def chord_symbol(text: str) -> str | None:
    """The chord symbol in a quoted text; None if it is an annotation."""
    text = text.split(";")[0].split("\n")[0].strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    return text if len(text) <= 30 and CHORD.match(text) else None


def is_jump(text: str) -> bool:
    """Whether an annotation tells the player to jump, such as "D.C."."""
    return bool(JUMP.search(text[:80]))
