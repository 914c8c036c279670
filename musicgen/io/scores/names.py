"""General MIDI programs and drums for the parts of a score, from what the file says and what the parts are called.

Source: General MIDI 1 sound set and percussion map, programs counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["drum_for", "is_high_voice", "program_for"]

# Patterns of part names and their programs, for parts whose program is missing or a placeholder. Singers come first:
# editions often give them the program of an oboe or a piano.
VOICES = (
    r"voice|voix|vocal|stimme|gesang|sing|chant\b|canto\b|sopran|mezzo|\balt(o|us)?\b|tenor|bariton|contralto"
    r"|choir|chorus|chor\b|cantus"
)
PLAYED = r"sax|trombone|recorder|flute|clarinet|viol"  # an alto saxophone is no singer
SINGING = (52, 53, 54, 85, 91)
NAMES = (
    (r"contrabass\b|double ?bass|kontrabass|string bass", 43),
    (r"bassoon|fagott", 70), (r"bass clarinet|clarinet|klarinette", 71), (r"bass trombone|tromb[oó]n|posaune", 57),
    (r"bass guitar", 33), (VOICES, 52), (r"^basso?( [iv\d]+)?\.?$", 52),
    (r"viola da gamba|violoncell|cello", 42), (r"viola\b|bratsche", 41), (r"violin|violon\b|geige|fiddle", 40),
    (r"harpsichord|cembalo|clavecin", 6), (r"organ|orgel|orgue", 19), (r"celesta", 8), (r"piano|klavier", 0),
    (r"guitar", 24), (r"harp|harfe", 46), (r"timpani|pauken", 47), (r"flute|fl[oö]te|flauto", 73),
    (r"piccolo", 72), (r"recorder", 74), (r"oboe|hautbois", 68), (r"english horn|cor anglais", 69),
    (r"french horn|\bhorn\b|\bcor\b", 60), (r"trumpet|trompete|tromba", 56), (r"tuba", 58), (r"accordion", 21),
    (r"bagpipe", 109),
)  # fmt: skip
# General MIDI drums by name or code; the first match counts. A drum set, many sounds on one staff, is not here.
DRUMS = tuple((re.compile(pattern, re.IGNORECASE), number) for pattern, number in (
    (r"\bbass dr|\bb\. ?d(r|\b)|^bdrum|gro?s(se|\.)? c|\bgran cassa|^g\.? cassa|\bgr\. ?c\.|gro(ss|ß)e trommel", 36),
    (r"\bsnare|\bs\. ?d(r|\b)|^sn\. dr|^sdrum|\bside drum|kleine trommel|caisse cl|\btamb(our|\.) mil", 38),
    (r"\btenor dr|^tdrum", 47), (r"finger cym|^fingc", 80), (r"\bchin(a|ese) cym|^chcym", 52),
    (r"\bsplash|^spshc", 55), (r"\bride\b|^ridec", 51), (r"\bhi-?hat", 42),
    (r"cymb?\b|cymbals?|\bpiatt|\bbecken|^crshc", 49), (r"triang|^trngl|\btrgl|^tri\.$", 81),
    (r"tambourin|tambn|\btamburin|\bbasque", 54), (r"\bmarac", 70), (r"wood ?bl|^wblok", 76),
    (r"temple bl|^tblok", 77), (r"\bcongas?$", 63), (r"\bbongo", 60), (r"\btimbale|^paila", 65), (r"\bclaves?$", 75),
    (r"\bcow ?bell", 56), (r"\bg[uü]iro", 73), (r"\bagogo", 67), (r"\bwhistle", 71), (r"\bhand clap|^clap$", 39),
    (r"\bvibraslap", 58), (r"\btom(-tom)?s?\b", 47),
))  # fmt: skip


def drum_for(names: Iterable[str]) -> int | None:
    """The General MIDI drum key of an unpitched instrument, by its names; None if no name is recognized.

    >>> drum_for(["Percussion", "Kleine Trommel"])
    38
    """
    for name in names:
        for pattern, number in DRUMS:
            if pattern.search(name):
                return number
    return None


def is_high_voice(name: str) -> bool:
    """Whether this is the name of a soprano, alto or tenor, beside whom a part called 'Bass' is a singer too."""
    return bool(re.search(r"sopran|\balto?\b|tenor", name, re.IGNORECASE))


def program_for(names: tuple[str, ...], program: int | None, *, bass_sings: bool = False) -> int:
    """The General MIDI program of a part: choir (52) for a singer's name, unless the file's own is a voice.

    Otherwise the file's own, except that 0 may be a placeholder: then the first program that a name implies.
    """
    lowered = [name.strip().lower() for name in names]
    for name in lowered:
        if re.search(VOICES, name) and not re.search(PLAYED, name):
            return program if program in SINGING else 52
    if program:
        return program
    for name in lowered:
        if name.startswith("bass") and bass_sings:
            return 52
        for pattern, number in NAMES:
            if re.search(pattern, name):
                return number
    return program or 0
