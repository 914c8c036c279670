"""New music joined to a MIDI file that stays as it was.

Every event of the source before the cut is kept, tick for tick and in order, whatever it is. At the cut, notes
that still sound are ended; then comes what the channels need (see `seam`), then the new notes and what controllers they
bring, on the tracks and channels that they continue. What the source has after the cut is dropped, except that a cut
at the end keeps its texts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from musicgen.gm import program_name
from musicgen.io.channels import Channels
from musicgen.io.homes import OWN_DATA, TRACK_NAME
from musicgen.io.midi import resolution
from musicgen.io.midi_writing import (
    KEY_SIGNATURE,
    SET_TEMPO,
    TIME_SIGNATURE,
    control_events,
    event_order,
    midi_from_piece,
    note_events,
)
from musicgen.io.seam import NewPart, Row, Seam, Seat
from musicgen.io.smf import END_OF_TRACK, EVENT, META, Events, MidiFile
from musicgen.io.sounding import sounding
from musicgen.piece import METER, TEMPO, Piece, Track

__all__ = ["NewPart", "alone", "splice"]

_TEXTS = (*range(0x01, 0x08), OWN_DATA)  # texts, lyrics, markers, cues, and a program's own data
_TIMING = (SET_TEMPO, TIME_SIGNATURE, KEY_SIGNATURE)


def splice(midi: MidiFile, parts: Sequence[NewPart], *, cut: int, end: int, at_end: bool) -> MidiFile:
    """The file up to tick `cut`, then `parts`; tracks end at tick `end` or with their last event.

    `at_end` says that no note of the source begins at the cut or later.
    """
    tracks = [Events(track.rows[_keep(track.rows, cut, at_end)], track.blobs) for track in midi.tracks]
    source = Channels(midi)
    seam = Seam(replace(midi, tracks=tuple(tracks)), cut=cut, used=source.used())
    seats = seam.seats(parts)
    count = len(tracks)
    where: list[int] = []  # the track of each part, new ones behind the others
    for seat, part in zip(seats, parts, strict=True):
        where.append(seat.track if seat.track is not None else len(tracks))
        if seat.track is None:
            head = seam.port_metas() + ([(META, TRACK_NAME, 0, part.name.encode("utf-8"))] if part.name else [])
            tracks.append(_with_rows(Events(np.empty(0, EVENT)), head, 0))
    said, controls = _settings(seam, parts, seats, where)
    endings = _endings(source, cut)
    out = []
    for number, track in enumerate(tracks):
        new = [controls[number]] if number in controls else []
        new += [
            note_events(_without_overlaps(part.notes), seat.channel)
            for part, seat, home in zip(parts, seats, where, strict=True)
            if home == number
        ]
        if number < count:
            track = Events(np.concatenate([track.rows, endings[number]]), track.blobs)
        track = _with_rows(track, said[number], cut)
        out.append(_extended(track, new, end))
    return replace(midi, tracks=tuple(out))


def _keep(rows: np.ndarray, cut: int, at_end: bool) -> np.ndarray:
    """Which of a track's events stay."""
    kind, tick = rows["status"] & 0xF0, rows["tick"]
    meta = rows["status"] == META
    note_off = (kind == 0x80) | ((kind == 0x90) & (rows["data2"] == 0))
    note_on = (kind == 0x90) & (rows["data2"] > 0)
    here = tick == cut
    keep = (tick < cut) | (here & (note_off | (meta & np.isin(rows["data1"], _TIMING))))
    if at_end:
        keep |= here & ~note_on
        keep |= meta & np.isin(rows["data1"], _TEXTS)
    kept: np.ndarray = keep & ~(meta & (rows["data1"] == END_OF_TRACK))
    return kept


def _endings(channels: Channels, cut: int) -> list[np.ndarray]:
    """By track, note-offs at the cut for the notes that sound on, and for those that nothing would end."""
    midi = channels.midi
    played = sounding(channels, ticks_per_quarter=resolution(midi.division)[0])
    switched = np.where(played.off >= 0, channels.tick[played.off], cut + 1)
    open_ = (channels.tick[played.on] < cut) & (played.hangs | ((played.end >= cut) & (switched > cut)))
    rows = channels.rows[played.on[open_]].copy()
    rows["tick"], rows["status"], rows["data2"] = cut, 0x80 | rows["status"] & 15, 64
    track = channels.track[played.on[open_]]
    return [rows[track == number] for number in range(len(midi.tracks))]


def _settings(
    seam: Seam, parts: Sequence[NewPart], seats: Sequence[Seat], where: Sequence[int]
) -> tuple[dict[int, list[Row]], dict[int, np.ndarray]]:
    """By track, what is said on the cut, and the controllers (EVENT) that the parts bring, once a channel."""
    said: dict[int, list[Row]] = defaultdict(list)
    controls: dict[int, np.ndarray] = {}
    lifts = seam.lifts()
    if where:
        said[min(where)] += seam.master()
    by_channel: dict[int, list[int]] = defaultdict(list)
    for number, seat in enumerate(seats):
        by_channel[16 * seat.port + seat.channel].append(number)
    for channel, mine in sorted(by_channel.items()):
        first = min(where[number] for number in mine)
        # What the source says of the channel on the cut itself, in a track further back, would have the last word.
        latest = seam.last_track(channel, on_the_cut=True)
        behind = -1 if latest is None else latest
        said[max(first, behind)] += lifts.pop(channel, []) + seam.restored(channel)
        brought = next((parts[n].controls for n in mine if len(parts[n].controls)), None)
        if brought is not None:
            usual = seam.last_track(channel)
            to = max(usual if usual in {where[n] for n in mine} else first, behind)
            events = control_events(brought, channel % 16)
            controls[to] = np.concatenate([controls[to], events]) if to in controls else events
    for channel, rows in lifts.items():
        said[seam.last_track(channel) or 0] += rows
    for number, seat in enumerate(seats):
        said[where[number]] += seat.before
    return said, controls


def _with_rows(track: Events, rows: Sequence[Row], tick: int) -> Events:
    """The track with `rows` behind its own, at `tick`."""
    blobs, added = list(track.blobs), []
    for status, data1, data2, payload in rows:
        if payload is not None:
            blobs.append(payload)
        added.append((tick, status, data1, data2, -1 if payload is None else len(blobs) - 1))
    return Events(np.concatenate([track.rows, np.array(added, EVENT)]), tuple(blobs))


def _extended(track: Events, new: list[np.ndarray], end: int) -> Events:
    """The track with new events in their order, and its end."""
    notes = np.concatenate([np.empty(0, EVENT), *new])
    joined = np.concatenate([track.rows, notes[event_order(notes)]])
    # Stable, so that events on one tick stay in the source's order and come before what is added.
    joined = joined[np.argsort(joined["tick"], kind="stable")]
    last = max(int(joined["tick"][-1]) if len(joined) else 0, end)
    final = np.array([(last, META, END_OF_TRACK, 0, len(track.blobs))], EVENT)
    return Events(np.concatenate([joined, final]), (*track.blobs, b""))


def _without_overlaps(notes: np.ndarray) -> np.ndarray:
    """Notes of one pitch shortened to end where the next one begins: a channel can't hold one key twice."""
    order = np.lexsort((notes["start"], notes["pitch"]))
    notes = notes[order].copy()
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    gap = notes["start"][1:] - notes["start"][:-1]
    notes["duration"][:-1] = np.where(same, np.minimum(notes["duration"][:-1], gap), notes["duration"][:-1])
    notes = notes[notes["duration"] > 0]
    return notes[np.lexsort((notes["pitch"], notes["start"]))]


def alone(piece: Piece, parts: Sequence[NewPart], *, cut: int) -> MidiFile:
    """The new notes alone from tick 0, in the tempo and meter of the cut."""
    tracks = []
    for part in parts:
        notes = part.notes.copy()
        controls = part.controls.copy()
        notes["start"] -= cut
        controls["tick"] -= cut
        tracks.append(
            Track(
                part.name or program_name(part.program, is_drum=part.is_drum).title(),
                part.program,
                part.is_drum,
                notes,
                controls,
            )
        )
    tempos = np.array([(0, piece.tempo_at(cut))], TEMPO)
    meters = np.array([(0, *piece.meter_at(cut))], METER)
    return midi_from_piece(Piece(piece.ticks_per_quarter, tuple(tracks), tempos, meters))
