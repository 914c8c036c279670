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

from musicgen.errors import UnreadableError
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


def read_bytes(path: str | os.PathLike[str], *, max_megabytes: float = 10.0) -> bytes:
    """The content of a regular file of at most `max_megabytes`; UnreadableError for everything else.

    Size and kind are looked at before opening, so that a pipe, a device or a huge file costs nothing.
    """
    where = os.fspath(path)
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
    count = sum(int(((t.rows["status"] & 0xF0 == 0x90) & (t.rows["data2"] > 0)).sum()) for t in midi.tracks)
    if count > limits.notes:
        raise UnreadableError(
            f"has {count:,} notes, the limit is {limits.notes:,}", where=where, hint="raise the limit with --max-notes"
        )
    tempos, meters, keys = _maps(midi, warnings)
    resolution, fixed = _resolution(midi.division)
    if fixed is not None:
        if len(tempos):
            warnings.append("timecode: the file counts in seconds; its tempo changes have no meaning and are ignored")
        tempos = np.array([(0, fixed)], TEMPO) if fixed != DEFAULT_TEMPO else np.empty(0, TEMPO)
    elsewhere = _program_changes([t.rows for t in midi.tracks])
    tracks = [part for t in midi.tracks for _, part in _parts(t, elsewhere, warnings)]
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
    elsewhere = _program_changes([t.rows for t in midi.tracks])
    return [(i, channel) for i, t in enumerate(midi.tracks) for channel, _ in _parts(t, elsewhere, [])]


def _resolution(division: int) -> tuple[int, int | None]:
    """(ticks a quarter, microseconds a quarter when the file counts SMPTE frames, else None)."""
    if not division & 0x8000:
        return division, None
    frames, per_frame = 256 - (division >> 8), division & 0xFF
    ticks_per_second = _TIMECODE_RATES.get(frames, float(frames)) * per_frame
    resolution = max(1, round(ticks_per_second / 2))
    return resolution, round(resolution * 1e6 / ticks_per_second)


def _maps(midi: MidiFile, warnings: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    tempos, meters, keys = [], [], []
    for track in midi.tracks:
        for tick, payload in track.metas(SET_TEMPO):
            us = int.from_bytes(payload[:3], "big")
            if len(payload) < 3 or us == 0:
                warnings.append("bad_tempo: a tempo of zero or without a value was ignored")
                continue
            kept = min(max(us, MIN_MICROSECONDS), MAX_MICROSECONDS)
            if kept != us:
                warnings.append("bad_tempo: a tempo outside 4..1000 quarters a minute was clamped")
            tempos.append((tick, kept))
        for tick, payload in track.metas(TIME_SIGNATURE):
            if len(payload) < 2 or not 1 <= payload[0] <= 64 or payload[1] > 6:
                warnings.append("bad_meter: a time signature outside 1..64 was ignored")
                continue
            meters.append((tick, payload[0], 1 << payload[1]))
        for tick, payload in track.metas(KEY_SIGNATURE):
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


def _program_changes(all_rows: list[np.ndarray]) -> dict[int, np.ndarray]:
    """Program changes by channel over all tracks, sorted by tick."""
    rows = np.concatenate(all_rows)
    rows = rows[rows["status"] & 0xF0 == 0xC0]
    rows = rows[np.argsort(rows["tick"], kind="stable")]
    return {int(c): rows[rows["status"] & 15 == c] for c in np.unique(rows["status"] & 15)}


def _parts(track: Events, elsewhere: dict[int, np.ndarray], warnings: list[str]) -> list[tuple[int, Track]]:
    """(channel, part) of everything that one track plays."""
    rows = track.rows
    kind, channel = rows["status"] & 0xF0, rows["status"] & 0x0F
    is_note = (kind == 0x90) | (kind == 0x80)
    if not is_note.any():
        return []
    names = track.metas(TRACK_NAME)
    name = _text(names[0][1]) if names else ""
    end = int(rows["tick"][-1])
    parts = []
    # First come, first listed: the channels in the order in which they begin to play.
    _, first = np.unique(channel[is_note], return_index=True)
    for c in channel[is_note][np.sort(first)].tolist():
        mine = channel == c
        ons, starts, ends = _pair_notes(rows[mine & is_note], end, warnings)
        if not len(ons):
            continue
        notes = np.zeros(len(ons), NOTE)
        notes["start"], notes["duration"] = starts, np.maximum(ends - starts, 1)
        notes["pitch"], notes["velocity"] = ons["data1"], ons["data2"]
        if (ends == starts).any():
            warnings.append("zero_length: notes without length were given one tick")
        programs = _programs_of_notes(rows[mine], is_note[mine], notes, elsewhere.get(c))
        channel_rows = rows[mine & (kind == 0xB0)]
        controls = np.zeros(len(channel_rows), CONTROL)
        for ours, theirs in (("tick", "tick"), ("number", "data1"), ("value", "data2")):
            controls[ours] = channel_rows[theirs]
        channel_rows = rows[mine & (kind == 0xE0)]
        bends = np.zeros(len(channel_rows), BEND)
        bends["tick"] = channel_rows["tick"]
        bends["value"] = channel_rows["data1"] + 128 * channel_rows["data2"].astype(np.int16) - 8192
        _, first = np.unique(programs, return_index=True)
        for program in programs[np.sort(first)].tolist():
            chosen = notes[programs == program]
            chosen = chosen[np.lexsort((chosen["pitch"], chosen["start"]))]
            parts.append((c, Track(name, int(program), c == DRUM_CHANNEL, chosen, controls, bends)))
    return parts


def _programs_of_notes(
    rows: np.ndarray, is_note: np.ndarray, notes: np.ndarray, elsewhere: np.ndarray | None
) -> np.ndarray:
    """The program of each note-on. A track without program changes of its own follows its channel in the others."""
    change = rows["status"] & 0xF0 == 0xC0
    if change.any():
        # In file order, so that a change on the same tick counts from where it stands.
        latest = np.maximum.accumulate(np.where(change, np.arange(len(rows)), -1))
        on = is_note & (rows["status"] & 0xF0 == 0x90) & (rows["data2"] > 0)
        latest = latest[on]
        return np.where(latest >= 0, rows["data1"][np.maximum(latest, 0)], 0).astype(np.int64)
    if elsewhere is None:
        return np.zeros(len(notes), np.int64)
    at = np.searchsorted(elsewhere["tick"], notes["start"], side="right") - 1
    return np.where(at >= 0, elsewhere["data1"][np.maximum(at, 0)], 0).astype(np.int64)


def _pair_notes(rows: np.ndarray, end: int, warnings: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(note-on rows in file order, starts, ends) of one channel's note rows: first on, first off for each pitch.

    Per pitch, count the open notes along the file: an off that meets none is dropped, and the k-th on belongs
    to the k-th off that is left.
    """
    on = (rows["status"] & 0xF0 == 0x90) & (rows["data2"] > 0)
    order = np.argsort(rows["data1"], kind="stable")
    pitch, is_on, tick = rows["data1"][order].astype(np.int64), on[order], rows["tick"][order]
    step = np.where(is_on, 1, -1)
    depth = np.cumsum(step)
    fresh = np.append(True, pitch[1:] != pitch[:-1]) if len(pitch) else np.zeros(0, bool)
    group = np.cumsum(fresh) - 1
    depth -= (depth - step)[fresh][group]
    # Offs dropped so far in the group = how far the running minimum has gone below zero. Groups are laid
    # one under the other, far apart, so that one running minimum serves them all.
    far = 2 * (len(rows) + 1)
    lowest = np.minimum.accumulate(np.minimum(depth, 0) - group * far) + group * far
    dropped = -np.minimum(lowest, 0)
    before = np.where(fresh, 0, np.concatenate([[0], dropped[:-1]])) if len(dropped) else dropped
    kept_off = ~is_on & (dropped == before)

    on_at, off_at = np.flatnonzero(is_on), np.flatnonzero(kept_off)
    ends_sorted = np.full(len(on_at), end, np.int64)
    ons_per = np.bincount(group[on_at], minlength=group[-1] + 1 if len(group) else 0)
    offs_per = np.bincount(group[off_at], minlength=len(ons_per))
    if (ons_per > offs_per).any():
        warnings.append("hanging_notes: notes that are never switched off end with their track")
    first_on = np.concatenate([[0], np.cumsum(ons_per)[:-1]]) if len(ons_per) else ons_per
    first_off = np.concatenate([[0], np.cumsum(offs_per)[:-1]]) if len(offs_per) else offs_per
    g = group[off_at]
    ends_sorted[first_on[g] + np.arange(len(off_at)) - first_off[g]] = tick[off_at]

    back = np.argsort(order[on_at])  # from pitch order to file order
    rows_on = rows[order[on_at]][back]
    return rows_on, rows_on["tick"], ends_sorted[back]


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
    controls = np.zeros(len(track.controls), EVENT)
    for ours, theirs in (("tick", "tick"), ("data1", "number"), ("data2", "value")):
        controls[ours] = track.controls[theirs]
    controls["status"], controls["blob"] = 0xB0 | channel, -1
    bends = np.zeros(len(track.bends), EVENT)
    value = track.bends["value"].astype(np.int64) + 8192
    bends["tick"], bends["data1"], bends["data2"] = track.bends["tick"], value & 127, value >> 7
    bends["status"], bends["blob"] = 0xE0 | channel, -1
    events = np.concatenate([np.array(head, EVENT), controls, bends, note_events(track.notes, channel)])
    return Events(events[event_order(events)], (track.name.encode("utf-8"),) if track.name else ())


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
