"""Instruments of Humdrum files: the names and programs of their codes, drums, and which spines form one part.

Sources: Humdrum Reference, tandem interpretations `*I` (instrument codes), `*part` and `*staff`; General MIDI 1 sound
set and percussion map, programs counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from musicgen.io.scores.names import drum_for

__all__ = ["CODES", "KEYBOARDS", "Spine", "drum_of", "grouped"]

# Instrument codes as in `*Ivioln`: the name and the nearest program of each.
CODES: dict[str, tuple[str, int]] = {
    "piano": ("piano", 0), "forte": ("fortepiano", 0), "klav": ("keyboard", 0), "cemba": ("harpsichord", 6),
    "clavi": ("clavichord", 7), "clest": ("celesta", 8), "rhode": ("electric piano", 4), "synth": ("synthesizer", 5),
    "organ": ("organ", 19), "reedo": ("reed organ", 20), "physh": ("harmonium", 20), "porta": ("portative", 19),
    "hammd": ("Hammond organ", 16), "accor": ("accordion", 21), "ctina": ("concertina", 21),
    "armon": ("harmonica", 22), "arpa": ("harp", 46), "guitr": ("guitar", 24), "eguit": ("electric guitar", 27),
    "bguit": ("bass guitar", 33), "liuto": ("lute", 24), "archl": ("archlute", 24), "tiorb": ("theorbo", 24),
    "mando": ("mandolin", 25), "banjo": ("banjo", 105), "ukule": ("ukulele", 24), "cetra": ("cittern", 25),
    "zithr": ("zither", 15), "dulc": ("dulcimer", 15), "sitar": ("sitar", 104), "koto": ("koto", 107),
    "shami": ("shamisen", 106), "violn": ("violin", 40), "violp": ("violino piccolo", 40), "viola": ("viola", 41),
    "viold": ("viola d'amore", 41), "cello": ("violoncello", 42), "cbass": ("contrabass", 43),
    "viols": ("treble viol", 40), "violt": ("tenor viol", 41), "violb": ("bass viol", 42), "viole": ("viole", 41),
    "rebec": ("rebec", 110), "hurdy": ("hurdy-gurdy", 110), "picco": ("piccolo", 72), "fife": ("fife", 72),
    "flt": ("flute", 73), "flt_a": ("alto flute", 73), "flt_b": ("bass flute", 73), "fltds": ("soprano recorder", 74),
    "fltda": ("alto recorder", 74), "fltdt": ("tenor recorder", 74), "fltdb": ("bass recorder", 74),
    "fltdn": ("sopranino recorder", 74), "panpi": ("panpipe", 75), "shaku": ("shakuhachi", 77),
    "ocari": ("ocarina", 79), "oboe": ("oboe", 68), "oboeD": ("oboe d'amore", 68), "cangl": ("English horn", 69),
    "heck": ("heckelphone", 70), "fagot": ("bassoon", 70), "fag_c": ("contrabassoon", 70), "clars": ("clarinet", 71),
    "clarp": ("E-flat clarinet", 71), "clara": ("alto clarinet", 71), "clarb": ("bass clarinet", 71),
    "baset": ("basset horn", 71), "calam": ("chalumeau", 71), "saxN": ("sopranino saxophone", 64),
    "saxS": ("soprano saxophone", 64), "saxA": ("alto saxophone", 65), "saxT": ("tenor saxophone", 66),
    "saxR": ("baritone saxophone", 67), "saxB": ("bass saxophone", 67), "saxC": ("contrabass saxophone", 67),
    "bagpS": ("bagpipe", 109), "bagpI": ("bagpipe", 109), "cornm": ("musette", 109), "tromp": ("trumpet", 56),
    "clrno": ("clarino", 56), "cornt": ("cornet", 56), "corno": ("cornett", 56), "bugle": ("bugle", 56),
    "flugh": ("flugelhorn", 56), "cor": ("horn", 60), "tromt": ("trombone", 57), "tromb": ("bass trombone", 57),
    "troma": ("alto trombone", 57), "tuba": ("tuba", 58), "tubaB": ("bass tuba", 58), "ophic": ("ophicleide", 58),
    "vox": ("voice", 52), "soprn": ("soprano", 52), "mezzo": ("mezzo-soprano", 52), "alto": ("alto", 52),
    "calto": ("contralto", 52), "ctenor": ("countertenor", 52), "tenor": ("tenor", 52), "barit": ("baritone", 52),
    "bass": ("bass voice", 52), "bscan": ("bass voice", 52), "bspro": ("bass voice", 52), "canto": ("canto", 52),
    "quinto": ("quinto", 52), "coro": ("choir", 52), "feme": ("female voice", 52), "male": ("male voice", 52),
    "nfant": ("child's voice", 52), "colsp": ("soprano", 52), "drmsp": ("soprano", 52), "lyrsp": ("soprano", 52),
    "lyrtn": ("tenor", 52), "heltn": ("tenor", 52), "castr": ("castrato", 52), "false": ("falsetto", 52),
    "recit": ("voice", 52), "stim": ("voice", 52), "timpa": ("timpani", 47), "glock": ("glockenspiel", 9),
    "vibra": ("vibraphone", 11), "marim": ("marimba", 12), "xylo": ("xylophone", 13), "chime": ("tubular bells", 14),
    "campn": ("bells", 14), "caril": ("carillon", 14), "steel": ("steel drums", 114),
}  # fmt: skip
# Codes of instruments that are written on two staves or more.
KEYBOARDS = {"piano", "forte", "klav", "cemba", "clavi", "clest", "rhode", "synth", "organ", "reedo", "physh", "arpa",
             "hammd", "accor", "caril", "marim", "vibra"}  # fmt: skip


@dataclass(eq=False)
class Spine:
    """A column of the file, opened by an exclusive interpretation, with what its tandem interpretations state."""

    kind: str  # kern, dynam, chords, or "" for all others
    column: int  # index from the left when it was opened
    part: str = ""  # of `*part2`
    staff: str = ""  # of `*staff3`, or `*staff1/2`
    name: str = ""  # of `*I"Violino I`
    short: str = ""  # of `*I'Vl. I`
    code: str = ""  # of `*Ivioln`
    transposing: bool = False
    strophe: str = ""  # of `*S/..`: the version that is read if the file holds several
    home: Spine | None = None  # of dynamics and chords: the kern spine that they belong to
    drum: int | None = field(default=None)


def drum_of(spine: Spine) -> int | None:
    """The General MIDI drum key of an unpitched instrument; None if its name isn't recognized."""
    return drum_for((spine.name, spine.code, spine.short))


def grouped(spines: Sequence[Spine], decoration: str, keyboard: str) -> list[list[Spine]]:
    """Group the kern spines that are staves of one instrument; groups from the top of the score down.

    Spines are grouped by `*part`; without it, by the braces of `!!!system-decoration`, or if neighbours are the same
    keyboard instrument. `keyboard` is the code of the only instrument in the header, for spines without a code.
    """
    brace: dict[str, str] = {}
    for inside in re.findall(r"\{([^{}]*)\}", decoration):
        staves = re.findall(r"s(\d+)", inside)
        brace.update(dict.fromkeys(staves, f"brace {staves[0]}") if staves else {})
    groups: list[list[Spine]] = []
    by_key: dict[str, list[Spine]] = {}
    for spine in reversed(spines):  # in files the lowest staff comes first
        key = f"part {spine.part}" if spine.part else brace.get(spine.staff, "")
        last = groups[-1][-1] if groups else None
        if key and key in by_key:
            by_key[key].append(spine)
        elif not key and last is not None and not last.part and _one_keyboard(last, spine, keyboard):
            groups[-1].append(spine)
        else:
            groups.append([spine])
            if key:
                by_key[key] = groups[-1]
    return groups


def _one_keyboard(above: Spine, below: Spine, keyboard: str) -> bool:
    code, other = above.code or keyboard, below.code or keyboard
    names = {name for name in (above.name, below.name) if name}
    return code == other and code in KEYBOARDS and len(names) < 2
