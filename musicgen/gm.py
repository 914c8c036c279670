"""General MIDI: the names of the 128 programs, and keys by name.

Sources: General MIDI System Level 1, Sound Set and percussion key map; Adler 2002, "The Study of Orchestration", for
the sounding ranges of instruments.
"""

from __future__ import annotations

import difflib
import re

from musicgen.errors import UsageError

__all__ = [
    "PROGRAMS",
    "SOLO",
    "find_drums",
    "find_key",
    "find_pitch",
    "find_program",
    "key_pitch_classes",
    "pitch_name",
    "pitch_range",
    "program_family",
    "program_name",
    "sounding_range",
    "usual_pitch",
]

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
# Sounding ranges of good players; programs that aren't listed have the range of a piano.
_RANGES = {
    **dict.fromkeys((40, 110), (55, 100)), 41: (48, 88), 42: (36, 81), 43: (28, 67),
    **dict.fromkeys((44, 45, 48, 49, 50, 51), (28, 100)), 46: (24, 103), 47: (40, 57),
    **dict.fromkeys((52, 53, 54), (40, 84)),
    **dict.fromkeys((56, 59), (54, 84)), 57: (40, 74), 58: (28, 65), 60: (35, 77),
    **dict.fromkeys((61, 62, 63), (34, 84)),
    64: (56, 88), 65: (49, 81), 66: (44, 76), 67: (37, 69), 68: (58, 91), 69: (52, 81), 70: (34, 75), 71: (50, 94),
    72: (74, 108), 73: (60, 96), 74: (60, 98), 75: (60, 96), 76: (48, 84), 77: (55, 86), 78: (60, 96), 79: (60, 86),
    9: (79, 108), 8: (60, 108), 10: (60, 96), 11: (53, 89), 12: (45, 96), 13: (65, 108), 14: (60, 77),
    6: (29, 89), 21: (41, 93), 22: (60, 96), 23: (41, 93), 108: (60, 86), 109: (55, 81), 111: (58, 91),
    **dict.fromkeys((24, 25, 26, 27, 28, 29, 30, 31), (40, 86)), **dict.fromkeys(range(32, 40), (28, 55)),
    104: (48, 84), 105: (48, 86), 106: (48, 86), 107: (40, 86), 128: (35, 81),
}  # fmt: skip
# The median of the mean pitches of parts in the pieces that the bundled model learned from, where there are four.
_USUAL = {
    **dict.fromkeys(range(32, 40), 35), 0: 62, 1: 64, 4: 66, 6: 50, 8: 75, 14: 69, 18: 72, 19: 55, 24: 68, 25: 56,
    26: 57, 28: 60, 29: 60, 30: 51, 31: 54, 40: 70, 41: 61, 42: 51, 43: 39, 44: 62, 45: 64, 46: 57, 47: 47, 48: 66,
    49: 58, 50: 53, 51: 58, 52: 64, 53: 57, 54: 68, 55: 71, 56: 70, 57: 57, 60: 61, 61: 73, 62: 68, 63: 72, 68: 73,
    69: 65, 70: 54, 71: 69, 72: 75, 73: 80, 74: 64, 75: 67, 80: 70, 81: 53, 83: 69, 84: 67, 86: 65, 87: 68, 89: 57,
    90: 63, 91: 67, 92: 65, 93: 65, 95: 58, 96: 71, 98: 76, 99: 65, 100: 66, 102: 71, 103: 75, 106: 57, 107: 69,
    116: 40,
}  # fmt: skip
SOLO = frozenset({22, *range(32, 40), *range(56, 61), *range(64, 80), 109, 111})  # monophonic instruments
_SHORT = {"piano": 0, "organ": 19, "guitar": 24, "bass": 33, "strings": 48, "choir": 52, "voice": 52, "horn": 60}

# Words that name several programs.
_FAMILIES = {
    "piano": range(0, 6), "organ": range(16, 21), "guitar": range(24, 32), "bass": range(32, 40),
    "strings": (*range(40, 46), *range(48, 52)), "choir": (52,), "voice": (52, 53, 54), "brass": range(56, 64),
    "horn": (60,), "sax": range(64, 68),
}  # fmt: skip
# The percussion key map from 35 (B1) to 81 (A5).
DRUM_NAMES = tuple(
    """acoustic bass drum,bass drum,side stick,acoustic snare,hand clap,electric snare,low floor tom,closed hi-hat,
high floor tom,pedal hi-hat,low tom,open hi-hat,low mid tom,high mid tom,crash cymbal 1,high tom,ride cymbal 1,
chinese cymbal,ride bell,tambourine,splash cymbal,cowbell,crash cymbal 2,vibraslap,ride cymbal 2,high bongo,low bongo,
mute high conga,open high conga,low conga,high timbale,low timbale,high agogo,low agogo,cabasa,maracas,short whistle,
long whistle,short guiro,long guiro,claves,high woodblock,low woodblock,mute cuica,open cuica,mute triangle,
open triangle""".replace("\n", "").split(",")
)
_DRUMS = {"kick": "bass drum", "hats": "hi-hat", "hihat": "hi-hat", "hi hat": "hi-hat", "clap": "hand clap"}
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NOTE = r"[A-Ga-g][#b♯♭]{0,2}-?\d{1,2}|\d{1,3}"


def program_name(program: int, *, is_drum: bool = False) -> str:
    """The name of program 0..127; `drums` for the drum channel."""
    return "drums" if is_drum or program == 128 else PROGRAMS[program]


def sounding_range(program: int) -> tuple[int, int]:
    """The lowest and highest pitch of program 0..127, or the keys of a drum kit (128).

    >>> sounding_range(40)
    (55, 100)
    """
    return _RANGES.get(program, (21, 108))


def usual_pitch(program: int) -> int:
    """The mean pitch of a usual part for program 0..127, or of a drum kit (128).

    >>> usual_pitch(33), usual_pitch(40)
    (35, 70)
    """
    return _USUAL.get(program, sum(sounding_range(program)) // 2)


def find_program(text: str) -> int:
    """A program value 0..127, or 128 for drums, from a name or its beginning. UsageError offers the nearest name."""
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


def find_drums(text: str) -> frozenset[int]:
    """The keys of the drums whose name contains the words of a text, or of its number. Raises UsageError.

    >>> sorted(find_drums("kick")), sorted(find_drums("hi-hat")), sorted(find_drums("38"))
    ([35, 36], [42, 44, 46], [38])
    """
    name = text.strip().lower()
    if name.isdigit() and int(name) <= 127:
        return frozenset({int(name)})
    name = _DRUMS.get(name.removesuffix("s"), _DRUMS.get(name, name.removesuffix("s")))
    found = frozenset(35 + n for n, drum in enumerate(DRUM_NAMES) if name and re.search(rf"\b{re.escape(name)}", drum))
    if not found:
        near = difflib.get_close_matches(name, [*DRUM_NAMES, *_DRUMS, "snare", "crash", "ride", "tom"], n=1, cutoff=0)
        raise UsageError(f"no drum {text!r}", hint=f"did you mean {near[0]!r}? numbers 0 to 127 are drums, too")
    return found


def program_family(text: str) -> frozenset[int] | None:
    """The programs that a word names, 128 for drums: one for an instrument, several for a family; None if unknown.

    >>> sorted(program_family("bass"))[:2], program_family("cello"), program_family("kazoo")
    ([32, 33], frozenset({42}), None)
    """
    name = text.strip().lower()
    singular = name.removesuffix("s")
    for word in (name, singular):
        if word in _FAMILIES:
            return frozenset(_FAMILIES[word])
        if word in (*PROGRAMS, *_SHORT, "drum", "drums", "percussion"):
            return frozenset({find_program(word)})
    return None


def pitch_name(pitch: int) -> str:
    """A MIDI pitch as a note, with C4 for middle C.

    >>> pitch_name(60), pitch_name(66), pitch_name(0)
    ('C4', 'F#4', 'C-1')
    """
    return f"{['C', 'C#', 'D', 'D#', 'E', 'F', 'F#', 'G', 'G#', 'A', 'A#', 'B'][pitch % 12]}{pitch // 12 - 1}"


def find_pitch(text: str) -> int:
    """The MIDI pitch of a note such as C4 (middle C, 60), F#4, Bb2, or of a number 0 to 127. Raises UsageError.

    >>> find_pitch("C4"), find_pitch("Bb2"), find_pitch("f♯4"), find_pitch("84")
    (60, 46, 66, 84)
    """
    name = text.strip()
    hint = "write it like C4, F#4 or Bb2, or as a number 0 to 127; C4 is middle C, 60"
    if not re.fullmatch(_NOTE, name, re.ASCII):
        raise UsageError(f"no note {text!r}", hint=hint)
    if name.isdigit():
        pitch = int(name)
    else:
        match = re.fullmatch(r"(.)([#b♯♭]*)(-?\d+)", name)
        assert match is not None
        sharps = sum({"#": 1, "♯": 1, "b": -1, "♭": -1}[sign] for sign in match[2])
        pitch = 12 * (int(match[3]) + 1) + _STEPS[match[1].upper()] + sharps
    if not 0 <= pitch <= 127:
        raise UsageError(f"{text!r} is outside MIDI's pitches, C-1 to G9", hint=hint)
    return pitch


def pitch_range(text: str) -> tuple[int, int]:
    """The lowest and the highest pitch of LO-HI, notes or numbers. Raises UsageError.

    >>> pitch_range("C3-C6"), pitch_range("48-84"), pitch_range("F#2 - Bb5"), pitch_range("C-1-G9")
    ((48, 84), (48, 84), (42, 82), (0, 127))
    """
    match = re.fullmatch(rf"\s*({_NOTE})\s*(?:-|–|\.\.)\s*({_NOTE})\s*", text, re.ASCII)
    if not match:
        raise UsageError(f"{text!r} is not a pitch range", hint="write it like 48-84 or C3-C6; C4 is middle C, 60")
    return find_pitch(match[1]), find_pitch(match[2])


def find_key(text: str) -> tuple[int, bool]:
    """(tonic 0..11, whether minor) of a key such as `G`, `F# minor`, `Bb`, `am`. Raises UsageError for other text.

    >>> find_key("F#m"), find_key("Bb major")
    ((6, True), (10, False))
    """
    match = re.fullmatch(r"\s*([A-Ga-g])([#b♯♭]?)\s*(m|min|minor|M|maj|major)?\s*", text)
    if not match:
        raise UsageError(f"no key {text!r}", hint="write it like G, Bb, F#m or 'C minor'")
    letter, accidental, mode = match.groups()
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[letter.upper()]
    tonic += {"#": 1, "♯": 1, "b": -1, "♭": -1, "": 0}[accidental]
    return tonic % 12, mode in ("m", "min", "minor")


def key_pitch_classes(text: str) -> frozenset[int]:
    """The pitch classes of a key such as `G`, `F# minor`, `Bb`, `am`.

    A minor key has both its natural and its raised seventh degree. Raises UsageError for text that isn't a key.

    >>> sorted(key_pitch_classes("Am"))
    [0, 2, 4, 5, 7, 8, 9, 11]
    """
    tonic, minor = find_key(text)
    degrees = (0, 2, 3, 5, 7, 8, 10, 11) if minor else (0, 2, 4, 5, 7, 9, 11)
    return frozenset((tonic + d) % 12 for d in degrees)
