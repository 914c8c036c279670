"""Files with music in formats that can't be read: which program wrote one, and how to export from it.

A file is recognised by its suffix, unless it begins with a MIDI header; one with a MIDI suffix by its first bytes.
`PROJECTS` are the suffixes of music programs' projects and of recordings; found in folders, such files are reported as
refused music. Menus are those of the programs' current versions.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from musicgen.errors import UnreadableError

__all__ = ["BUNDLES", "FOREIGN_SUFFIXES", "PROJECTS", "kind_of", "nearest_file", "refuse_foreign", "what_is"]

_MUSICXML = "File > Export > MusicXML"
_SOUND = "is a recording: it holds sound, not notes", "transcribe it to MIDI first, or give the MIDI or score behind it"
_TAB = "is a Guitar Pro tablature", "in Guitar Pro choose File > Export > MIDI, or MusicXML"
_TRACKER = "is a tracker module", "open it in OpenMPT and choose File > Export as MIDI"
_PICTURE = "is a picture of a score", "turn it into MusicXML with a music scanner such as Audiveris"

# {suffixes: (what such a file is, what to do with it)}
_PROJECTS: dict[str, tuple[str, str]] = {
    ".mscz .mscx": ("is a MuseScore score", "in MuseScore choose File > Export, then MusicXML or MIDI"),
    ".sib": ("is a Sibelius score", f"in Sibelius choose {_MUSICXML}"),
    ".musx .mus": ("is a Finale score", f"in Finale choose {_MUSICXML}"),
    ".dorico": ("is a Dorico project", f"in Dorico choose {_MUSICXML}"),
    ".cap .capx": ("is a capella score", "in capella export it as MusicXML"),
    ".ove .ovex": ("is an Overture score", "in Overture export it as MusicXML"),
    ".enc": ("is an Encore score", "in Encore export it as MusicXML or MIDI"),
    ".nwc .nwctxt": ("is a NoteWorthy score", "in NoteWorthy Composer choose File > Export, then MIDI"),
    ".ly .ily": ("is LilyPond input", r"add \midi { } to its \score block, run lilypond, and give the MIDI file"),
    ".mei": ("is an MEI score", "run `verovio -t midi FILE`, and give the MIDI file"),
    ".gp .gp3 .gp4 .gp5 .gpx .gtp": _TAB,
    ".tg": ("is a TuxGuitar tablature", "in TuxGuitar choose File > Export, then MIDI"),
    ".ptb": ("is a Power Tab tablature", "open it in TuxGuitar or Guitar Pro and export MIDI"),
    ".als .alc .alp": ("is an Ableton Live set", "in Live select a clip and choose File > Export MIDI Clip"),
    ".flp": ("is an FL Studio project", "in FL Studio choose File > Export > MIDI file"),
    ".cpr .npr": ("is a Cubase or Nuendo project", "there choose File > Export > MIDI File"),
    ".ptx .ptf .pts": ("is a Pro Tools session", "in Pro Tools choose File > Export > MIDI"),
    ".logicx .logic": ("is a Logic project", "in Logic select all and choose File > Export > Selection as MIDI File"),
    ".band": ("is a GarageBand project", "GarageBand exports no MIDI: open it in Logic and export the regions there"),
    ".rpp": ("is a REAPER project", "in REAPER choose File > Export project MIDI"),
    ".song": ("is a Studio One song", "in Studio One export it as a MIDI file"),
    ".bwproject": ("is a Bitwig project", "in Bitwig Studio choose File > Export MIDI"),
    ".reason .rns .rsn": ("is a Reason song", "in Reason choose File > Export MIDI File"),
    ".cwp .cwb .wrk": ("is a Cakewalk project", "in Cakewalk save it as MIDI, format 1"),
    ".mmp .mmpz": ("is an LMMS project", "in LMMS choose File > Export MIDI"),
    ".rg": ("is a Rosegarden document", "in Rosegarden export it as a MIDI file"),
    ".h2song": ("is a Hydrogen song", "in Hydrogen export it as a MIDI file"),
    ".ardour": ("is an Ardour session", "in Ardour export its MIDI regions"),
    ".dawproject": ("is a DAWproject", "open it in the program that made it and export MIDI"),
    ".xrns": ("is a Renoise song", "record its notes to MIDI in another program"),
    ".mod .xm .it .s3m .mptm": _TRACKER,
    ".vsq .vsqx .vpr .ust .ustx": ("is a project of a singing program", "export its notes there as MIDI"),
    ".aup .aup3": ("is an Audacity project: it holds sound, not notes", _SOUND[1]),
    ".midi2": ("is a MIDI 2.0 clip", "export it as a Standard MIDI File (.mid)"),
    ".wav .wave .mp3 .flac .ogg .oga .opus .m4a .aac .wma .aif .aiff .aifc .caf .mp2 .ac3": _SOUND,
}
_OTHERS: dict[str, tuple[str, str]] = {
    ".mp4 .m4v .mov .mkv .avi .webm": ("is a video: it holds sound, not notes", _SOUND[1]),
    ".pdf .png .jpg .jpeg .tif .tiff .gif .bmp .svg": _PICTURE,
    ".sf2 .sf3 .sfz": ("is a SoundFont: sounds to play notes with", "name it with `soundfont`, and a piece to play"),
}


def _by_suffix(table: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    return {suffix: advice for suffixes, advice in table.items() for suffix in suffixes.split()}


_KINDS = {**_by_suffix(_PROJECTS), **_by_suffix(_OTHERS)}
# (first bytes, kind of file), for files that the suffix doesn't identify
_MAGIC = (
    (b"ID3", "an MP3 audio file"),
    (b"\xff\xfb", "an MP3 audio file"),
    (b"\xff\xf3", "an MP3 audio file"),
    (b"fLaC", "a FLAC audio file"),
    (b"OggS", "an Ogg audio file"),
    (b"FORM", "an AIFF audio file"),
    (b"FLhd", "an FL Studio project"),
    (b"<REAPER_PROJECT", "a REAPER project"),
    (b"\x0fSIBELIUS", "a Sibelius score"),
    (b"ENIGMA BINARY FILE", "a Finale score"),
    (b"BCF", "a Guitar Pro tablature"),
    (b"\x18FICHIER GUITAR PRO", "a Guitar Pro tablature"),
    (b"[NoteWorthy ArtWare]", "a NoteWorthy score"),
    (b"ptab", "a Power Tab tablature"),
    (b"Extended Module: ", "a tracker module"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"%PDF", "a PDF"),
    (b"<?xml", "an XML text"),
    (b"\\version", "LilyPond input"),
)
PROJECTS = tuple(_by_suffix(_PROJECTS))
FOREIGN_SUFFIXES = tuple(_KINDS)
KNOWN = (".mid", ".midi", ".kar", ".smf", ".mxl", ".musicxml", ".xml", ".krn", ".hum", ".abc", *FOREIGN_SUFFIXES)
BUNDLES = (".logicx", ".logic", ".band")  # folders that programs show as one file


def what_is(path: str | os.PathLike[str]) -> str | None:
    """What a file with this name is, and what to export from it; None if the suffix isn't a foreign one.

    >>> what_is("Song.ALS")
    'is an Ableton Live set; in Live select a clip and choose File > Export MIDI Clip'
    >>> what_is("song.mid")
    """
    advice = _KINDS.get(Path(path).suffix.lower())
    return advice and "; ".join(advice)


def kind_of(data: bytes) -> str | None:
    """The kind of a file that isn't MIDI, recognised by its first bytes; None if unknown."""
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def nearest_file(path: str | os.PathLike[str]) -> str:
    """A hint for a missing file: the most similar file name in its folder, if there is one."""
    wanted = Path(path)
    try:
        names = os.listdir(wanted.parent)
    except OSError:
        return "check the path"
    known = [name for name in names if Path(name).suffix.lower() in KNOWN and not name.startswith(".")]
    near = sorted(name for name in known if Path(name).stem == wanted.name)  # the suffix was left out
    near = near or difflib.get_close_matches(wanted.name, known, n=1, cutoff=0.8)
    return f"did you mean {str(wanted.with_name(near[0]))!r}?" if near else "check the path"


def refuse_foreign(path: str | os.PathLike[str]) -> None:
    """Raise UnreadableError, with what to do, for a file or folder in a foreign format. Missing files pass, as reading
    them reports that."""
    advice = what_is(path)
    if advice is None or not os.path.exists(path) or _is_midi(path):
        return
    raise UnreadableError(advice, where=path)


def _is_midi(path: str | os.PathLike[str]) -> bool:
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"MThd"
    except OSError:
        return False
