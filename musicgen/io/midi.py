"""MIDI files to pieces and back.

Conventions: a piece keeps the file's own resolution. A part is what one track plays on one channel with one
program; a program change in mid-track begins a new part. Channel 10 is drums. Notes of one pitch that overlap
end first-on, first-off. Notes that are never switched off end with their track.

A file gives a Piece that satisfies `Piece.validate`, with named warnings, or raises UnreadableError.
Source for the events: Standard MIDI Files 1.0; General MIDI for channel 10.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musicgen.errors import MusicgenError, UnreadableError, UsageError
from musicgen.io.foreign import refuse_foreign
from musicgen.io.pairing import latest, narrow, pair_notes
from musicgen.io.smf import EVENT, META, Events, MidiFile, parse_smf, smf_bytes
from musicgen.piece import (
    BEND,
    CONTROL,
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
    "Limits",
    "midi_bytes",
    "midi_from_piece",
    "part_homes",
    "piece_from_midi",
    "read_bytes",
    "read_midi",
    "read_midi_file",
]

DRUM_CHANNEL = 9
TRACK_NAME, SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE = 0x03, 0x51, 0x58, 0x59
_TIMECODE_RATES = {24: 24.0, 25: 25.0, 29: 30 / 1.001, 30: 30.0}


@dataclass(frozen=True)
class Limits:
    """What a single file may hold; the command line has a flag to raise each."""

    megabytes: float = 10.0
    notes: int = 200_000
    tracks: int = 256
    hours: float = 3.0

    def __post_init__(self) -> None:
        for name in ("megabytes", "notes", "tracks", "hours"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:  # NaN isn't, either
                raise UsageError(f"the limit of {name} is {value!r}", hint="give a number of at least 0")


def read_bytes(path: str | os.PathLike[str], *, max_megabytes: float = 10.0) -> bytes:
    """The content of a regular file of at most `max_megabytes`; UnreadableError for everything else.

    Size and kind are looked at before opening, so that a pipe, a device or a huge file costs nothing.
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
                hint="raise the limit with --max-megabytes",
            )
        return Path(where).read_bytes()
    except FileNotFoundError:
        raise UnreadableError("no such file", where=where, hint="check the path") from None
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


def midi_bytes(piece: Piece) -> bytes:
    """The piece as the bytes of a format 1 MIDI file."""
    return smf_bytes(midi_from_piece(piece))


# ---- events -> piece ---------------------------------------------------------------------------------


def piece_from_midi(midi: MidiFile, *, where: object = "MIDI data", limits: Limits | None = None) -> Piece:
    """Interpret a file's events. Raises UnreadableError past `limits`."""
    limits = limits or Limits()
    warnings = list(midi.warnings)
    rows, number = _joined(midi)
    count = int(((rows["status"] & 0xF0 == 0x90) & (rows["data2"] > 0)).sum())
    if count > limits.notes:
        raise UnreadableError(
            f"has {count:,} notes, the limit is {limits.notes:,}", where=where, hint="raise the limit with --max-notes"
        )
    metas = _metas(midi, rows, number)
    tempos, meters, keys = _maps(metas, warnings)
    resolution, fixed = _resolution(midi.division)
    if fixed is not None:
        if len(tempos):
            warnings.append("timecode: the file counts in seconds; its tempo changes have no meaning and are ignored")
        tempos = np.array([(0, fixed)], TEMPO) if fixed != DEFAULT_TEMPO else np.empty(0, TEMPO)
    names = {track: _text(payload) for track, _, kind, payload in reversed(metas) if kind == TRACK_NAME}  # first wins
    tracks = [part for _, _, part in _parts(rows, number, names, warnings)]
    piece = Piece(resolution, tuple(tracks), tempos, meters, keys, tuple(dict.fromkeys(warnings)))
    if piece.seconds > limits.hours * 3600:
        raise UnreadableError(
            f"lasts {piece.seconds / 3600:.1f} hours, the limit is {limits.hours:g}",
            where=where,
            hint="raise the limit with --max-hours",
        )
    return piece


def part_homes(midi: MidiFile) -> list[tuple[int, int]]:
    """(track number, channel) of every part that `piece_from_midi` finds, in its order."""
    return [(track, channel) for track, channel, _ in _parts(*_joined(midi), {}, [])]


def _joined(midi: MidiFile) -> tuple[np.ndarray, np.ndarray]:
    """(rows of all tracks, the track number of each): one pass over a file is quicker than one a track."""
    rows = np.concatenate([t.rows for t in midi.tracks])
    return rows, np.repeat(np.arange(len(midi.tracks)), [len(t.rows) for t in midi.tracks])


def _resolution(division: int) -> tuple[int, int | None]:
    """(ticks a quarter, microseconds a quarter when the file counts SMPTE frames, else None)."""
    if not division & 0x8000:
        return division, None
    frames, per_frame = 256 - (division >> 8), division & 0xFF
    ticks_per_second = _TIMECODE_RATES.get(frames, float(frames)) * per_frame
    resolution = max(1, round(ticks_per_second / 2))
    return resolution, round(resolution * 1e6 / ticks_per_second)


def _metas(midi: MidiFile, rows: np.ndarray, number: np.ndarray) -> list[tuple[int, int, int, bytes]]:
    """(track number, tick, kind, payload) of the meta events that a piece keeps, in file order."""
    kinds = np.zeros(256, bool)
    kinds[[TRACK_NAME, SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE]] = True
    at = np.flatnonzero((rows["status"] == META) & kinds[rows["data1"]])
    return [
        (track, tick, kind, midi.tracks[track].blobs[blob] if blob >= 0 else b"")
        for track, (tick, _, kind, _, blob) in zip(number[at].tolist(), rows[at].tolist(), strict=True)
    ]


def _maps(metas: list[tuple[int, int, int, bytes]], warnings: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The tempo, meter and key maps; what is out of range is left out, with a warning."""
    tempos, meters, keys = [], [], []
    for _, tick, kind, payload in metas:
        if kind == SET_TEMPO:
            us = int.from_bytes(payload[:3], "big")
            if len(payload) < 3 or us == 0:
                warnings.append("bad_tempo: a tempo of zero or without a value was ignored")
                continue
            kept = min(max(us, MIN_MICROSECONDS), MAX_MICROSECONDS)
            if kept != us:
                warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
            tempos.append((tick, kept))
        elif kind == TIME_SIGNATURE:
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
    return _as_map(tempos, TEMPO), _as_map(meters, METER), _as_map(keys, KEY)


def _as_map(rows: list, dtype: np.dtype) -> np.ndarray:
    """Rows sorted by tick; of several on one tick the last in file order holds."""
    array = np.array(rows, dtype)
    array = array[np.argsort(array["tick"], kind="stable")]
    return array[np.append(array["tick"][1:] != array["tick"][:-1], True)] if len(array) else array


def _parts(
    rows: np.ndarray, number: np.ndarray, names: dict[int, str], warnings: list[str]
) -> list[tuple[int, int, Track]]:
    """(track number, channel, part) of everything that a file plays; `names` is by track number."""
    kind, tick = rows["status"] & 0xF0, rows["tick"]
    is_on = (kind == 0x90) & (rows["data2"] > 0)
    on_at = np.flatnonzero(is_on)
    if not len(on_at):
        return []
    # A home is a track and a channel. Those that play are numbered afresh, so that keys stay small and sort fast.
    home = 16 * number + (rows["status"] & 15)
    plays = np.bincount(home[on_at], minlength=16 * int(number[-1]) + 16) > 0
    homes = np.flatnonzero(plays)
    home = np.where(plays, np.cumsum(plays) - 1, len(homes))[home]

    note_at = np.flatnonzero(is_on | (kind == 0x80) | (kind == 0x90))
    off = pair_notes(128 * home[note_at] + rows["data1"][note_at], is_on[note_at])
    track_end = np.zeros(number[-1] + 1, np.int64)
    track_end[number] = tick  # of the ticks assigned to a track the last one stays
    length = np.where(off < 0, track_end[number[on_at]], tick[note_at[off]]) - tick[on_at]
    if (off < 0).any():
        warnings.append("hanging_notes: notes that are never switched off end with their track")
    if (length == 0).any():
        warnings.append("zero_length: notes without length were given one tick")
    notes = np.zeros(len(on_at), NOTE)
    notes["start"], notes["duration"] = tick[on_at], np.maximum(length, 1)
    notes["pitch"], notes["velocity"] = rows["data1"][on_at], rows["data2"][on_at]

    # First come, first listed: a track's channels in the order in which they begin to play, then the programs.
    part = 128 * home[on_at] + _programs(rows, home, on_at)
    first = np.full(128 * len(homes), len(part))
    first[part[::-1]] = np.arange(len(part))[::-1]
    listed = np.flatnonzero(first < len(part))
    listed = listed[np.lexsort((first[listed], first.reshape(-1, 128).min(axis=1)[listed >> 7]))]
    place = np.zeros(len(first), np.int64)
    place[listed] = np.arange(len(listed))
    part = narrow(place[part])
    notes = notes[np.lexsort((notes["pitch"], notes["start"], part))]
    notes_of = np.split(notes, np.cumsum(np.bincount(part))[:-1])
    controls, bends = _settings(rows, home, len(homes))
    tracks = []
    for h, program, own in zip((listed >> 7).tolist(), (listed & 127).tolist(), notes_of, strict=True):
        track, channel = divmod(int(homes[h]), 16)
        part = Track(names.get(track, ""), program, channel == DRUM_CHANNEL, own, controls[h], bends[h])
        tracks.append((track, channel, part))
    return tracks


def _settings(rows: np.ndarray, home: np.ndarray, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The control changes and the pitch bends of each home."""
    kind = rows["status"] & 0xF0
    both = []
    for status, dtype in ((0xB0, CONTROL), (0xE0, BEND)):
        at = np.flatnonzero(kind == status)
        at = at[np.argsort(home[at], kind="stable")]
        events, of_home = rows[at], np.searchsorted(home[at], np.arange(1, count + 1))
        settings = np.zeros(len(at), dtype)
        settings["tick"], settings["value"] = events["tick"], events["data2"]
        if dtype is CONTROL:
            settings["number"] = events["data1"]
        else:
            settings["value"] = 128 * settings["value"] + events["data1"] - 8192
        both.append(np.split(settings, of_home)[:count])
    return both[0], both[1]


def _programs(rows: np.ndarray, home: np.ndarray, on_at: np.ndarray) -> np.ndarray:
    """The program of each note-on. A track without program changes of its own follows its channel in the others."""
    at = np.flatnonzero(rows["status"] & 0xF0 == 0xC0)
    if not len(at):
        return np.zeros(len(on_at), np.int64)
    # In file order, so that a change on the same tick counts from where it stands.
    programs = latest(rows["data1"][at], home[at], at, home[on_at], on_at)
    follows = ~np.isin(home[on_at], home[at])
    if follows.any():
        channel, tick, on_at = (rows["status"] & 15).astype(np.int64), rows["tick"], on_at[follows]
        programs[follows] = latest(rows["data1"][at], channel[at], tick[at], channel[on_at], tick[on_at])
    return programs


def _text(raw: bytes) -> str:
    """A MIDI text: UTF-8 where it is valid, else Latin-1, which the specification's ASCII is a part of."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    return text.rstrip("\0 ")


# ---- piece -> events ---------------------------------------------------------------------------------


def midi_from_piece(piece: Piece) -> MidiFile:
    """A format 1 file: a conductor track with the maps, then one track a part.

    Each part gets a channel of its own while there are any (drums share channel 10); beyond 15, parts of the
    same program share one.
    """
    if piece.ticks_per_quarter > 0x7FFF:
        raise MusicgenError(f"{piece.ticks_per_quarter} ticks a quarter; a MIDI file can't say more than {0x7FFF}")
    conductor: list[tuple[int, int, bytes]] = []
    for row in piece.tempos:
        conductor.append((int(row["tick"]), SET_TEMPO, int(row["microseconds"]).to_bytes(3, "big")))
    for row in piece.meters:
        power = int(row["denominator"]).bit_length() - 1
        conductor.append((int(row["tick"]), TIME_SIGNATURE, bytes([row["numerator"], power, 24, 8])))
    for row in piece.keys:
        conductor.append((int(row["tick"]), KEY_SIGNATURE, bytes([int(row["fifths"]) & 0xFF, int(row["minor"])])))
    conductor.sort(key=lambda event: event[0])
    rows = np.array([(tick, META, kind, 0, i) for i, (tick, kind, _) in enumerate(conductor)], EVENT)
    tracks = [Events(rows, tuple(payload for _, _, payload in conductor))]
    for track, channel in zip(piece.tracks, assign_channels(piece.tracks), strict=True):
        tracks.append(_track_events(track, channel))
    return MidiFile(1, piece.ticks_per_quarter, tuple(tracks))


def assign_channels(tracks: tuple[Track, ...]) -> list[int]:
    """A MIDI channel (0..15) for each part; 9 for drums."""
    free = [c for c in range(16) if c != DRUM_CHANNEL]
    distinct = sum(not t.is_drum for t in tracks) <= len(free)
    by_program: dict[int, int] = {}
    channels = []
    for i, track in enumerate(tracks):
        if track.is_drum:
            channels.append(DRUM_CHANNEL)
            continue
        key = i if distinct else track.program
        channels.append(by_program.setdefault(key, free[len(by_program) % len(free)]))
    return channels


def _track_events(track: Track, channel: int) -> Events:
    head = [(0, META, TRACK_NAME, 0, 0)] if track.name else []
    head.append((0, 0xC0 | channel, track.program, 0, -1))
    controls = control_events(track.controls, channel)
    bends = np.zeros(len(track.bends), EVENT)
    value = track.bends["value"].astype(np.int64) + 8192
    bends["tick"], bends["data1"], bends["data2"] = track.bends["tick"], value & 127, value >> 7
    bends["status"], bends["blob"] = 0xE0 | channel, -1
    events = np.concatenate([np.array(head, EVENT), controls, bends, note_events(track.notes, channel)])
    return Events(events[event_order(events)], (track.name.encode("utf-8"),) if track.name else ())


def control_events(controls: np.ndarray, channel: int) -> np.ndarray:
    """EVENT rows of control changes (CONTROL)."""
    events = np.zeros(len(controls), EVENT)
    for ours, theirs in (("tick", "tick"), ("data1", "number"), ("data2", "value")):
        events[ours] = controls[theirs]
    events["status"], events["blob"] = 0xB0 | channel, -1
    return events


def note_events(notes: np.ndarray, channel: int) -> np.ndarray:
    """EVENT rows of the notes' ons and offs, unsorted."""
    ons, offs = np.zeros(len(notes), EVENT), np.zeros(len(notes), EVENT)
    ons["tick"], ons["status"] = notes["start"], 0x90 | channel
    ons["data1"], ons["data2"] = notes["pitch"], np.maximum(notes["velocity"], 1)  # 0 would mean off
    offs["tick"], offs["status"] = notes["start"] + notes["duration"], 0x80 | channel
    offs["data1"], offs["data2"] = notes["pitch"], 64
    ons["blob"] = offs["blob"] = -1
    return np.concatenate([ons, offs])


def event_order(events: np.ndarray) -> np.ndarray:
    """Sort order by tick; on one tick offs, then settings, then ons, so that a repeated note is not swallowed."""
    kind = events["status"] & 0xF0
    rank = np.where(kind == 0x80, 0, np.where(kind == 0x90, 2, 1))
    return np.lexsort((rank, events["tick"]))
