"""Read MIDI files as pieces, within limits; `midi_writing` writes them.

Conventions: a piece keeps the file's own resolution. A part holds the notes of one track on one channel with one
program; a program change for the channel, on any track, begins a new part. A part has the controllers and bends of its
channel from all tracks. `channels` determines the state of channels, `sounding` the ends of notes.

Reading gives a Piece that satisfies `Piece.validate`, with named warnings, or raises UnreadableError.
Source for the events: Standard MIDI Files 1.0.
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicgen.errors import UnreadableError, UsageError
from musicgen.io.channels import Channels
from musicgen.io.foreign import nearest_file, refuse_foreign
from musicgen.io.midi_writing import KEY_SIGNATURE, SET_TEMPO, TIME_SIGNATURE, midi_bytes, midi_from_piece
from musicgen.io.pairing import narrow
from musicgen.io.smf import MidiFile, parse_smf
from musicgen.io.sounding import sounding
from musicgen.piece import (
    DEFAULT_TEMPO,
    KEY,
    MAX_MICROSECONDS,
    METER,
    MIN_MICROSECONDS,
    NOTE,
    TEMPO,
    Piece,
    Track,
)

__all__ = [
    "UNLIMITED",
    "Limits",
    "midi_bytes",
    "midi_from_piece",
    "note_numbers",
    "piece_and_homes",
    "piece_from_midi",
    "read_bytes",
    "read_midi",
    "read_midi_file",
    "resolution",
]

_TIMECODE_RATES = {24: 24.0, 25: 25.0, 29: 30 / 1.001, 30: 30.0}


@dataclass(frozen=True)
class Limits:
    """Limits on a single file; the command line has a flag to raise each."""

    megabytes: float = 10.0
    notes: int = 200_000
    tracks: int = 256
    hours: float = 3.0

    def __post_init__(self) -> None:
        for name in ("megabytes", "notes", "tracks", "hours"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:  # also rejects NaN
                raise UsageError(f"the limit of {name} is {value!r}", hint="give a number of at least 0")


UNLIMITED = Limits(megabytes=math.inf, notes=2**62, tracks=2**62, hours=math.inf)  # for files of our own


def read_bytes(path: str | os.PathLike[str], *, max_megabytes: float = 10.0) -> bytes:
    """The content of a regular file of at most `max_megabytes`; UnreadableError for everything else.

    Size and kind are checked before opening, so that a pipe, a device or a huge file is never read.
    """
    where = os.fspath(path)
    refuse_foreign(where)
    try:
        info = os.stat(where)
        if stat.S_ISDIR(info.st_mode):
            raise UnreadableError("is a folder, not a file", where=where, hint="name one file in it")
        if not stat.S_ISREG(info.st_mode):
            raise UnreadableError("is not a regular file", where=where, hint="copy it to a file first")
        if info.st_size > max_megabytes * 1e6:
            raise UnreadableError(
                f"has {info.st_size / 1e6:.0f} MB, the limit is {max_megabytes:g} MB",
                where=where,
                hint="raise the limit with `Limits.megabytes`",
            )
        return Path(where).read_bytes()
    except FileNotFoundError:
        raise UnreadableError("no such file", where=where, hint=nearest_file(where)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableError(f"can't be read ({reason.lower()})", where=where, hint="check the path") from None


def read_midi_file(path: str | os.PathLike[str], *, limits: Limits | None = None) -> MidiFile:
    """Every event of a MIDI file, uninterpreted."""
    limits = limits or Limits()
    data = read_bytes(path, max_megabytes=limits.megabytes)
    return parse_smf(data, where=os.fspath(path), max_tracks=limits.tracks)


def read_midi(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Piece:
    """The piece in a MIDI file. Raises UnreadableError (what, where, what to do)."""
    return piece_from_midi(read_midi_file(path, limits=limits), where=os.fspath(path), limits=limits)


# ---- events -> piece ---------------------------------------------------------------------------------


def piece_from_midi(midi: MidiFile, *, where: object = "MIDI data", limits: Limits | None = None) -> Piece:
    """The piece in a file's events. Raises UnreadableError past `limits`."""
    return piece_and_homes(midi, where=where, limits=limits)[0]


def piece_and_homes(
    midi: MidiFile, *, where: object = "MIDI data", limits: Limits | None = None
) -> tuple[Piece, tuple[tuple[int, int], ...]]:
    """The piece in a file's events, and the home of each of its parts: (track number, channel 0..15) in the file.

    Raises UnreadableError past `limits`.
    """
    limits = limits or Limits()
    warnings = list(midi.warnings)
    channels = Channels(midi)
    count = int(channels.is_on.sum())
    if count > limits.notes:
        raise UnreadableError(
            f"has {count:,} notes, the limit is {limits.notes:,}",
            where=where,
            hint="raise the limit with `Limits.notes`",
        )
    tempos, meters, keys = _maps(channels.metas(SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE), warnings)
    per_quarter, fixed = resolution(midi.division)
    if fixed is not None:
        if len(tempos):
            warnings.append("timecode: the file counts in seconds; its tempo changes have no meaning and are ignored")
        tempos = np.array([(0, fixed)], TEMPO) if fixed != DEFAULT_TEMPO else np.empty(0, TEMPO)
    parts = _parts(channels, per_quarter, warnings)
    tracks = tuple(part for _, part, _ in parts)
    piece = Piece(per_quarter, tracks, tempos, meters, keys, tuple(dict.fromkeys(warnings)))
    if piece.seconds > limits.hours * 3600:
        raise UnreadableError(
            f"lasts {piece.seconds / 3600:.1f} hours, the limit is {limits.hours:g}",
            where=where,
            hint="raise the limit with `Limits.hours`",
        )
    return piece, tuple((int(channels.lane_track[home >> 4]), home & 15) for home, _, _ in parts)


def note_numbers(midi: MidiFile) -> tuple[np.ndarray, ...]:
    """For each part of the file's piece the number of each of its notes in `sounding`, which counts in file order."""
    parts = _parts(Channels(midi), resolution(midi.division)[0], [])
    return tuple(numbers for _, _, numbers in parts)


def resolution(division: int) -> tuple[int, int | None]:
    """(ticks a quarter, microseconds a quarter) of a division; the latter is None unless it is in SMPTE frames."""
    if not division & 0x8000:
        return division, None
    frames, per_frame = 256 - (division >> 8), division & 0xFF
    ticks_per_second = _TIMECODE_RATES.get(frames, float(frames)) * per_frame
    per_quarter = max(1, round(ticks_per_second / 2))
    return per_quarter, round(per_quarter * 1e6 / ticks_per_second)


def _maps(
    metas: list[tuple[int, int, int, int, bytes]], warnings: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(TEMPO, METER, KEY) maps; values out of range are clamped or left out, with a warning."""
    tempo_rows = [(tick, _microseconds(payload)) for _, _, tick, kind, payload in metas if kind == SET_TEMPO]
    tempos = np.array(tempo_rows, TEMPO)
    us = tempos["microseconds"]
    if len(us) and not (us.min() >= MIN_MICROSECONDS and us.max() <= MAX_MICROSECONDS):
        tempos = tempos[us > 0]
        if len(tempos) < len(us):
            warnings.append("bad_tempo: a tempo of zero or without a value was ignored")
        us = np.clip(tempos["microseconds"], MIN_MICROSECONDS, MAX_MICROSECONDS)
        if (us != tempos["microseconds"]).any():
            warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
        tempos["microseconds"] = us
    meters, keys = [], []
    for _, _, tick, kind, payload in metas if len(tempo_rows) < len(metas) else ():
        if kind == TIME_SIGNATURE:
            if len(payload) < 2 or not 1 <= payload[0] <= 64 or payload[1] > 6:
                warnings.append("bad_meter: a time signature outside 1..64 was ignored")
                continue
            meters.append((tick, payload[0], 1 << payload[1]))
        elif kind == KEY_SIGNATURE:
            fifths = int.from_bytes(payload[:1], "big", signed=True)
            if len(payload) < 2 or not -7 <= fifths <= 7 or payload[1] > 1:
                warnings.append("bad_key: a key signature out of range was ignored")
                continue
            keys.append((tick, fifths, payload[1] == 1))
    return _as_map(tempos), _as_map(np.array(meters, METER)), _as_map(np.array(keys, KEY))


def _microseconds(payload: bytes) -> int:
    """Microseconds a quarter in a tempo event; 0 if it has no value."""
    return int.from_bytes(payload[:3], "big") if len(payload) >= 3 else 0


def _as_map(array: np.ndarray) -> np.ndarray:
    """Rows sorted by tick; of several on one tick, the last in file order is kept."""
    if len(array) < 2:
        return array
    array = array[np.argsort(array["tick"], kind="stable")]
    last: np.ndarray = array[np.append(array["tick"][1:] != array["tick"][:-1], True)]
    return last


def _parts(channels: Channels, ticks_per_quarter: int, warnings: list[str]) -> list[tuple[int, Track, np.ndarray]]:
    """(home, part, numbers of its notes in `sounding`) of each part: the notes of one home (track and channel) with one
    program, drums apart."""
    played = sounding(channels, ticks_per_quarter=ticks_per_quarter)
    on = played.on
    if not len(on):
        return []
    warnings += played.warnings
    notes = np.zeros(len(on), NOTE)
    notes["start"] = channels.tick[on]
    notes["duration"] = played.end - notes["start"]
    notes["pitch"], notes["velocity"] = channels.rows["data1"][on], channels.rows["data2"][on]

    # Parts are ordered by the first note of their home, then by their own first note.
    places = channels.places(on)
    home = channels.whole_parts(places.home)
    plays = np.flatnonzero(np.bincount(home))
    number = np.zeros(plays[-1] + 1, np.int64)
    number[plays] = np.arange(len(plays))
    part = 256 * number[home] + 128 * channels.drums(places) + channels.programs(places)
    first = np.full(256 * len(plays), len(part))
    first[part[::-1]] = np.arange(len(part))[::-1]
    listed = np.flatnonzero(first < len(part))
    listed = listed[np.lexsort((first[listed], first.reshape(-1, 256).min(axis=1)[listed >> 8]))]
    place = np.zeros(len(first), np.int64)
    place[listed] = np.arange(len(listed))
    part = narrow(place[part])
    order = np.lexsort((notes["pitch"], notes["start"], part))
    numbers_of = np.split(order, np.cumsum(np.bincount(part))[:-1]) if len(listed) > 1 else [order]

    homes = [int(plays[one >> 8]) for one in listed.tolist()]
    names = channels.names(plays.tolist())
    of_home = [channels.channel_of(home) for home in homes]
    playing = sorted(set(of_home))
    controls, bends = (dict(zip(playing, each, strict=True)) for each in channels.settings(np.array(playing)))
    return [
        (home, Track(names[home], one & 127, bool(one & 128), notes[own], controls[channel], bends[channel]), own)
        for home, channel, one, own in zip(homes, of_home, listed.tolist(), numbers_of, strict=True)
    ]
