"""Infers a part's instrument from its name, for files whose tracks are all piano but named "Drums" or "Bass".

A program is meaningless if nobody chose it (the channel has no program change), or if tracks named after different
instruments share a channel. In these cases the part is encoded for the model as the instrument of its name. The file
stays unchanged: new notes go to the same track and channel.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from musicgen.gm import PROGRAMS, find_program, program_name
from musicgen.io.channels import Channels
from musicgen.piece import Piece, Track
from musicgen.tokenizers.constraints import DRUMS

__all__ = ["as_called", "called"]

LOWEST_DRUM, HIGHEST_DRUM = 27, 87  # General MIDI 2's kit
MOST_WORDS = 4
BASS = 33
# Words in track names, in English, German, French, Spanish and Italian without accents, and the instrument's name for
# `find_program`.
_WORDS = {
    "drums drum drumkit drumset kit perc percussion percussions kick snare hihat hh toms cymbals cymbal "
    "schlagzeug schlagwerk perkussion trommel trommeln batterie percusion bateria batteria percussioni": "drums",
    "timpani pauken timbales": "timpani",
    "bass basses basse bajo basso ebass bassgitarre bassguitar bassline contrabajo": "bass",
    "kontrabass contrabass contrebasse contrabasso": "contrabass",
    "vox vocal vocals voice voices vocalist singer sing gesang stimme voix chant voz voces canto cantante": "voice",
    "choir chor choeur coro chorus": "choir",
    "guitar guitars gtr gtrs guit git gitarre gitarren guitare guitares guitarra guitarras chitarra": "guitar",
    "strings string streicher cordes cuerdas archi": "strings",
    "violin violins vln violine violinen geige geigen violon violons violino violini": "violin",
    "viola violas vla bratsche bratschen": "viola",
    "cello cellos vc violoncello violoncelle violonchelo": "cello",
    "pad pads synthpad": "warm pad",
    "brass blaser blechblaser cuivres metales ottoni": "brass section",
    "trumpet trumpets tpt trompete trompeten trompette trompeta tromba": "trumpet",
    "trombone trombones tbn posaune posaunen trombon": "trombone",
    "tuba": "tuba",
    "horn horns waldhorn cor corno": "horn",
    "sax saxophone saxophon saxofon saxo": "tenor sax",
    "organ orgel orgue organo": "organ",
    "piano klavier pno keys keyboard keyboards flugel clavier teclado tastiera pianoforte": "piano",
    "harpsichord cembalo clavecin clave clavicembalo": "harpsichord",
    "flute flutes fl flote floten querflote flauta flauto": "flute",
    "oboe oboes hautbois": "oboe",
    "clarinet clarinets klarinette clarinette clarinete clarinetto": "clarinet",
    "bassoon fagott basson fagot fagotto": "bassoon",
    "recorder blockflote": "recorder",
    "harp harfe harpe arpa": "harp",
    "accordion akkordeon accordeon acordeon fisarmonica": "accordion",
    "harmonica mundharmonika armonica": "harmonica",
    "vibraphone vibes vibraphon": "vibraphone",
    "marimba": "marimba",
    "xylophone xylophon": "xylophone",
    "glockenspiel": "glockenspiel",
    "banjo": "banjo",
}  # fmt: skip
_INSTRUMENT = {word: value for words, value in _WORDS.items() for word in words.split()}


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Words that may accompany an instrument's name without changing it.
_BESIDE = _set(
    """track part spur piste pista lead rhythm rhythmus main solo back backing left right hand lh rh hands upper lower
    high low hi lo l r i ii iii iv electric acoustic elec el e ac a clean muted dist distorted overdriven nylon steel
    slap fretless finger fingered picked synth grand rock jazz set the channel ch first second 1st 2nd
    erste zweite stereo mono dry loop line section ensemble melody male female kids double"""
)
# Pairs of words at the beginning of a name that mean another instrument than either word alone.
_TOGETHER = {("bass", "drum"): "drums", ("hi", "hat"): "drums", ("steel", "drums"): "steel drums"}
_BEFORE_GUITAR = {"dist": 30, "distorted": 30, "overdriven": 29, "muted": 28, "electric": 27, "elec": 27, "el": 27,
                  "e": 27, "clean": 27, "jazz": 26, "steel": 25, "acoustic": 25, "ac": 25, "nylon": 24}  # fmt: skip
_STAVES = _set("soprano sopran alto alt tenor treble discant cantus")  # next to these, "Bass" is a voice, not a bass
_NUMBERED = _set("voice voices stimme voix voz")  # with a number, as in "Voice 2", a line of a fugue and not a singer


def called(name: str, *, alone: bool = False) -> int | None:
    """The program (0..127, 128 for drums) that a track's name denotes; None if it names no instrument or several.

    One unknown word is allowed ("Joe's bass" is a bass), but none if the track is `alone` in its file, for then the
    name is probably the title.

    >>> called("Drum Kit"), called("E-Bass"), called("Piano left hand"), called("The Little Drummer Boy")
    (128, 33, 0, None)
    """
    text = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    if text.strip() in PROGRAMS:
        return PROGRAMS.index(text.strip())
    words = re.findall(r"[a-z]+|\d+", text.replace("'s", ""))
    numbers = [word for word in words if word.isdigit()]
    words = [word for word in words if not word.isdigit()]
    found = [word for word in words if word in _INSTRUMENT]
    unknown = len(words) - len(found) - sum(word in _BESIDE for word in words)
    for pair, together in _TOGETHER.items():
        if tuple(words[:2]) == pair:
            return find_program(together)
    if not found or len(words) > MOST_WORDS or unknown > (not alone) or (numbers and found[-1] in _NUMBERED):
        return None
    instruments = {_INSTRUMENT[word] for word in found}
    if len(instruments) > 1 and instruments != {"bass", "guitar"}:
        return None if instruments - {"drums"} != {"piano"} else find_program("piano")
    value = found[0] if "bass" in instruments else found[-1]
    if _INSTRUMENT[value] == "guitar":
        return next((_BEFORE_GUITAR[word] for word in words if word in _BEFORE_GUITAR), find_program("guitar"))
    return find_program(_INSTRUMENT[value])


def as_called(piece: Piece, channels: Channels, homes: Sequence[tuple[int, int]]) -> Piece:
    """The piece as it is encoded for a model: parts whose program nobody chose get the instrument of their name.

    `channels` are those of the file that the piece was read from, `homes` the (track, channel 0..15) of each part. Adds
    a warning for every changed part, `named: track 3 "Drums" is understood as drums`, with the part's number as
    requests count it, from 1.
    """
    programs = _meant(piece, channels, homes)
    tracks, lines = list(piece.tracks), []
    for number, program in programs.items():
        track = tracks[number]
        tracks[number] = replace(track, program=0 if program == DRUMS else program, is_drum=program == DRUMS)
        lines.append(f'named: track {number + 1} "{track.name}" is understood as {program_name(program)}')
    return replace(piece, tracks=tuple(tracks), warnings=(*piece.warnings, *lines)) if lines else piece


def _meant(piece: Piece, channels: Channels, homes: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Part index -> program (128 for drums), for every part whose program nobody chose and whose name gives another."""
    homes = [(track, 16 * channels.port_of(track) + channel) for track, channel in homes]
    playing = [n for n, track in enumerate(piece.tracks) if len(track.notes)]
    alone = channels.midi.format == 0 or len({homes[n][0] for n in playing}) < 2
    names = {n: called(piece.tracks[n].name, alone=alone) for n in playing if not piece.tracks[n].is_drum}
    staves = any(_is_staff(piece.tracks[n].name) for n in playing)
    chosen = channels.chosen()
    tracks_on: dict[int, set[int]] = defaultdict(set)
    families: dict[int, set[int]] = defaultdict(set)  # that the tracks of a channel are called
    for n, value in names.items():
        tracks_on[homes[n][1]].add(homes[n][0])
        if value is not None:
            families[homes[n][1]].add(_family(value))
    found = {}
    for n, value in names.items():
        track, channel = piece.tracks[n], homes[n][1]
        if value is None or value == track.program or (staves and value == BASS):
            continue
        shared = len(tracks_on[channel]) > 1 and (track.program == 0 or len(families[channel]) > 1)
        if (channel not in chosen or shared) and (value != DRUMS or _looks_like_a_kit(track, piece.ticks_per_quarter)):
            found[n] = value
    return found


def _is_staff(name: str) -> bool:
    words = set(re.findall("[a-z]+", name.lower()))
    return bool(words & _STAVES) and words <= _STAVES | _BESIDE


def _family(program: int) -> int:
    """The General MIDI family of a program (program // 8); string ensembles count as solo strings, drums are 16."""
    return 5 if program // 8 == 6 and program < 52 else program // 8


def _looks_like_a_kit(track: Track, ticks_per_quarter: int) -> bool:
    """Whether the notes could be those of a drum kit: nearly all pitches within its range, and short durations."""
    pitch = track.notes["pitch"]
    inside = (pitch >= LOWEST_DRUM) & (pitch <= HIGHEST_DRUM)
    return bool(inside.mean() >= 0.9 and np.median(track.notes["duration"]) <= ticks_per_quarter)
