"""General MIDI: the names of the 128 programs, and keys by name.

Source: General MIDI System Level 1, Sound Set.
"""

from __future__ import annotations

import difflib
import re

from musicgen.errors import UsageError

__all__ = ["PROGRAMS", "find_program", "key_pitch_classes", "program_name"]

PROGRAMS = tuple(
    """acoustic grand piano,bright acoustic piano,electric grand piano,honky-tonk piano,electric piano 1,
electric piano 2,harpsichord,clavinet,celesta,glockenspiel,music box,vibraphone,marimba,xylophone,tubular bells,
dulcimer,drawbar organ,percussive organ,rock organ,church organ,reed organ,accordion,harmonica,tango accordion,
nylon guitar,steel guitar,jazz guitar,clean electric guitar,muted electric guitar,overdriven guitar,distortion guitar,
guitar harmonics,acoustic bass,fingered electric bass,picked electric bass,fretless bass,slap bass 1,slap bass 2,
synth bass 1,synth bass 2,violin,viola,cello,contrabass,tremolo strings,pizzicato strings,harp,timpani,
string ensemble 1,string ensemble 2,synth strings 1,synth strings 2,choir aahs,voice oohs,synth voice,orchestra hit,
trumpet,trombone,tuba,muted trumpet,french horn,brass section,synth brass 1,synth brass 2,soprano sax,alto sax,
tenor sax,baritone sax,oboe,english horn,bassoon,clarinet,piccolo,flute,recorder,pan flute,blown bottle,shakuhachi,
whistle,ocarina,square lead,sawtooth lead,calliope lead,chiff lead,charang lead,voice lead,fifths lead,bass and lead,
new age pad,warm pad,polysynth pad,choir pad,bowed pad,metallic pad,halo pad,sweep pad,rain,soundtrack,crystal,
atmosphere,brightness,goblins,echoes,sci-fi,sitar,banjo,shamisen,koto,kalimba,bagpipe,fiddle,shanai,tinkle bell,agogo,
steel drums,woodblock,taiko drum,melodic tom,synth drum,reverse cymbal,guitar fret noise,breath noise,seashore,
bird tweet,telephone ring,helicopter,applause,gunshot""".replace("\n", "").split(",")
)
_SHORT = {"piano": 0, "organ": 19, "guitar": 24, "bass": 32, "strings": 48, "choir": 52, "voice": 52, "horn": 60}


def program_name(program: int, *, is_drum: bool = False) -> str:
    """The name of program 0..127; `drums` for the drum channel."""
    return "drums" if is_drum or program == 128 else PROGRAMS[program]


def find_program(text: str) -> int:
    """A program value 0..127, or 128 for drums, from a name or its beginning. UsageError offers the nearest."""
    name = text.strip().lower()
    if name in ("drum", "drums", "percussion"):
        return 128
    if name in _SHORT:
        return _SHORT[name]
    for i, program in enumerate(PROGRAMS):
        if program == name:
            return i
    begins = [i for i, program in enumerate(PROGRAMS) if program.startswith(name)]
    if name and begins:
        return begins[0]
    near = difflib.get_close_matches(name, [*PROGRAMS, *_SHORT, "drums"], n=1, cutoff=0)[0]
    raise UsageError(f"no instrument {text!r}", hint=f"did you mean {near!r}?")


def key_pitch_classes(text: str) -> frozenset[int]:
    """The pitch classes of a key such as `G`, `F# minor`, `Bb`, `am`.

    A minor key holds its natural and its raised seventh degree. Raises UsageError for anything else.

    >>> sorted(key_pitch_classes("Am"))
    [0, 2, 4, 5, 7, 8, 9, 11]
    """
    match = re.fullmatch(r"\s*([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|M|maj|major)?\s*", text)
    if not match:
        raise UsageError(f"no key {text!r}", hint="write it like G, Bb, F#m or 'C minor'")
    letter, accidental, mode = match.groups()
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter.upper()]
    tonic += {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}[accidental]
    minor = mode in ("m", "min", "minor")
    degrees = (0, 2, 3, 5, 7, 8, 10, 11) if minor else (0, 2, 4, 5, 7, 9, 11)
    return frozenset((tonic + d) % 12 for d in degrees)
